//! Processes that leave their group.

use std::time::{Duration, Instant};

use daemon::process::{Command, ExitKind, Why, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_util::sync::CancellationToken;

use crate::support::{Output, gather, lives, pids_in, sh, until};

// Prints the pid of a process in a session of its own; the shell goes on when it is there.
fn escapee(redirect: &str) -> String {
    format!(
        "setsid sh -c 'echo $$ > \"$1\"; exec sleep 300' x \"$FILE\" {redirect} &
         while ! test -s \"$FILE\"; do sleep 0.01; done; cat \"$FILE\""
    )
}

fn with_file(script: &str, folder: &tempfile::TempDir) -> Command {
    sh(script).env("FILE", folder.path().join("pid"))
}

#[tokio::test]
async fn an_escaped_process_is_reported_and_not_waited_for() {
    let temp = tempfile::tempdir().unwrap();
    let began = Instant::now();

    let (ended, text) = gather(with_file(&escapee(""), &temp)).await.unwrap();

    assert_eq!((ended.why, ended.exit), (Why::Exited, ExitKind::Code(0)));
    assert!(ended.escaped);
    assert!(began.elapsed() < Duration::from_secs(15));
    let pid = pids_in(&text)[0];
    assert!(lives(pid));
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn with_a_mark_the_escaped_process_is_ended() {
    let temp = tempfile::tempdir().unwrap();
    let mark = format!("{}/life/attempt/0", temp.path().display());

    let (ended, text) = gather(with_file(&escapee(""), &temp).mark(mark)).await.unwrap();

    assert!(ended.escaped);
    assert!(!lives(pids_in(&text)[0]));
}

#[tokio::test]
async fn with_a_mark_an_escape_without_the_pipe_is_found_too() {
    let temp = tempfile::tempdir().unwrap();
    let mark = format!("{}/life/attempt/0", temp.path().display());
    let script = escapee("> /dev/null 2>&1");

    let (ended, text) = gather(with_file(&script, &temp).mark(mark)).await.unwrap();

    assert!(ended.escaped);
    assert!(!lives(pids_in(&text)[0]));
}

#[tokio::test]
async fn a_marked_command_that_leaves_nothing_has_not_escaped() {
    let temp = tempfile::tempdir().unwrap();
    let mark = format!("{}/life/attempt/0", temp.path().display());

    let (ended, _) = gather(sh("sleep 300 & sleep 300 & echo x").mark(mark)).await.unwrap();

    assert_eq!(ended.exit, ExitKind::Code(0));
    assert!(!ended.escaped);
}

#[tokio::test]
async fn dropping_the_future_ends_marked_escapees() {
    let temp = tempfile::tempdir().unwrap();
    let mark = format!("{}/life/attempt/0", temp.path().display());
    let (output, cancel) = (Output::default(), CancellationToken::new());
    let command = with_file(&format!("{}; echo up; sleep 300", escapee("")), &temp).mark(mark);
    let running = run(command, output.sink(), &cancel);
    let up = until("the command is up", || output.text().contains("up"));

    tokio::select! {
        _ = running => panic!("it ended by itself"),
        () = up => {}
    }

    let pid = pids_in(&output.text())[0];
    until("the escapee is gone", || !lives(pid)).await;
}

#[tokio::test]
async fn an_escaped_process_that_never_stops_talking_does_not_keep_us() {
    let temp = tempfile::tempdir().unwrap();
    let script = "setsid sh -c 'echo $$ > \"$1\"; while :; do echo more; done' x \"$FILE\" &
                  while ! test -s \"$FILE\"; do sleep 0.01; done";
    let sink = |_, _: &[u8]| {};

    let ended = run(with_file(script, &temp), sink, &CancellationToken::new()).await.unwrap();

    assert_eq!((ended.why, ended.exit), (Why::Exited, ExitKind::Code(0)));
    assert!(ended.escaped);
    let pid = pids_in(&std::fs::read_to_string(temp.path().join("pid")).unwrap())[0];
    until("it died of the closed pipe", || !lives(pid)).await;
}
