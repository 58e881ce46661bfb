//! Restarts, with a `systemctl` that plays a unit.

use executor_sdk::harness::{Ending, Harness, RefusalCode, tokio};
use executor_sdk::prelude::*;
use huginn_executor::Huginn;

use crate::{completed, failed};

/// A `systemctl` that keeps the unit in a folder; `restart` does what the file `restart` says.
const SYSTEMCTL: &str = r#"
cd FOLDER
printf "%s\n" "$*" >> calls
case "$1" in
show)
    for unit; do :; done
    if [ "$unit" != plex.service ]; then echo LoadState=not-found; exit 0; fi
    cat unit
    ;;
restart) . ./restart ;;
esac
"#;

const RUNNING: &str = "Type=simple\nLoadState=loaded\nActiveState=active\nSubState=running\n\
    Result=success\nMainPID=7\nNRestarts=0\nInvocationID=";

struct Stage {
    huginn: Harness,
    folder: tempfile::TempDir,
}

async fn stage(restart: &str) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("unit"), format!("{RUNNING}one\n")).unwrap();
    std::fs::write(folder.path().join("restart"), restart).unwrap();
    let script = SYSTEMCTL.replace("FOLDER", folder.path().to_str().unwrap());
    let huginn = Harness::with(Huginn::default())
        .policy("allow: {services: [plex, other]}")
        .program("systemctl", script);
    Stage { huginn: huginn.start().await, folder }
}

impl Stage {
    fn calls(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default()
    }
}

fn quick(unit: &str) -> Value {
    json!({"unit": unit, "wait_seconds": 1, "settle_seconds": 0.5})
}

#[tokio::test]
async fn a_unit_that_runs_anew_is_restarted() {
    let stage = stage("sed -i s/one/two/ unit").await;

    let outcome = stage.huginn.execute("service-restart", quick("plex")).await.unwrap();

    let data = completed(&outcome);
    assert_eq!(data["unit"], json!("plex.service"));
    assert_eq!(
        (&data["before"]["invocation"], &data["after"]["invocation"]),
        (&json!("one"), &json!("two"))
    );
    assert!(stage.calls().contains("restart --no-ask-password -- plex.service\n"));
    // The whole name is the same unit to the policy.
    let whole = stage.huginn.execute("service-restart", quick("plex.service")).await.unwrap();
    assert!(failed(&whole).contains("not anew"), "{whole:?}");
}

#[tokio::test]
async fn what_does_not_start_or_stay_is_no_success() {
    for (restart, why) in [
        // It says that it did, and did not.
        ("true", "plex.service: it was restarted, and is active (running, success), not anew"),
        (
            "echo 'Job for plex.service failed.' >&2; exit 1",
            "exited with 1: Job for plex.service failed.",
        ),
        (
            "sed -i 's/one/two/; s/=active/=failed/; s/=success/=exit-code/' unit",
            "is failed (running, exit-code)",
        ),
        ("sed -i 's/one/two/; s/=active/=activating/' unit", "is activating (running, success)"),
    ] {
        let stage = stage(restart).await;
        let outcome = stage.huginn.execute("service-restart", quick("plex")).await.unwrap();
        assert!(failed(&outcome).contains(why), "{restart}: {outcome:?}");
        assert_eq!(outcome.data["before"]["invocation"], json!("one"));
    }
}

#[tokio::test]
async fn what_crashes_after_its_start_is_no_success() {
    let stage = stage("").await;
    let folder = stage.folder.path();
    std::fs::write(folder.join("restart"), "sed -i s/one/two/ unit; touch restarted").unwrap();
    let order = json!({"unit": "plex", "wait_seconds": 5, "settle_seconds": 20});
    let started = stage.huginn.execute_async("service-restart", order).await.unwrap();
    executor_sdk::harness::until("it was restarted", async || folder.join("restarted").exists())
        .await;
    executor_sdk::harness::until("it was seen", async || {
        stage.calls().rsplit("restart --").next().unwrap_or_default().matches("show").count() >= 2
    })
    .await;
    let unit = std::fs::read_to_string(folder.join("unit")).unwrap();
    std::fs::write(folder.join("new"), unit.replace("NRestarts=0", "NRestarts=1")).unwrap();
    std::fs::rename(folder.join("new"), folder.join("unit")).unwrap();

    let outcome = stage.huginn.outcome(started.attempt).await;

    assert!(
        failed(&outcome).contains("does not stay active: it is started again since"),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn only_what_the_policy_names_is_touched() {
    let stage = stage("sed -i s/one/two/ unit").await;

    let refusal = stage.huginn.execute("service-restart", quick("sshd")).await.unwrap_err();
    let odd = stage.huginn.execute("service-restart", quick("--now")).await.unwrap_err();
    let absent = stage.huginn.execute("service-restart", quick("other")).await.unwrap();

    assert_eq!(refusal.code, RefusalCode::Forbidden);
    assert!(
        refusal.error.contains("`allow.services` of this node does not list `sshd`"),
        "{refusal:?}"
    );
    assert_eq!(odd.code, RefusalCode::Forbidden);
    assert_eq!(failed(&absent), "there is no unit `other.service`");
    assert!(!stage.calls().contains("restart"), "{}", stage.calls());
    // Without a rule nothing is allowed, and /status says so.
    let closed = Harness::with(Huginn::default()).policy("").start().await;
    let refusal = closed.execute("service-restart", quick("plex")).await.unwrap_err();
    assert_eq!(refusal.code, RefusalCode::Forbidden);
    let status = closed.status().await;
    let spec = status.tasks.iter().find(|spec| spec.task_type == "service-restart").unwrap();
    assert!(spec.forbidden.as_ref().is_some_and(|why| why.contains("allow.services")));
}

#[tokio::test]
async fn a_restart_that_hangs_ends_with_its_task() {
    let stage = stage("exec sleep 600").await;

    let mut order = Harness::new_order("service-restart", quick("plex"));
    order.timeout_seconds = Some(1.0);
    assert_eq!(stage.huginn.order(&order).await.unwrap().status, Ending::TimedOut);
    let started = stage.huginn.execute_async("service-restart", quick("plex")).await.unwrap();
    stage.huginn.log_contains(started.attempt, "plex.service is active").await;
    stage.huginn.cancel(started.attempt).await.unwrap();
    assert_eq!(stage.huginn.outcome(started.attempt).await.status, Ending::Cancelled);
}
