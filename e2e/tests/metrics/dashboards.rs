//! The dashboards: can be imported, and ask for nothing that does not exist.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use yggdrasil_coordinator::metrics;

use crate::scene::{busy, folder, scrape, world};

/// One query of one panel.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) panel: String,
    pub(crate) expr: String,
}

/// Stands in a query whose families are absent while nothing has happened.
pub(crate) const ELSE_ZERO: &str = " or vector(0)";

/// Returns every query of every dashboard.
pub(crate) fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for (name, dashboard) in dashboards() {
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let panel = format!("{name}: {}", panel["title"].as_str().unwrap());
                queries.push(Query { panel, expr: target["expr"].as_str().unwrap().to_owned() });
            }
        }
    }
    queries
}

/// Returns the families that a text names, without what a histogram adds to them.
pub(crate) fn families(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("yggdrasil_"));
    names
        .map(|name| {
            ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(name)
                .to_owned()
        })
        .collect()
}

fn dashboards() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "json") {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            all.push((name, serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()));
        }
    }
    all
}

#[test]
fn each_of_the_four_can_be_imported() {
    let dashboards = dashboards();
    let mut names: Vec<_> = dashboards.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let expected =
        ["agent-performance.json", "load-balancer.json", "scaling.json", "system-health.json"];
    assert_eq!(names, expected);

    let mut uids = BTreeSet::new();
    for (name, dashboard) in &dashboards {
        assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36, "{name}");
        assert!(uids.insert(dashboard["uid"].as_str().unwrap()), "{name}");
        let variable = &dashboard["templating"]["list"][0];
        assert_eq!(
            (&variable["type"], &variable["name"]),
            (&"datasource".into(), &"datasource".into())
        );
        let mut ids = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: {title}");
            if panel["type"] == "row" {
                continue;
            }
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{name}: {title}");
            for target in panel["targets"].as_array().unwrap() {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{name}: {title}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_query_and_rule_asks_for_families_that_exist() {
    let Some(world) = world("each_query_and_rule_asks_for_families_that_exist").await else {
        return;
    };
    let world = busy(world).await;
    let mut page = scrape(&world).await;
    page += &world.ask("one").get("/metrics").await.unwrap().text().await.unwrap();
    let there: BTreeSet<_> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();

    for Query { panel, expr } in queries() {
        for family in families(&expr) {
            let known = family.strip_prefix("yggdrasil_").unwrap();
            let exists = metrics::ALL.iter().any(|family| family.name == known)
                || known.starts_with("executor_") && there.contains(family.as_str());
            assert!(exists, "{panel}: nobody has `{family}`");
            let may_be_absent = expr.contains(ELSE_ZERO);
            assert!(may_be_absent || there.contains(family.as_str()), "{panel}: no `{family}` now");
        }
    }
    for family in families(&fs::read_to_string(folder().join("alerts.yml")).unwrap()) {
        let known = family.strip_prefix("yggdrasil_").unwrap();
        let exists = metrics::ALL.iter().any(|family| family.name == known);
        assert!(exists, "alerts.yml: nobody has `{family}`");
    }
}

#[test]
fn each_family_stands_in_the_table_of_the_documentation() {
    let text = fs::read_to_string(folder().join("../docs/runner-api.md")).unwrap();
    for family in metrics::ALL {
        let row = format!("| `yggdrasil_{}` | {} |", family.name, family.kind.as_str());
        assert!(text.contains(&row), "docs/runner-api.md has no row that begins with `{row}`");
    }
}
