//! How tasks end, and what the outcome says of it.

use executor_sdk::harness::{Ending, Harness, tokio};
use serde_json::json;

use crate::{post, trial};

#[tokio::test]
async fn a_completed_task_has_its_output_and_data() {
    let executor = trial().await;

    let outcome = executor.execute("greet", json!({"name": "you", "times": 2})).await.unwrap();

    assert_eq!(outcome.status, Ending::Completed);
    assert_eq!(outcome.output, "hello you\nhello you\n");
    assert_eq!(outcome.data, json!({"greeted": "you", "task_id": "test-1"}));
    assert_eq!((outcome.task_id.as_str(), outcome.task_type.as_str()), ("test-1", "greet"));
    assert_eq!(outcome.log_bytes, 20);
    assert_eq!((outcome.error, outcome.exit_code, outcome.truncated), (None, None, false));
}

#[tokio::test]
async fn the_answer_has_every_member_of_the_contract() {
    let executor = trial().await;

    let (status, outcome) =
        post(&executor, r#"{"task_id": "a", "type": "shell", "params": {"script": "true"}}"#).await;

    assert_eq!(status, 200);
    let mut members: Vec<_> = outcome.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(
        members,
        [
            "attempt",
            "data",
            "duration_seconds",
            "exit_code",
            "log_bytes",
            "output",
            "status",
            "task_id",
            "timestamp",
            "truncated",
            "type"
        ]
    );
    assert_eq!(outcome["data"], json!({}));
    assert_eq!(outcome["exit_code"], json!(0));
    assert!(outcome["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn a_line_for_people_is_in_the_log() {
    let executor = trial().await;

    let outcome = executor.execute("lines", json!({"count": 1})).await.unwrap();

    assert_eq!(outcome.output, "line 0\nthat was all\n");
}

#[tokio::test]
async fn a_failure_says_why_in_one_line_and_keeps_its_data() {
    let executor = trial().await;

    let outcome =
        executor.execute("fail", json!({"error": "no\n\u{1b}[31mdisk\u{7}"})).await.unwrap();

    assert_eq!(outcome.status, Ending::Failed);
    assert_eq!(outcome.error.as_deref(), Some("no disk"));
    assert_eq!(outcome.data, json!({"known": 1}));
}

#[tokio::test]
async fn a_panic_is_a_failed_outcome_and_the_executor_lives_on() {
    let executor = trial().await;

    let outcome = executor.execute("panic", json!({})).await.unwrap();

    assert_eq!(outcome.status, Ending::Failed);
    assert_eq!(outcome.error.as_deref(), Some("the task panicked: index 7 out of bounds"));
    assert_eq!(outcome.output, "before\n");
    assert!(executor.execute("greet", json!({"name": "you"})).await.is_ok());
}

#[tokio::test]
async fn a_limit_ends_the_whole_group_and_keeps_the_output() {
    let executor = trial().await;

    let outcome = executor.execute("brief", json!({})).await.unwrap();

    assert_eq!(outcome.status, Ending::TimedOut);
    assert_eq!(outcome.error.as_deref(), Some("the time limit of 300ms was reached"));
    assert_eq!(outcome.output, "begun\n");
    assert_eq!(outcome.exit_code, None);
    assert!(outcome.duration_seconds < 5.0, "{}", outcome.duration_seconds);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_task_that_blocks_its_thread_is_told_all_the_same() {
    let executor = trial().await;
    let mut order = Harness::new_order("block", json!({}));
    order.timeout_seconds = Some(0.2);

    let outcome = executor.order(&order).await.unwrap();

    assert_eq!(outcome.status, Ending::TimedOut);
    assert!(outcome.duration_seconds < 4.5, "{}", outcome.duration_seconds);
}

#[tokio::test]
async fn the_orders_limit_comes_before_the_tasks() {
    let executor = trial().await;
    let mut order = Harness::new_order("forever", json!({}));
    order.timeout_seconds = Some(0.2);

    let outcome = executor.order(&order).await.unwrap();

    assert_eq!(outcome.status, Ending::TimedOut);
    assert_eq!(outcome.error.as_deref(), Some("the time limit of 200ms was reached"));
    assert_eq!(outcome.output, "waiting\n");
    assert!(outcome.duration_seconds < 2.0, "it was dropped at once: {}", outcome.duration_seconds);
}

#[tokio::test]
async fn the_executors_limit_is_the_last_resort() {
    let executor = Harness::with(crate::Trial::default())
        .task_timeout(std::time::Duration::from_millis(150))
        .start()
        .await;

    let outcome = executor.execute("forever", json!({})).await.unwrap();

    assert_eq!(outcome.error.as_deref(), Some("the time limit of 150ms was reached"));
}

#[tokio::test]
async fn a_tool_that_is_missing_is_told_before_and_after() {
    let executor = trial().await;

    let outcome = executor.execute("needs-tool", json!({})).await.unwrap();
    let status = executor.status().await;

    assert_eq!(outcome.status, Ending::Failed);
    assert_eq!(
        outcome.error.as_deref(),
        Some(
            "this node lacks `surely-nobody-has-this-tool`, `nor-this` or `nor-that`, which \
             `needs-tool` needs"
        )
    );
    let spec = status.tasks.iter().find(|task| task.task_type == "needs-tool").unwrap();
    assert_eq!(spec.missing, ["surely-nobody-has-this-tool", "nor-this or nor-that"]);
}

#[tokio::test]
async fn a_temporary_folder_is_gone_with_its_task() {
    let executor = trial().await;

    let outcome = executor.execute("scratch", json!({})).await.unwrap();

    assert_eq!(outcome.data["is_there"], json!(true));
    let file = outcome.data["file"].as_str().unwrap().to_owned();
    executor_sdk::harness::until("the folder is gone", async || {
        !std::path::Path::new(&file).exists()
    })
    .await;
}

#[tokio::test]
async fn a_flood_is_capped_with_exact_offsets() {
    let executor = Harness::with(crate::Trial::default()).log_cap(64 * 1024).start().await;

    let script = "i=0; while [ $i -lt 20000 ]; do echo \"line $i of a flood\"; i=$((i+1)); done";
    let outcome = executor.execute("shell", json!({"script": script})).await.unwrap();

    assert_eq!(outcome.status, Ending::Completed);
    assert!(outcome.truncated);
    assert_eq!(outcome.output.len(), 64 * 1024);
    assert!(outcome.output.ends_with("line 19999 of a flood\n"));
    assert_eq!(
        outcome.log_bytes,
        (0..20000).map(|n| format!("line {n} of a flood\n").len() as u64).sum::<u64>()
    );
}
