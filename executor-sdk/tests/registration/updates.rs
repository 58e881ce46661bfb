//! Updates: by the owner's command, after what runs, never lost.

use std::path::Path;
use std::time::Duration;

use executor_sdk::harness::{AttemptStatus, Health, RefusalCode, tokio, until};
use serde_json::{Value, json};

use crate::coordinator::Coordinator;
use crate::trial;

fn says(status: &'static str) -> impl Fn(&Value) -> bool {
    move |beat| beat["updateStatus"] == status
}

fn log(beat: &Value) -> &str {
    beat["updateLog"].as_str().unwrap()
}

/// The command leaves a note of the version, so that it can be seen that it ran.
fn noting(folder: &Path) -> String {
    let note = folder.join("note");
    format!("echo to $YGGDRASIL_UPDATE_VERSION | tee -a '{}'", note.display())
}

fn note(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("note")).unwrap_or_default()
}

#[tokio::test]
async fn the_owners_command_updates_and_the_next_life_is_idle_again() {
    let coordinator = Coordinator::start().await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let command = noting(folder.path());
    let setup = || trial(&coordinator, &["--update-command", &command]).state_dir(&state);
    let executor = setup().start().await;
    coordinator.more_beats(1).await;

    coordinator.ask_update(json!({"version": "2.0.0", "command": "rm -rf /tmp/x"}));
    executor.ended().await;
    let told: Vec<_> = coordinator.beats().into_iter().map(|beat| beat.body).collect();
    let _second = setup().version("2.0.0").start().await;
    let applied = |beat: &Value| says("applied")(beat) && log(beat).contains("2.0.0 now");
    let applied = coordinator.any_beat("the new version says so", applied).await;
    coordinator.drop_update();
    let idle = coordinator.beat("it is idle", |beat| beat.get("updateStatus").is_none()).await;

    let statuses: Vec<_> = told.iter().filter_map(|beat| beat["updateStatus"].as_str()).collect();
    let mut steps = statuses.clone();
    steps.dedup();
    // The command waits for nobody, so it may be over before `pending` is told.
    assert!(steps.ends_with(&["applying", "applied"]), "{steps:?}");
    assert!(log(told.last().unwrap()).contains("to 2.0.0\n"), "{told:?}");
    assert_eq!(note(folder.path()), "to 2.0.0\n");
    assert!(log(&applied).contains("version 2.0.0 was asked for"), "{applied}");
    assert!(idle.get("updateLog").is_none());
    assert_eq!(coordinator.registrations().last().unwrap().body["version"], "2.0.0");
    assert_eq!(coordinator.asked("POST /runners/offline").len(), 1);
}

#[tokio::test]
async fn what_runs_is_waited_for_and_nothing_new_starts() {
    let coordinator = Coordinator::start().await;
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let command = noting(folder.path());
    let executor = trial(&coordinator, &["--update-command", &command]).start().await;
    let script = format!("while [ ! -e '{}' ]; do sleep 0.02; done; echo done", go.display());
    let started = executor.execute_async("shell", json!({"script": script})).await.unwrap();

    coordinator.ask_update(json!({"version": "2.0.0"}));
    let waits = |beat: &Value| says("pending")(beat) && log(beat).contains("waiting");
    let pending = coordinator.beat("it waits", waits).await;
    coordinator.put(json!({"taskId": "t-1", "type": "greet", "metadata": {"name": "you"}}));
    let health = executor.health().await;
    let refused = executor.execute("greet", json!({"name": "you"})).await.unwrap_err();
    coordinator.more_beats(3).await;
    let ran = note(folder.path());
    std::fs::write(go, "").unwrap();
    let outcome = executor.outcome(started.attempt).await;
    executor.ended().await;

    assert!(log(&pending).contains("waiting for 1 running task"), "{pending}");
    assert_eq!(pending["status"], "degraded");
    assert_eq!(health.status, Health::Draining);
    assert!(health.reasons[0].contains("2.0.0"), "{health:?}");
    assert_eq!(refused.code, RefusalCode::Draining);
    assert_eq!(ran, "", "the command ran before the task had ended");
    assert_eq!(outcome.output, "done\n");
    assert_eq!(note(folder.path()), "to 2.0.0\n");
    assert_eq!(coordinator.task("t-1")["status"], "running");
}

#[tokio::test]
async fn a_command_from_the_network_is_refused_and_work_goes_on() {
    let coordinator = Coordinator::start().await;
    let folder = tempfile::tempdir().unwrap();
    let command = noting(folder.path());
    let policy = "allow:\n  update_commands: ['true', 'echo']\n";
    let executor = trial(&coordinator, &["--api-key", "hunter2"]).policy(policy).start().await;

    coordinator.ask_update(json!({"version": "2.0.0", "command": command}));
    let failed = coordinator.beat("it says so", says("failed")).await;
    coordinator.drop_update();
    coordinator.beat("it is idle", |beat| beat.get("updateStatus").is_none()).await;
    let outcome = executor.execute("greet", json!({"name": "you"})).await.unwrap();

    assert!(log(&failed).contains("allow.update_commands"), "{failed}");
    assert!(!log(&failed).contains("tee"), "{failed}");
    assert_eq!(note(folder.path()), "");
    assert_eq!(outcome.output, "hello you\n");
    assert_eq!(executor.health().await.status, Health::Healthy);
}

