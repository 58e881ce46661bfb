//! Taking an order: judged, joined, started or refused.

use std::sync::Arc;

use jiff::Timestamp;
use protocol::execute::ExecuteRequest;
use protocol::refusal::{Refusal, RefusalCode};
use uuid::Uuid;

use super::judge::Accepted;
use super::{Found, Live, Phase, Runner, Taken, fingerprint};
use crate::log::Layout;
use crate::result::chain;
use crate::spool::{Begun, NewAttempt, Record, SpoolError};
use crate::tail::one_line;

impl Runner {
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
            Entered::Held(reason) => {
                return self.known(&order, &fingerprint).await?.ok_or_else(|| held(&reason));
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
        match state.epochs.get(&ledger).copied() {
            Some(highest) if highest > epoch => Err(older_epoch(epoch, highest)),
            Some(highest) if highest == epoch => Ok(()),
            Some(_) | None => {
                state.epochs.insert(ledger, epoch);
                self.spool.raise_epoch_later(ledger, epoch);
                Ok(())
            }
        }
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
        let name = format!("{} of {}", order.task_type, one_line(&order.task_id, 100));
        if let Err(reason) = self.node.presence.enter(attempt, name) {
            return Entered::Held(reason);
        }
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
        self.leave_running(live.order.attempt);
        self.leave(&live);
        live.set(phase);
    }
}

enum Entered {
    Fresh(Arc<Live>),
    Joined(Arc<Live>),
    Full,
    /// No new work is taken now, and why.
    Held(String),
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

fn held(reason: &str) -> Refusal {
    Refusal::new(RefusalCode::Draining, format!("no new work is taken: {reason}"))
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
