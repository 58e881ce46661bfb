//! Everything that registered at the runner API: leases, task lists, updates.
//!
//! The registry is in memory and decides at once; each change that must survive is on disk before
//! it is answered ([`Keeper`]). A heartbeat changes the time and the load only, and is written
//! within a few seconds, together with all others. After a restart every lease starts anew.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use protocol::runner::{
    Heartbeat, MoveRunner, NewRunnerTask, PatchRunnerTask, PendingUpdate, RUNNING, RegisterRunner,
    Registered, RequestUpdate, RunnerInfo, RunnerOffline, RunnerTask,
};
use tokio::sync::{broadcast, watch};
use tokio::time::sleep_until;
use tracing::info;
use uuid::Uuid;

use crate::keeper::{self, Keeper};
use crate::ledger::{Kind, Record};

mod limits;
mod listing;
mod record;
mod registry;
mod writing;

pub use limits::{Limits, RunnersError};
pub use record::{KeyPush, Runner, Task, Update};
pub use registry::{Changes, Comings, Ended, Look, Lost, Moment, Registry};

/// How long the answer to a list may be on its way.
const IN_ORDER: Duration = Duration::from_millis(100);
/// How many losses a slow listener may lie behind.
const LOSSES: usize = 1024;

/// Everything that registered.
#[derive(Debug)]
pub struct Runners {
    registry: Mutex<Registry>,
    keeper: Arc<Keeper>,
    /// Those whose row lacks a heartbeat.
    beats: Mutex<HashSet<String>>,
    /// Rises when somebody comes, goes, or can do something else.
    presence: watch::Sender<u64>,
    /// Rises when a task comes, ends, or is read by its runner.
    work: watch::Sender<u64>,
    losses: broadcast::Sender<Lost>,
    /// Rises with each change of anything that a list shows.
    edition: AtomicU64,
    listing: listing::Listing,
}

impl Runners {
    /// Takes over what the ledger has; every lease starts now.
    pub fn restore(limits: Limits, records: &[Record], keeper: Arc<Keeper>) -> Self {
        let mut registry = Registry::new(limits);
        let runners = keeper::read::<Runner>(records, Kind::Runner);
        let tasks = keeper::read::<Task>(records, Kind::Task);
        registry.restore(
            runners.into_iter().map(|(_, runner)| runner).collect(),
            tasks.into_iter().map(|(record, task)| (record.owner.clone(), task)).collect(),
            Moment::now(),
        );
        Self {
            registry: Mutex::new(registry),
            keeper,
            beats: Mutex::default(),
            presence: watch::Sender::new(0),
            work: watch::Sender::new(0),
            losses: broadcast::Sender::new(LOSSES),
            edition: AtomicU64::new(1),
            listing: listing::Listing::default(),
        }
    }

