//! The real Prometheus: discovers, scrapes, evaluates, and answers what the panels ask.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use e2e::child::{Daemon, Spec};
use e2e::world::LONG;
use e2e::{World, ports, programs, until_seldom};
use reqwest::{Client, Url};
use serde_json::{Value, json};

use crate::dashboards::{ELSE_ZERO, Query, families, queries};
use crate::scene::{busy, folder, program, tell, world};

/// Families that are absent for as long as nothing of their kind has happened, and one that is asked
/// for a state that nothing is in.
const ONLY_AFTER_AN_EVENT: [&str; 3] = [
    "yggdrasil_beads_command_failures_total",
    "yggdrasil_breaker_state",
    "yggdrasil_executor_refusals_total",
];

/// What the dashboard that came with `@theaiinc/yggdrasil` asks; `S` is its selector.
const DASHBOARD_BEFORE: [&str; 19] = [
    "yggdrasil_runners_total S",
    "yggdrasil_runners_online S",
    "yggdrasil_runners_offline S",
    "count(yggdrasil_runner_outdated S)",
    "count(yggdrasil_runner_pending_update S)",
    "yggdrasil_uptime_seconds S",
    "yggdrasil_version_info S",
    "yggdrasil_npm_latest_version S",
    "yggdrasil_expected_runner_version S",
    "yggdrasil_runner_memory_used_bytes S",
    "yggdrasil_runner_version_info S",
    "yggdrasil_runner_pending_update S",
    "yggdrasil_runner_outdated S",
    "yggdrasil_runner_memory_percent S",
    "yggdrasil_tasks_running S",
    "yggdrasil_runner_cpu_percent S",
    "yggdrasil_api_keys_total S",
    "yggdrasil_runner_update_status S",
    "yggdrasil_runner_update_log S",
];

/// A Prometheus with our configuration.
struct Prometheus {
    daemon: Daemon,
    client: Client,
}