#[tokio::test]
async fn a_command_that_the_policy_lists_is_run_to_the_letter() {
    let coordinator = Coordinator::start().await;
    let folder = tempfile::tempdir().unwrap();
    let command = noting(folder.path());
    let policy = json!({"allow": {"update_commands": [command]}}).to_string();
    let executor = trial(&coordinator, &[]).policy(&policy).start().await;

    coordinator.ask_update(json!({"version": "2.0.0", "command": command}));
    executor.ended().await;

    assert_eq!(note(folder.path()), "to 2.0.0\n");
}

#[tokio::test]
async fn a_failed_command_is_told_with_its_output_and_can_be_asked_for_again() {
    let coordinator = Coordinator::start().await;
    let folder = tempfile::tempdir().unwrap();
    let command = format!("{}; echo hunter2; exit 7", noting(folder.path()));
    let flags = ["--update-command", &command, "--api-key", "hunter2"];
    let executor = trial(&coordinator, &flags).start().await;

    coordinator.ask_update(json!({"version": "2.0.0"}));
    let failed = coordinator.beat("it failed", says("failed")).await;
    // Told again until it is understood, which starts nothing.
    coordinator.more_beats(2).await;
    let tries = note(folder.path());
    coordinator.drop_update();
    coordinator.beat("it is idle", |beat| beat.get("updateStatus").is_none()).await;
    coordinator.ask_update(json!({"version": "2.0.0"}));
    until("it is tried again", async || note(folder.path()) == "to 2.0.0\nto 2.0.0\n").await;

    assert!(log(&failed).contains("to 2.0.0\n"), "{failed}");
    assert!(log(&failed).contains("the command exited with 7"), "{failed}");
    assert!(!log(&failed).contains("hunter2"), "{failed}");
    assert_eq!(tries, "to 2.0.0\n");
    let outcome = executor.execute("greet", json!({"name": "you"})).await;
    drop(outcome);
    coordinator.drop_update();
    coordinator.beat("it is idle", |beat| beat.get("updateStatus").is_none()).await;
    assert_eq!(
        executor.execute("greet", json!({"name": "you"})).await.unwrap().output,
        "hello you\n"
    );
}

#[tokio::test]
async fn the_version_that_runs_is_applied_without_a_command() {
    let coordinator = Coordinator::start().await;
    let folder = tempfile::tempdir().unwrap();
    let command = noting(folder.path());
    let _executor = trial(&coordinator, &["--update-command", &command]).start().await;
    coordinator.more_beats(1).await;

    coordinator.ask_update(json!({"version": "1.2.3"}));
    let applied = coordinator.beat("it says so", says("applied")).await;
    coordinator.drop_update();
    coordinator.beat("it is idle", |beat| beat.get("updateStatus").is_none()).await;

    assert!(log(&applied).contains("is what runs here"), "{applied}");
    assert_eq!(note(folder.path()), "");
    // That is how the coordinator knows that its wish is fulfilled.
    assert!(coordinator.registrations().len() >= 2);
}

#[tokio::test]
async fn an_update_that_waits_outlives_a_restart_although_it_is_told_once() {
    let coordinator = Coordinator::start().await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let command = noting(folder.path());
    let setup = || {
        let setup = trial(&coordinator, &["--update-command", &command]).state_dir(&state);
        setup.drain_timeout(Duration::ZERO)
    };
    let executor = setup().start().await;
    let started = executor.execute_async("forever", json!({})).await.unwrap();
    coordinator.ask_update(json!({"version": "2.0.0"}));
    coordinator.beat("it waits", says("pending")).await;
    coordinator.drop_update();

    executor.stop().await;
    let second = setup().start().await;
    let interrupted = second.attempt(started.attempt).await.unwrap().status;
    second.ended().await;

    assert_eq!(interrupted, AttemptStatus::Interrupted);
    assert_eq!(note(folder.path()), "to 2.0.0\n");
}

#[tokio::test]
async fn a_command_that_changes_nothing_is_found_out_by_the_next_life() {
    let coordinator = Coordinator::start().await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let setup = || trial(&coordinator, &["--update-command", "true"]).state_dir(&state);
    let executor = setup().start().await;
    coordinator.ask_update(json!({"version": "2.0.0"}));
    executor.ended().await;

    let second = setup().start().await;
    let failed = coordinator.beat("it failed", says("failed")).await;
    coordinator.more_beats(3).await;

    assert!(log(&failed).contains("this is still 1.2.3"), "{failed}");
    assert_eq!(second.health().await.status, Health::Healthy);
}

#[tokio::test]
async fn a_stop_in_the_middle_of_the_command_waits_for_it() {
    let coordinator = Coordinator::start().await;
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let wait = format!("while [ ! -e '{}' ]; do sleep 0.02; done; ", go.display());
    let command = format!("{wait}{}", noting(folder.path()));
    let flags = ["--update-command", command.as_str()];
    let setup = trial(&coordinator, &flags).state_dir(folder.path().join("state"));
    let executor = setup.drain_timeout(Duration::from_secs(30)).start().await;
    coordinator.ask_update(json!({"version": "2.0.0"}));
    coordinator.beat("it is applied", says("applying")).await;

    executor.drain();
    until("it says good-bye", async || !coordinator.asked("POST /runners/offline").is_empty())
        .await;
    std::fs::write(go, "").unwrap();
    executor.ended().await;

    assert_eq!(note(folder.path()), "to 2.0.0\n");
}