    /// Reads the registry; not across an await.
    pub fn read(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells when somebody comes, goes, or can do something else.
    pub fn presence(&self) -> watch::Receiver<u64> {
        self.presence.subscribe()
    }

    /// Tells when a task comes, ends, or is read by its runner.
    pub fn work(&self) -> watch::Receiver<u64> {
        self.work.subscribe()
    }

    /// Tells of each runner that is lost from now on.
    pub fn losses(&self) -> broadcast::Receiver<Lost> {
        self.losses.subscribe()
    }

    /// Registers a runner; `key` is the id of the API key that the request came with.
    pub async fn register(
        &self,
        body: RegisterRunner,
        key: Option<&str>,
    ) -> Result<Registered, RunnersError> {
        self.change(|registry, now, changes| {
            let known = body.runner_id.as_deref().is_some_and(|id| registry.get(id).is_ok());
            let registered = registry.register(body, || token(21), now, changes)?;
            registry.note_key(&registered.runner_id, key, changes);
            if !known {
                let runner = registry.get(&registered.runner_id)?;
                info!(runner = %runner.id, "{} registered ({})", runner.name, runner.version);
            }
            Ok(registered)
        })
        .await
    }

    /// Takes a heartbeat; returns what the runner is to be told about itself.
    pub async fn heartbeat(
        &self,
        body: Heartbeat,
        key: Option<&str>,
    ) -> Result<Option<(PendingUpdate, Option<KeyPush>)>, RunnersError> {
        self.change(|registry, now, changes| {
            let id = body.runner_id.clone().unwrap_or_default();
            registry.heartbeat(body, now, changes)?;
            registry.note_key(&id, key, changes);
            Ok(registry.deliver(&id, changes))
        })
        .await
    }

    /// Notes where a runner listens now.
    pub async fn relocate(&self, body: MoveRunner) -> Result<(), RunnersError> {
        self.change(|registry, now, changes| registry.relocate(body, now, changes)).await
    }

    /// Takes a runner's good-bye.
    pub async fn offline(&self, body: RunnerOffline) -> Result<(), RunnersError> {
        self.change(|registry, _, changes| registry.offline(body, changes)).await
    }

    /// Notes an update that the runner is to be told about.
    pub async fn request_update(
        &self,
        id: &str,
        body: RequestUpdate,
    ) -> Result<PendingUpdate, RunnersError> {
        self.change(|registry, now, changes| registry.request_update(id, body, now, changes)).await
    }

    /// Notes an update for these runners, or for all; returns those that there are.
    pub async fn request_updates(
        &self,
        ids: Option<&[String]>,
        body: &RequestUpdate,
    ) -> Result<Vec<String>, RunnersError> {
        self.change(|registry, now, changes| {
            let known: Vec<String> = match ids {
                Some(ids) => ids.iter().filter(|id| registry.get(id).is_ok()).cloned().collect(),
                None => registry.all().map(|runner| runner.id.clone()).collect(),
            };
            for id in &known {
                registry.request_update(id, body.clone(), now, changes)?;
            }
            Ok(known)
        })
        .await
    }

    /// Notes a key that these runners are to use; returns those that there are.
    pub async fn push_key(
        &self,
        ids: &[String],
        push: &KeyPush,
    ) -> Result<Vec<String>, RunnersError> {
        self.change(|registry, _, changes| {
            let known = ids.iter().filter(|id| registry.get(id).is_ok()).cloned();
            let known: Vec<String> = known.collect();
            for id in &known {
                registry.push_key(id, push.clone(), changes)?;
            }
            Ok(known)
        })
        .await
    }

    /// Takes back a key that is not to be told any more.
    pub async fn drop_push(&self, key: &str) -> Result<(), RunnersError> {
        self.change(|registry, _, changes| {
            registry.drop_push(key, changes);
            Ok(())
        })
        .await
    }

    /// Puts a task on a runner's list.
    pub async fn create_task(
        &self,
        id: &str,
        body: NewRunnerTask,
    ) -> Result<RunnerTask, RunnersError> {
        self.change(|registry, now, changes| {
            registry.create_task(id, body, || format!("task-{}", token(8)), now, changes)
        })
        .await
    }

    /// Returns a runner's tasks, by status when one is given; they count as delivered when the
    /// look is the runner's own.
    pub async fn list_tasks(
        &self,
        id: &str,
        status: Option<&str>,
        look: Look,
    ) -> Result<Vec<RunnerTask>, RunnersError> {
        let listed = self
            .change(|registry, _, changes| registry.list_tasks(id, status, look, changes))
            .await?;
        // What was reported while the disk was waited for must not be begun again.
        Ok(self.read().still_listed(id, status, listed, Moment::now()))
    }

    /// Takes what somebody says of a task.
    pub async fn patch_task(
        &self,
        id: &str,
        task: &str,
        body: PatchRunnerTask,
    ) -> Result<RunnerTask, RunnersError> {
        let task = self
            .change(|registry, now, changes| registry.patch_task(id, task, body, now, changes))
            .await?;
        let listed = self.read().get(id).ok().and_then(|runner| runner.listed);
        if let Some(listed) = listed
            && task.status != RUNNING
        {
            // A list that shows the task as running may be on its way: when it arrives after this
            // answer, a Ratatoskr does the task again.
            sleep_until(listed + IN_ORDER).await;
        }
        Ok(task)
    }

    /// Ends a task in our own name.
    pub async fn give_up(&self, id: &str, task: &str, why: &str) -> Result<(), RunnersError> {
        self.change(|registry, now, changes| registry.give_up(id, task, why, now, changes)).await
    }

    /// Takes a task off a list that nobody has read; returns whether it is off.
    pub async fn withdraw(&self, id: &str, task: &str) -> Result<bool, RunnersError> {
        self.change(|registry, _, changes| Ok(registry.withdraw(id, task, changes))).await
    }

    /// Returns all runners as lists show them.
    pub fn list(&self) -> Vec<RunnerInfo> {
        self.read().all().map(Runner::listed).collect()
    }

    /// Returns a number that rises with each change of what [`Runners::listing`] shows.
    pub fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    /// Returns the list of all runners as JSON, and the edition that it shows.
    pub fn listing(&self) -> (u64, Bytes) {
        let edition = self.edition();
        if let Some(list) = self.listing.of(edition) {
            return (edition, list);
        }
        let (edition, list) = {
            let registry = self.read();
            let runners = registry.all();
            let guess = runners.len() * 512;
            (self.edition(), listing::write(runners, guess))
        };
        self.listing.keep(edition, &list);
        (edition, list)
    }

    /// Returns one runner with everything that is shown of it.
    pub fn show(&self, id: &str) -> Result<RunnerInfo, RunnersError> {
        self.read().get(id).map(Runner::shown)
    }
}

/// Returns random text that fits into a path.
pub(crate) fn token(length: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // A random UUID has six bits that are always the same, in bytes 6 and 8.
        for (at, byte) in Uuid::new_v4().into_bytes().into_iter().enumerate() {
            if at != 6 && at != 8 && text.len() < length {
                text.push(char::from(LETTERS[usize::from(byte & 63)]));
            }
        }
    }
    text
}
