//! One attempt that runs, or whose end is not on disk yet.

use std::path::PathBuf;
use std::sync::Arc;

use protocol::execute::Outcome;
use protocol::executor::{AttemptStatus, AttemptView};
use protocol::refusal::Refusal;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::log::{AttemptLog, Layout};
use crate::spool::{NewAttempt, Record};
use crate::stop::Stop;

/// Where a live attempt stands.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// It is being recorded.
    Starting,
    /// It runs.
    Running,
    /// It has ended, and its outcome may be told.
    Ended(Arc<Outcome>),
    /// It ran in an earlier life; nothing was started.
    Known(Box<Record>),
    /// It must not run; nothing was started.
    Refused(Box<Refusal>),
}

#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) order: NewAttempt,
    pub(crate) log: Arc<AttemptLog>,
    pub(crate) stop: Arc<Stop>,
    pub(crate) clock: Instant,
    phase: watch::Sender<Phase>,
}

impl Live {
    pub(super) fn new(order: NewAttempt, log: PathBuf, layout: Layout) -> Self {
        Self {
            order,
            log: Arc::new(AttemptLog::new(log, layout)),
            stop: Arc::default(),
            clock: Instant::now(),
            phase: watch::Sender::new(Phase::Starting),
        }
    }

    pub(super) fn set(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Waits until it is decided whether it runs.
    pub(super) async fn started(&self) -> Phase {
        self.wait(|phase| !matches!(phase, Phase::Starting)).await
    }

    /// Waits for the outcome.
    pub(crate) async fn outcome(&self) -> Option<Arc<Outcome>> {
        let over = |phase: &Phase| !matches!(phase, Phase::Starting | Phase::Running);
        match self.wait(over).await {
            Phase::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }

    async fn wait(&self, is_enough: impl Fn(&Phase) -> bool) -> Phase {
        let mut phase = self.phase.subscribe();
        // The sender is a field of `self`, so it is there as long as this waits.
        match phase.wait_for(|phase| is_enough(phase)).await {
            Ok(phase) => phase.clone(),
            Err(_) => self.phase.borrow().clone(),
        }
    }

    /// Returns what `GET /attempts/{attempt}` says.
    pub(crate) fn view(&self, with_outcome: bool) -> AttemptView {
        let outcome = match &*self.phase.borrow() {
            Phase::Ended(outcome) => Some(Arc::clone(outcome)),
            _ => None,
        };
        let elapsed = match &outcome {
            Some(outcome) => outcome.duration_seconds,
            None => self.clock.elapsed().as_secs_f64(),
        };
        AttemptView {
            task_id: self.order.task_id.clone(),
            task_type: self.order.task_type.clone(),
            attempt: self.order.attempt,
            status: outcome
                .as_ref()
                .map_or(AttemptStatus::Running, |outcome| outcome.status.into()),
            started: self.order.started,
            elapsed,
            outcome: outcome.filter(|_| with_outcome).map(|outcome| (*outcome).clone()),
        }
    }
}
