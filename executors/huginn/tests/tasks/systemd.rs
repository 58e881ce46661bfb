//! Restarts and failed units of a real systemd: a user instance of the test's own.
//!
//! What runs beside it is a test of this same program, started again by `systemd.sh`; it is ignored
//! when nobody started it there.

use std::path::Path;
use std::process::Stdio;

use executor_sdk::harness::{Ending, Harness, Outcome, RefusalCode, tokio};
use executor_sdk::prelude::*;
use huginn_executor::Huginn;

use crate::{command, completed, failed};

/// Says to a test inside that it is inside.
const INSIDE: &str = "HUGINN_TEST_BESIDE_SYSTEMD";

const UNITS: [(&str, &str); 6] = [
    ("plex", "ExecStart=/bin/sleep infinity"),
    ("dies", "ExecStart=/bin/false"),
    ("crashes", "ExecStart=/bin/sh -c 'sleep 1; exit 3'"),
    ("hangs", "Type=notify\nTimeoutStartSec=infinity\nExecStart=/bin/sleep infinity"),
    ("once", "Type=oneshot\nExecStart=/bin/true"),
    ("fails-once", "Type=oneshot\nExecStart=/bin/false"),
];

#[test]
fn a_real_unit_is_restarted_and_what_does_not_stay_is_told() {
    let test = "a_real_unit_is_restarted_and_what_does_not_stay_is_told";
    let skipped = |why: &str| eprintln!("skipped: {test}: {why}");
    if !Path::new("/usr/lib/systemd/systemd").exists() {
        return skipped("there is no systemd");
    }
    let units = tempfile::tempdir().unwrap();
    for (name, lines) in UNITS {
        let unit = format!("[Service]\n{lines}\n");
        std::fs::write(units.path().join(format!("{name}.service")), unit).unwrap();
    }
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tasks/systemd.sh");
    let ran = command("unshare")
        .args(["--mount", "--propagation", "private", "sh"])
        .args([&starter, units.path(), &std::env::current_exe().unwrap()])
        .args(["--exact", "systemd::inside", "--ignored", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "yes")
        .stdin(Stdio::null())
        .output();
    let ran = match ran {
        Ok(ran) => ran,
        Err(error) => return skipped(&format!("`unshare` cannot be run: {error}")),
    };

    let [told, said] = [&ran.stdout, &ran.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    // 77: systemd does not start here. 1 and not a word of the test: no namespace.
    if ran.status.code() == Some(77) || !told.contains("running 1 test") {
        return skipped(said.trim().lines().last().unwrap_or("no mount namespace can be made"));
    }
    assert!(ran.status.success(), "{told}\n{said}");
    assert!(told.contains("1 passed"), "{told}");
}

#[tokio::test]
#[ignore = "another test starts it beside a systemd"]
async fn inside() {
    if std::env::var_os(INSIDE).is_none() {
        eprintln!("skipped: inside: another test starts it beside a systemd");
        return;
    }
    let systemctl = "XDG_RUNTIME_DIR=/run/ygg exec /usr/bin/systemctl --user \"$@\"";
    let huginn = Harness::with(Huginn::default())
        .policy("allow: {services: [plex, dies, crashes, hangs, once, fails-once, absent]}")
        .program("systemctl", systemctl)
        .start()
        .await;
    let restart = async |unit: &str, settle: f64| {
        let order = json!({"unit": unit, "wait_seconds": 5, "settle_seconds": settle});
        huginn.execute("service-restart", order).await
    };
    let whole = async |unit: &str| restart(unit, 0.5).await.unwrap();

    no_unit_has_failed(&huginn).await;
    let plex = whole("plex").await;
    let once = whole("once").await;
    let fails_once = whole("fails-once").await;
    let dies = whole("dies").await;
    let crashes = restart("crashes", 10.0).await.unwrap();
    let absent = whole("absent").await;
    let other = restart("init.scope", 0.5).await.unwrap_err();

    let data = completed(&plex);
    assert_eq!(data["after"]["active"], json!("active"));
    for member in ["invocation", "pid"] {
        assert_ne!(data["before"][member], data["after"][member], "{data}");
    }
    let pid = data["after"]["pid"].as_str().unwrap();
    let runs = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(runs.contains("infinity"), "{runs:?}");
    completed(&once);
    assert!(failed(&fails_once).contains("exited with 1"), "{fails_once:?}");
    assert!(failed(&dies).contains("dies.service: it was restarted, and is failed"), "{dies:?}");
    assert!(failed(&crashes).contains("it does not stay active: it is failed"), "{crashes:?}");
    assert_eq!(failed(&absent), "there is no unit `absent.service`");
    assert_eq!(other.code, RefusalCode::Forbidden);
    three_units_have_failed(&huginn).await;

    let mut order = Harness::new_order("service-restart", json!({"unit": "hangs"}));
    order.timeout_seconds = Some(1.0);
    assert_eq!(huginn.order(&order).await.unwrap().status, Ending::TimedOut);
    let order = json!({"unit": "hangs"});
    let started = huginn.execute_async("service-restart", order).await.unwrap();
    huginn.log_contains(started.attempt, "hangs.service is activating").await;
    huginn.cancel(started.attempt).await.unwrap();
    assert_eq!(huginn.outcome(started.attempt).await.status, Ending::Cancelled);
}

async fn health(huginn: &Harness) -> Outcome {
    huginn.execute("ops-health-check", json!({"max_failed_units": 0})).await.unwrap()
}

async fn no_unit_has_failed(huginn: &Harness) {
    let outcome = health(huginn).await;
    assert_eq!(completed(&outcome)["failed_units"], json!([]));
}

async fn three_units_have_failed(huginn: &Harness) {
    let outcome = health(huginn).await;
    assert!(failed(&outcome).contains("3 units failed: "), "{outcome:?}");
    assert_eq!(
        outcome.data["failed_units"],
        json!(["crashes.service", "dies.service", "fails-once.service"])
    );
}
