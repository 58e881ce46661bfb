//! Draining and ending.

use std::time::Duration;

use executor_sdk::harness::{Ending, Harness, Health, tokio, until};
use serde_json::json;

use crate::trial::Trial;

fn with_drain(limit: Duration) -> executor_sdk::harness::Setup<Trial> {
    Harness::with(Trial::default()).drain_timeout(limit)
}

#[tokio::test]
async fn draining_waits_for_what_runs_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let executor = with_drain(Duration::from_secs(30)).start().await;
    let script = format!("while [ ! -e '{}' ]; do sleep 0.02; done; echo done", go.display());
    let started = executor.execute_async("shell", json!({"script": script})).await.unwrap();

    executor.drain();
    let health = executor.health().await;
    std::fs::write(go, "").unwrap();
    let outcome = executor.outcome(started.attempt).await;

    assert_eq!(health.status, Health::Draining);
    assert_eq!(health.reasons.len(), 1);
    assert_eq!(outcome.status, Ending::Completed);
    assert_eq!(outcome.output, "done\n");
    executor.stop().await;
}

#[tokio::test]
async fn what_outlasts_the_drain_is_interrupted_on_disk() {
    let state = tempfile::tempdir().unwrap();
    let executor = with_drain(Duration::from_millis(200)).state_dir(state.path()).start().await;
    let script = "echo begun; sleep 600 & sleep 600";
    let started = executor.execute_async("shell", json!({"script": script})).await.unwrap();
    executor.log_contains(started.attempt, "begun").await;

    executor.stop().await;
    let next = with_drain(Duration::ZERO).state_dir(state.path()).start().await;
    let outcome = next.outcome(started.attempt).await;

    assert_eq!(outcome.status, Ending::Interrupted);
    assert_eq!(outcome.error.as_deref(), Some("the executor stopped while the task ran"));
    assert_eq!(outcome.output, "begun\n");
}

#[tokio::test]
async fn a_waiting_client_hears_of_the_interruption() {
    let executor = with_drain(Duration::from_millis(200)).start().await;
    let order = Harness::new_order("forever", json!({}));

    let (outcome, ()) = futures::future::join(executor.order(&order), async {
        until("it runs", async || !executor.attempts().await.is_empty()).await;
        executor.drain();
    })
    .await;

    assert_eq!(outcome.unwrap().status, Ending::Interrupted);
}

#[tokio::test]
async fn the_second_signal_ends_at_once() {
    let executor = with_drain(Duration::from_mins(10)).start().await;
    let script = "trap '' TERM; echo begun; sleep 600 & sleep 600";
    let started = executor.execute_async("shell", json!({"script": script})).await.unwrap();
    executor.log_contains(started.attempt, "begun").await;
    let begun = std::time::Instant::now();

    executor.end_now();
    executor.stop().await;

    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}
