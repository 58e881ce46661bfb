//! What a command gets, and what becomes of it.

use executor_sdk::harness::{Ending, Outcome, tokio};
use serde_json::{Value, json};

use crate::trial;

async fn shell(params: Value) -> Outcome {
    trial().await.execute("shell", params).await.unwrap()
}

#[tokio::test]
async fn a_command_that_fails_is_failed_with_its_code_and_last_line() {
    let outcome = shell(json!({"script": "echo one; echo 'fatal: no repo' >&2; exit 7"})).await;

    assert_eq!(outcome.status, Ending::Failed);
    assert_eq!(outcome.exit_code, Some(7));
    assert_eq!(outcome.error.as_deref(), Some("`sh` exited with 7: fatal: no repo"));
    assert_eq!(outcome.output, "one\nfatal: no repo\n");
}

#[tokio::test]
async fn any_exit_is_the_authors_to_judge_but_never_completed_as_it_is() {
    let outcome = shell(json!({"script": "exit 3", "any_exit": true})).await;

    assert_eq!(outcome.status, Ending::Failed);
    assert_eq!(outcome.exit_code, Some(3));
}

#[tokio::test]
async fn a_signal_is_no_exit_code() {
    let outcome = shell(json!({"script": "kill -9 $$"})).await;

    assert_eq!(outcome.status, Ending::Failed);
    assert_eq!(outcome.exit_code, None);
    assert_eq!(outcome.error.as_deref(), Some("`sh` was killed by signal 9"));
}

#[tokio::test]
async fn the_environment_is_clean() {
    let outcome = shell(json!({"script": "env | sed 's/=.*//' | sort | tr '\\n' ' '"})).await;

    let names: Vec<_> = outcome.output.split_whitespace().collect();
    let expected =
        ["HOME", "LANG", "OLDPWD", "PATH", "PWD", "SHLVL", "TRIAL", "TZ", "YGGDRASIL_ATTEMPT", "_"];
    assert!(names.contains(&"TRIAL") && names.contains(&"YGGDRASIL_ATTEMPT"), "{names:?}");
    assert!(names.iter().all(|name| expected.contains(name)), "{names:?}");
}

#[tokio::test]
async fn stdin_is_empty_unless_given() {
    assert_eq!(shell(json!({"script": "cat"})).await.output, "");
    assert_eq!(shell(json!({"script": "cat", "stdin": "in"})).await.output, "in");
}

#[tokio::test]
async fn stdout_can_be_taken_apart() {
    let outcome = shell(json!({"script": "echo out; echo err >&2", "split": true})).await;

    assert_eq!(outcome.data, json!({"stdout": "out\n"}));
    assert!(outcome.output.contains("out\n") && outcome.output.contains("err\n"));
}

#[tokio::test]
async fn the_order_of_both_streams_is_exact() {
    let outcome = shell(json!({"script": "echo 1; echo 2 >&2; echo 3; echo 4 >&2"})).await;

    assert_eq!(outcome.output, "1\n2\n3\n4\n");
}

#[tokio::test]
async fn a_commands_own_limit_is_a_time_limit_too() {
    let outcome = shell(json!({"script": "echo a; sleep 600", "limit_seconds": 0.3})).await;

    assert_eq!(outcome.status, Ending::TimedOut);
    assert_eq!(outcome.error.as_deref(), Some("`sh` was ended: its limit of 300ms was reached"));
    assert_eq!(outcome.output, "a\n");
}

#[tokio::test]
async fn a_child_that_leaves_its_group_is_ended_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let away = folder.path().join("away");
    let script = format!(
        "setsid sh -c 'echo x > {0}; exec sleep 601' & while [ ! -s {0} ]; do sleep 0.02; done",
        away.display()
    );

    let outcome = shell(json!({"script": script})).await;

    assert_eq!(outcome.status, Ending::Completed);
    assert!(outcome.output.contains("left a process behind"), "{}", outcome.output);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_replaced_in_the_output_only() {
    let executor = trial().await;

    let outcome = executor.execute("shell", json!({"script": "printf 'a\\377b'"})).await.unwrap();
    let path = format!("attempts/{}/log", outcome.attempt);
    let raw = executor.request(reqwest::Method::GET, &path).send().await.unwrap();

    assert_eq!(outcome.output, "a\u{fffd}b");
    assert_eq!(raw.bytes().await.unwrap().as_ref(), b"a\xffb");
}
