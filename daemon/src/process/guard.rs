//! What is owed to a running command when nobody waits for it any more.

use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::net::unix::pipe::Receiver;
use tracing::warn;

use crate::leftovers;

/// A started command. Dropped early it is killed with its group and reaped, or, where it must never
/// be killed, left to run with its output thrown away.
#[derive(Debug)]
pub(super) struct Running {
    /// Taken when the leader is reaped; from then on the group's id may be somebody else's.
    pub(super) handle: Option<duct::Handle>,
    pub(super) group: Pid,
    /// `None` after the end of the stream.
    pub(super) out: Option<Receiver>,
    pub(super) err: Option<Receiver>,
    pub(super) mark: Option<String>,
    pub(super) kill: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        let (handle, mark) = (self.handle.take(), self.mark.take());
        if !self.kill {
            // A closed pipe would end the child with its next line.
            for source in [self.out.take(), self.err.take()].into_iter().flatten() {
                discard(source);
            }
        } else if handle.is_some() {
            signal_group(self.group, Signal::SIGKILL);
        }
        if handle.is_none() && mark.is_none() {
            return;
        }
        // A plain thread: the runtime may be ending, and this must not hold it.
        in_thread("ygg-reap", move || {
            if let Some(handle) = handle
                && let Err(error) = handle.wait()
            {
                warn!("cannot learn how a command ended: {error}");
            }
            if let Some(mark) = mark {
                leftovers::end_blocking(&mark, Duration::ZERO);
            }
        });
    }
}

/// Signals a group whose leader is not reaped yet. That it is gone already is no error.
pub(super) fn signal_group(group: Pid, signal: Signal) {
    match killpg(group, signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        // What is left of the group belongs to another user, or is only the zombie of one.
        Err(error) => tracing::debug!("cannot send {signal} to group {group}: {error}"),
    }
}

fn discard(source: Receiver) {
    let Ok(fd): Result<OwnedFd, _> = source.into_blocking_fd() else { return };
    in_thread("ygg-discard", move || {
        drop(std::io::copy(&mut std::fs::File::from(fd), &mut std::io::sink()));
    });
}

fn in_thread(name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(work) {
        warn!("cannot start a thread to clean up after a command: {error}");
    }
}
