//! What happens to requests handed through to agents.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::count::{Counts, Labelled};
use super::spread::{Quick, Spread, Timing};

/// Each of these has seventeen lines on the page.
const MOST_SPREADS: usize = 200;

/// How a request to an agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// The agent answered with a status below 500.
    Ok,
    /// The agent answered with 500 or above.
    AgentError,
    /// The agent did not answer.
    Unreachable,
    /// The agent took longer than it may.
    TimedOut,
    /// Nobody could take it: all full and the queue too, or every breaker open.
    Refused,
    /// The client went away.
    ClientGone,
}

impl Served {
    /// Returns the word in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::AgentError => "agent_error",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Refused => "refused",
            Self::ClientGone => "client_gone",
        }
    }
}

/// Counters of the agent gateway. An agent is labelled by its name.
#[derive(Debug)]
pub struct Gateway {
    /// By agent and how it ended; an agent is empty where none was chosen.
    pub(super) requests: Counts<2>,
    pub(super) times: Labelled<Spread<Quick>, 1>,
    pub(super) retries: Counts<1>,
    pub(super) affinity_hits: Counts<1>,
    /// By the agent that the session came to.
    pub(super) affinity_moves: Counts<1>,
    pub(super) in_flight: Arc<Labelled<u64, 1>>,
    pub(super) agent_up: Labelled<u64, 1>,
    pub(super) queued: Arc<AtomicU64>,
    pub(super) queue_times: Arc<Timing<Quick>>,
    pub(super) queue_limit: AtomicU64,
    pub(super) concurrency: AtomicU64,
    pub(super) sessions: AtomicU64,
    pub(super) instances: [AtomicU64; 2],
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            requests: Counts::default(),
            times: Labelled::bounded(MOST_SPREADS),
            retries: Counts::default(),
            affinity_hits: Counts::default(),
            affinity_moves: Counts::default(),
            in_flight: Arc::default(),
            agent_up: Labelled::default(),
            queued: Arc::default(),
            queue_times: Arc::default(),
            queue_limit: AtomicU64::default(),
            concurrency: AtomicU64::default(),
            sessions: AtomicU64::default(),
            instances: Default::default(),
        }
    }
}

impl Gateway {
    /// Counts a request that is over, with all its tries; `agent` is empty where none was chosen.
    pub fn served(&self, agent: &str, how: Served, took: Duration) {
        self.requests.add([agent, how.as_str()]);
        if !agent.is_empty() {
            self.times.with([agent], |spread| spread.take(took));
        }
    }

    /// Counts a try after one that failed; `agent` is the one that is tried now.
    pub fn retried(&self, agent: &str) {
        self.retries.add([agent]);
    }

    /// Counts a request of a session that went to the session's own agent.
    pub fn affinity_hit(&self, agent: &str) {
        self.affinity_hits.add([agent]);
    }

    /// Counts a session that had to leave its agent; `to` is its new one.
    pub fn affinity_moved(&self, to: &str) {
        self.affinity_moves.add([to]);
    }

    /// Counts a request among those that an agent works on, until the value is dropped.
    #[must_use]
    pub fn in_flight(&self, agent: &str) -> InFlight {
        self.in_flight.with([agent], |count| *count += 1);
        InFlight { all: Arc::clone(&self.in_flight), agent: agent.to_owned() }
    }

    /// Counts a request among those that wait, until the value is dropped.
    #[must_use]
    pub fn queued(&self) -> Queued {
        self.queued.fetch_add(1, Relaxed);
        Queued {
            waiting: Arc::clone(&self.queued),
            times: Arc::clone(&self.queue_times),
            since: Instant::now(),
        }
    }

    /// Returns how many requests wait now.
    pub fn waiting(&self) -> u64 {
        self.queued.load(Relaxed)
    }

    /// Notes what a probe of an agent showed.
    pub fn probed(&self, agent: &str, is_up: bool) {
        self.agent_up.with([agent], |up| *up = u64::from(is_up));
    }

    /// Forgets the gauges of an agent that is gone; its counters stay.
    pub fn forget(&self, agent: &str) {
        self.agent_up.forget([agent]);
    }

    /// Notes how many sessions have an agent of their own.
    pub fn set_sessions(&self, count: usize) {
        self.sessions.store(count as u64, Relaxed);
    }

    /// Notes how many requests may wait, and how many an agent works on at a time.
    pub fn set_limits(&self, queue: usize, concurrency: usize) {
        self.queue_limit.store(queue as u64, Relaxed);
        self.concurrency.store(concurrency as u64, Relaxed);
    }

    /// Notes `MIN_INSTANCES` and `MAX_INSTANCES`.
    pub fn set_instances(&self, least: u32, most: u32) {
        for (known, count) in self.instances.iter().zip([least, most]) {
            known.store(u64::from(count), Relaxed);
        }
    }
}

/// One request that an agent works on.
#[derive(Debug)]
pub struct InFlight {
    all: Arc<Labelled<u64, 1>>,
    agent: String,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.all.with([&self.agent], |count| *count = count.saturating_sub(1));
    }
}

/// One request that waits.
#[derive(Debug)]
pub struct Queued {
    waiting: Arc<AtomicU64>,
    times: Arc<Timing<Quick>>,
    since: Instant,
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Relaxed);
        self.times.take(self.since.elapsed());
    }
}
