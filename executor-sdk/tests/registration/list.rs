//! Tasks from the list.

use executor_sdk::harness::{AttemptStatus, Harness, tokio, until};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::coordinator::Coordinator;
use crate::trial;

fn shell(id: &str, script: &str) -> Value {
    json!({"taskId": id, "type": "shell", "metadata": {"script": script}})
}

#[tokio::test]
async fn a_task_of_the_list_runs_once_and_is_reported() {
    let coordinator = Coordinator::start().await;
    let folder = tempfile::tempdir().unwrap();
    let script = format!("echo ran >> '{}/count'; echo out; exit 3", folder.path().display());
    let executor = trial(&coordinator, &[]).start().await;
    let uuid = Uuid::now_v7().to_string();

    coordinator.put(shell("a b/c", &script));
    coordinator.put(json!({"taskId": uuid, "type": "greet", "metadata": {"name": "you"}}));
    let failed = coordinator.ended("a b/c").await;
    let completed = coordinator.ended(&uuid).await;
    coordinator.more_beats(3).await;

    assert_eq!(failed["status"], "failed");
    let metadata = &failed["metadata"];
    assert_eq!((&metadata["output"], &metadata["exitCode"]), (&json!("out\n"), &json!(3)));
    assert_eq!((&metadata["script"], &metadata["ending"]), (&json!(script), &json!("failed")));
    assert!(metadata["error"].as_str().unwrap().starts_with("`sh` exited with 3"), "{metadata}");
    assert_eq!(completed["status"], "completed");
    assert_eq!(completed["metadata"]["data"], json!({"greeted": "you", "task_id": uuid}));
    assert_eq!(completed["metadata"]["attempt"], uuid);
    assert!(completed["metadata"].get("error").is_none(), "{completed}");
    assert_eq!(std::fs::read_to_string(folder.path().join("count")).unwrap(), "ran\n");
    assert_eq!(coordinator.asked("PATCH").len(), 2);
    assert_eq!(executor.attempts().await.len(), 2);
    assert!(coordinator.asked("GET").iter().all(|asked| asked.what.ends_with("?status=running")));
}

#[tokio::test]
async fn a_report_that_is_not_taken_is_repeated_and_the_task_is_not() {
    let coordinator = Coordinator::start().await;
    coordinator.fail("PATCH", &[500, 503]);
    let executor = trial(&coordinator, &[]).start().await;

    coordinator.put(json!({"taskId": "t-1", "type": "greet", "metadata": {"name": "you"}}));
    let task = coordinator.ended("t-1").await;

    assert_eq!(task["status"], "completed");
    assert_eq!(coordinator.asked("PATCH").len(), 3);
    assert_eq!(executor.attempts().await.len(), 1);
}

#[tokio::test]
async fn what_cannot_start_is_reported_as_failed_with_the_reason() {
    let coordinator = Coordinator::start().await;
    let executor = trial(&coordinator, &[]).policy("allow:\n  paths: []\n").start().await;

    coordinator.put(json!({"taskId": "unknown", "type": "gret"}));
    coordinator.put(json!({"taskId": "params", "type": "greet", "metadata": {"nam": "x"}}));
    coordinator.put(json!({"taskId": "policy", "type": "touch", "metadata": {"path": "/tmp/x"}}));
    coordinator.put(json!({"taskId": "typeless"}));

    for (id, code, part) in [
        ("unknown", "unknown_task", "there is no task `gret` here"),
        ("params", "invalid_params", "`name` is missing"),
        ("policy", "forbidden", "allow.paths"),
        ("typeless", "malformed", "has no type"),
    ] {
        let task = coordinator.ended(id).await;
        assert_eq!((&task["status"], &task["metadata"]["code"]), (&json!("failed"), &json!(code)));
        let error = task["metadata"]["error"].as_str().unwrap();
        assert!(error.contains(part), "{id}: {error}");
    }
    assert!(executor.attempts().await.is_empty());
}

#[tokio::test]
async fn what_finds_no_room_waits_on_the_list() {
    let coordinator = Coordinator::start().await;
    let executor = trial(&coordinator, &[]).capacity(1).start().await;
    let first = executor.execute_async("forever", json!({})).await.unwrap();

    coordinator.put(json!({"taskId": "t-1", "type": "greet", "metadata": {"name": "you"}}));
    coordinator.more_beats(3).await;
    let meanwhile = coordinator.task("t-1")["status"].clone();
    executor.cancel(first.attempt).await.unwrap();

    assert_eq!(coordinator.ended("t-1").await["status"], "completed");
    assert_eq!(meanwhile, "running");
}

