//! Why and when a running task is to stop.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use protocol::execute::Ending;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Why the SDK ended a task that had not ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    TimedOut,
    Cancelled,
    Interrupted,
}

impl Stopped {
    pub(crate) fn ending(self) -> Ending {
        match self {
            Self::TimedOut => Ending::TimedOut,
            Self::Cancelled => Ending::Cancelled,
            Self::Interrupted => Ending::Interrupted,
        }
    }
}

/// The one place that says whether an attempt is to stop. The first reason stands.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    token: CancellationToken,
    why: OnceLock<Stopped>,
    watched: AtomicBool,
    commands: AtomicUsize,
    idle: Notify,
}

impl Stop {
    /// Asks the attempt to stop. Returns false when it was asked before.
    pub(crate) fn order(&self, why: Stopped) -> bool {
        let first = self.why.set(why).is_ok();
        self.token.cancel();
        first
    }

    pub(crate) fn why(&self) -> Option<Stopped> {
        self.why.get().copied()
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Waits for the order on behalf of the author, who then gets time to tidy up.
    pub(crate) async fn watch(&self) {
        self.watched.store(true, Ordering::Relaxed);
        self.token.cancelled().await;
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// Counts a command in for as long as the answer lives.
    pub(crate) fn command(&self) -> CommandGuard<'_> {
        self.commands.fetch_add(1, Ordering::SeqCst);
        CommandGuard { stop: self }
    }

    pub(crate) fn has_commands(&self) -> bool {
        self.commands.load(Ordering::SeqCst) > 0
    }

    /// Waits until no command runs.
    pub(crate) async fn without_commands(&self) {
        loop {
            let mut changed = std::pin::pin!(self.idle.notified());
            changed.as_mut().enable();
            if self.commands.load(Ordering::SeqCst) == 0 {
                return;
            }
            changed.await;
        }
    }
}

pub(crate) struct CommandGuard<'a> {
    stop: &'a Stop,
}

impl Drop for CommandGuard<'_> {
    fn drop(&mut self) {
        if self.stop.commands.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.stop.idle.notify_waiters();
        }
    }
}
