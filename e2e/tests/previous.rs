//! What the last version left on disk and said on the wire is still read, on `e2e/previous`.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use std::fs;
use std::path::{Path, PathBuf};

use e2e::World;
use protocol::coordinator::{AttemptDetail, BeadView, CoordinatorHealth, PlanView, Stage};
use protocol::execute::{ExecuteRequest, Outcome};
use protocol::executor::{AttemptList, AttemptView, ExecutorHealth, ExecutorStatus};
use protocol::refusal::Refusal;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn previous(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("previous").join(name)
}

fn message<T: DeserializeOwned>(name: &str) -> T {
    let text = fs::read_to_string(previous(&format!("wire/{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_message_of_the_last_version_is_read() {
    message::<ExecuteRequest>("execute-request");
    message::<Outcome>("outcome");
    message::<Refusal>("refusal");
    message::<ExecutorHealth>("executor-health");
    message::<ExecutorStatus>("executor-status");
    message::<AttemptList>("attempts");
    message::<AttemptView>("attempt");
    message::<CoordinatorHealth>("coordinator-health");
    message::<PlanView>("plan");
    message::<BeadView>("bead");
    message::<AttemptDetail>("attempt-detail");
}

/// A homelab, or the line that says why there is none.
async fn world(test: &str) -> Option<World> {
    match World::any().await {
        Ok(world) => Some(world),
        Err(why) => {
            e2e::suite::skipped(test, &why);
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_of_the_last_version_goes_on() {
    let Some(mut world) = world("the_ledger_of_the_last_version_goes_on").await else { return };
    let state = world.path("state/coordinator");
    fs::create_dir_all(&state).unwrap();
    fs::copy(previous("ledger.sqlite"), state.join("ledger.sqlite")).unwrap();
    world.coordinator(&[]).await.unwrap();

    let recorded: AttemptDetail = message("attempt-detail");
    let id = recorded.summary.attempt.to_string();
    let read = world.ygg().attempt(&id).await.unwrap();
    let failed: BeadView = message("bead");
    let last = world.ygg().attempt(&failed.attempts[0].attempt.to_string()).await.unwrap();

    assert_eq!(read, recorded);
    assert_eq!(
        (last.summary.stage, last.summary.class.as_deref()),
        (Stage::Settled, Some("failed"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spool_of_the_last_version_still_answers() {
    let test = "the_spool_of_the_last_version_still_answers";
    let Some(mut world) = world(test).await else { return };
    let state = world.path("state/one");
    fs::create_dir_all(state.join("logs")).unwrap();
    fs::copy(previous("spool.db"), state.join("spool.db")).unwrap();
    for log in fs::read_dir(previous("logs")).unwrap() {
        let log = log.unwrap();
        fs::copy(log.path(), state.join("logs").join(log.file_name())).unwrap();
    }
    // Kept for longer than any version stays the last one.
    world.executor("one", "test-executor", &["--keep", "100000h"]).await.unwrap();

    let recorded: Value = message("attempt");
    let id = recorded["attempt"].as_str().unwrap();
    let read: Value = world.ask("one").json(&format!("/attempts/{id}")).await.unwrap();
    let log = world.ask("one").get(&format!("/attempts/{id}/log")).await.unwrap();

    assert_eq!(read, recorded);
    assert!(log.text().await.unwrap().contains("from the last version"));
}
