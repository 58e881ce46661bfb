//! A homelab in which something happens, and programs of Prometheus.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Json;
use axum::routing::get;
use daemon::process;
use e2e::command::{self, Answer};
use e2e::{NewBead, World, programs, suite};
use serde_json::{Value, json};

/// The folder with the dashboards and the rules.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards").canonicalize().unwrap()
}

/// Makes a homelab without daemons, or says why there is none.
pub(crate) async fn world(test: &str) -> Option<World> {
    match World::any().await {
        Ok(world) => Some(world),
        Err(why) => {
            suite::skipped(test, &why);
            None
        }
    }
}

/// Returns a program of Prometheus, or says that it is missing.
pub(crate) fn program(test: &str, name: &str) -> Option<PathBuf> {
    let found = programs::find(name);
    if found.is_none() {
        suite::skipped(test, &format!("no {name} on PATH (make test-deps installs it)"));
    }
    found
}

/// Runs promtool.
pub(crate) async fn promtool(program: &Path, args: &[&str], stdin: &str) -> Answer {
    let command = process::Command::new(program)
        .args(args)
        .cwd(folder())
        .stdin(stdin.as_bytes().to_vec())
        .split()
        .env("PATH", programs::path())
        .limit(Duration::from_mins(1));
    command::run(command).await.unwrap()
}

/// Fetches the coordinator's page in the text format.
pub(crate) async fn scrape(world: &World) -> String {
    world.ygg().get("/metrics").await.unwrap().text().await.unwrap()
}

/// What a machine says of itself.
pub(crate) fn resources() -> Value {
    json!({
        "cpu": {"load1": 1.7, "load5": 3.2, "load15": 2.9, "cpus": 2, "percent": 12.5},
        "memory": {"total": 1000, "used": 400, "free": 600, "percent": 40},
        "uptime": 2740,
    })
}

/// Posts to the runner API, which must take it.
pub(crate) async fn tell(world: &World, path: &str, body: Value) {
    let (status, answer) = world.ygg().post(path, &body).await.unwrap();
    assert!(status.is_success(), "POST {path}: {status}: {answer}");
}

/// Serves the latest version, for as long as the test runs; returns its address.
pub(crate) async fn latest_version(version: &'static str) -> String {
    let answer = move || async move { Json(json!({ "version": version })) };
    let address = serve(axum::Router::new().route("/latest", get(answer))).await;
    format!("{address}/latest")
}

/// Serves something on a free port, for as long as the test runs; returns its address.
pub(crate) async fn serve(app: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test's own runtime ends it")]
    let _serving = tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

/// A homelab with beads that ended well and badly, one that runs and one that waits; a runner with a
/// task, one with an update that failed and one that is pending; agents behind the gateway.
pub(crate) async fn busy(mut world: World) -> World {
    let latest = latest_version("9.9.9").await;
    world.executor("one", "test-executor", &[]).await.unwrap();
    world.routing.default_to("one").limit("per_type: { hold: 1 }");
    let args = [
        "--expected-runner-version",
        "0.3.8",
        "--latest-version-url",
        &latest,
        "--lease-ttl-ms",
        "600000",
        "--admin-api-key",
        "admin",
    ];
    world.coordinator(&args).await.unwrap();

    for (id, version) in [("r1", "0.3.8"), ("r2", "0.1.0")] {
        let body = json!({"runnerId": id, "name": "peer", "version": version,
            "capabilities": ["http"], "resources": resources()});
        tell(&world, "/runners/register", body).await;
    }
    tell(&world, "/runners/r1/tasks", json!({"type": "echo", "taskId": "t1"})).await;
    let failed = json!({"runnerId": "r2", "updateStatus": "failed", "updateLog": "no room left"});
    tell(&world, "/runners/heartbeat", failed).await;
    tell(&world, "/runners/r2/request-update", json!({"version": "0.3.8"})).await;

    crate::agents::talk(&world).await;

    let good = world.create(NewBead::task("echo", json!({"text": "well"}))).await;
    let bad = world.create(NewBead::task("fail", json!({}))).await;
    let hold = |name: &str| {
        let [started, until] =
            ["started", "go"].map(|end| world.text_path(&format!("{name}-{end}")));
        NewBead::task("hold", json!({"started": started, "until": until}))
    };
    let (first, second) = (hold("first"), hold("second"));
    world.create(first).await;
    world.file("first-started").await;
    let waits = world.create(second).await;
    world.settled(&good).await;
    world.settled(&bad).await;
    world.reason(&waits, "limit_type").await;
    world
}
