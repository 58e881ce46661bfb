//! `RUNNER_OFFLINE_HOOK`: tells the owner when a runner is gone.
//!
//! The hook is fed by the registry's losses and lives beside everything else: nothing waits for
//! it. A few deliveries are under way at a time, the others wait in the channel of the losses,
//! which is bounded; what does not fit is counted and said. A delivery that fails is tried again
//! three times. What waits when the coordinator stops is not told: a runner that is still gone
//! then has been gone before.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use protocol::hook::{RUNNER_OFFLINE, RunnerGone};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use uuid::Uuid;

use crate::runners::Lost;

mod command;
mod settings;
mod url;

pub use settings::{Settings, Target};

/// How many deliveries are under way at a time.
const AT_ONCE: usize = 8;
/// How often a delivery that fails is tried again.
const AGAIN: u32 = 3;
/// Before the first repetition; four times as long before each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What became of the deliveries of this life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub delivered: u64,
    /// Given up after every repetition.
    pub failed: u64,
    /// Repetitions.
    pub retried: u64,
    /// Never tried: too many at once.
    pub dropped: u64,
}

#[derive(Debug, Default)]
struct Counters {
    delivered: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
    dropped: AtomicU64,
}

/// Tells the owner when a runner is gone.
#[derive(Debug)]
pub struct Hook {
    way: Option<Way>,
    first_pause: Duration,
    counters: Counters,
}

#[derive(Debug)]
enum Way {
    Url(url::Post),
    Command(command::Shell),
}

/// What a command finds in its environment beside the payload.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    pub path: Option<OsString>,
    pub home: Option<PathBuf>,
}

impl Hook {
    /// Makes the hook; without a target it does nothing.
    pub fn new(target: Option<Target>, environment: Environment) -> reqwest::Result<Self> {
        let way = match target {
            None => None,
            Some(Target::Url(to)) => Some(Way::Url(url::Post::new(to)?)),
            Some(Target::Command(text)) => {
                Some(Way::Command(command::Shell::new(text, environment)))
            }
        };
        Ok(Self { way, first_pause: FIRST_PAUSE, counters: Counters::default() })
    }

    /// Makes the pauses between repetitions shorter or longer.
    #[must_use]
    pub fn first_pause(mut self, pause: Duration) -> Self {
        self.first_pause = pause;
        self
    }

    /// Returns what became of the deliveries so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            delivered: read(&self.counters.delivered),
            failed: read(&self.counters.failed),
            retried: read(&self.counters.retried),
            dropped: read(&self.counters.dropped),
        }
    }

    /// Delivers losses until `stop`; what is on its way then may end.
    pub async fn watch(&self, mut losses: Receiver<Lost>, stop: &CancellationToken) {
        let Some(way) = &self.way else { return };
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
                lost = losses.recv(), if under_way.len() < AT_ONCE => match lost {
                    Ok(lost) => under_way.push(self.deliver(way, gone(lost), stop)),
                    Err(RecvError::Lagged(missed)) => {
                        count(&self.counters.dropped, missed);
                        error!("the offline hook is too slow: {missed} runners went untold");
                    }
                    Err(RecvError::Closed) => break,
                },
            }
        }
        while under_way.next().await.is_some() {}
    }

    /// Delivers one loss, with repetitions.
    async fn deliver(&self, way: &Way, gone: RunnerGone, stop: &CancellationToken) {
        let id = &gone.runner_id;
        // The same in each repetition: whoever gets one twice can tell.
        let delivery = Uuid::new_v4();
        let mut pause = self.first_pause;
        for attempt in 0..=AGAIN {
            let problem = match way.tell(&gone, delivery).await {
                Ok(()) => {
                    count(&self.counters.delivered, 1);
                    debug!(runner = %id, "the offline hook was told of {id}");
                    return;
                }
                Err(problem) => problem,
            };
            if attempt == AGAIN || stop.is_cancelled() {
                count(&self.counters.failed, 1);
                error!(runner = %id, "the offline hook was not told of {id}: {problem}");
                return;
            }
            count(&self.counters.retried, 1);
            warn!(runner = %id, "the offline hook failed for {id} and is tried again: {problem}");
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
            pause *= 4;
        }
    }
}

impl Way {
    async fn tell(&self, gone: &RunnerGone, delivery: Uuid) -> Result<(), String> {
        match self {
            Self::Url(post) => post.tell(gone, delivery).await,
            Self::Command(shell) => shell.tell(gone, delivery).await,
        }
    }
}

fn gone(lost: Lost) -> RunnerGone {
    RunnerGone {
        event: RUNNER_OFFLINE.to_owned(),
        runner_id: lost.runner,
        name: lost.name,
        endpoint: lost.endpoint,
        last_heartbeat: lost.last_heartbeat,
        cause: lost.cause.to_owned(),
        tasks: lost.tasks,
        timestamp: Timestamp::now(),
    }
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
