//! Processes found by their mark and ended.

use std::time::{Duration, Instant};

use daemon::leftovers;
use daemon::process::{ExitKind, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_util::sync::CancellationToken;

use crate::support::{Output, gather, lives, myself, pids_in, sh, until};

const MARK: &str = "YGGDRASIL_ATTEMPT";

// Starts a shell line in a session of its own, with a mark, and returns the pids in its file.
async fn stray(mark: &str, script: &str) -> Vec<i32> {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("pids");
    let start =
        "setsid sh -c \"$SCRIPT\" > /dev/null 2>&1 & until test -s \"$FILE\"; do sleep 0.01; done";
    let command = sh(start).env(MARK, mark).env("SCRIPT", script).env("FILE", &file);
    gather(command).await.unwrap();
    pids_in(&std::fs::read_to_string(&file).unwrap())
}

const SLEEPER: &str = "echo $$ > \"$FILE.new\"; mv \"$FILE.new\" \"$FILE\"; exec sleep 300";

#[tokio::test]
async fn what_lies_below_the_prefix_is_ended_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let spool = temp.path().display().to_string();
    let first = stray(&format!("{spool}/life-1/attempt/0"), SLEEPER).await[0];
    let second = stray(&format!("{spool}/life-1/attempt/1"), SLEEPER).await[0];
    let stranger = stray(&format!("{spool}/life-10/attempt/0"), SLEEPER).await[0];

    let mut found = leftovers::end(&format!("{spool}/life-1"), Duration::from_secs(10)).await;

    found.sort_by(|a, b| a.mark.cmp(&b.mark));
    let found: Vec<_> = found.into_iter().map(|one| (one.pid, one.mark)).collect();
    let expected = [
        (first, format!("{spool}/life-1/attempt/0")),
        (second, format!("{spool}/life-1/attempt/1")),
    ];
    assert_eq!(found, expected);
    assert!(!lives(first) && !lives(second));
    assert!(lives(stranger));
    kill(Pid::from_raw(stranger), Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn nothing_to_find_takes_no_time() {
    let temp = tempfile::tempdir().unwrap();
    let began = Instant::now();

    let found = leftovers::end(temp.path().to_str().unwrap(), Duration::from_mins(1)).await;

    assert!(found.is_empty());
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed() {
    let temp = tempfile::tempdir().unwrap();
    let mark = format!("{}/1/2/3", temp.path().display());
    let pid = stray(&mark, &format!("trap '' TERM; {SLEEPER}")).await[0];

    let found = leftovers::end(&mark, Duration::from_millis(100)).await;

    assert_eq!(found.len(), 1);
    assert!(!lives(pid));
}

#[tokio::test]
async fn members_of_the_group_without_the_mark_go_with_it() {
    let temp = tempfile::tempdir().unwrap();
    let mark = format!("{}/1/2/3", temp.path().display());
    let script = "env -u YGGDRASIL_ATTEMPT sleep 300 & echo $! $$ > \"$FILE.new\"
                  mv \"$FILE.new\" \"$FILE\"; wait";
    let pids = stray(&mark, script).await;

    leftovers::end(&mark, Duration::from_secs(10)).await;

    until("both are gone", || pids.iter().all(|pid| !lives(*pid))).await;
}

#[tokio::test]
async fn we_never_end_ourselves() {
    let temp = tempfile::tempdir().unwrap();
    let mark = format!("{}/1/2/3", temp.path().display());
    // The hunter carries the mark itself, and shares its group with somebody who does too.
    let script = "sleep 300 & echo pid $!; exec \"$0\" \"$@\"";
    let hunter = myself("leftovers::hunter");
    let command = sh(script).arg(&hunter.program).args(hunter.args).env(MARK, mark);

    let (ended, text) = gather(command).await.unwrap();

    assert_eq!(ended.exit, ExitKind::Code(0), "{text}");
    assert!(text.contains("hunter ended 1"), "{text}");
    assert!(!lives(pids_in(&text)[0]));
}

#[tokio::test]
async fn what_a_killed_owner_left_running_is_ended() {
    let temp = tempfile::tempdir().unwrap();
    let life = format!("{}/life-1", temp.path().display());
    let (output, cancel) = (Output::default(), CancellationToken::new());
    let owner = myself("leftovers::owner").env("MARK", format!("{life}/attempt/0"));
    let pids = || pids_in(output.text().split("children ").nth(1).unwrap_or_default());
    let kill_it = async {
        until("the owner and its children are up", || pids().len() == 3).await;
        let owner = pids_in(output.text().split("owner ").nth(1).unwrap())[0];
        kill(Pid::from_raw(owner), Signal::SIGKILL).unwrap();
    };
    let (ended, ()) = tokio::join!(run(owner, output.sink(), &cancel), kill_it);
    assert_eq!(ended.unwrap().exit, ExitKind::Signal(9));
    let pids = pids();
    assert!(pids.iter().all(|pid| lives(*pid)), "nobody else ends them");

    let found = leftovers::end(&life, Duration::from_secs(10)).await;

    assert_eq!(found.len(), 3, "{found:?}");
    assert!(!pids.into_iter().any(lives));
}

#[tokio::test]
#[ignore = "started by `what_a_killed_owner_left_running_is_ended`"]
async fn owner() {
    println!("owner {}", std::process::id());
    let script = "sleep 300 & first=$!; setsid sleep 300 & echo children $$ $first $!; wait";
    let command = sh(script).mark(std::env::var("MARK").unwrap());
    let print = |_, bytes: &[u8]| println!("{}", String::from_utf8_lossy(bytes));

    run(command, print, &CancellationToken::new()).await.unwrap();
}

#[tokio::test]
#[ignore = "started by `we_never_end_ourselves`"]
async fn hunter() {
    let mark = std::env::var(MARK).unwrap();

    let found = leftovers::end(&mark, Duration::from_secs(10)).await;

    println!("hunter ended {}", found.len());
}
