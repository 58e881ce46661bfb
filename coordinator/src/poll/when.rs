//! When the next listing and the next plan are due.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::app::App;
use crate::board::{Planned, Source};
use crate::plan::Plan;

/// A write is over when nothing has moved for this long.
const QUIET: Duration = Duration::from_millis(200);
/// A store that never comes to rest is listed all the same.
const RESTLESS: Duration = Duration::from_millis(800);
/// Between two listings.
const LEAST: Duration = Duration::from_millis(500);
/// Between two listings while more is known ready than can start.
const LEAST_WITH_BACKLOG: Duration = Duration::from_secs(5);
/// While our own writes are on their way they move the signal as well, and wait behind each
/// listing: then listings get no more than this share of the time.
const SHARE_WHILE_WRITING: u32 = 16;
/// Between two listings while they fail.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What came of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// It says how the beads are.
    Whole,
    /// It says how some beads were before we wrote them: list once more.
    Stale,
    Failed,
}

impl Came {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Stale => "stale",
            Self::Failed => "failed",
        }
    }
}

/// When the next listing and the next plan are due.
#[expect(clippy::struct_excessive_bools, reason = "five events that come and go by themselves")]
#[derive(Debug)]
pub(super) struct When {
    pub(super) plan_is_due: bool,
    plan_at: Option<Timestamp>,
    has_backlog: bool,
    /// What the change signal said before the last listing.
    known: Option<Vec<u8>>,
    /// What it said at the last look, and since when.
    seen: Option<Vec<u8>>,
    seen_since: Instant,
    /// Since when it says something that no listing knows.
    changed_since: Option<Instant>,
    last_begun: Option<Instant>,
    /// How long the last listing took.
    took: Duration,
    /// The interval is over, or a moment has come.
    asked: bool,
    /// Somebody wants a listing now.
    pub(super) nudged: bool,
    /// The last listing did not work.
    failed: bool,
    ledger_tried: Option<Instant>,
    gates_checked: Instant,
}

impl When {
    pub(super) fn new() -> Self {
        Self {
            plan_is_due: true,
            plan_at: None,
            has_backlog: false,
            known: None,
            seen: None,
            seen_since: Instant::now(),
            changed_since: None,
            last_begun: None,
            took: Duration::ZERO,
            asked: true,
            nudged: false,
            failed: false,
            ledger_tried: None,
            gates_checked: Instant::now(),
        }
    }

    /// Takes note of the change signal.
    pub(super) fn look(&mut self, signal: Option<Vec<u8>>) {
        if signal != self.seen {
            self.seen = signal;
            self.seen_since = Instant::now();
        }
        if self.seen.is_none() || self.seen == self.known {
            self.changed_since = None;
        } else if self.changed_since.is_none() {
            self.changed_since = Some(Instant::now());
        }
    }

    /// Takes note of moments that come without an event; whether the ledger should be tried.
    pub(super) fn moments(&mut self, app: &App) -> bool {
        let now = Timestamp::now();
        let in_trouble = self.failed || app.board.has_trouble(&Source::Beads);
        let interval =
            if in_trouble { app.poll_interval.min(AFTER_FAILURE) } else { app.poll_interval };
        if self.last_begun.is_none_or(|at| at.elapsed() >= interval)
            || app.board.moment_has_come(now)
        {
            self.asked = true;
        }
        if self.plan_at.is_some_and(|at| at <= now) {
            self.plan_at = None;
            self.plan_is_due = true;
        }
        let try_ledger = app.board.has_trouble(&Source::Ledger)
            && self.ledger_tried.is_none_or(|at| at.elapsed() >= AFTER_FAILURE);
        if try_ledger {
            self.ledger_tried = Some(Instant::now());
        }
        try_ledger
    }

    /// Whether the beads are to be listed now; `writing`: our own writes are on their way.
    pub(super) fn is_due(&self, writing: bool) -> bool {
        let settled = self
            .changed_since
            .is_some_and(|since| self.seen_since.elapsed() >= QUIET || since.elapsed() >= RESTLESS);
        let least = match (self.nudged, self.has_backlog, writing) {
            (false, true, _) => LEAST_WITH_BACKLOG,
            (false, false, true) => {
                (self.took * SHARE_WHILE_WRITING).clamp(LEAST, LEAST_WITH_BACKLOG)
            }
            (true, _, _) | (false, false, false) => LEAST,
        };
        (self.nudged || self.asked || settled)
            && self.last_begun.is_none_or(|at| at.elapsed() >= least)
    }

    /// Whether the gates are to be looked at with this listing: once in an interval.
    pub(super) fn gates_are_due(&mut self, interval: Duration) -> bool {
        let due = self.gates_checked.elapsed() >= interval;
        if due {
            self.gates_checked = Instant::now();
        }
        due
    }

    pub(super) fn listing_begins(&mut self, signal: Option<Vec<u8>>) {
        self.known.clone_from(&signal);
        self.seen = signal;
        self.changed_since = None;
        self.last_begun = Some(Instant::now());
        self.asked = false;
        self.nudged = false;
    }

    pub(super) fn listing_ended(&mut self, came: Came) {
        self.failed = came == Came::Failed;
        self.took = self.last_begun.map_or(Duration::ZERO, |at| at.elapsed());
        self.asked |= came == Came::Stale;
        self.plan_is_due = true;
    }

    pub(super) fn planned(&mut self, planned: &Planned) {
        let plan: &Plan = &planned.plan;
        self.has_backlog = plan.has_backlog();
        self.plan_at = plan.wake_at;
    }

    pub(super) fn plan_at(&mut self, at: Timestamp) {
        self.plan_at = Some(self.plan_at.map_or(at, |known| known.min(at)));
    }
}
