//! What happens to beads and attempts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::count::{Counts, Labelled};
use super::spread::{Long, Quick, Spread, Timing};
use crate::beads::{BeadId, BeadsError};
use crate::settle::{End, Verdict};

/// Each of these has seventeen lines on the page.
const MOST_SPREADS: usize = 200;
/// How many beads may be on their way from the plan to their start.
const MOST_QUEUED: usize = 10_000;
/// How the class of an attempt is called that succeeded.
const NO_CLASS: &str = "none";

/// Endings and classes that are on the page before they happen, so that a first one is a change.
const USUAL_ENDS: [[&str; 2]; 10] = [
    ["completed", NO_CLASS],
    ["failed", "failed"],
    ["timed_out", "timed_out"],
    ["cancelled", "cancelled"],
    ["interrupted", "interrupted"],
    ["lost", "lost"],
    ["not_started", "waiting"],
    ["not_started", "infrastructure"],
    ["not_started", "misconfigured"],
    ["permanent", "permanent"],
];
const VERDICTS: [&str; 4] = ["closed", "retry", "given_back", "blocked"];

/// Since when a bead could have started.
#[derive(Debug, Clone, Copy)]
struct Since {
    created: Option<Timestamp>,
    first_seen: Timestamp,
}

/// Counters of beads and attempts.
#[derive(Debug)]
pub struct Work {
    queued: Mutex<HashMap<BeadId, Since>>,
    /// From creation, and from the first listing.
    pub(super) queue_times: [Timing<Long>; 2],
    pub(super) started: Counts<1>,
    pub(super) ended: Counts<2>,
    pub(super) settled: Counts<1>,
    pub(super) durations: Labelled<Spread<Long>, 1>,
    pub(super) listings: Counts<1>,
    pub(super) listing_times: Timing<Quick>,
    pub(super) plan_times: Timing<Quick>,
    /// What executors took by `POST /execute`; what is on task lists is counted there.
    pub(super) executed: AtomicU64,
    pub(super) executed_ends: Counts<1>,
    pub(super) ledger: Arc<LedgerTimes>,
}

/// How long the ledger's writes took.
#[derive(Debug, Default)]
pub struct LedgerTimes {
    pub(super) times: Labelled<Spread<Quick>, 1>,
    pub(super) failures: Counts<1>,
}

/// How long the commands of the Beads CLI took.
#[derive(Debug, Default)]
pub struct BeadsTimes {
    pub(super) times: Labelled<Spread<Quick>, 1>,
    pub(super) failures: Counts<2>,
    pub(super) waiting: AtomicU64,
}

impl Default for Work {
    fn default() -> Self {
        let work = Self {
            queued: Mutex::default(),
            queue_times: Default::default(),
            started: Counts::default(),
            ended: Counts::default(),
            settled: Counts::default(),
            durations: Labelled::bounded(MOST_SPREADS),
            listings: Counts::default(),
            listing_times: Timing::default(),
            plan_times: Timing::default(),
            executed: AtomicU64::default(),
            executed_ends: Counts::default(),
            ledger: Arc::default(),
        };
        for labels in USUAL_ENDS {
            work.ended.with(labels, |_| ());
        }
        for verdict in VERDICTS {
            work.settled.with([verdict], |_| ());
        }
        for came in ["whole", "stale", "failed"] {
            work.listings.with([came], |_| ());
        }
        work
    }
}

impl Work {
    /// Returns how many tasks executors took by `POST /execute`, how many of those were completed,
    /// and how many ended in another way.
    pub fn executed(&self) -> (u64, u64, u64) {
        let (mut completed, mut otherwise) = (0, 0);
        self.executed_ends.each(|[status], count| match status {
            "completed" => completed += count,
            _ => otherwise += count,
        });
        (self.executed.load(Relaxed), completed, otherwise)
    }

