//! The attempts of this process: accepting, joining, running, cancelling, draining.
//!
//! A task belongs to the process and not to the request that ordered it: a client that goes away
//! ends nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon::shutdown::Shutdown;
use jiff::Timestamp;
use protocol::execute::{ExecuteRequest, Outcome};
use protocol::executor::{AttemptStatus, AttemptView, RunningTask};
use protocol::refusal::{Refusal, RefusalCode};
use tokio::sync::watch;
use uuid::Uuid;

mod fingerprint;
mod judge;
mod live;
mod supervise;

pub(crate) use live::{Live, Phase};

use crate::log::{Layout, LogReader};
use crate::metrics::Metrics;
use crate::node::Node;
use crate::policy::Policy;
use crate::registry::Registry;
use crate::result::chain;
use crate::spool::{Begun, NewAttempt, Record, Spool, SpoolError};
use crate::stop::Stopped;
use judge::Accepted;

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

    /// Takes an order: starts it, joins it, or refuses it. When it returns, the attempt is on disk
    /// if its caller named it.
    pub(crate) async fn take(self: &Arc<Self>, order: ExecuteRequest) -> Result<Taken, Refusal> {
        let task_id = order.task_id.clone();
        let taken = self.decide(order).await;
        taken.map_err(|refusal| {
            self.metrics.refused(refusal.code);
            refusal.of(task_id)
        })
    }

    async fn decide(self: &Arc<Self>, order: ExecuteRequest) -> Result<Taken, Refusal> {
        let fingerprint = fingerprint::of(&order);
        let accepted = match self.judge(&order) {
            Ok(accepted) => accepted,
            // A refusal says that nothing was started, which would be a lie about an attempt
            // that is known, whatever the policy says today.
            Err(refusal) => return self.known(&order, &fingerprint).await?.ok_or(refusal),
        };
        self.check_epoch(&order)?;
        let is_named = order.attempt.is_some();
        let live = match self.enter(&order, &fingerprint) {
            Entered::Fresh(live) => {
                self.start(&live, accepted, is_named);
                live
            }
            Entered::Joined(live) => live,
            Entered::Full => {
                return self.known(&order, &fingerprint).await?.ok_or_else(|| self.busy());
            }
        };
        self.started(&live, &fingerprint).await
    }

    /// Joins an attempt that is known here, whatever else would be said about the order.
    async fn known(
        &self,
        order: &ExecuteRequest,
        fingerprint: &str,
    ) -> Result<Option<Taken>, Refusal> {
        let Some(attempt) = order.attempt else { return Ok(None) };
        match self.find(attempt).await.map_err(|error| internal(&error))? {
            None => Ok(None),
            Some(found) => {
                self.check_epoch(order)?;
                match found {
                    Found::Live(live) => self.started(&live, fingerprint).await.map(Some),
                    Found::Recorded(record) => ended(*record, fingerprint).map(Some),
                }
            }
        }
    }

    /// Waits until an attempt is on disk, or until it is known why it must not run.
    async fn started(&self, live: &Arc<Live>, fingerprint: &str) -> Result<Taken, Refusal> {
        if live.order.fingerprint != fingerprint {
            return Err(another_body(live.order.attempt));
        }
        match live.started().await {
            Phase::Starting | Phase::Running | Phase::Ended(_) => Ok(Taken::Live(Arc::clone(live))),
            Phase::Known(record) => ended(*record, fingerprint),
            Phase::Refused(refusal) => Err(*refusal),
        }
    }

    /// Refuses what an older coordinator with the same ledger sends.
    fn check_epoch(&self, order: &ExecuteRequest) -> Result<(), Refusal> {
        let (Some(ledger), Some(epoch)) = (order.ledger, order.epoch) else { return Ok(()) };
        let mut state = self.state();
        let highest = state.epochs.entry(ledger).or_insert(epoch);
        if *highest > epoch {
            return Err(older_epoch(epoch, *highest));
        }
        *highest = epoch;
        Ok(())
    }

    /// Gives an order its place among the running attempts.
    fn enter(&self, order: &ExecuteRequest, fingerprint: &str) -> Entered {
        let mut state = self.state();
        if let Some(live) = order.attempt.and_then(|attempt| state.live.get(&attempt)) {
            return Entered::Joined(Arc::clone(live));
        }
        if state.running >= self.limits.capacity {
            return Entered::Full;
        }
        let attempt = order.attempt.unwrap_or_else(Uuid::now_v7);
        let new = NewAttempt {
            attempt,
            task_id: order.task_id.clone(),
            task_type: order.task_type.clone(),
            fingerprint: fingerprint.to_owned(),
            started: Timestamp::now(),
            log_cap: self.limits.log_cap,
            epoch: order.ledger.zip(order.epoch),
        };
        let live = Arc::new(Live::new(
            new,
            self.spool.log_path(attempt),
            Layout::new(self.limits.log_cap),
        ));
        state.live.insert(attempt, Arc::clone(&live));
        state.running += 1;
        self.count.send_replace(state.live.len());
        Entered::Fresh(live)
    }

    /// Starts an attempt on the process's tracker.
    fn start(self: &Arc<Self>, live: &Arc<Live>, accepted: Accepted, is_named: bool) {
        let runner = Arc::clone(self);
        let live = Arc::clone(live);
        if is_named {
            drop(self.shutdown.spawn(async move { runner.begin(live, accepted).await }));
        } else {
            self.spool.begin_later(live.order.clone());
            live.set(Phase::Running);
            drop(self.shutdown.spawn(async move { runner.run(live, accepted, false).await }));
        }
    }

    /// Records a named attempt, and runs it if it may.
    async fn begin(self: Arc<Self>, live: Arc<Live>, accepted: Accepted) {
        let begun = self.spool.begin(live.order.clone()).await;
        let phase = match begun {
            Ok(Begun::Fresh) => {
                self.note_trouble(None);
                live.set(Phase::Running);
                return self.run(live, accepted, true).await;
            }
            Ok(Begun::Known(record)) => Phase::Known(record),
            Ok(Begun::OlderEpoch { highest }) => {
                let epoch = live.order.epoch.map_or(0, |(_, epoch)| epoch);
                Phase::Refused(Box::new(older_epoch(epoch, highest)))
            }
            Ok(Begun::MayBeForgotten) => Phase::Refused(Box::new(Refusal::new(
                RefusalCode::Stale,
                format!(
                    "attempt {} is older than what this executor remembers: it may have run",
                    live.order.attempt
                ),
            ))),
            Err(error) => {
                self.note_trouble(Some(&error));
                Phase::Refused(Box::new(internal(&error)))
            }
        };
        self.leave_running();
        self.leave(&live);
        live.set(phase);
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

    /// Ends what runs: waits up to `limit`, then interrupts. Returns when every outcome is on disk,
    /// or at once when the process is to end now.
    pub(crate) async fn drain(&self, limit: Duration) {
        let mut count = self.count.subscribe();
        let mut empty = async || {
            drop(count.wait_for(|count| *count == 0).await);
        };
        tokio::select! {
            () = empty() => return,
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
            () = empty() => {}
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

    fn leave_running(&self) {
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

enum Entered {
    Fresh(Arc<Live>),
    Joined(Arc<Live>),
    Full,
}

fn ended(record: Record, fingerprint: &str) -> Result<Taken, Refusal> {
    if record.fingerprint != fingerprint {
        return Err(another_body(record.attempt));
    }
    match record.outcome {
        Some(outcome) => Ok(Taken::Ended(Box::new(outcome))),
        // Every unfinished attempt of an earlier life got its outcome before we listened.
        None => Err(Refusal::new(RefusalCode::Internal, "the attempt has lost its outcome")),
    }
}

fn another_body(attempt: Uuid) -> Refusal {
    Refusal::new(RefusalCode::Stale, format!("attempt {attempt} is known with another body"))
        .hinted("an attempt id names one order; a new order needs a new one")
}

fn older_epoch(epoch: u64, highest: u64) -> Refusal {
    let error = format!("epoch {epoch} is older than {highest}, the highest seen of this ledger");
    Refusal::new(RefusalCode::Stale, error).hinted("a newer coordinator has taken over")
}

fn internal(error: &SpoolError) -> Refusal {
    Refusal::new(RefusalCode::Internal, chain(error))
}
