//! One Ratatoskr and one coordinator.

use std::sync::Arc;
use std::time::Duration;

use e2e::ratatoskr::{Exit, Journal, Ratatoskr, Settings, Supervised};
use e2e::until;
use e2e::world::LONG;
use serde_json::json;

use crate::{coordinator, insist, online, over, runners, target, tasks};

/// One whose list is read every second, else as it is out there.
fn attentive(name: &str) -> Settings {
    Settings { poll_interval: Duration::from_secs(1), ..Settings::named(name) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ratatoskr_registers_and_does_what_it_is_given() {
    let test = "a_ratatoskr_registers_and_does_what_it_is_given";
    let Some(world) = coordinator(test, &[]).await else { return };
    let asked = world.ygg();
    let journal = Arc::<Journal>::default();
    let one = Ratatoskr::start(attentive("one"), &target(&world), &journal);
    online(&world, 1).await;

    let path = format!("/runners/{}/tasks", one.id());
    let health = format!("{}/health", asked.url());
    for (id, kind, metadata) in [
        ("t-echo", "echo", json!({"hello": "world"})),
        ("t-exec", "exec", json!({"command": "echo out; echo err >&2"})),
        ("t-fail", "exec", json!({"command": "exit 3"})),
        ("t-http", "http", json!({"url": health})),
        ("t-none", "nosuch", json!({})),
    ] {
        let body =
            json!({"taskId": id, "type": kind, "correlationId": "c-1", "metadata": metadata});
        let (status, task) = asked.post(&path, &body).await.unwrap();
        assert_eq!(status, 201, "{task}");
        assert_eq!((&task["taskId"], &task["status"]), (&json!(id), &json!("running")));
    }
    let echo = over(&asked, one.id(), "t-echo").await;
    let exec = over(&asked, one.id(), "t-exec").await;
    let fail = over(&asked, one.id(), "t-fail").await;
    let http = over(&asked, one.id(), "t-http").await;
    let none = over(&asked, one.id(), "t-none").await;

    let statuses = [&echo, &exec, &fail, &http, &none].map(|task| task["status"].as_str().unwrap());
    assert_eq!(statuses, ["completed", "completed", "failed", "completed", "failed"]);
    assert_eq!(echo["metadata"]["output"]["input"]["hello"], "world");
    assert_eq!(echo["metadata"]["hello"], "world", "params and results share a map");
    assert_eq!(exec["metadata"]["stdout"], "out\n");
    assert_eq!(fail["metadata"]["exitCode"], 3);
    assert_eq!(http["metadata"]["statusCode"], 200);
    assert_eq!(none["metadata"]["error"], "No handler registered for task type \"nosuch\"");
    assert!(exec["completedAt"].as_i64() >= exec["startedAt"].as_i64(), "{exec}");
    let shown = runners(&asked).await.unwrap().remove(one.id()).unwrap();
    assert_eq!((&shown["name"], &shown["version"]), (&json!("one"), &json!("0.3.8")));
    assert_eq!(shown["capabilities"], json!(["http", "health"]));
    let book = journal.read();
    assert!(book.started.len() == 5 && book.doubled().is_empty(), "{:?}", book.started);
    assert_eq!((book.failures, book.crashed.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_blocks_a_ratatoskr_for_long_is_completed() {
    let test = "a_command_that_blocks_a_ratatoskr_for_long_is_completed";
    let Some(world) = coordinator(test, &[]).await else { return };
    let journal = Arc::<Journal>::default();
    let one = Ratatoskr::start(attentive("one"), &target(&world), &journal);
    online(&world, 1).await;

    // A server that closes idle connections meanwhile makes it report a failure.
    let body =
        json!({"taskId": "t-1", "type": "exec", "metadata": {"command": "sleep 13; echo done"}});
    insist(&world.ygg(), &format!("/runners/{}/tasks", one.id()), &body).await;
    let task = over(&world.ygg(), one.id(), "t-1").await;

    assert_eq!(task["status"], "completed", "{task}");
    assert_eq!(task["metadata"]["stdout"], "done\n");
    assert_eq!(journal.book().failures, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_told_to_stop_says_good_bye() {
    let test = "one_that_is_told_to_stop_says_good_bye";
    let Some(world) = coordinator(test, &[]).await else { return };
    let journal = Arc::<Journal>::default();
    let mut one = Ratatoskr::start(attentive("one"), &target(&world), &journal);
    // A heartbeat that is under way when it stops would bring it back.
    until("its first heartbeat is taken", LONG, async || {
        (journal.book().heartbeats > 0).then_some(())
    })
    .await;

    one.terminate();
    let exit = one.ended().await;
    let shown = runners(&world.ygg()).await.unwrap().remove(one.id()).unwrap();

    assert_eq!((exit, &shown["status"]), (Exit::Stopped, &json!("offline")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tasks_of_one_that_dies_have_failed_and_its_next_life_gets_others() {
    let test = "the_tasks_of_one_that_dies_have_failed_and_its_next_life_gets_others";
    let Some(world) = coordinator(test, &["--lease-ttl-ms", "3000"]).await else { return };
    let asked = world.ygg();
    let settings = attentive("one").at_speed(10.0);
    let journal = Arc::<Journal>::default();
    let one = Supervised::start(settings, &target(&world), &journal);
    online(&world, 1).await;
    let first = one.id();
    let never = json!({"taskId": "t-1", "type": "sleep", "metadata": {"until": "/never"}});
    insist(&asked, &format!("/runners/{first}/tasks"), &never).await;
    until("it works", LONG, async || journal.book().started.contains_key("t-1").then_some(()))
        .await;

    one.cut(Duration::from_millis(100)).await;
    let task = over(&asked, &first, "t-1").await;
    let next = until("its next life", LONG, async || Some(one.id()).filter(|id| *id != first));
    let next = next.await;
    online(&world, 1).await;
    let echo = json!({"taskId": "t-1", "type": "echo"});
    insist(&asked, &format!("/runners/{next}/tasks"), &echo).await;
    let echo = over(&asked, &next, "t-1").await;

    assert_eq!(task["status"], "failed");
    let error = task["metadata"]["error"].as_str().unwrap_or_default();
    assert!(error.starts_with("the runner was lost"), "{task}");
    assert_eq!(echo["status"], "completed");
    assert_eq!(runners(&asked).await.unwrap()[&first]["status"], "offline");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_waits_for_the_task_and_arrives() {
    let test = "an_update_waits_for_the_task_and_arrives";
    let Some(world) = coordinator(test, &["--lease-ttl-ms", "3000"]).await else { return };
    let asked = world.ygg();
    let settings = attentive("one").at_speed(10.0);
    let journal = Arc::<Journal>::default();
    let one = Supervised::start(settings, &target(&world), &journal);
    online(&world, 1).await;
    let first = one.id();
    let hold =
        json!({"taskId": "t-1", "type": "sleep", "metadata": {"until": world.text_path("go")}});
    insist(&asked, &format!("/runners/{first}/tasks"), &hold).await;
    until("it works", LONG, async || journal.book().started.contains_key("t-1").then_some(()))
        .await;

    let update = json!({"version": "0.4.0", "command": "true"});
    insist(&asked, &format!("/runners/{first}/request-update"), &update).await;
    until("it is pending there", LONG, async || {
        let shown: serde_json::Value = asked.json(&format!("/api/runners/{first}")).await.ok()?;
        (shown["updateStatus"] == "pending").then_some(())
    })
    .await;
    let meanwhile = one.id();
    world.write("go", "");
    until("the new version is there, and nothing is pending", LONG, async || {
        let runners = runners(&asked).await.ok()?;
        let id = one.id();
        let is_new =
            runners.get(&id)?["version"] == "0.4.0" && runners[&first]["status"] == "offline";
        let shown: serde_json::Value = asked.json(&format!("/api/runners/{id}")).await.ok()?;
        (is_new && shown.get("pendingUpdate").is_none()).then_some(())
    })
    .await;

    assert_eq!(meanwhile, first, "the update did not wait");
    assert_eq!(tasks(&asked, &first).await["t-1"]["status"], "completed");
    assert!(journal.book().told.iter().all(|told| told.version == "0.4.0" && told.runner == first));
}
