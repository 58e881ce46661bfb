//! Logging of whole processes.

use std::fs;
use std::path::Path;

use clap::{Args as _, FromArgMatches as _};
use daemon::logs;
use daemon::process::{Command, ExitKind};
use daemon::settings::Settings;

use crate::support::{gather, myself};

const LINES: usize = 300;

fn writer(name: &str, file: &Path, fallback: &Path) -> Command {
    myself("logs::writer_process").env("NAME", name).env("FILE", file).env("FALLBACK", fallback)
}

#[tokio::test]
async fn two_programs_share_a_file_and_each_line_names_its_own() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("agent.log");

    let (one, two) = tokio::join!(
        gather(writer("fenrir-executor", &file, temp.path())),
        gather(writer("surtr-executor", &file, temp.path()))
    );

    assert_eq!(one.unwrap().0.exit, ExitKind::Code(0));
    assert_eq!(two.unwrap().0.exit, ExitKind::Code(0));
    let text = fs::read_to_string(&file).unwrap();
    for name in ["fenrir-executor", "surtr-executor"] {
        let own: Vec<_> =
            text.lines().filter(|line| line.contains(&format!(" INFO {name}: line "))).collect();
        assert_eq!(own.len(), LINES, "{name}");
        assert!(own[LINES - 1].contains(&format!("line {}", LINES - 1)));
    }
    assert_eq!(text.lines().count(), 2 * (LINES + 1), "each has its lines and its panic");
}

#[tokio::test]
async fn a_panic_is_logged_with_its_place() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("agent.log");

    let (ended, console) = gather(writer("x", &file, temp.path())).await.unwrap();

    assert_eq!(ended.exit, ExitKind::Code(0));
    for text in [fs::read_to_string(&file).unwrap(), console] {
        let line = text.lines().find(|line| line.contains("ERROR x: ")).unwrap_or(&text);
        assert!(line.contains("panicked at daemon/tests/real/logs.rs:"), "{line}");
        assert!(line.contains("it went wrong"), "{line}");
    }
}

#[tokio::test]
async fn an_unwritable_file_is_replaced_and_that_is_said_once() {
    let temp = tempfile::tempdir().unwrap();
    let blocker = temp.path().join("blocker");
    fs::write(&blocker, "").unwrap();

    let (ended, console) =
        gather(writer("x", &blocker.join("agent.log"), temp.path())).await.unwrap();

    assert_eq!(ended.exit, ExitKind::Code(0));
    let text = fs::read_to_string(temp.path().join("agent.log")).unwrap();
    assert!(text.contains(&format!("line {}", LINES - 1)));
    let told = format!("the log is in `{}`", temp.path().join("agent.log").display());
    assert_eq!(console.matches(&told).count(), 1, "{console}");
}

#[test]
#[ignore = "started by the other tests of this file"]
fn writer_process() {
    let command = Settings::augment_args(clap::Command::new("t").no_binary_name(true));
    let matches = Settings::with_port(command, 0).get_matches_from(Vec::<&str>::new());
    let settings = Settings::from_arg_matches(&matches).unwrap();
    let variable = |name| std::env::var(name).unwrap();

    let guard = logs::init(
        &settings,
        &variable("NAME"),
        Path::new(&variable("FILE")),
        Path::new(&variable("FALLBACK")),
    )
    .unwrap();
    assert!(guard.file().is_some());
    for number in 0..LINES {
        tracing::info!("line {number}");
    }
    assert!(std::panic::catch_unwind(|| panic!("it went wrong")).is_err());
}