#[tokio::test]
async fn an_attempt_that_came_as_an_order_is_none_of_the_list() {
    let coordinator = Coordinator::start().await;
    let executor = trial(&coordinator, &[]).start().await;
    let order = Harness::new_order("greet", json!({"name": "you"}));
    executor.order(&order).await.unwrap();
    let running = executor.execute_async("forever", json!({})).await.unwrap();

    // As our own heartbeats tell them.
    for attempt in [order.attempt.unwrap(), running.attempt] {
        coordinator.put(json!({"taskId": attempt.to_string(), "type": "greet"}));
    }
    coordinator.put(json!({"taskId": "t-1", "type": "greet", "metadata": {"name": "you"}}));
    coordinator.ended("t-1").await;
    coordinator.more_beats(3).await;

    assert_eq!(coordinator.asked("PATCH").len(), 1);
    assert_eq!(executor.attempts().await.len(), 3);
}

#[tokio::test]
async fn heartbeats_do_not_tell_what_the_list_has_anyway() {
    let coordinator = Coordinator::start().await;
    let executor = trial(&coordinator, &[]).start().await;
    coordinator.put(json!({"taskId": "t-1", "type": "forever"}));
    until("it runs", async || executor.status().await.running.len() == 1).await;

    coordinator.more_beats(2).await;

    assert_eq!(coordinator.beats().last().unwrap().body["tasks"], json!([]));
}

#[tokio::test]
async fn an_interrupted_task_is_reported_by_the_next_life_with_the_truth() {
    let coordinator = Coordinator::start().await;
    let state = tempfile::tempdir().unwrap();
    let setup = || trial(&coordinator, &[]).state_dir(state.path());
    let executor = setup().drain_timeout(std::time::Duration::ZERO).start().await;
    coordinator.put(json!({"taskId": "t-1", "type": "forever"}));
    until("it runs", async || executor.status().await.running.len() == 1).await;

    // Nothing can be reported while it stops, and the coordinator has given the task up.
    coordinator.fail("PATCH", &[500; 20]);
    executor.stop().await;
    coordinator.fail("PATCH", &[]);
    let second = setup().start().await;
    let task = coordinator.ended("t-1").await;

    assert_eq!(task["status"], "failed");
    assert_eq!(task["metadata"]["ending"], "interrupted");
    assert_eq!(task["metadata"]["error"], "the executor stopped while the task ran");
    let attempts = second.attempts().await;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].status, AttemptStatus::Interrupted);
}

#[tokio::test]
async fn a_late_result_is_reported_although_the_list_has_given_it_up() {
    let coordinator = Coordinator::start().await;
    let state = tempfile::tempdir().unwrap();
    let executor = trial(&coordinator, &[]).state_dir(state.path()).start().await;
    coordinator.fail("PATCH", &[500; 100]);
    coordinator.put(json!({"taskId": "t-1", "type": "greet", "metadata": {"name": "you"}}));
    until("it was reported in vain", async || !coordinator.asked("PATCH").is_empty()).await;
    executor.stop().await;

    coordinator.give_up("t-1");
    coordinator.fail("PATCH", &[]);
    let _second = trial(&coordinator, &[]).state_dir(state.path()).start().await;
    until("it is completed", async || coordinator.task("t-1")["status"] == "completed").await;

    assert_eq!(coordinator.task("t-1")["metadata"]["output"], "hello you\n");
    until("it is off the books", async || {
        !std::fs::read_to_string(state.path().join("registration.json")).unwrap().contains("t-1")
    })
    .await;
}

#[tokio::test]
async fn a_report_that_is_too_large_comes_without_its_data() {
    let coordinator = Coordinator::start().await;
    coordinator.fail("PATCH", &[413]);
    let _executor = trial(&coordinator, &[]).start().await;

    coordinator.put(json!({"taskId": "t-1", "type": "greet", "metadata": {"name": "you"}}));
    let task = coordinator.ended("t-1").await;

    assert_eq!(
        (&task["status"], &task["metadata"]["truncated"]),
        (&json!("completed"), &json!(true))
    );
    assert!(task["metadata"].get("data").is_none(), "{task}");
}

#[tokio::test]
async fn zero_leaves_the_list_alone() {
    let coordinator = Coordinator::start().await;
    let _executor = trial(&coordinator, &["--task-poll-interval", "0"]).start().await;

    coordinator.more_beats(3).await;

    assert!(coordinator.asked("GET").is_empty());
}
