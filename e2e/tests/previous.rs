//! What the previous version left behind: the newest programs go on with it.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use std::fs;
use std::path::{Path, PathBuf};

use e2e::World;
use e2e::world::COORDINATOR;
use protocol::coordinator::{
    ApiError, AttemptDetail, BeadView, CoordinatorHealth, PlanView, Stage,
};
use protocol::execute::{Ending, ExecuteRequest, Outcome, Started};
use protocol::executor::{AttemptList, AttemptStatus, AttemptView, ExecutorHealth, ExecutorStatus};
use protocol::refusal::Refusal;
use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The record is never too old for this test.
const KEEP: &str = "876000h";
/// The key that the record's rotation put in the place of all others.
const KEY: &str = "the-key-of-the-record";

fn previous() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("previous")
}

fn message<T: DeserializeOwned>(name: &str) -> T {
    let text =
        fs::read_to_string(previous().join("messages").join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

async fn world(test: &str) -> Option<World> {
    World::any().await.map_err(|why| e2e::suite::skipped(test, &why)).ok()
}

#[test]
fn every_recorded_message_is_still_understood() {
    message::<ExecutorHealth>("executor-health");
    message::<ExecutorStatus>("executor-status");
    message::<AttemptList>("executor-attempts");
    message::<ExecuteRequest>("execute");
    assert_eq!(message::<Outcome>("outcome").status, Ending::Completed);
    message::<Started>("started");
    assert!(message::<AttemptView>("executor-attempt").outcome.is_some());
    message::<Refusal>("refusal");
    message::<CoordinatorHealth>("coordinator-health");
    assert_eq!(message::<PlanView>("plan").attempts.len(), 1);
    for (bead, stage) in
        [("done", Stage::Settled), ("failed", Stage::Settled), ("running", Stage::Running)]
    {
        assert_eq!(message::<BeadView>(&format!("bead-{bead}")).attempts[0].stage, stage);
        message::<AttemptDetail>(&format!("attempt-{bead}"));
    }
    message::<ApiError>("coordinator-error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_spool_is_answered_for() {
    let Some(mut world) = world("a_recorded_spool_is_answered_for").await else { return };
    copy(&previous().join("spool"), &world.path("state/one"));
    let running: BeadView = message("bead-running");
    let failed: BeadView = message("bead-failed");

    world.executor("one", "test-executor", &["--keep", KEEP]).await.unwrap();
    let one = world.ask("one");
    let cut_off: AttemptView =
        one.json(&format!("/attempts/{}", running.attempts[0].attempt)).await.unwrap();
    let log = one.get(&format!("/attempts/{}/log", failed.attempts[0].attempt)).await.unwrap();

    assert_eq!(cut_off.status, AttemptStatus::Interrupted);
    assert_eq!(log.text().await.unwrap(), "recorded too\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_ledger_is_gone_on_with() {
    let Some(mut world) = world("a_recorded_ledger_is_gone_on_with").await else { return };
    copy(&previous().join("spool"), &world.path("state/one"));
    copy(&previous().join("ledger"), &world.path("state").join(COORDINATOR));
    let done: AttemptDetail = message("attempt-done");
    world.executor("one", "test-executor", &["--keep", KEEP]).await.unwrap();
    world.routing.default_to("one");

    world.coordinator(&[]).await.unwrap();
    let now = world.ygg().attempt(&done.summary.attempt.to_string()).await.unwrap();

    assert_eq!(now.summary, done.summary);
    assert_eq!(now.outcome, done.outcome);
    // Its bead is in a workspace that is not here: the attempt ends, and stops nothing.
    let running: BeadView = message("bead-running");
    let attempt = running.attempts[0].attempt.to_string();
    e2e::until("the attempt that ran is brought to an end", e2e::world::LONG, async || {
        let summary = world.ygg().attempt(&attempt).await.ok()?.summary;
        matches!(summary.stage, Stage::Settled | Stage::Dropped).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_registered_before_is_still_there_and_so_is_the_key() {
    let test = "whoever_registered_before_is_still_there_and_so_is_the_key";
    let Some(mut world) = world(test).await else { return };
    copy(&previous().join("registered"), &world.path("state").join(COORDINATOR));

    world.coordinator(&["--runner-retention", KEEP]).await.unwrap();
    let ask = async |path: &str, key: Option<&str>| {
        let mut request = world.client().get(format!("{}{path}", world.ygg().url()));
        if let Some(key) = key {
            request = request.header("X-API-Key", key);
        }
        request.send().await.unwrap()
    };

    assert_eq!(ask("/api/runners", None).await.status(), StatusCode::UNAUTHORIZED);
    for (name, path) in [
        ("runner-ratatoskr", "/api/runners/recorded"),
        ("runner-host", "/api/runners/host"),
        ("runner-tasks", "/runners/recorded/tasks"),
        ("sessions", "/api/v1/sessions"),
        ("realms", "/api/v1/realms"),
    ] {
        let now: Value = ask(path, Some(KEY)).await.json().await.unwrap();
        assert_eq!(now, message::<Value>(name), "{path}");
    }
    let answer = world.client().post(format!("{}/version-check/9.9.9", world.ygg().url()));
    let checked: Value =
        answer.header("X-API-Key", KEY).send().await.unwrap().json().await.unwrap();
    assert_eq!(checked["expected"], "9.9.9");
}
