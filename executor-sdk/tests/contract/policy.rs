//! The node's policy: judged before params, and named in the refusal.

use executor_sdk::harness::{Ending, Harness, RefusalCode, tokio};
use serde_json::json;

use crate::is;
use crate::trial::Trial;

async fn with(policy: &str) -> Harness {
    Harness::with(Trial::default()).policy(policy).start().await
}

#[tokio::test]
async fn commands_are_closed_until_the_policy_lists_them() {
    let closed = with("").await;
    let open = with("allow: {commands: [echo]}").await;

    let refusal = closed.execute("run-command", json!({"program": "echo"})).await.unwrap_err();
    let other = open.execute("run-command", json!({"program": "rm", "args": ["-rf", "/"]})).await;
    let outcome = open.execute("run-command", json!({"program": "echo", "args": ["a b", "$HOME"]}));

    is(&refusal, RefusalCode::Forbidden, "`allow.commands`");
    is(&other.unwrap_err(), RefusalCode::Forbidden, "does not list `rm`");
    assert_eq!(outcome.await.unwrap().output, "a b $HOME\n");
}

#[tokio::test]
async fn the_policy_is_judged_before_the_params() {
    let executor = with("allow: {commands: [echo]}").await;

    let forbidden = executor.execute("run-command", json!({"program": "rm", "nonsense": 1})).await;
    let invalid = executor.execute("run-command", json!({"program": "echo", "nonsense": 1})).await;
    let empty = executor.execute("run-command", json!({})).await;

    is(&forbidden.unwrap_err(), RefusalCode::Forbidden, "`rm`");
    is(&invalid.unwrap_err(), RefusalCode::InvalidParams, "`nonsense` is unknown");
    is(&empty.unwrap_err(), RefusalCode::InvalidParams, "`program` is missing");
}

#[tokio::test]
async fn what_ran_before_the_policy_changed_is_joined_not_refused() {
    let state = tempfile::tempdir().unwrap();
    let start =
        |policy| Harness::with(Trial::default()).state_dir(state.path()).policy(policy).start();
    let order = Harness::new_order("run-command", json!({"program": "echo", "args": ["once"]}));
    let open = start("allow: {commands: [echo]}").await;
    let outcome = open.order(&order).await.unwrap();
    open.stop().await;

    let closed = start("").await;

    assert_eq!(closed.order(&order).await.unwrap(), outcome);
    let new = Harness::new_order("run-command", json!({"program": "echo", "args": ["once"]}));
    is(&closed.order(&new).await.unwrap_err(), RefusalCode::Forbidden, "`allow.commands`");
}

#[tokio::test]
async fn paths_are_held_to_the_policy() {
    let folder = tempfile::tempdir().unwrap();
    let allowed = folder.path().join("allowed");
    std::fs::create_dir(&allowed).unwrap();
    let executor = with(&format!("allow: {{paths: ['{}']}}", allowed.display())).await;
    let touch = async |path: String| executor.execute("touch", json!({"path": path})).await;

    let inside = touch(format!("{}/x", allowed.display())).await.unwrap();
    let outside = touch(format!("{}/../x", allowed.display())).await.unwrap_err();

    assert_eq!(inside.status, Ending::Completed);
    is(&outside, RefusalCode::Forbidden, "`allow.paths`");
    assert!(!folder.path().join("x").exists());
}

#[tokio::test]
async fn test_commands_are_held_to_the_policy() {
    let executor = with("allow: {test_commands: [make check]}").await;

    let listed = executor.execute("prove", json!({"command": "make  check"})).await;
    let other = executor.execute("prove", json!({"command": "make check; id"})).await;
    let none = executor.execute("prove", json!({})).await;

    assert!(listed.is_ok() && none.is_ok());
    is(&other.unwrap_err(), RefusalCode::Forbidden, "`allow.test_commands`");
}

#[tokio::test]
async fn the_status_tells_what_is_forbidden() {
    let closed = with("").await.status().await;
    let open = with("allow: {commands: [echo]}").await.status().await;
    let forbidden = |status: &executor_sdk::harness::ExecutorStatus, name: &str| {
        let task = status.tasks.iter().find(|task| task.task_type == name).unwrap();
        task.forbidden.clone()
    };

    assert!(forbidden(&closed, "run-command").unwrap().contains("allow.commands"));
    assert!(forbidden(&closed, "run-playbook").unwrap().contains("allow.playbooks"));
    assert_eq!(forbidden(&closed, "greet"), None);
    assert_eq!(forbidden(&open, "run-command"), None);
}
