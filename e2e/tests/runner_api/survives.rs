//! What a power cut of the coordinator leaves as it was.

use e2e::until;
use serde_json::{Value, json};

use super::api::{Api, SOON, text};

/// Takes away what a restart may change: when somebody was last heard from.
fn without_times(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            members.remove("lastHeartbeat");
            for member in members.values_mut() {
                *member = without_times(member.take());
            }
        }
        Value::Array(entries) => {
            for entry in entries {
                *entry = without_times(entry.take());
            }
        }
        _ => {}
    }
    value
}

async fn everything(api: &Api) -> Value {
    let mut all = json!({});
    for path in [
        "/api/runners",
        "/api/runners/r1",
        "/api/runners/r2",
        "/runners/r1/tasks",
        "/api/v1/sessions",
        "/api/v1/realms",
    ] {
        all[path] = api.json(path).await;
    }
    without_times(all)
}

#[tokio::test]
async fn runners_tasks_updates_sessions_and_realms_survive_a_crash() {
    let test = "runners_tasks_updates_sessions_and_realms_survive_a_crash";
    let Some(mut api) = Api::start(test).await else { return };
    api.host("r1").await;
    let labels = json!({"runnerId": "r2", "labels": {"zone": "a"}, "endpoint": "http://h:1"});
    api.post("/runners/register", labels).await;
    api.post("/runners/offline", json!({"runnerId": "r2"})).await;
    for number in 0..20 {
        let body =
            json!({"taskId": format!("t{number}"), "type": "exec", "metadata": {"n": number}});
        assert_eq!(api.post("/runners/r1/tasks", body).await.status, 201);
    }
    let report = json!({"status": "completed", "metadata": {"exitCode": 0}});
    api.patch("/runners/r1/tasks/t3", report).await;
    api.post("/runners/r1/request-update", json!({"version": "9.9.9", "command": "up"})).await;
    api.realm("m1", "r1").await;
    let active = api.session(json!({"type": "computer-use", "ownerId": "steve"})).await;
    let ended = api.session(json!({"type": "computer-use", "ownerId": "steve"})).await;
    api.delete(&format!("/api/v1/sessions/{}", text(&ended["id"]))).await;
    let waiting = api.session(json!({"type": "phone-use", "ownerId": "anna"})).await;
    until("r1 is asked for the realm", SOON, async || {
        (api.json("/runners/r1/tasks").await["count"] == 21).then_some(())
    })
    .await;
    let before = everything(&api).await;

    api.crash().await;

    assert_eq!(everything(&api).await, before);
    assert_eq!(active["state"], "active");
    let beat = api.beat("r1").await;
    beat.is(200, r#"{"status":"ok","pendingUpdate":{"version":"9.9.9","command":"up"}}"#);
    let again = api.post("/runners/r1/tasks", json!({"taskId": "t3"})).await;
    assert_eq!(again.status, 409);
    // What was under way goes on.
    let endpoints = json!({"observation": "http://p/capture", "input": "http://p"});
    let task = format!("/runners/r1/tasks/task-create-{}", text(&waiting["realmId"]));
    let report = json!({"status": "completed", "metadata": {"endpoints": endpoints}});
    assert_eq!(api.patch(&task, report).await.status, 200);
    let begun = api.becomes(&waiting, "active").await;
    assert_eq!(begun["inputEndpoint"], "http://p");
}

#[tokio::test]
async fn what_was_answered_last_before_a_crash_is_there_after_it() {
    let test = "what_was_answered_last_before_a_crash_is_there_after_it";
    let Some(mut api) = Api::start(test).await else { return };
    api.host("r1").await;
    for round in 0..5 {
        let task = format!("t{round}");
        let body = json!({"taskId": task, "type": "exec"});
        let owner = format!("owner {round}");
        let (created, session) = tokio::join!(
            api.post("/runners/r1/tasks", body),
            api.session(json!({"type": "computer-use", "ownerId": owner})),
        );
        assert_eq!(created.status, 201);

        api.crash().await;

        let shown = api.json(&format!("/api/v1/sessions/{}", text(&session["id"]))).await;
        assert_eq!(shown, session);
        let tasks = api.json("/runners/r1/tasks").await;
        let ids: Vec<_> =
            tasks["tasks"].as_array().unwrap().iter().map(|task| text(&task["taskId"])).collect();
        assert!(ids.contains(&&*task), "{ids:?}");
        let asked = format!("task-create-{}", text(&session["realmId"]));
        assert_eq!(ids.iter().filter(|id| **id == asked).count(), 1, "{ids:?}");
    }
}

#[tokio::test]
async fn a_lease_that_ran_when_the_coordinator_was_killed_starts_anew() {
    let test = "a_lease_that_ran_when_the_coordinator_was_killed_starts_anew";
    let Some(mut api) = Api::start(test).await else { return };
    api.post("/runners/register", json!({"runnerId": "r1", "leaseTtlMs": 3000})).await;
    api.post("/runners/r1/tasks", json!({"taskId": "t1", "type": "exec"})).await;

    api.crash().await;

    assert_eq!(api.shown("r1").await["status"], "online");
    assert_eq!(api.json("/runners/r1/tasks?status=running").await["count"], 1);
    until("r1 is offline", SOON, async || {
        (api.shown("r1").await["status"] == "offline").then_some(())
    })
    .await;
    assert_eq!(api.json("/runners/r1/tasks?status=failed").await["count"], 1);
}
