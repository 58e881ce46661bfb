//! The table of every route, variable and metric: whole, without an empty cell, and true in what
//! it names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Variables that the two documents and the protocol of the existing controller name.
const VARIABLES: [&str; 27] = [
    "PORT",
    "API_KEYS",
    "ADMIN_API_KEY",
    "LEASE_TTL_MS",
    "HEARTBEAT_INTERVAL_MS",
    "NODE_ENV",
    "LOG_LEVEL",
    "LOG_FORMAT",
    "EXPECTED_RUNNER_VERSION",
    "METRICS_PREFIX",
    "RUNNER_OFFLINE_HOOK",
    "DOCKER_UPDATE_COMMAND",
    "HEALTH_CHECK_INTERVAL",
    "MAX_CONCURRENCY",
    "MIN_INSTANCES",
    "MAX_INSTANCES",
    "AGENT_ID",
    "YGGDRASIL_URL",
    "API_KEY",
    "RUNNER_NAME",
    "CAPABILITIES",
    "TASK_POLL_INTERVAL",
    "LLM_MODEL",
    "WEB_SEARCH_API",
    "REALM_URL",
    "RATATOSKR_URL",
    "REALM_HEARTBEAT_INTERVAL_MS",
];

/// Metrics that existing dashboards query, and those that the documentation promises.
const METRICS: [&str; 25] = [
    "yggdrasil_runners_total",
    "yggdrasil_runners_online",
    "yggdrasil_runners_offline",
    "yggdrasil_uptime_seconds",
    "yggdrasil_tasks_running",
    "yggdrasil_api_keys_total",
    "yggdrasil_version_info",
    "yggdrasil_npm_latest_version",
    "yggdrasil_expected_runner_version",
    "yggdrasil_runner_cpu_percent",
    "yggdrasil_runner_memory_percent",
    "yggdrasil_runner_memory_used_bytes",
    "yggdrasil_runner_version_info",
    "yggdrasil_runner_outdated",
    "yggdrasil_runner_pending_update",
    "yggdrasil_runner_pending_api_key_rotation",
    "yggdrasil_runner_update_status",
    "yggdrasil_runner_update_log",
    "yggdrasil_runners_registered",
    "yggdrasil_runner_info",
    "yggdrasil_runner_uptime_seconds",
    "yggdrasil_runner_leases",
    "yggdrasil_runner_tasks_running",
    "yggdrasil_tasks_dispatched_total",
    "yggdrasil_tasks_completed_total",
];

struct Row {
    number: usize,
    cells: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// The rows of all tables of the page, without their heads.
fn rows() -> Vec<Row> {
    let page = fs::read_to_string(root().join("docs/runner-api-coverage.md")).expect("the page");
    let lines = page.lines().zip(1..).filter(|(line, _)| line.starts_with('|'));
    let rows = lines.filter(|(line, _)| !line.starts_with("|--") && !line.starts_with("| name"));
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.map(|(line, number)| Row { number, cells: cells(line) }).collect()
}

/// What a cell has in `code` marks.
fn codes(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            let is_ours = !["target", "demo", "node_modules"].iter().any(|no| name == *no);
            if is_ours && !name.to_string_lossy().starts_with('.') {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|kind| kind == "rs" || kind == "sh") {
            found.push(path);
        }
    }
}

#[test]
fn every_route_has_a_row() {
    let document = fs::read_to_string(root().join("docs/openapi.json")).expect("the document");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let rows = rows();
    let named: BTreeSet<&str> = rows.iter().flat_map(|row| codes(&row.cells[0])).collect();

    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            if ["get", "post", "put", "patch", "delete"].contains(&method.as_str()) {
                let route = format!("{} {path}", method.to_uppercase());
                assert!(named.contains(route.as_str()), "`{route}` has no row");
            }
        }
    }
}

#[test]
fn every_variable_and_metric_has_a_row() {
    let rows = rows();
    let named: BTreeSet<&str> = rows
        .iter()
        .flat_map(|row| codes(&row.cells[0]))
        .map(|name| {
            name.split_once('{')
                .filter(|(base, _)| !base.contains(' '))
                .map_or(name, |(base, _)| base)
        })
        .collect();

    for name in VARIABLES.iter().chain(&METRICS) {
        let is_shown = named.contains(name)
            || rows.iter().any(|row| codes(&row.cells[1]).any(|code| code == *name));
        assert!(is_shown, "`{name}` has no row");
    }
}

#[test]
fn no_cell_is_empty_and_whatever_is_named_is_there() {
    let root = root();
    let mut files = Vec::new();
    sources(&root, &mut files);
    let functions: BTreeSet<String> = files
        .iter()
        .flat_map(|file| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let names = text.split("fn ").skip(1).map(|rest| {
                rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
            });
            names.collect::<Vec<String>>()
        })
        .collect();

    for Row { number, cells } in rows() {
        assert!(cells.iter().all(|cell| !cell.is_empty()), "line {number} has an empty cell");
        let Some(shown) = cells.get(2) else {
            assert_eq!(cells.len(), 2, "line {number}: a name and why it is not served");
            continue;
        };
        for word in shown.split(|c: char| !(c.is_ascii_alphanumeric() || "_/.-".contains(c))) {
            let word = word.trim_matches('.');
            if Path::new(word).extension().is_some_and(|kind| kind == "rs" || kind == "sh") {
                let is_there = files.iter().any(|file| file.ends_with(word));
                assert!(is_there, "line {number} names {word}, which is not there");
            } else if word.matches('_').count() >= 3 && !word.contains(['/', '.']) {
                assert!(functions.contains(word), "line {number} names {word}, which is not there");
            }
        }
    }
}
