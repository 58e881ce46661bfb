//! The executors and runners: who answers, what each can do, and since when.
//!
//! An executor that routing.yaml names, or that registered as one of ours, is probed by a loop of
//! its own. A runner with a task list is believed for as long as its lease. Everybody else reads a
//! copy of the states, or waits for a change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use protocol::executor::{ExecutorStatus, Health};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::routing::{ExecutorName, Routing};

mod client;
mod door;
mod list;
mod registered;
mod state;

pub use client::{ClientError, ExecutorClient, Log, Offer};
pub use door::Door;
pub use list::TaskList;
pub use registered::Registered;
pub(crate) use registered::entry_of;
pub use state::{Condition, ExecutorState, Refused, RunnerFacts, TaskFacts};

/// Between two looks at an executor.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// Between two full questions (`/status`) to an executor that is up.
const STATUS_EVERY: Duration = Duration::from_secs(20);

/// How long an executor that is set up wrongly is left alone.
const REFUSED_FOR: Duration = Duration::from_mins(1);

/// Every executor and runner, by name.
#[derive(Debug)]
pub struct Fleet {
    members: Mutex<BTreeMap<ExecutorName, Arc<Member>>>,
    states: Mutex<Arc<BTreeMap<ExecutorName, ExecutorState>>>,
    /// Woken at each change of a state.
    pub changed: Arc<Notify>,
}

#[derive(Debug)]
struct Member {
    door: Door,
    look_now: Notify,
    /// Ends the loop that keeps its state.
    stop: CancellationToken,
}

impl Fleet {
    /// Makes the fleet of a routing; nobody is asked before [`Fleet::watch`].
    pub fn new(
        routing: &Routing,
        clients: BTreeMap<ExecutorName, ExecutorClient>,
        changed: Arc<Notify>,
        now: Timestamp,
    ) -> Self {
        let states =
            routing.executors.keys().map(|name| (name.clone(), ExecutorState::new(now))).collect();
        let members = clients
            .into_iter()
            .map(|(name, client)| (name, Arc::new(Member::new(Door::Execute(client)))))
            .collect();
        Self { members: Mutex::new(members), states: Mutex::new(Arc::new(states)), changed }
    }

    /// Returns what is known now.
    pub fn states(&self) -> Arc<BTreeMap<ExecutorName, ExecutorState>> {
        Arc::clone(&self.lock())
    }

    /// Returns the way to an executor; none when nobody knows it any more.
    pub fn door(&self, name: &ExecutorName) -> Option<Door> {
        self.members().get(name).map(|member| member.door.clone())
    }

    /// Returns the names of all members.
    pub fn names(&self) -> Vec<ExecutorName> {
        self.members().keys().cloned().collect()
    }

    /// Has an executor looked at now, because it behaved oddly or has just registered.
    pub fn suspect(&self, name: &ExecutorName) {
        if let Some(member) = self.members().get(name) {
            member.look_now.notify_one();
        }
    }

    /// Notes that an executor said it is full.
    pub fn busy(&self, name: &ExecutorName, until: Timestamp) {
        self.update(name, |state| state.busy_until = Some(until));
    }

    /// Notes that an executor's answer shows a mistake in the set-up.
    pub fn misconfigured(&self, name: &ExecutorName, error: String) {
        self.update(name, |state| {
            let until = Timestamp::now() + REFUSED_FOR;
            state.refused = Some(Refused { error: error.clone(), life: state.life, until });
            state.condition = Condition::Misconfigured { error };
        });
    }

    /// Notes that an executor took an offer.
    pub fn accepted(&self, name: &ExecutorName) {
        self.update(name, |state| {
            state.refused = None;
            if matches!(state.condition, Condition::Misconfigured { .. }) {
                state.condition = Condition::Up;
            }
        });
    }

    /// Keeps the state of one executor until `stop`.
    pub async fn watch(&self, name: &ExecutorName, stop: CancellationToken) {
        let Some(member) = self.members().get(name).cloned() else { return };
        let Door::Execute(client) = &member.door else { return };
        let mut asked: Option<tokio::time::Instant> = None;
        loop {
            let seen = look(client, &mut asked, self.is_up(name)).await;
            self.update(name, |state| {
                apply(state, seen);
                remember_refusal(state, Timestamp::now());
            });
            tokio::select! {
                () = stop.cancelled() => return,
                () = member.stop.cancelled() => return,
                () = member.look_now.notified() => asked = None,
                () = tokio::time::sleep(PROBE_EVERY) => {}
            }
        }
    }

    fn is_up(&self, name: &ExecutorName) -> bool {
        self.lock().get(name).is_some_and(|state| state.condition == Condition::Up)
    }

    fn update(&self, name: &ExecutorName, change: impl FnOnce(&mut ExecutorState)) {
        let mut states = self.lock();
        let Some(before) = states.get(name) else { return };
        let mut after = before.clone();
        change(&mut after);
        if after == *before {
            return;
        }
        if after.condition.as_str() != before.condition.as_str() {
            after.since = Timestamp::now();
            announce(name, &after.condition);
        }
        let mut all = BTreeMap::clone(&states);
        all.insert(name.clone(), after);
        *states = Arc::new(all);
        drop(states);
        self.changed.notify_one();
    }

