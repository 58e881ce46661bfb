//! The breaker over all runners: open as long as something stands against new work.

use std::time::Duration;

use jiff::Timestamp;
use protocol::admission::{BreakerState, GlobalCounts};

use super::{Change, Rules};
use crate::runners::Moment;

/// When a refused caller may ask again, where nothing better is known.
const SOON: Duration = Duration::from_secs(5);
/// A coordinator that stops is as a rule started again within this time.
const AFTER_RESTART: Duration = Duration::from_secs(30);
/// Fewer runners than this that are left alone say nothing about the whole.
const FEW: usize = 2;

/// What the global breaker depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The coordinator stops.
    pub draining: bool,
    /// The ledger cannot be written.
    pub ledger_fails: bool,
    /// How many runners are left alone.
    pub open: usize,
    /// How many runners are online and not left alone.
    pub taking: usize,
}

impl Conditions {
    /// Returns what stands against new work, the strongest first.
    pub fn cause(&self) -> Option<String> {
        if self.draining {
            return Some("the coordinator is stopping".to_owned());
        }
        if self.ledger_fails {
            return Some("the ledger cannot be written".to_owned());
        }
        let Self { open, taking, .. } = *self;
        (open >= FEW && open > taking)
            .then(|| format!("most runners fail: {open} of {} are left alone", open + taking))
    }
}

/// The breaker over all runners.
#[derive(Debug, Clone)]
pub struct Global {
    conditions: Conditions,
    cause: Option<String>,
    since: Timestamp,
    counts: GlobalCounts,
}

impl Global {
    /// Makes a closed one.
    pub fn new(since: Timestamp) -> Self {
        let counts = GlobalCounts::default();
        Self { conditions: Conditions::default(), cause: None, since, counts }
    }

    /// Returns its state: closed or open.
    pub fn state(&self) -> BreakerState {
        if self.cause.is_some() { BreakerState::Open } else { BreakerState::Closed }
    }

    /// Since when it is in its state.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Why it is open.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// How often it opened and refused; what it counts of runners is for others to fill in.
    pub fn counts(&self) -> GlobalCounts {
        self.counts
    }

    /// Returns what it last depended on.
    pub fn conditions(&self) -> Conditions {
        self.conditions
    }

    /// Whether it knows that the coordinator stops.
    pub fn is_draining(&self) -> bool {
        self.conditions.draining
    }

    /// When a refused caller may ask again.
    pub fn retry_after(&self, rules: Rules) -> Duration {
        if self.conditions.draining {
            AFTER_RESTART
        } else if self.conditions.ledger_fails {
            SOON
        } else {
            rules.recovery
        }
    }

    /// Counts a refusal.
    pub fn refused(&mut self) {
        self.counts.refused += 1;
    }

    /// Opens or closes it as the conditions say.
    pub fn set(&mut self, conditions: &Conditions, now: Moment) -> Option<Change> {
        let from = self.state();
        self.conditions = *conditions;
        self.cause = conditions.cause();
        let to = self.state();
        if from == to {
            return None;
        }
        self.since = now.at;
        self.counts.opened += u64::from(to == BreakerState::Open);
        Some(Change { from, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_runners_are_more_than_half_and_more_than_one() {
        let cause = |open, taking| Conditions { open, taking, ..Conditions::default() }.cause();

        assert_eq!(cause(0, 0), None);
        assert_eq!(cause(1, 0), None, "its own breaker says enough");
        assert_eq!(cause(2, 2), None);
        assert_eq!(cause(3, 2).as_deref(), Some("most runners fail: 3 of 5 are left alone"));
    }

    #[test]
    fn it_closes_with_its_cause() {
        let now = Moment::now();
        let mut global = Global::new(now.at);
        let fails = Conditions { ledger_fails: true, ..Conditions::default() };

        let opened = global.set(&fails, now);
        let again = global.set(&fails, now);
        let closed = global.set(&Conditions::default(), now);

        assert_eq!(opened, Some(Change { from: BreakerState::Closed, to: BreakerState::Open }));
        assert_eq!(again, None);
        assert_eq!(closed, Some(Change { from: BreakerState::Open, to: BreakerState::Closed }));
        assert_eq!(global.counts().opened, 1);
    }
}
