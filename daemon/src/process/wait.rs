//! When a command has ended, and the signals that make it end.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Why;
use super::guard::signal_group;
use crate::procfs;

/// How long the kernel may take to end a process after SIGKILL, before it counts as stuck.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) limit: Option<Duration>,
    pub(super) grace: Duration,
    pub(super) kill: bool,
}

pub(super) struct End {
    pub(super) why: Why,
    pub(super) at: Instant,
    /// The leader has not gone, not even after SIGKILL.
    pub(super) stuck: bool,
}

/// Waits for the leader's end, bringing it about when it is time. Afterwards the leader is a zombie,
/// not yet reaped, and nothing else of its group lives.
pub(super) async fn ended(
    group: Pid,
    plan: Plan,
    started: Instant,
    cancel: &CancellationToken,
    child_signal: &mut tokio::signal::unix::Signal,
) -> End {
    let end = |why, stuck| End { why, at: Instant::now(), stuck };
    if !plan.kill {
        leader_exit(group, child_signal).await;
        let late = plan.limit.is_some_and(|limit| started.elapsed() > limit);
        return end(if late { Why::Limit } else { Why::Exited }, false);
    }
    let why = tokio::select! {
        biased;
        () = leader_exit(group, child_signal) => Why::Exited,
        () = over(plan.limit, started) => Why::Limit,
        () = cancel.cancelled() => Why::Cancelled,
    };
    if why == Why::Exited {
        let end = end(why, false);
        signal_group(group, Signal::SIGKILL);
        return end;
    }
    signal_group(group, Signal::SIGTERM);
    // A stopped process would sleep through SIGTERM.
    signal_group(group, Signal::SIGCONT);
    let all_gone = async {
        leader_exit(group, child_signal).await;
        members_gone(group).await;
    };
    // Whoever is too slow is killed with the rest.
    drop(timeout(plan.grace, all_gone).await);
    signal_group(group, Signal::SIGKILL);
    let stuck = timeout(KILL_PATIENCE, leader_exit(group, child_signal)).await.is_err();
    end(why, stuck)
}

async fn over(limit: Option<Duration>, started: Instant) {
    match limit {
        Some(limit) => sleep(limit.saturating_sub(started.elapsed())).await,
        None => std::future::pending().await,
    }
}

/// Sees the exit and does not reap: the pid, which is also the group's id, stays ours.
async fn leader_exit(leader: Pid, child_signal: &mut tokio::signal::unix::Signal) {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
    loop {
        match waitid(Id::Pid(leader), look) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => {}
            // An error is the end as well: there is no such child, or a signal nix cannot name.
            Ok(_) | Err(_) => return,
        }
        // Signals of the same kind are merged, so one may be missed while we look.
        tokio::select! {
            _ = child_signal.recv() => {}
            () = sleep(Duration::from_millis(500)) => {}
        }
    }
}

async fn members_gone(group: Pid) {
    let lives = move || procfs::group_lives(group.as_raw());
    while spawn_blocking(lives).await.unwrap_or(false) {
        sleep(Duration::from_millis(20)).await;
    }
}
