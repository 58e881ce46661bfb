//! The executor's part in the runner API: it registers with a coordinator, sends heartbeats, takes
//! tasks from its list there, and brings itself up to date.
//!
//! - `link`: requests, the key, what went wrong.
//! - `presence`: registering and heartbeats; the one chain of retries.
//! - `list`: tasks that were put on the list, and reporting how they ended.
//! - `update`: a newer version, and the node owner's word on it.
//! - `kept`: what of all this survives a restart.
//!
//! Nothing here is needed for work: while the coordinator is away, orders are taken and tasks run
//! as ever.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon::shutdown::Shutdown;
use protocol::PROTOCOL;
use protocol::runner::RegisterRunner;
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

mod endpoint;
mod kept;
mod link;
mod list;
mod presence;
mod resources;
mod update;

use self::kept::Kept;
use self::link::Link;
use self::update::Updates;
use crate::runner::Runner;
use crate::settings::{Coordinator, Labels};

/// Waits between tries: at first, and at most.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What all parts of the registration share.
pub(crate) struct Registration {
    link: Link,
    who: Who,
    every: Intervals,
    runner: Arc<Runner>,
    kept: Kept,
    updates: Updates,
    shutdown: Shutdown,
    /// Whether the coordinator answers and knows this executor.
    known: watch::Sender<bool>,
    /// A heartbeat is wanted before its time.
    nudge: Notify,
    /// By the id on the list: the attempt of each task in hand.
    // No `.await` while it is held.
    in_hand: Mutex<HashMap<String, Uuid>>,
    /// Nothing runs any more: what is to be reported is tried once more.
    closing: CancellationToken,
}

/// What a registration says that does not change.
struct Who {
    id: String,
    name: String,
    version: &'static str,
    labels: Labels,
    lease: Option<Duration>,
    /// By the owner's word; else it is found out.
    endpoint: Option<Url>,
    listening: SocketAddr,
}

#[derive(Debug, Clone, Copy)]
struct Intervals {
    heartbeat: Duration,
    poll: Option<Duration>,
}

impl Registration {
    /// Begins to take part; everything runs on the process's tracker.
    pub(crate) fn start(
        settings: Coordinator,
        program: (&'static str, &'static str),
        listening: SocketAddr,
        state: &Path,
        runner: Arc<Runner>,
        shutdown: &Shutdown,
    ) -> Arc<Self> {
        let (name, version) = program;
        let kept = Kept::open(state);
        let id = format!("{name}-{}", &runner.spool.id().simple().to_string()[..8]);
        let registration = Arc::new(Self {
            link: Link::new(settings.url, settings.key, kept.clone()),
            who: Who {
                id,
                name: settings.name.unwrap_or_else(|| name.to_owned()),
                version,
                labels: settings.labels,
                lease: settings.lease,
                endpoint: settings.endpoint,
                listening,
            },
            every: Intervals { heartbeat: settings.heartbeat, poll: settings.poll },
            updates: Updates::new(settings.update_command, settings.update_limit, &kept, version),
            runner,
            kept,
            shutdown: shutdown.clone(),
            known: watch::Sender::new(false),
            nudge: Notify::new(),
            in_hand: Mutex::default(),
            closing: CancellationToken::new(),
        });
        drop(shutdown.spawn(Arc::clone(&registration).be_present()));
        drop(shutdown.spawn(Arc::clone(&registration).update_when_asked()));
        drop(shutdown.spawn(Arc::clone(&registration).work_off_the_list()));
        registration
    }

    /// Waits for an update in its middle, at most this long: what is half done may do harm.
    pub(crate) async fn drain(&self, limit: Duration) {
        self.updates.settled(limit).await;
    }

    /// Nothing runs any more: what is left to report is tried once more.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// Makes the registration of this moment, without what the machine has.
    fn body(&self, endpoint: &Url) -> RegisterRunner {
        let runner = &self.runner;
        let can_run = |entry: &&crate::registry::Entry| {
            runner.missing(entry).is_empty() && runner.forbidden(entry).is_none()
        };
        let capabilities = runner.registry.entries().iter().filter(can_run);
        let metadata = json!({
            "protocol": PROTOCOL,
            "capacity": runner.limits.capacity,
            "life": runner.spool.life(),
        });
        RegisterRunner {
            runner_id: Some(self.who.id.clone()),
            name: Some(self.who.name.clone()),
            endpoint: Some(endpoint.as_str().trim_end_matches('/').to_owned()),
            version: Some(self.who.version.to_owned()),
            capabilities: Some(capabilities.map(|entry| entry.task_type.to_owned()).collect()),
            labels: Some(self.who.labels.clone()),
            metadata: match metadata {
                Value::Object(metadata) => Some(metadata),
                _ => Some(Map::new()),
            },
            lease_ttl_ms: self.who.lease.map(millis),
            ..RegisterRunner::default()
        }
    }

    /// Whether the coordinator knows this executor; waits for it otherwise. False: the process
    /// ends first.
    async fn is_known(&self) -> bool {
        let mut known = self.known.subscribe();
        let is_known = known.wait_for(|known| *known);
        self.closing.run_until_cancelled(is_known).await.is_some()
    }

    fn in_hand(&self) -> MutexGuard<'_, HashMap<String, Uuid>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Returns how long to wait after so many failures in a row: twice as long each time, and up to a
/// quarter longer than that, so that not all executors come back in the same moment.
fn wait_after(failures: u32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let wait = doubled.min(LONGEST_WAIT);
    // A random id is as good a die as any.
    let (die, _) = Uuid::new_v4().as_u64_pair();
    wait + wait.mul_f64(0.25 * f64::from((die & 0xff) as u8) / 255.0)
}

/// For texts about several things.
fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_below_their_end() {
        for (failures, least) in [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (1000, 30)] {
            let wait = wait_after(failures);
            let least = Duration::from_secs(least);
            assert!(wait >= least && wait <= least.mul_f64(1.25), "{failures}: {wait:?}");
        }
    }
}
