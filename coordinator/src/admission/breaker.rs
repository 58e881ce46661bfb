//! One circuit breaker, as a state machine. No clock: the caller says what time it is.

use std::time::Duration;

use jiff::Timestamp;
use protocol::admission::{BreakerCounts, BreakerState};
use tokio::time::Instant;

use crate::runners::Moment;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// After so many failures in a row.
    pub threshold: u32,
    /// For so long; then one try decides.
    pub recovery: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Open {
        until: Instant,
    },
    /// With a try under way, no other is let through until this moment: who asked for it may have
    /// gone without a word.
    HalfOpen {
        trial_until: Option<Instant>,
    },
}

/// A breaker that changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub from: BreakerState,
    pub to: BreakerState,
}

/// What one runner is trusted with.
#[derive(Debug, Clone)]
pub struct Breaker {
    phase: Phase,
    since: Timestamp,
    until: Option<Timestamp>,
    cause: Option<String>,
    counts: BreakerCounts,
}

impl Breaker {
    /// Makes a closed one.
    pub fn new(since: Timestamp) -> Self {
        let counts = BreakerCounts::default();
        Self { phase: Phase::Closed, since, until: None, cause: None, counts }
    }

    /// Returns its state.
    pub fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Since when it is in its state.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Until when it stays open.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// The failure that opened it; none when it is closed.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// What was counted.
    pub fn counts(&self) -> BreakerCounts {
        self.counts
    }

    /// After how long something could be let through; zero: now.
    pub fn wait(&self, now: Moment) -> Duration {
        match self.phase {
            Phase::Closed => Duration::ZERO,
            Phase::Open { until } => until.saturating_duration_since(now.mono),
            Phase::HalfOpen { trial_until } => {
                trial_until.map_or(Duration::ZERO, |end| end.saturating_duration_since(now.mono))
            }
        }
    }

    /// Lets something through, or says after how long to ask again. In the half-open state the one
    /// that is let through is the try that decides.
    pub fn admit(&mut self, now: Moment, rules: Rules) -> Result<Option<Change>, Duration> {
        let wait = self.wait(now);
        if !wait.is_zero() {
            self.counts.refused += 1;
            return Err(wait);
        }
        let change = self.tick(now);
        if let Phase::HalfOpen { trial_until } = &mut self.phase {
            *trial_until = Some(now.mono + rules.recovery);
        }
        Ok(change)
    }

    /// What was let through did not come to anything: the next one may be the try that decides.
    pub fn undone(&mut self) {
        if let Phase::HalfOpen { trial_until } = &mut self.phase {
            *trial_until = None;
        }
    }

    /// Becomes half open when its time has come.
    pub fn tick(&mut self, now: Moment) -> Option<Change> {
        match self.phase {
            Phase::Open { until } if until <= now.mono => {
                Some(self.enter(Phase::HalfOpen { trial_until: None }, now))
            }
            Phase::Open { .. } | Phase::Closed | Phase::HalfOpen { .. } => None,
        }
    }

    /// Something went well.
    pub fn succeeded(&mut self, now: Moment) -> Option<Change> {
        self.counts.succeeded += 1;
        match self.phase {
            Phase::Closed => {
                self.counts.in_a_row = 0;
                None
            }
            // Begun before it opened: it says nothing about now.
            Phase::Open { .. } => None,
            Phase::HalfOpen { .. } => {
                self.counts.in_a_row = 0;
                self.cause = None;
                Some(self.enter(Phase::Closed, now))
            }
        }
    }

    /// Something failed.
    pub fn failed(&mut self, cause: &str, now: Moment, rules: Rules) -> Option<Change> {
        self.counts.failed += 1;
        self.counts.in_a_row += 1;
        let is_enough = match self.phase {
            Phase::Closed => self.counts.in_a_row >= u64::from(rules.threshold),
            Phase::Open { .. } => false,
            Phase::HalfOpen { .. } => true,
        };
        if !is_enough {
            return None;
        }
        self.counts.opened += 1;
        self.cause = Some(cause.to_owned());
        let change = self.enter(Phase::Open { until: now.mono + rules.recovery }, now);
        self.until = Some(now.at + rules.recovery);
        Some(change)
    }

    fn enter(&mut self, phase: Phase, now: Moment) -> Change {
        let from = self.state();
        self.phase = phase;
        self.since = now.at;
        self.until = None;
        Change { from, to: self.state() }
    }
}

#[cfg(test)]
mod tests;
