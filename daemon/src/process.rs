//! Child processes, run to their true end. The only user of `duct`.
//!
//! One [`Command`] runs in a process group of its own. duct spawns it, nix signals it, tokio waits and
//! reads. Five rules make that sound:
//!
//! 1. One command per duct expression, with `process_group(0)`.
//! 2. Output goes through a pipe of ours, never through duct's captures: those are unbounded, and
//!    they wait as long as any grandchild holds the pipe.
//! 3. `unchecked`, or a non-zero exit is an error without a status.
//! 4. The leader's end is seen without reaping it. While it is a zombie its pid, which is also the
//!    group's id, cannot be given away, so the rest of the group is killed then and the leader reaped
//!    after.
//! 5. A guard does the same when the future is dropped.
//!
//! A process that left the group (`setsid`) and holds the pipe is not waited for beyond a second: it
//! is reported as escaped. With a [mark](Command::mark) the escapees are also found and ended.

mod command;
mod find;
mod guard;
mod pump;
mod spawn;
mod wait;

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::error;

pub use command::Command;
pub use find::find_program;

use crate::leftovers;
use pump::{Elsewhere, Kept, Sink, pump};
use wait::Plan;

/// Which of the two output streams bytes came from. Without [`split`](Command::split) it is always
/// `Out`, because both are one pipe then, in exact order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Out,
    Err,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub why: Why,
    pub exit: ExitKind,
    /// From the spawn to the end of the leader.
    pub duration: Duration,
    /// A process of the command left its group and was still there after the end.
    pub escaped: bool,
}

/// What ended a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It ended by itself.
    Exited,
    /// It was ended because of its limit; with [`never_kill`](Command::never_kill) it ended by
    /// itself, but later than that.
    Limit,
    /// It was ended because somebody cancelled it.
    Cancelled,
}

/// What the kernel says of the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitKind {
    Code(i32),
    Signal(i32),
}

/// A command's end together with what it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    pub ended: Ended,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// One of the streams was longer than the cap; its first bytes are here.
    pub cut: bool,
}

/// Why a command was not started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("program `{program}` was not found")]
    NotFound { program: String },
    #[error("`{program}` is not an executable file")]
    NotExecutable { program: String },
    #[error("working directory `{path}` is not a directory that can be entered")]
    Cwd { path: String },
    #[error("cannot start `{program}`")]
    Io { program: String, source: std::io::Error },
}

/// Runs a command to its end and hands its output to `sink` as it comes.
///
/// `sink` runs on the runtime's blocking threads, one call at a time, so it may write files; while it
/// works the child can go on until the pipe (64 KiB) is full. Dropping the future kills the group and
/// reaps it; with [`never_kill`](Command::never_kill) the command runs on and its output is thrown
/// away. A panic of `sink` becomes one of this future.
pub async fn run(
    command: Command,
    sink: impl FnMut(Stream, &[u8]) + Send + 'static,
    cancel: &CancellationToken,
) -> Result<Ended, SpawnError> {
    supervise(command, &mut Elsewhere::new(sink), cancel).await
}

/// Runs a command to its end and keeps the first `cap_bytes` of each stream in memory. The rest is
/// read and thrown away.
pub async fn capture(
    command: Command,
    cap_bytes: usize,
    cancel: &CancellationToken,
) -> Result<Captured, SpawnError> {
    let mut kept = Kept::new(cap_bytes);
    let ended = supervise(command.split(), &mut kept, cancel).await?;
    let Kept { stdout, stderr, cut, .. } = kept;
    Ok(Captured { ended, stdout, stderr, cut })
}

/// How long the pipe may stay open after the group is gone.
const PIPE_PATIENCE: Duration = Duration::from_secs(1);

async fn supervise<S: Sink>(
    command: Command,
    sink: &mut S,
    cancel: &CancellationToken,
) -> Result<Ended, SpawnError> {
    let program = command.program.to_string_lossy().into_owned();
    let io = |source| SpawnError::Io { program: program.clone(), source };
    // Subscribed before the spawn, or a quick child's end would be noticed half a second late.
    let mut child_signal = signal(SignalKind::child()).map_err(io)?;
    let plan = Plan { limit: command.limit, grace: command.grace, kill: command.kill };
    let started = Instant::now();
    let mut running = spawn::start(command).await?;
    let group = running.group;

    let (leader, leader_gone) = oneshot::channel::<()>();
    let over = async {
        // Dropped, not sent.
        let _ = leader_gone.await;
        sleep(PIPE_PATIENCE).await;
    };
    let pump = pump(&mut running.out, &mut running.err, sink, over);
    tokio::pin!(pump);
    let mut drained = None;
    let end = {
        let ended = wait::ended(group, plan, started, cancel, &mut child_signal);
        tokio::pin!(ended);
        loop {
            tokio::select! {
                end = &mut ended => break end,
                all = &mut pump, if drained.is_none() => drained = Some(all),
            }
        }
    };
    let exit = if let Some(handle) = running.handle.take_if(|_| !end.stuck) {
        // The leader is a zombie, so this returns at once.
        exit_kind(handle.wait().map_err(io)?.status)
    } else {
        error!("process {group} of `{program}` is still there after SIGKILL; it is left behind");
        ExitKind::Signal(Signal::SIGKILL as i32)
    };

    let hunt = async {
        match &running.mark {
            Some(mark) => leftovers::end(mark, plan.grace).await,
            None => Vec::new(),
        }
    };
    drop(leader);
    let drain = async {
        match drained {
            Some(all) => all,
            None => pump.await,
        }
    };
    let (found, drained) = tokio::join!(hunt, drain);
    running.mark = None;
    // What is still in the group was killed above and is only slow to go.
    let strays = found.iter().any(|leftover| leftover.group != group.as_raw());
    Ok(Ended {
        why: end.why,
        exit,
        duration: end.at.duration_since(started),
        escaped: !drained || end.stuck || strays,
    })
}

fn exit_kind(status: ExitStatus) -> ExitKind {
    match status.code() {
        Some(code) => ExitKind::Code(code),
        None => ExitKind::Signal(status.signal().unwrap_or_default()),
    }
}
