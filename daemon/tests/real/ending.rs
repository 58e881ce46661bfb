//! Commands that are ended: by their limit, by somebody, by a dropped future.

use std::time::{Duration, Instant};

use daemon::process::{ExitKind, Why, run};
use tokio_util::sync::CancellationToken;

use crate::support::{Output, cancel_at, exists, gather, lives, pids_in, sh, until};

#[tokio::test]
async fn a_limit_ends_the_whole_group_and_keeps_the_partial_output() {
    let script = "echo before; echo $$; sleep 300 & echo $!; sleep 300";

    let (ended, text) = gather(sh(script).limit(Duration::from_millis(500))).await.unwrap();

    assert_eq!((ended.why, ended.escaped), (Why::Limit, false));
    assert_eq!(ended.exit, ExitKind::Signal(15));
    assert!(ended.duration < Duration::from_secs(5), "{:?}", ended.duration);
    let pids = pids_in(text.strip_prefix("before\n").unwrap());
    assert_eq!(pids.len(), 2);
    for pid in pids {
        until("the group is gone", || !lives(pid)).await;
    }
}

#[tokio::test]
async fn a_background_child_that_holds_the_pipe_does_not_hold_the_end() {
    let began = Instant::now();

    let (ended, text) = gather(sh("sleep 300 & echo $!")).await.unwrap();

    assert_eq!((ended.why, ended.exit), (Why::Exited, ExitKind::Code(0)));
    assert!(!ended.escaped);
    assert!(began.elapsed() < Duration::from_secs(10));
    let child = pids_in(&text)[0];
    until("the background child is gone", || !lives(child)).await;
}

#[tokio::test]
async fn a_cancelled_command_may_tidy_up() {
    let script = "trap 'echo tidied; exit 3' TERM; echo up; sleep 300 & wait";

    let (ended, text) = cancel_at("up", sh(script)).await;

    assert_eq!((ended.why, ended.exit), (Why::Cancelled, ExitKind::Code(3)));
    assert_eq!(text, "up\ntidied\n");
}

#[tokio::test]
async fn the_rest_of_the_group_has_its_grace_too() {
    let script =
        "(trap 'sleep 0.3; echo late; exit' TERM; echo up; while :; do sleep 0.02; done) & wait";

    let (ended, text) = cancel_at("up", sh(script).grace(Duration::from_secs(15))).await;

    assert_eq!((ended.why, ended.exit), (Why::Cancelled, ExitKind::Signal(15)));
    // The shell may have said "Terminated" in between.
    assert!(text.ends_with("late\n"), "{text}");
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed_after_the_grace() {
    let script = "trap '' TERM; echo $$; sleep 300 & echo $!; echo up; while :; do sleep 1; done";

    let (ended, text) = cancel_at("up", sh(script).grace(Duration::from_millis(200))).await;

    assert_eq!((ended.why, ended.exit), (Why::Cancelled, ExitKind::Signal(9)));
    assert!(!ended.escaped);
    for pid in pids_in(&text) {
        until("the group is gone", || !lives(pid)).await;
    }
}

#[tokio::test]
async fn a_stopped_command_can_be_ended() {
    let (ended, _) = cancel_at("up", sh("echo up; kill -STOP $$; sleep 300")).await;

    assert_eq!((ended.why, ended.exit), (Why::Cancelled, ExitKind::Signal(15)));
}

#[tokio::test]
async fn a_token_cancelled_before_the_start_ends_it_as_well() {
    let cancel = CancellationToken::new();
    cancel.cancel();

    let ended = run(sh("sleep 300"), |_, _| {}, &cancel).await.unwrap();

    assert_eq!(ended.why, Why::Cancelled);
}

#[tokio::test]
async fn dropping_the_future_kills_the_group_and_reaps_it() {
    let (output, cancel) = (Output::default(), CancellationToken::new());
    let running =
        run(sh("echo $$; sleep 300 & echo $!; echo up; sleep 300"), output.sink(), &cancel);
    let up = until("the command is up", || output.text().contains("up"));

    tokio::select! {
        _ = running => panic!("it ended by itself"),
        () = up => {}
    }

    let pids = pids_in(&output.text());
    // Not even a zombie of the leader is left.
    until("the leader is reaped", || !exists(pids[0])).await;
    until("the background child is gone", || !lives(pids[1])).await;
}
