//! How a process of ours stops: the first signal drains, the second ends.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::exit::Exit;

/// What everything that runs in a process looks at to know when to stop. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// No new work; what runs may end.
    pub draining: CancellationToken,
    /// Everything ends at once.
    pub now: CancellationToken,
    /// Everything that is waited for.
    pub tracker: TaskTracker,
}

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens for SIGTERM and SIGINT: the first cancels `draining`, the second `now`.
    pub fn listen(&self) -> Result<(), Exit> {
        let cannot = |error| Exit::software(format!("cannot listen for signals: {error}"));
        let mut term = signal(SignalKind::terminate()).map_err(cannot)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
        let shutdown = self.clone();
        let wait = async move {
            let mut next = async || {
                tokio::select! {
                    _ = term.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                }
            };
            let name = next().await;
            info!("{name}: draining; a second signal ends at once");
            shutdown.draining.cancel();
            let name = next().await;
            warn!("{name}: ending at once");
            shutdown.now.cancel();
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the tracker must not wait for this listener"
        )]
        drop(tokio::spawn(wait));
        Ok(())
    }

    /// Spawns a task that [`finished`](Self::finished) waits for.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(future)
    }

    /// Waits until every tracked task has ended: at most `limit`, and not beyond `now`. False when
    /// some still run.
    pub async fn finished(&self, limit: Duration) -> bool {
        self.tracker.close();
        tokio::select! {
            biased;
            () = self.tracker.wait() => true,
            () = self.now.cancelled() => false,
            () = tokio::time::sleep(limit) => false,
        }
    }
}

/// Makes the runtime of a daemon: `workers` threads, and others only while something blocks.
pub fn runtime(workers: usize) -> Result<tokio::runtime::Runtime, Exit> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers.max(1))
        .max_blocking_threads(64)
        .thread_name("ygg-worker")
        .enable_all()
        .build()
        .map_err(|error| Exit::software(format!("cannot start the runtime: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn finished_waits_for_tracked_tasks_and_not_beyond_the_limit() {
        let shutdown = Shutdown::new();
        let token = shutdown.draining.clone();
        let task = shutdown.spawn(async move { token.cancelled().await });

        assert!(!shutdown.finished(Duration::from_millis(10)).await);
        shutdown.draining.cancel();
        assert!(shutdown.finished(Duration::from_secs(30)).await);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn now_ends_the_waiting() {
        let shutdown = Shutdown::new();
        let _task = shutdown.spawn(std::future::pending::<()>());
        shutdown.now.cancel();

        assert!(!shutdown.finished(Duration::MAX).await);
    }

    #[test]
    fn the_runtime_has_a_worker_even_when_none_is_asked_for() {
        assert_eq!(runtime(0).unwrap().block_on(async { 7 }), 7);
    }
}