    /// Notes that the plan starts a bead now.
    pub fn planned_start(&self, bead: &BeadId, created: Option<Timestamp>, first_seen: Timestamp) {
        let mut queued = self.queued();
        if queued.len() < MOST_QUEUED {
            queued.insert(bead.clone(), Since { created, first_seen });
        }
    }

    /// Counts an attempt that an executor has taken; `by_execute`: by `POST /execute`.
    pub fn started(&self, bead: &BeadId, executor: &str, by_execute: bool) {
        self.started.add([executor]);
        if by_execute {
            self.executed.fetch_add(1, Relaxed);
        }
        let Some(since) = self.queued().remove(bead) else { return };
        let now = Timestamp::now();
        let [from_creation, from_listing] = &self.queue_times;
        // Clocks of two machines may disagree.
        let until_now = |at| Duration::try_from(now.duration_since(at)).unwrap_or_default();
        if let Some(created) = since.created {
            from_creation.take(until_now(created));
        }
        from_listing.take(until_now(since.first_seen));
    }

    /// Forgets a bead whose line is over, started or not.
    pub fn line_over(&self, bead: &BeadId) {
        self.queued().remove(bead);
    }

    /// Counts an attempt whose end is known, and what that means.
    pub fn ended(&self, end: &End, verdict: &Verdict, executor: Option<&str>, by_execute: bool) {
        let ending = match end {
            End::Outcome(outcome) => outcome.status.as_str(),
            End::Lost { .. } => "lost",
            End::NotStarted { .. } => "not_started",
            End::Permanent { .. } => "permanent",
        };
        let class = verdict.class().map_or(NO_CLASS, |class| class.as_str());
        self.ended.add([ending, class]);
        if let (End::Outcome(outcome), Some(executor)) = (end, executor) {
            if by_execute {
                self.executed_ends.add([ending]);
            }
            let took = Duration::try_from_secs_f64(outcome.duration_seconds).unwrap_or_default();
            self.durations.with([executor], |spread| spread.take(took));
        }
    }

    /// Counts an end that is written into its bead.
    pub fn settled(&self, verdict: &Verdict) {
        let word = match verdict {
            Verdict::Close { .. } => VERDICTS[0],
            Verdict::Retry { .. } => VERDICTS[1],
            Verdict::GiveBack { .. } => VERDICTS[2],
            Verdict::Block { .. } => VERDICTS[3],
        };
        self.settled.add([word]);
    }

    /// Counts a listing; `came` is `whole`, `stale` or `failed`.
    pub fn listed(&self, came: &'static str, took: Duration) {
        self.listings.add([came]);
        self.listing_times.take(took);
    }

    /// Takes the time of a plan.
    pub fn planned(&self, took: Duration) {
        self.plan_times.take(took);
    }

    /// Returns the times of the ledger, for who writes it.
    pub fn ledger(&self) -> Arc<LedgerTimes> {
        Arc::clone(&self.ledger)
    }

    fn queued(&self) -> MutexGuard<'_, HashMap<BeadId, Since>> {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LedgerTimes {
    /// Takes one write; `operation` is `record`, `advance`, `keep` or `forget`.
    pub fn wrote(&self, operation: &'static str, took: Duration, failed: bool) {
        self.times.with([operation], |spread| spread.take(took));
        self.failures.with([operation], |count| *count += u64::from(failed));
    }
}

impl BeadsTimes {
    /// Counts a command among those that wait or run, until the value is dropped.
    #[must_use]
    pub fn turn(self: &Arc<Self>) -> Turn {
        self.waiting.fetch_add(1, Relaxed);
        Turn(Arc::clone(self))
    }

    /// Takes one command that ran.
    pub fn ran(&self, command: &'static str, took: Duration, error: Option<&BeadsError>) {
        self.times.with([command], |spread| spread.take(took));
        if let Some(error) = error {
            self.failures.add([command, error.class().as_str()]);
        }
    }
}

/// One command that waits or runs.
#[derive(Debug)]
pub struct Turn(Arc<BeadsTimes>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}
