//! The one thread of a daemon: while a command blocks it, nothing else happens.

use std::sync::Arc;

use tokio::sync::watch;

/// Tells whether the daemon's only thread is taken. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub(super) struct EventLoop {
    busy: Arc<watch::Sender<bool>>,
}

impl EventLoop {
    /// Waits until the thread is free.
    pub(super) async fn free(&self) {
        self.becomes(false).await;
    }

    /// Waits until something blocks the thread.
    pub(super) async fn taken(&self) {
        self.becomes(true).await;
    }

    /// Blocks the thread until the answer is dropped.
    pub(super) fn block(&self) -> Blocked {
        self.busy.send_replace(true);
        Blocked { event_loop: self.clone() }
    }

    async fn becomes(&self, wanted: bool) {
        let mut busy = self.busy.subscribe();
        let seen = busy.wait_for(|busy| *busy == wanted).await;
        seen.expect("the sender lives as long as this borrow of it");
    }
}

/// Something blocks the daemon's thread as long as this lives.
#[derive(Debug)]
pub(super) struct Blocked {
    event_loop: EventLoop,
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.event_loop.busy.send_replace(false);
    }
}
