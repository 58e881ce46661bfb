//! `/health`, registration, heartbeats, moves, good-byes, leases, and what is shown of runners.

use std::time::Duration;

use e2e::until;
use serde_json::{Value, json};

use super::api::{Api, SOON, is_id, is_iso, is_now, members, text};

/// What a Ratatoskr sends when it starts, as it was recorded.
const FIRST: &str = r#"{"runnerId":"runner-szFk9XMe","name":"peer-runner","endpoint":"","version":"0.3.8","capabilities":["http","health"],"resources":{"cpu":{"load1":1.74,"load5":3.22,"load15":2.93,"cpus":2,"percent":0},"memory":{"total":25276502016,"used":615378944,"free":24661123072,"percent":2.43},"uptime":2740}}"#;
/// And with each heartbeat.
const BEAT: &str = r#"{"runnerId":"runner-szFk9XMe","timestamp":1795221695,"status":"healthy","resources":{"cpu":{"load1":1.74,"load5":3.22,"load15":2.93,"cpus":2,"percent":0},"memory":{"total":25276502016,"used":615378944,"free":24661123072,"percent":2.43},"uptime":2741}}"#;

#[tokio::test]
async fn health_has_its_members_and_counts_runners() {
    let Some(api) = Api::start("health_has_its_members_and_counts_runners").await else { return };
    api.runner("r1").await;
    api.runner("r2").await;
    api.post("/runners/offline", json!({"runnerId": "r2"})).await;

    let answer = api.get("/health").await;

    assert_eq!(answer.status, 200);
    assert_eq!(members(&answer.text)[..5], ["status", "timestamp", "version", "uptime", "runners"]);
    let health = answer.json();
    assert_eq!(health["runners"], json!({"total": 2, "online": 1, "offline": 1}));
    assert!(health["uptime"].as_f64().unwrap() > 0.0);
    is_iso(&health["timestamp"]);
}

