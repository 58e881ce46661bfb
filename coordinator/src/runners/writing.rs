//! How changes of the registry reach the ledger, and what time alone changes.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Changes, Moment, Registry, Runner, Runners, RunnersError, Task};
use crate::keeper::Ticket;
use crate::ledger::Kind;

/// Between two looks for leases that are over.
const SWEEP_EVERY: Duration = Duration::from_millis(250);
/// Between two looks for runners that can be forgotten.
const FORGET_EVERY: Duration = Duration::from_mins(10);
/// Between two writes of the heartbeats that came meanwhile.
const BEATS_EVERY: Duration = Duration::from_secs(5);
/// How many rows are made while nobody else gets at the registry.
const ROWS_AT_ONCE: usize = 200;

impl Runners {
    /// Hands the rows that lack a heartbeat to the keeper; nobody waits for them.
    pub fn put_beats(&self) {
        let beats = std::mem::take(&mut *self.beats());
        let beats: Vec<String> = beats.into_iter().collect();
        for ids in beats.chunks(ROWS_AT_ONCE) {
            let registry = self.read();
            for id in ids {
                if let Ok(runner) = registry.get(id) {
                    self.keeper.put(Kind::Runner, "", id, Some(runner));
                }
            }
        }
    }

    fn beats(&self) -> MutexGuard<'_, HashSet<String>> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends leases, writes heartbeats and forgets old runners until `stop`.
    pub async fn watch(&self, stop: &CancellationToken) {
        let mut tick = tokio::time::interval(SWEEP_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut forgot = Instant::now();
        let mut wrote = forgot;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            if wrote.elapsed() >= BEATS_EVERY {
                wrote = Instant::now();
                self.put_beats();
            }
            let mut registry = self.read();
            let mut changes = Changes::default();
            let now = Moment::now();
            registry.sweep(now, &mut changes);
            if forgot.elapsed() >= FORGET_EVERY {
                forgot = now.mono;
                registry.forget(now, &mut changes);
            }
            // Written as soon as possible; nobody waits for it.
            self.commit(&registry, changes);
        }
    }

    /// Changes the registry, and answers once what must survive is on disk.
    pub(super) async fn change<T>(
        &self,
        change: impl FnOnce(&mut Registry, Moment, &mut Changes) -> Result<T, RunnersError>,
    ) -> Result<T, RunnersError> {
        let (answer, ticket) = {
            let mut registry = self.read();
            let mut changes = Changes::default();
            let answer = change(&mut registry, Moment::now(), &mut changes);
            (answer, self.commit(&registry, changes))
        };
        if let Some(ticket) = ticket {
            self.keeper.until(ticket).await?;
        }
        answer
    }

    /// Hands the rows that changed to the keeper, while the registry is still locked.
    fn commit(&self, registry: &Registry, changes: Changes) -> Option<Ticket> {
        let mut ticket = None;
        if changes.is_visible() {
            // Still under the registry's lock, so that an edition never shows two states.
            self.edition.fetch_add(1, Ordering::AcqRel);
        }
        let Changes { runners, tasks, gone_tasks, gone_runners, beats, presence, work, lost } =
            changes;
        if !beats.is_empty() {
            self.beats().extend(beats);
        }
        for id in runners {
            if let Ok(runner) = registry.get(&id) {
                ticket = Some(self.keeper.put(Kind::Runner, "", &id, Some(runner)));
            }
        }
        for (id, task_id) in tasks {
            if let Ok(task) = registry.task(&id, &task_id) {
                ticket = Some(self.keeper.put(Kind::Task, &id, &task_id, Some(task)));
            }
        }
        for (id, task_id) in gone_tasks {
            ticket = Some(self.keeper.put::<Task>(Kind::Task, &id, &task_id, None));
        }
        for id in gone_runners {
            ticket = Some(self.keeper.put::<Runner>(Kind::Runner, "", &id, None));
        }
        if presence {
            self.presence.send_modify(|seen| *seen += 1);
        }
        if work {
            self.work.send_modify(|seen| *seen += 1);
        }
        for lost in lost {
            warn!(runner = %lost.runner, "{} is offline ({})", lost.name, lost.cause);
            // Without a listener nobody misses it.
            drop(self.losses.send(lost));
        }
        ticket
    }
}
