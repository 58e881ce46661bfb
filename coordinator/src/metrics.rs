//! What Prometheus reads: counters and times that are pushed here while things happen, and
//! everything else as it is at the moment of a scrape.
//!
//! - `count`, `spread`: values; `text`: how they are written; `families`: every name.
//! - [`Gateway`], [`Work`]: what is pushed; `page`, `runners`: what is read when somebody asks.
//!
//! Every label set is bounded: a label whose values come from outside has a most, and what goes
//! beyond is counted as `other`. Nothing here is secret, since `/metrics` is open.

mod count;
mod families;
mod gateway;
mod options;
mod page;
mod runners;
mod spread;
mod text;
mod work;

pub use count::{Counts, Labelled};
pub use families::{ALL, Family, Kind};
pub use gateway::{Gateway, InFlight, Queued, Served};
pub use options::Options;
pub use page::page;
pub use spread::{Bounds, Long, Quick, Spread, Timing};
pub use text::Format;
pub use work::{BeadsTimes, LedgerTimes, Turn, Work};

/// What is counted while the coordinator runs.
#[derive(Debug, Default)]
pub struct Metrics {
    options: Options,
    gateway: Gateway,
    work: Work,
}

impl Metrics {
    /// Makes counters that all stand at zero.
    pub fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// What happens to requests handed through to agents.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// What happens to beads and attempts.
    pub fn work(&self) -> &Work {
        &self.work
    }
}