#[tokio::test]
async fn what_a_ratatoskr_sends_is_answered_to_the_byte() {
    let Some(api) = Api::start("what_a_ratatoskr_sends_is_answered_to_the_byte").await else {
        return;
    };
    let moved =
        r#"{"runnerId":"runner-szFk9XMe","oldEndpoint":"","newEndpoint":"http://192.0.2.2:8080"}"#;

    let first = api.text("POST", "/runners/register", FIRST).await;
    let again = api.text("POST", "/runners/register", FIRST).await;
    let beat = api.text("POST", "/runners/heartbeat", BEAT).await;
    let update = api.text("POST", "/runners/update", moved).await;
    let seen = api.shown("runner-szFk9XMe").await;
    let leave = api.text("POST", "/runners/offline", r#"{"runnerId":"runner-szFk9XMe"}"#).await;

    first.is(201, r#"{"runnerId":"runner-szFk9XMe","status":"registered"}"#);
    again.is(201, r#"{"runnerId":"runner-szFk9XMe","status":"re-registered"}"#);
    beat.is(200, r#"{"status":"ok"}"#);
    update.is(200, r#"{"status":"updated"}"#);
    leave.is(200, r#"{"status":"offline"}"#);
    assert_eq!(seen["endpoint"], "http://192.0.2.2:8080");
    assert_eq!(seen["resources"]["uptime"], 2741);
    assert_eq!(seen["resources"]["memory"]["total"], 25_276_502_016_u64);
}

#[tokio::test]
async fn a_runner_is_shown_with_all_members_in_their_order() {
    let Some(api) = Api::start("a_runner_is_shown_with_all_members_in_their_order").await else {
        return;
    };
    api.text("POST", "/runners/register", FIRST).await;
    api.runner("bare").await;

    let shown = api.get("/api/runners/runner-szFk9XMe").await;
    let bare = api.get("/api/runners/bare").await;
    let other = api.get("/runners/bare").await;

    assert_eq!(
        members(&shown.text),
        [
            "runnerId",
            "name",
            "endpoint",
            "version",
            "capabilities",
            "realmTemplates",
            "labels",
            "lastHeartbeat",
            "status",
            "resources",
            "tasks"
        ]
    );
    let shown = shown.json();
    assert_eq!(shown["endpoint"], "unknown", "it sent an empty one");
    assert_eq!(shown["capabilities"], json!(["http", "health"]));
    assert_eq!(shown["status"], "online");
    is_iso(&shown["lastHeartbeat"]);
    assert_eq!(other.text, bare.text);
    let mut bare = bare.json();
    bare["lastHeartbeat"] = Value::Null;
    assert_eq!(
        bare,
        json!({
            "runnerId": "bare", "name": "bare", "endpoint": "unknown", "version": "0.1.0",
            "capabilities": [], "realmTemplates": [], "labels": {}, "lastHeartbeat": null,
            "status": "online", "tasks": [],
        })
    );
}

#[tokio::test]
async fn nothing_an_empty_object_and_an_array_are_each_a_new_runner() {
    let Some(api) = Api::start("nothing_an_empty_object_and_an_array_are_each_a_new_runner").await
    else {
        return;
    };
    let plain = [("Content-Type", "text/plain")];

    let answers = [
        api.send("POST", "/runners/register", &[], None).await,
        api.text("POST", "/runners/register", "{}").await,
        api.text("POST", "/runners/register", "[]").await,
        api.send("POST", "/runners/register", &plain, Some("{\"runnerId\":\"x\"}".into())).await,
    ];

    for answer in &answers {
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(members(&answer.text), ["runnerId", "status"]);
        is_id(&answer.json()["runnerId"], "", 21);
    }
    let list = api.json("/api/runners").await;
    assert_eq!(list["count"], 4);
    for runner in list["runners"].as_array().unwrap() {
        assert_eq!((&runner["name"], &runner["version"]), (&json!("unknown"), &json!("0.1.0")));
    }
}

#[tokio::test]
async fn a_registration_again_replaces_everything_but_the_tasks_and_the_place() {
    let Some(api) =
        Api::start("a_registration_again_replaces_everything_but_the_tasks_and_the_place").await
    else {
        return;
    };
    let own = json!([{"taskId": "seed", "type": "exec", "status": "running"}]);
    let rich = json!({
        "runnerId": "r1", "name": "one", "endpoint": "http://h:1", "labels": {"zone": "a"},
        "metadata": {"secret": 1}, "resources": {"uptime": 5}, "tasks": own,
        "realmTemplates": [{"id": "u", "type": "ubuntu", "extra": true}],
    });
    api.post("/runners/register", rich).await;
    api.runner("r2").await;
    api.post("/runners/r1/tasks", json!({"taskId": "t1"})).await;
    let first = api.shown("r1").await;

    let tasks = json!([{"taskId": "ignored", "status": "running"}]);
    api.post("/runners/register", json!({"runnerId": "r1", "tasks": tasks})).await;

    assert_eq!(first["realmTemplates"], json!([{"id": "u", "type": "ubuntu", "capabilities": []}]));
    assert!(first.get("metadata").is_none(), "{first}");
    let seen = api.shown("r1").await;
    assert_eq!((&seen["name"], &seen["endpoint"]), (&json!("unknown"), &json!("unknown")));
    assert_eq!((&seen["labels"], &seen["realmTemplates"]), (&json!({}), &json!([])));
    assert!(seen.get("resources").is_none(), "{seen}");
    let ids = |runner: &Value, member: &str, list: &str| -> Vec<String> {
        runner[list].as_array().unwrap().iter().map(|one| text(&one[member]).to_owned()).collect()
    };
    assert_eq!(ids(&seen, "taskId", "tasks"), ["seed", "t1"]);
    assert_eq!(ids(&api.json("/runners").await, "runnerId", "runners"), ["r1", "r2"]);
}

#[tokio::test]
async fn nobody_beats_for_an_unknown_runner() {
    let Some(api) = Api::start("nobody_beats_for_an_unknown_runner").await else { return };

    for path in ["/runners/heartbeat", "/runners/update", "/runners/offline"] {
        for body in [json!({"runnerId": "nobody"}), json!({}), json!({"runnerId": null})] {
            api.post(path, body).await.is(404, r#"{"error":"Runner not found"}"#);
        }
    }
    for path in ["/api/runners/nobody", "/runners/nobody", "/runners/nobody/tasks"] {
        api.get(path).await.is(404, r#"{"error":"Runner not found"}"#);
    }
    assert_eq!(api.json("/api/runners").await, json!({"runners": [], "count": 0}));
}

#[tokio::test]
async fn an_offline_runner_moves_without_coming_back_and_beats_itself_back() {
    let Some(api) =
        Api::start("an_offline_runner_moves_without_coming_back_and_beats_itself_back").await
    else {
        return;
    };
    api.runner("r1").await;
    for _ in 0..2 {
        api.post("/runners/offline", json!({"runnerId": "r1"}))
            .await
            .is(200, r#"{"status":"offline"}"#);
    }

    let moved = json!({"runnerId": "r1", "oldEndpoint": "whatever", "newEndpoint": "http://h:2"});
    api.post("/runners/update", moved).await.is(200, r#"{"status":"updated"}"#);
    let empty = json!({"runnerId": "r1", "newEndpoint": ""});
    api.post("/runners/update", empty).await.is(200, r#"{"status":"updated"}"#);
    let gone = api.shown("r1").await;
    api.beat("r1").await.is(200, r#"{"status":"ok"}"#);

    assert_eq!((&gone["status"], &gone["endpoint"]), (&json!("offline"), &json!("http://h:2")));
    assert_eq!(api.shown("r1").await["status"], "online");
}

#[tokio::test]
async fn a_heartbeat_wipes_no_task_that_waits() {
    let Some(api) = Api::start("a_heartbeat_wipes_no_task_that_waits").await else { return };
    api.runner("r1").await;
    api.post("/runners/r1/tasks", json!({"taskId": "waits", "type": "exec"})).await;

    let own = json!([{"taskId": "own", "type": "exec", "status": "completed"}]);
    let body = json!({"runnerId": "r1", "tasks": own});
    api.post("/runners/heartbeat", body).await.is(200, r#"{"status":"ok"}"#);

    let tasks = api.json("/runners/r1/tasks").await;
    assert_eq!(tasks["count"], 2, "{tasks}");
    assert_eq!(api.json("/runners/r1/tasks?status=running").await["count"], 1);
}

#[tokio::test]
async fn a_lease_ends_to_the_second_and_takes_the_tasks_along() {
    let Some(api) = Api::start("a_lease_ends_to_the_second_and_takes_the_tasks_along").await else {
        return;
    };
    let body = json!({"runnerId": "r1", "leaseTtlMs": 1500});
    let start = std::time::Instant::now();
    assert_eq!(api.post("/runners/register", body).await.status, 201);
    api.post("/runners/r1/tasks", json!({"taskId": "t1", "type": "exec"})).await;

    until("r1 is offline", SOON, async || {
        (api.shown("r1").await["status"] == "offline").then_some(())
    })
    .await;
    let took = start.elapsed();
    let task = api.json("/runners/r1/tasks").await["tasks"][0].clone();

    assert!(took >= Duration::from_millis(1500), "{took:?}");
    assert!(took < Duration::from_millis(2500) + slack(), "{took:?}");
    assert_eq!(task["status"], "failed");
    assert!(text(&task["metadata"]["error"]).contains("lost"), "{task}");
    is_now(&task["completedAt"]);
}

/// A slow machine may look late; the sweep itself is proven on a clock of its own.
fn slack() -> Duration {
    Duration::from_secs(5)
}

#[tokio::test]
async fn the_lease_of_the_setting_holds_for_who_names_none() {
    let test = "the_lease_of_the_setting_holds_for_who_names_none";
    let env = [("LEASE_TTL_MS", "1000")];
    let Some(api) = Api::start_with(test, &env, &[]).await else { return };
    api.runner("short").await;
    let long = json!({"runnerId": "long", "leaseTtlMs": 600_000});
    api.post("/runners/register", long).await;

    until("short is offline", SOON, async || {
        (api.shown("short").await["status"] == "offline").then_some(())
    })
    .await;

    assert_eq!(api.shown("long").await["status"], "online");
}
