//! Suspend and power-off, on a private D-Bus with a stand-in of logind.

use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use executor_sdk::harness::{Ending, Harness, Health, RefusalCode, tokio, until};
use executor_sdk::prelude::*;
use huginn_executor::Huginn;
use zbus::object_server::SignalEmitter;

use crate::{Ends, command, completed, failed};

/// How the stand-in behaves.
#[derive(Clone)]
struct Mood {
    /// What it answers to whether somebody may.
    may: &'static str,
    /// Whether it does what it says it does.
    does: bool,
    /// Whether Huginn sees the processes of this machine.
    sees_all: bool,
    /// Who holds it up: what, who, why, mode.
    holder: Option<[&'static str; 4]>,
}

const WILLING: Mood = Mood { may: "yes", does: true, sees_all: false, holder: None };

struct Logind {
    mood: Mood,
    calls: Arc<Mutex<Vec<String>>>,
    // The other ends of the locks it gave.
    locks: Vec<std::io::PipeReader>,
}

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Logind {
    fn can_suspend(&self) -> String {
        self.mood.may.to_owned()
    }

    fn can_power_off(&self) -> String {
        self.mood.may.to_owned()
    }

    async fn suspend(&self, interactive: bool, #[zbus(signal_emitter)] emitter: SignalEmitter<'_>) {
        self.call(format!("suspend {interactive}"));
        if self.mood.does {
            Self::prepare_for_sleep(&emitter, true).await.unwrap();
        }
    }

    async fn power_off(
        &self,
        interactive: bool,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) {
        self.call(format!("power-off {interactive}"));
        if self.mood.does {
            Self::prepare_for_shutdown(&emitter, true).await.unwrap();
        }
    }

    fn inhibit(&mut self, what: &str, who: &str, why: &str, mode: &str) -> zbus::OwnedFd {
        assert!(!why.is_empty());
        self.call(format!("inhibit {what} {who} {mode}"));
        let (ours, theirs) = std::io::pipe().unwrap();
        self.locks.push(ours);
        OwnedFd::from(theirs).into()
    }

    fn list_inhibitors(&self) -> Vec<(String, String, String, String, u32, u32)> {
        let holder = self.mood.holder.map(|texts| texts.map(str::to_owned));
        holder.into_iter().map(|[what, who, why, mode]| (what, who, why, mode, 0, 1)).collect()
    }

    #[zbus(signal)]
    async fn prepare_for_sleep(emitter: &SignalEmitter<'_>, start: bool) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn prepare_for_shutdown(emitter: &SignalEmitter<'_>, start: bool) -> zbus::Result<()>;
}

impl Logind {
    fn call(&self, what: String) {
        self.calls.lock().unwrap().push(what);
    }
}

struct Stage {
    huginn: Harness,
    calls: Arc<Mutex<Vec<String>>>,
    connection: zbus::Connection,
    _bus: Ends,
    _folder: tempfile::TempDir,
}

async fn stage(test: &str, mood: Mood) -> Option<Stage> {
    let folder = tempfile::tempdir().unwrap();
    let started = command("dbus-daemon")
        .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
        .arg(format!("--address=unix:path={}/bus", folder.path().display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut bus = match started {
        Ok(bus) => Ends(bus),
        Err(error) => {
            eprintln!("skipped: {test}: `dbus-daemon` cannot be run: {error}");
            return None;
        }
    };
    let mut address = String::new();
    BufReader::new(bus.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let address = address.trim().to_owned();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let mood_sees_all = mood.sees_all;
    let logind = Logind { mood, calls: Arc::clone(&calls), locks: Vec::new() };
    let connection = zbus::connection::Builder::address(address.as_str())
        .name("org.freedesktop.login1")
        .serve_at("/org/freedesktop/login1", logind)
        .build()
        .await
        .unwrap();
    let mut huginn = Huginn { system_bus: Some(address), ..Huginn::default() };
    // What other tests run at the same time is none of this one's business.
    huginn.processes = (!mood_sees_all).then(|| folder.path().join("no-processes"));
    let huginn = Harness::start(huginn).await;
    Some(Stage { huginn, calls, connection, _bus: bus, _folder: folder })
}

impl Stage {
    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    /// The machine is back.
    async fn wake(&self) {
        let emitter = SignalEmitter::new(&self.connection, "/org/freedesktop/login1").unwrap();
        Logind::prepare_for_sleep(&emitter, false).await.unwrap();
    }
}

#[tokio::test]
async fn a_suspend_is_announced_before_it_happens_and_work_is_taken_after_it() {
    let test = "a_suspend_is_announced_before_it_happens_and_work_is_taken_after_it";
    let Some(stage) = stage(test, WILLING).await else { return };
    let order = json!({"notice_seconds": 1});

    let started = stage.huginn.execute_async("power-suspend", order).await.unwrap();
    stage.huginn.log_contains(started.attempt, "about to suspend in 1 s").await;
    let health = stage.huginn.health().await;
    assert_eq!(health.status, Health::Draining);
    assert_eq!(health.reasons, ["this machine is about to suspend, ordered by test-1"]);
    assert!(stage.calls().is_empty(), "it is announced first: {:?}", stage.calls());
    let refused = stage.huginn.execute("ops-health-check", json!({})).await.unwrap_err();
    assert_eq!(refused.code, RefusalCode::Draining);
    assert!(refused.error.contains("about to suspend"), "{refused:?}");

    let outcome = stage.huginn.outcome(started.attempt).await;
    assert_eq!(completed(&outcome)["begun"], json!(true));
    assert_eq!(stage.calls(), ["inhibit sleep Yggdrasil delay", "suspend false"]);
    // It is not back yet.
    assert_eq!(stage.huginn.health().await.status, Health::Draining);

    until("work is taken again", async || {
        stage.wake().await;
        stage.huginn.health().await.status == Health::Healthy
    })
    .await;
    completed(&stage.huginn.execute("ops-health-check", json!({})).await.unwrap());
}

#[tokio::test]
async fn a_power_off_is_ordered_once() {
    let Some(stage) = stage("a_power_off_is_ordered_once", WILLING).await else { return };

    let order = json!({"force": true, "notice_seconds": 0});
    let outcome = stage.huginn.execute("power-off", order).await.unwrap();

    assert_eq!(completed(&outcome)["deed"], json!("power off"));
    assert_eq!(stage.calls(), ["inhibit shutdown Yggdrasil delay", "power-off false"]);
    assert_eq!(stage.huginn.health().await.status, Health::Draining);
    let status = stage.huginn.status().await;
    let spec = status.tasks.iter().find(|spec| spec.task_type == "power-off").unwrap();
    assert!(!spec.idempotent, "the next life must not do it again");
}

#[tokio::test]
async fn while_others_work_here_it_is_refused() {
    let Some(stage) = stage("while_others_work_here_it_is_refused", WILLING).await else { return };
    let other = json!({"program": "sleep", "args": ["600"]});
    let other = stage.huginn.execute_async("run-command", other).await.unwrap();

    let quick = json!({"notice_seconds": 0});
    let refused = stage.huginn.execute("power-suspend", quick.clone()).await.unwrap();
    assert!(failed(&refused).contains("run-command of test-1"), "{refused:?}");
    assert!(failed(&refused).starts_with("refused while others work here"), "{refused:?}");
    assert!(stage.calls().is_empty());
    // It gave up, so work is taken.
    assert_eq!(stage.huginn.health().await.status, Health::Healthy);

    stage.huginn.cancel(other.attempt).await.unwrap();
    assert_eq!(stage.huginn.outcome(other.attempt).await.status, Ending::Cancelled);
    completed(&stage.huginn.execute("power-suspend", quick).await.unwrap());
    assert_eq!(stage.calls().last().unwrap(), "suspend false");
}

#[tokio::test]
async fn a_command_of_another_executor_counts_as_work() {
    let test = "a_command_of_another_executor_counts_as_work";
    let all = Mood { sees_all: true, ..WILLING };
    let Some(stage) = stage(test, all).await else { return };
    let _other = Ends(
        command("sleep")
            .arg("600")
            .env("YGGDRASIL_ATTEMPT", "spool/life/of-another/1")
            .spawn()
            .unwrap(),
    );

    let refused = stage.huginn.execute("power-off", json!({"notice_seconds": 0})).await.unwrap();

    assert!(failed(&refused).contains("a command of attempt of-another"), "{refused:?}");
    assert!(stage.calls().is_empty());
}

#[tokio::test]
async fn what_logind_does_not_do_is_not_done() {
    let test = "what_logind_does_not_do_is_not_done";
    let order = json!({"force": true, "notice_seconds": 0});
    for (may, why) in
        [("no", "a polkit rule"), ("na", "this machine cannot"), ("challenge", "password")]
    {
        let Some(stage) = stage(test, Mood { may, ..WILLING }).await else { return };
        for task in ["power-suspend", "power-off"] {
            let outcome = stage.huginn.execute(task, order.clone()).await.unwrap();
            assert!(failed(&outcome).contains(why), "{task} {may}: {outcome:?}");
        }
        assert!(stage.calls().is_empty());
        assert_eq!(stage.huginn.health().await.status, Health::Healthy);
    }
    let held = Mood { holder: Some(["sleep:idle", "backup", "it writes", "block"]), ..WILLING };
    let Some(stage) = stage(test, held).await else { return };
    let outcome =
        stage.huginn.execute("power-suspend", json!({"notice_seconds": 0})).await.unwrap();
    assert!(failed(&outcome).contains("backup: it writes"), "{outcome:?}");
    assert!(stage.calls().is_empty());
}

#[tokio::test]
async fn an_order_without_effect_is_a_failure_and_work_is_taken_again() {
    let test = "an_order_without_effect_is_a_failure_and_work_is_taken_again";
    let Some(stage) = stage(test, Mood { does: false, ..WILLING }).await else { return };

    let order = json!({"force": true, "notice_seconds": 0});
    for (task, call) in [("power-suspend", "suspend false"), ("power-off", "power-off false")] {
        let outcome = stage.huginn.execute(task, order.clone()).await.unwrap();

        assert!(failed(&outcome).contains("did not begin within 15 s"), "{outcome:?}");
        assert_eq!(stage.calls().last().unwrap(), call);
        assert_eq!(stage.huginn.health().await.status, Health::Healthy);
    }
}

#[tokio::test]
async fn it_can_be_called_off_during_its_notice() {
    let test = "it_can_be_called_off_during_its_notice";
    let Some(stage) = stage(test, WILLING).await else { return };

    for (task, words) in [("power-off", "power off"), ("power-suspend", "suspend")] {
        let order = json!({"force": true, "notice_seconds": 60});
        let started = stage.huginn.execute_async(task, order.clone()).await.unwrap();
        stage.huginn.log_contains(started.attempt, &format!("about to {words}")).await;
        stage.huginn.cancel(started.attempt).await.unwrap();
        let cancelled = stage.huginn.outcome(started.attempt).await;
        assert_eq!(cancelled.status, Ending::Cancelled, "{task}");
        let mut order = Harness::new_order(task, order);
        order.timeout_seconds = Some(0.5);
        let limited = stage.huginn.order(&order).await.unwrap();
        assert_eq!(limited.status, Ending::TimedOut, "{task}");
    }

    assert!(stage.calls().is_empty());
    assert_eq!(stage.huginn.health().await.status, Health::Healthy);
}

#[tokio::test]
async fn without_a_bus_it_is_said() {
    let bus = Some("unix:path=/nonexistent/bus".to_owned());
    let huginn = Harness::start(Huginn { system_bus: bus, ..Huginn::default() }).await;

    let nobody = huginn.execute("power-suspend", json!({})).await.unwrap();
    let long = huginn.execute("power-off", json!({"notice_seconds": 61})).await.unwrap();

    assert!(failed(&nobody).contains("no system bus"), "{nobody:?}");
    assert!(failed(&long).contains("`notice_seconds`"), "{long:?}");
}
