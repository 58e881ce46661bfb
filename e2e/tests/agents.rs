//! Agents behind the real coordinator, their deaths, and who is told.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use e2e::world::{COORDINATOR, LONG};
use e2e::{World, until};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// A lease that is soon over.
const LEASE_MS: u64 = 1500;

async fn world() -> Option<World> {
    match World::any().await {
        Ok(world) => Some(world),
        Err(why) => {
            skip(&why);
            None
        }
    }
}

#[expect(clippy::print_stderr, reason = "what is skipped is said")]
fn skip(why: &str) {
    eprintln!("skipped: agents: {why}");
}

async fn register(world: &World, id: &str, lease_ms: u64) {
    let body = json!({
        "runnerId": id,
        "name": id,
        "endpoint": world.ask(id).url(),
        "capabilities": ["echo"],
        "metadata": {"protocol": 1, "capacity": 4},
        "leaseTtlMs": lease_ms,
    });
    let (status, answer) = world.ygg().post("/runners/register", &body).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{answer}");
}

fn echo(text: &str) -> Value {
    json!({"task_id": "by-hand", "type": "echo", "params": {"text": text}})
}

#[tokio::test]
async fn a_session_moves_when_its_executor_is_killed_and_says_so() {
    let Some(mut world) = world().await else { return };
    for name in ["one", "two"] {
        world.executor(name, "test-executor", &["--capacity", "4"]).await.unwrap();
    }
    world.coordinator(&[]).await.unwrap();
    for name in ["one", "two"] {
        register(&world, name, 3_600_000).await;
    }
    let ask = async |world: &World| {
        let url = format!("{}/agent/capability:echo/process", world.ygg().url());
        let request = world.client().post(url).header("x-session-id", "s-1");
        let answer = request.json(&echo("hi")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let header =
            |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (id, moved) = (header("x-agent-id").unwrap(), header("x-session-moved"));
        let outcome: Value = answer.json().await.unwrap();
        assert_eq!(outcome["status"], "completed", "{outcome}");
        (id, moved)
    };

    let (first, moved) = ask(&world).await;
    assert_eq!(moved, None);
    assert_eq!(ask(&world).await, (first.clone(), None));
    world.kill(&first);
    let (second, moved) = ask(&world).await;

    assert_ne!(second, first);
    assert_eq!(moved.as_deref(), Some("true"));
    assert_eq!(ask(&world).await, (second, None));
}

#[tokio::test]
async fn the_owner_is_told_of_a_lost_runner_and_its_breaker_counts_it() {
    let Some(mut world) = world().await else { return };
    let told = world.text_path("told");
    let hook = format!("cat >> {told}; echo >> {told}");
    let args = ["--runner-offline-hook", &hook, "--circuit-failure-threshold", "1"];
    world.coordinator(&args).await.unwrap();
    let ygg = world.ygg();
    let body = json!({"runnerId": "r-1", "name": "box", "leaseTtlMs": LEASE_MS});
    let (status, _) = ygg.post("/runners/register", &body).await.unwrap();
    assert_eq!(status, StatusCode::CREATED);
    let (status, task) = ygg.post("/runners/r-1/tasks", &json!({"type": "x"})).await.unwrap();
    assert_eq!(status, StatusCode::CREATED);

    let line = until("the hook was told", LONG, async || {
        let text = std::fs::read_to_string(&told).ok()?;
        text.lines().next().filter(|line| line.ends_with('}')).map(str::to_owned)
    })
    .await;
    let payload: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(payload["runnerId"], "r-1");
    assert_eq!(payload["cause"], "lease_expired");
    assert_eq!(payload["tasks"], json!([task["taskId"]]));
    let (status, refused) = ygg.post("/runners/r-1/tasks", &json!({"type": "x"})).await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{refused}");
    let admission: Value = ygg.json("/admission").await.unwrap();
    assert_eq!(admission["runners"][0]["state"], "open");
    assert_eq!(admission["events"][0]["to"], "open");
    let status: Value = ygg.json("/status").await.unwrap();
    let expected = json!({
        "minInstances": 1,
        "maxInstances": 10,
        "maxConcurrency": 80,
        "healthCheckInterval": 30_000,
    });
    assert_eq!(status["settings"], expected);
    let url = format!("{}/runners/r-1/tasks", ygg.url());
    let answer = world.client().post(url).json(&json!({})).send().await.unwrap();
    assert!(answer.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn more_at_least_than_at_most_is_refused_at_the_start() {
    let Some(mut world) = world().await else { return };
    let args = ["--min-instances", "3", "--max-instances", "2"];
    world.prepare_coordinator(&args).unwrap();

    let daemon = world.daemon(COORDINATOR);
    daemon.spawn().unwrap();
    let status = daemon.ends(LONG).await;

    assert_eq!(status.code(), Some(78));
    assert!(daemon.tail(20).contains("MIN_INSTANCES"));
}
