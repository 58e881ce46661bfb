//! Attempts: joined, followed, cancelled, remembered.

use executor_sdk::harness::{AttemptStatus, Ending, Harness, RefusalCode, tokio, until};
use reqwest::Method;
use serde_json::json;

use crate::trial::Trial;
use crate::{is, trial};

#[tokio::test]
async fn respond_async_answers_202_and_says_where() {
    let executor = trial().await;
    let order = Harness::new_order("greet", json!({"name": "you"}));

    let sent = executor
        .request(Method::POST, "execute")
        .header("prefer", "respond-async")
        .json(&order)
        .send()
        .await
        .unwrap();

    assert_eq!(sent.status(), 202);
    let attempt = order.attempt.unwrap();
    assert_eq!(sent.headers()["location"], format!("/attempts/{attempt}"));
    assert_eq!(sent.headers()["preference-applied"], "respond-async");
    let body: serde_json::Value = sent.json().await.unwrap();
    assert_eq!(
        body,
        json!({"task_id": "test-1", "type": "greet", "attempt": attempt, "status": "running"})
    );
    assert_eq!(executor.outcome(attempt).await.status, Ending::Completed);
}

#[tokio::test]
async fn the_same_attempt_joins_and_nothing_runs_twice() {
    let executor = trial().await;
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let script =
        format!("echo x >> '{0}'; while [ ! -e '{0}.go' ]; do sleep 0.02; done", count.display());
    let order = Harness::new_order("shell", json!({"script": script}));

    let started = executor.order_async(&order).await.unwrap();
    let together = futures::future::join_all((0..5).map(|_| executor.order(&order)));
    let release = async {
        until("it runs", async || count.exists()).await;
        std::fs::write(folder.path().join("count.go"), "").unwrap();
    };
    let (joined, ()) = futures::future::join(together, release).await;
    let after = executor.order(&order).await.unwrap();

    assert_eq!(Some(started.attempt), order.attempt);
    assert!(joined.iter().all(|outcome| outcome.as_ref() == Ok(&after)));
    assert_eq!(std::fs::read_to_string(count).unwrap(), "x\n");
    assert_eq!(executor.attempts().await.len(), 1);
}

#[tokio::test]
async fn many_at_once_with_one_id_start_it_once() {
    let executor = trial().await;
    let order = Harness::new_order("greet", json!({"name": "you"}));

    let answers = futures::future::join_all((0..20).map(|_| executor.order(&order))).await;

    let first = answers[0].as_ref().unwrap();
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == first));
    assert_eq!(first.output, "hello you\n");
}

#[tokio::test]
async fn a_client_that_leaves_ends_nothing() {
    let executor = trial().await;
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let script = format!("while [ ! -e '{}' ]; do sleep 0.02; done; echo done", go.display());
    let order = Harness::new_order("shell", json!({"script": script}));
    let attempt = order.attempt.unwrap();

    tokio::select! {
        outcome = executor.order(&order) => panic!("it ended without a sign: {outcome:?}"),
        () = until("it runs", async || !executor.attempts().await.is_empty()) => {}
    }
    std::fs::write(go, "").unwrap();

    assert_eq!(executor.outcome(attempt).await.output, "done\n");
}

#[tokio::test]
async fn without_an_id_the_executor_makes_one_and_remembers() {
    let executor = trial().await;
    let mut order = Harness::new_order("greet", json!({"name": "you"}));
    order.attempt = None;

    let outcome = executor.order(&order).await.unwrap();
    let again = executor.order(&order).await.unwrap();

    assert_ne!(outcome.attempt, again.attempt);
    assert_eq!(outcome.attempt.get_version_num(), 7);
    assert_eq!(executor.attempt(outcome.attempt).await.unwrap().outcome, Some(outcome));
    assert_eq!(executor.attempts().await.len(), 2);
}

#[tokio::test]
async fn waiting_answers_at_the_end_or_in_time() {
    let executor = trial().await;
    let started = executor.execute_async("forever", json!({})).await.unwrap();
    let path = format!("attempts/{}", started.attempt);
    let get = async |query: &str| {
        let sent = executor.request(Method::GET, &format!("{path}{query}")).send().await.unwrap();
        sent.json::<serde_json::Value>().await.unwrap()
    };

    let in_time = get("?wait=0.2").await;
    let (at_the_end, ()) = futures::future::join(get("?wait=30"), async {
        executor.cancel(started.attempt).await.unwrap();
    })
    .await;

    assert_eq!(in_time["status"], "running");
    assert_eq!(in_time["outcome"], serde_json::Value::Null);
    assert_eq!(at_the_end["status"], "cancelled");
    assert_eq!(at_the_end["outcome"]["status"], "cancelled");
    assert_eq!(get("?wait=soon").await["code"], "malformed");
}

#[tokio::test]
async fn cancelling_ends_the_group_and_is_idempotent() {
    let executor = trial().await;
    let script = "echo begun; trap '' TERM; sleep 600 & sleep 600";
    let started = executor.execute_async("shell", json!({"script": script})).await.unwrap();
    executor.log_contains(started.attempt, "begun").await;

    executor.cancel(started.attempt).await.unwrap();
    executor.cancel(started.attempt).await.unwrap();
    let outcome = executor.outcome(started.attempt).await;
    let after = executor.cancel(started.attempt).await.unwrap();

    assert_eq!(outcome.status, Ending::Cancelled);
    assert_eq!(outcome.error.as_deref(), Some("cancelled on request"));
    assert_eq!(outcome.output, "begun\n");
    assert_eq!(after.status, AttemptStatus::Cancelled);
}

#[tokio::test]
async fn a_task_that_watches_may_tidy_up_and_is_cancelled_all_the_same() {
    let executor = trial().await;
    let started = executor.execute_async("tidy", json!({})).await.unwrap();
    executor.log_contains(started.attempt, "working").await;

    executor.cancel(started.attempt).await.unwrap();
    let outcome = executor.outcome(started.attempt).await;

    assert_eq!(outcome.status, Ending::Cancelled);
    assert_eq!(outcome.output, "working\ntidied up\n");
    assert_eq!(outcome.data, json!({"tidy": true}));
}

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let state = tempfile::tempdir().unwrap();
    let start =
        || Harness::with(Trial { greeting: "hello".into() }).state_dir(state.path()).start();
    let order = Harness::new_order("greet", json!({"name": "you"}));
    let first = start().await;
    let outcome = first.order(&order).await.unwrap();
    let life = first.status().await.life;
    first.stop().await;

    let second = start().await;
    let mut other = order.clone();
    other.task_id = "other".into();

    assert_eq!(second.order(&order).await.unwrap(), outcome);
    assert_eq!(second.log(outcome.attempt).await, "hello you\n");
    assert_ne!(second.status().await.life, life);
    is(&second.order(&other).await.unwrap_err(), RefusalCode::Stale, "another body");
}

#[tokio::test]
async fn the_list_is_newest_first_and_has_no_outcomes() {
    let executor = trial().await;
    let first = executor.execute("greet", json!({"name": "one"})).await.unwrap();
    let second = executor.execute_async("forever", json!({})).await.unwrap();

    let list = executor.attempts().await;

    let ids: Vec<_> = list.iter().map(|attempt| attempt.attempt).collect();
    assert_eq!(ids, [second.attempt, first.attempt]);
    assert_eq!(list[0].status, AttemptStatus::Running);
    assert_eq!(list[1].status, AttemptStatus::Completed);
    assert!(list.iter().all(|attempt| attempt.outcome.is_none()));
}