    fn members(&self) -> std::sync::MutexGuard<'_, BTreeMap<ExecutorName, Arc<Member>>> {
        // Held for a copy only, never across an await.
        self.members.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<BTreeMap<ExecutorName, ExecutorState>>> {
        // Held for a copy only, never across an await.
        self.states.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Member {
    fn new(door: Door) -> Self {
        Self { door, look_now: Notify::new(), stop: CancellationToken::new() }
    }
}

/// What a look at an executor showed.
enum Seen {
    Condition(Condition),
    Status(Box<ExecutorStatus>),
}

async fn look(client: &ExecutorClient, asked: &mut Option<tokio::time::Instant>, up: bool) -> Seen {
    match client.health().await {
        Err(error) => {
            *asked = None;
            return Seen::Condition(condition_of(&error));
        }
        Ok(Health::Draining) => {
            *asked = None;
            return Seen::Condition(Condition::Draining);
        }
        Ok(Health::Healthy | Health::Degraded) => {}
    }
    if up && asked.is_some_and(|at| at.elapsed() < STATUS_EVERY) {
        return Seen::Condition(Condition::Up);
    }
    match client.status().await {
        Ok(status) => {
            *asked = Some(tokio::time::Instant::now());
            Seen::Status(Box::new(status))
        }
        Err(error) => {
            *asked = None;
            Seen::Condition(condition_of(&error))
        }
    }
}

fn condition_of(error: &ClientError) -> Condition {
    match error {
        ClientError::Unreachable { .. }
        | ClientError::Cut { .. }
        | ClientError::NotTaken { .. }
        | ClientError::Silent { .. } => Condition::Away { error: error.line() },
        ClientError::Refused { .. } | ClientError::NotProtocol { .. } => {
            Condition::Misconfigured { error: error.line() }
        }
    }
}

fn apply(state: &mut ExecutorState, seen: Seen) {
    match seen {
        Seen::Condition(condition) => state.condition = condition,
        Seen::Status(status) if status.protocol != protocol::PROTOCOL => {
            state.condition = Condition::Misconfigured {
                error: format!(
                    "it speaks protocol {}, this coordinator speaks {}: bring both to one version",
                    status.protocol,
                    protocol::PROTOCOL
                ),
            };
        }
        Seen::Status(status) => {
            if state.life != Some(status.life) {
                state.busy_until = None;
            }
            state.condition = Condition::Up;
            state.capacity = Some(status.capacity);
            state.life = Some(status.life);
            state.version = Some(status.version);
            let tasks = status
                .tasks
                .into_iter()
                .map(|task| {
                    let facts = TaskFacts {
                        limit: task
                            .timeout_seconds
                            .and_then(|s| Duration::try_from_secs_f64(s).ok()),
                        idempotent: task.idempotent,
                        retryable: task.retryable,
                        able: task.missing.is_empty() && task.forbidden.is_none(),
                    };
                    (task.task_type, facts)
                })
                .collect();
            if *state.tasks != tasks {
                state.tasks = Arc::new(tasks);
            }
        }
    }
}

/// A probe that answers does not mend what an offer has shown.
fn remember_refusal(state: &mut ExecutorState, now: Timestamp) {
    let Some(refused) = &state.refused else { return };
    if refused.life != state.life || refused.until <= now {
        state.refused = None;
    } else if state.condition == Condition::Up {
        state.condition = Condition::Misconfigured { error: refused.error.clone() };
    }
}

fn announce(name: &ExecutorName, condition: &Condition) {
    match condition {
        Condition::Unknown => {}
        Condition::Up => info!(executor = %name, "{name} is up"),
        Condition::Draining => info!(executor = %name, "{name} is draining"),
        Condition::Away { error } => warn!(executor = %name, "{name} is away: {error}"),
        Condition::Misconfigured { error } => {
            warn!(executor = %name, "{name} is set up wrongly: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_answering_probe_does_not_mend_what_an_offer_has_shown() {
        let now = Timestamp::now();
        let life = Some(Uuid::now_v7());
        let refused = Refused { error: "409".to_owned(), life, until: now + REFUSED_FOR };
        let up = ExecutorState {
            condition: Condition::Up,
            life,
            refused: Some(refused),
            ..ExecutorState::new(now)
        };
        let after = |mut state: ExecutorState, at| {
            remember_refusal(&mut state, at);
            state.condition
        };

        assert_eq!(after(up.clone(), now), Condition::Misconfigured { error: "409".to_owned() });
        assert_eq!(after(up.clone(), now + REFUSED_FOR), Condition::Up);
        let restarted = ExecutorState { life: Some(Uuid::now_v7()), ..up };
        assert_eq!(after(restarted, now), Condition::Up);
    }
}
