//! The attempts of this process: accepting, joining, running, cancelling, draining.
//!
//! A task belongs to the process and not to the request that ordered it: a client that goes away
//! ends nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon::shutdown::Shutdown;
use protocol::execute::Outcome;
use protocol::executor::{AttemptStatus, AttemptView, RunningTask};
use protocol::refusal::{Refusal, RefusalCode};
use tokio::sync::watch;
use uuid::Uuid;

mod fingerprint;
mod judge;
mod live;
mod supervise;
mod take;

pub(crate) use live::{Live, Phase};

use crate::log::LogReader;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::policy::Policy;
use crate::registry::Registry;
use crate::result::chain;
use crate::spool::{Record, Spool, SpoolError};
use crate::stop::Stopped;

/// How a runner is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The time limit of a task that names none.
    pub(crate) task_timeout: Duration,
    /// How many tasks run at a time.
    pub(crate) capacity: u32,
    /// How many bytes of log are kept per attempt.
    pub(crate) log_cap: u64,
}

/// Owns every attempt that runs.
pub(crate) struct Runner {
    pub(crate) registry: Registry,
    pub(crate) policy: Policy,
    pub(crate) node: Arc<Node>,
    pub(crate) spool: Spool,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: Shutdown,
    // No `.await` while it is held.
    state: Mutex<State>,
    /// How many attempts are in `State::live`.
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    /// Attempts that run, and those whose end is not on disk yet.
    live: HashMap<Uuid, Arc<Live>>,
    /// How many of them run.
    running: u32,
    /// The highest epoch seen of each ledger.
    epochs: HashMap<Uuid, u64>,
    /// Why the spool could not be written lately.
    trouble: Option<String>,
}

/// An order that was not refused.
#[derive(Debug, Clone)]
pub(crate) enum Taken {
    /// It runs, or has just ended.
    Live(Arc<Live>),
    /// It ran before.
    Ended(Box<Outcome>),
}

/// What is known of an attempt.
pub(crate) enum Found {
    Live(Arc<Live>),
    Recorded(Box<Record>),
}

impl Runner {
    pub(crate) fn new(
        registry: Registry,
        policy: Policy,
        node: Arc<Node>,
        spool: Spool,
        limits: Limits,
        epochs: HashMap<Uuid, u64>,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            registry,
            policy,
            node,
            spool,
            limits,
            metrics: Metrics::default(),
            shutdown,
            state: Mutex::new(State { epochs, ..State::default() }),
            count: watch::Sender::new(0),
        }
    }

    /// Returns what is known of an attempt.
    pub(crate) async fn find(&self, attempt: Uuid) -> Result<Option<Found>, SpoolError> {
        let live = self.state().live.get(&attempt).cloned();
        if let Some(live) = live {
            return Ok(Some(Found::Live(live)));
        }
        let record = self.spool.find(attempt).await?;
        Ok(record.map(|record| Found::Recorded(Box::new(record))))
    }

    /// Lists attempts, newest first.
    pub(crate) async fn list(&self, limit: u32) -> Result<Vec<AttemptView>, SpoolError> {
        let mut views: Vec<_> = self.spool.list(limit).await?.iter().map(Record::view).collect();
        for live in self.live() {
            let view = live.view(false);
            match views.iter_mut().find(|known| known.attempt == view.attempt) {
                Some(known) => *known = view,
                None => views.push(view),
            }
        }
        views.sort_by_key(|view| std::cmp::Reverse(view.started));
        Ok(views)
    }

    /// Asks an attempt to stop. False: it has ended already, or was asked before.
    pub(crate) fn cancel(&self, attempt: Uuid) -> bool {
        let live = self.state().live.get(&attempt).cloned();
        live.is_some_and(|live| live.stop.order(Stopped::Cancelled))
    }

    pub(crate) fn log_of(&self, found: &Found) -> LogReader {
        match found {
            Found::Live(live) => LogReader::Running(Arc::clone(&live.log)),
            Found::Recorded(record) => self.spool.log_of(record),
        }
    }

    /// Returns what runs now, oldest first.
    pub(crate) fn running(&self) -> Vec<RunningTask> {
        let mut running: Vec<_> = self
            .live()
            .into_iter()
            .map(|live| live.view(false))
            .filter(|view| view.status == AttemptStatus::Running)
            .map(|view| RunningTask {
                task_id: view.task_id,
                attempt: view.attempt,
                task_type: view.task_type,
                started: view.started,
                elapsed: view.elapsed,
            })
            .collect();
        running.sort_by_key(|task| task.started);
        running
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.shutdown.draining.is_cancelled()
    }

    /// Returns why the spool could not be written lately.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// Waits until nothing runs and every outcome is on disk.
    pub(crate) async fn idle(&self) {
        drop(self.count.subscribe().wait_for(|count| *count == 0).await);
    }

    /// Ends what runs: waits up to `limit`, then interrupts. Returns when every outcome is on disk,
    /// or at once when the process is to end now.
    pub(crate) async fn drain(&self, limit: Duration) {
        tokio::select! {
            () = self.idle() => return,
            () = tokio::time::sleep(limit) => {}
            () = self.shutdown.now.cancelled() => {}
        }
        let left = self.live();
        if !left.is_empty() {
            tracing::warn!(count = left.len(), "ending {} tasks that still run", left.len());
        }
        for live in left {
            live.stop.order(Stopped::Interrupted);
        }
        let patience = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
        };
        let now = async {
            self.shutdown.now.cancelled().await;
            // Killing and recording takes a moment, also in haste.
            tokio::time::sleep(Duration::from_secs(2)).await;
        };
        tokio::select! {
            () = self.idle() => {}
            () = patience => {}
            () = now => {}
        }
    }

    fn live(&self) -> Vec<Arc<Live>> {
        self.state().live.values().cloned().collect()
    }

    fn busy(&self) -> Refusal {
        let capacity = self.limits.capacity;
        Refusal::new(RefusalCode::Busy, format!("{capacity} of {capacity} tasks are running"))
            .hinted("try again when one has ended, or raise --capacity (CAPACITY)")
    }

    fn leave_running(&self, attempt: Uuid) {
        self.node.presence.leave(attempt);
        let mut state = self.state();
        state.running = state.running.saturating_sub(1);
    }

    fn leave(&self, live: &Live) {
        let mut state = self.state();
        state.live.remove(&live.order.attempt);
        self.count.send_replace(state.live.len());
    }

    fn note_trouble(&self, error: Option<&SpoolError>) {
        let text = error.map(|error| format!("the spool cannot be written: {}", chain(error)));
        let mut state = self.state();
        if let Some(text) = text.as_ref().filter(|_| state.trouble.is_none()) {
            tracing::error!("{text}");
        }
        state.trouble = text;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
