//! Commands that must never be signalled.

use std::time::Duration;

use daemon::process::{ExitKind, Why, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_util::sync::CancellationToken;

use crate::support::{Output, cancel_at, gather, lives, pids_in, sh, until};

#[tokio::test]
async fn a_limit_is_only_reported_and_the_command_ends_by_itself() {
    let command = sh("sleep 0.4; echo done; exit 4").limit(Duration::from_millis(50)).never_kill();

    let (ended, text) = gather(command).await.unwrap();

    assert_eq!((ended.why, ended.exit), (Why::Limit, ExitKind::Code(4)));
    assert_eq!(text, "done\n");
}

#[tokio::test]
async fn a_cancellation_is_not_heard() {
    let (ended, text) = cancel_at("up", sh("echo up; sleep 0.3; echo done").never_kill()).await;

    assert_eq!((ended.why, ended.exit), (Why::Exited, ExitKind::Code(0)));
    assert_eq!(text, "up\ndone\n");
}

#[tokio::test]
async fn a_dropped_future_leaves_it_running_and_its_pipe_open() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("done");
    let (output, cancel) = (Output::default(), CancellationToken::new());
    // More than a pipe holds, so that somebody must read it for the command to reach its end.
    let script = "echo up; sleep 0.2; head -c 300000 /dev/zero && echo written > \"$FILE\"";
    let command = sh(script).env("FILE", &file).never_kill();
    let running = run(command, output.sink(), &cancel);
    let up = until("the command is up", || output.text().contains("up"));

    tokio::select! {
        _ = running => panic!("it ended by itself"),
        () = up => {}
    }

    until("the command wrote its file", || {
        std::fs::read(&file).is_ok_and(|text| text == b"written\n")
    })
    .await;
}

#[tokio::test]
async fn its_background_children_are_left_alone() {
    let (ended, text) = gather(sh("sleep 300 & echo $!").never_kill()).await.unwrap();

    assert_eq!(ended.exit, ExitKind::Code(0));
    assert!(ended.escaped);
    let child = pids_in(&text)[0];
    assert!(lives(child));
    kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
}