impl Prometheus {
    async fn start(world: &World, program: &Path, authorization: &str) -> Self {
        let target = world.ygg().url().strip_prefix("http://").unwrap().to_owned();
        let config = fs::read_to_string(folder().join("prometheus.yml")).unwrap();
        let mut shown = config.replace("localhost:3000", &target);
        for pace in ["15s", "10s", "30s"] {
            shown = shown.replace(&format!(" {pace}\n"), " 1s\n");
        }
        assert_ne!(shown, config, "the addresses and paces of prometheus.yml were found");
        shown = shown.replace(
            "        refresh_interval",
            &format!("{authorization}        refresh_interval"),
        );
        world.write("prometheus/prometheus.yml", &shown);
        let rules = fs::read_to_string(folder().join("alerts.yml")).unwrap();
        world.write("prometheus/alerts.yml", &rules);

        let port = ports::free();
        let home = world.path("prometheus");
        let args = [
            format!("--config.file={}", home.join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", home.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--log.level=warn".to_owned(),
        ];
        let spec = Spec {
            program: program.to_owned(),
            args: args.into_iter().map(Into::into).collect(),
            env: [("PATH".into(), programs::path())].into(),
            cwd: home.clone(),
            output: home.join("output"),
        };
        let mut daemon = Daemon::new("prometheus", port, spec);
        daemon.spawn().unwrap();
        let mut prometheus = Self { daemon, client: world.client().clone() };
        let ready = format!("{}/-/ready", prometheus.daemon.url());
        until_seldom("Prometheus is ready", LONG, async || {
            if let Some(status) = prometheus.daemon.ended() {
                panic!("Prometheus ended with {status}:\n{}", prometheus.daemon.output());
            }
            let answer = prometheus.client.get(&ready).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        prometheus
    }

    async fn ask(&self, path: &str, params: &[(&str, &str)]) -> Value {
        let url = Url::parse_with_params(&format!("{}{path}", self.daemon.url()), params).unwrap();
        let answer: Value = self.client.get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["status"], "success", "{path} {params:?}: {answer}");
        answer["data"].clone()
    }

    /// Evaluates a query; returns its series.
    async fn query(&self, expr: &str) -> Vec<Value> {
        let expr = expr.replace("$__rate_interval", "30s");
        self.ask("/api/v1/query", &[("query", &expr)]).await["result"].as_array().unwrap().clone()
    }

    /// Waits until a query has data.
    async fn has_data(&self, what: &str, expr: &str) -> Vec<Value> {
        until_seldom(&format!("{what} has data for `{expr}`"), LONG, async || {
            Some(self.query(expr).await).filter(|series| !series.is_empty())
        })
        .await
    }

    async fn targets(&self) -> Vec<(String, String)> {
        let targets = self.ask("/api/v1/targets", &[("state", "active")]).await;
        let text = |target: &Value, pointer: &str| {
            target.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let all = targets["activeTargets"].as_array().unwrap().iter();
        all.map(|target| (text(target, "/labels/job"), text(target, "/health"))).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_panel_has_data_and_each_rule_is_evaluated() {
    let test = "each_panel_has_data_and_each_rule_is_evaluated";
    let Some(program) = program(test, "prometheus") else { return };
    let Some(world) = world(test).await else { return };
    let world = busy(world).await;
    let odd: String = (1..0x250).filter_map(char::from_u32).collect();
    let body = json!({"runnerId": "odd", "name": odd, "version": "\r\u{0}\u{2028}\""});
    tell(&world, "/runners/register", body).await;
    let prometheus = Prometheus::start(&world, &program, "").await;

    until_seldom("both jobs are up", LONG, async || {
        let targets = prometheus.targets().await;
        let is_up = |job: &str| targets.iter().any(|(name, health)| name == job && health == "up");
        (is_up("orchestration-controller") && is_up("yggdrasil-executors")).then_some(())
    })
    .await;
    for expr in DASHBOARD_BEFORE {
        let expr = expr.replace(" S", "{job=\"orchestration-controller\"}");
        prometheus.has_data("the dashboard from before", &expr).await;
    }
    let quiet: BTreeSet<String> = ONLY_AFTER_AN_EVENT.iter().map(ToString::to_string).collect();
    for Query { panel, expr } in queries() {
        prometheus.has_data(&panel, &expr).await;
        // Beyond the zero that stands in for nothing: real data, where something has happened.
        if let Some(real) = expr.strip_suffix(ELSE_ZERO)
            && families(&expr).is_disjoint(&quiet)
        {
            prometheus.has_data(&panel, real).await;
        }
    }
    until_seldom("each rule was evaluated", LONG, async || {
        let groups = prometheus.ask("/api/v1/rules", &[]).await;
        let rules = groups["groups"][0]["rules"].as_array().unwrap().clone();
        assert!(rules.len() >= 20, "{rules:?}");
        let broken = rules.iter().find(|rule| rule["health"] == "err");
        assert!(broken.is_none(), "{broken:?}");
        rules.iter().all(|rule| rule["health"] == "ok").then_some(())
    })
    .await;
    let fired =
        prometheus.has_data("an alert", "ALERTS{alertname=\"YggdrasilRunnerUpdateFailed\"}");
    assert_eq!(fired.await[0]["metric"]["runner"], "r2");

    // Last, since from then on every route wants the key.
    let rotate = json!({"newApiKey": "the-new-key", "runnerIds": ["r1"]});
    let (status, answer) = world
        .ygg()
        .post_with("/api/admin/api-keys/rotate", &rotate, &[("X-Admin-Api-Key", "admin")])
        .await
        .unwrap();
    assert!(status.is_success(), "{answer}");
    let pending = "yggdrasil_runner_pending_api_key_rotation{job=\"orchestration-controller\"}";
    prometheus.has_data("the dashboard from before", pending).await;
    prometheus.has_data("the dashboard from before", "yggdrasil_api_keys_total == 1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_discovers_executors_with_a_key() {
    let test = "prometheus_discovers_executors_with_a_key";
    let Some(program) = program(test, "prometheus") else { return };
    let Some(mut world) = world(test).await else { return };
    world.executor("one", "test-executor", &[]).await.unwrap();
    world.routing.default_to("one");
    world.prepare_coordinator(&["--read-api-keys", "reader", "--api-keys", "writer"]).unwrap();
    world.start(e2e::world::COORDINATOR).await.unwrap();
    world.write("prometheus/key", "reader\n");
    let file = world.text_path("prometheus/key");
    let authorization = format!(
        "        authorization:\n          type: Bearer\n          credentials_file: {file}\n"
    );

    let prometheus = Prometheus::start(&world, &program, &authorization).await;

    let up = "up{job=\"yggdrasil-executors\",executor=\"one\"} == 1";
    prometheus.has_data("a scrape through discovery", up).await;
    let capacity = "yggdrasil_executor_capacity{executor=\"one\"}";
    prometheus.has_data("a scrape through discovery", capacity).await;
}
