//! Requests handed through to agents: `/agent/{id}/…`.
//!
//! An agent is a runner that takes requests at its endpoint. A request is for one runner, or for
//! whoever of a pool has the least to do; sessions stay with their agent while it lives; while
//! everybody is full requests wait in line. What may have reached an agent is never sent again
//! unless that is safe.
//!
//! - `agent`, `desk`, `affinity`, `headers`, `retry`: pure.
//! - `client`: the door; `body`: what goes through it.
//! - `pass`: one request, from top to bottom; `probe`: what keeps the picture of agents fresh.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::HeaderValue;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::admission::Admission;
use crate::keeper::Keeper;
use crate::ledger::Record;
use crate::metrics::{InFlight, Metrics};
use crate::runners::Runners;

mod affinity;
mod agent;
mod answer;
mod body;
mod client;
mod desk;
mod executors;
mod headers;
mod pass;
mod pool;
mod probe;
mod refused;
mod retry;
mod search;
mod settings;

pub use executors::Executors;
pub use pass::Call;
pub use refused::Refused;
pub use settings::{Rules, Settings};

use affinity::Sessions;
use agent::{Agent, AgentId, usable};
use client::AgentClient;
use desk::{Desk, Health};
use pool::Pools;

/// What the gateway stands on.
#[derive(Debug)]
pub struct Ground {
    pub runners: Arc<Runners>,
    pub admission: Arc<Admission>,
    pub metrics: Arc<Metrics>,
    pub keeper: Arc<Keeper>,
    pub executors: Executors,
    pub draining: CancellationToken,
}

/// Hands requests through to agents.
#[derive(Debug)]
pub struct Gateway {
    ground: Ground,
    rules: Rules,
    presence: watch::Receiver<u64>,
    /// Names this gateway in the requests that it sends.
    via: HeaderValue,
    client: AgentClient,
    /// Woken when requests are for agents that nobody asked for before.
    look: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Where this coordinator listens: no agent may be there.
    own: Option<SocketAddr>,
    /// Which change of the registry this is made from.
    seen: Option<u64>,
    agents: HashMap<AgentId, Arc<Agent>>,
    pools: Pools,
    desk: Desk<oneshot::Sender<Place>>,
    sessions: Sessions,
}

/// A place at an agent; dropping it gives it to the next in line.
#[derive(Debug)]
struct Place {
    gateway: Arc<Gateway>,
    id: AgentId,
    /// Whether it is one of those that are limited.
    counts: bool,
    _shown: Option<InFlight>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.counts {
            self.gateway.release(&self.id);
        }
    }
}

impl Gateway {
    /// Makes the gateway; nobody is asked anything before the first request.
    pub fn new(rules: Rules, ground: Ground, records: &[Record]) -> reqwest::Result<Self> {
        let (keep, most, keeper) = (rules.session, rules.sessions, Arc::clone(&ground.keeper));
        let sessions = Sessions::restore(keep, most, records, keeper, Timestamp::now());
        let state = State {
            own: None,
            seen: None,
            agents: HashMap::new(),
            pools: Pools::default(),
            desk: Desk::new(rules.queue),
            sessions,
        };
        let shown = ground.metrics.gateway();
        shown.set_limits(rules.queue, rules.max_concurrency as usize);
        shown.set_instances(rules.min_instances, rules.max_instances);
        let via = format!("1.1 yggdrasil-{}", Uuid::new_v4().simple());
        Ok(Self {
            presence: ground.runners.presence(),
            via: HeaderValue::try_from(via).expect("hexadecimal digits are plain text"),
            client: AgentClient::new()?,
            look: Notify::new(),
            state: Mutex::new(state),
            ground,
            rules,
        })
    }

    /// Returns what it goes by.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Says where this coordinator listens: an endpoint there is no agent's.
    pub fn listens_at(&self, own: SocketAddr) {
        let mut state = self.lock();
        state.own = Some(own);
        state.seen = None;
    }

    /// Takes over what has changed among the runners.
    fn refresh(self: &Arc<Self>) {
        let version = *self.presence.borrow();
        let own = {
            let state = self.lock();
            if state.seen == Some(version) {
                return;
            }
            state.own
        };
        let agents: Vec<(Agent, String)> = {
            let registry = self.ground.runners.read();
            registry.all().map(|runner| self.look(runner)).collect()
        };
        let agents: HashMap<AgentId, Arc<Agent>> = agents
            .into_iter()
            .map(|(mut agent, endpoint)| {
                if agent.endpoint.is_err() {
                    agent.endpoint = usable(&endpoint, own);
                }
                (AgentId::clone(&agent.id), Arc::new(agent))
            })
            .collect();
        let seated = {
            let mut state = self.lock();
            state.seen = Some(version);
            state.pools.forget_members();
            for gone in state.agents.values().filter(|agent| !agents.contains_key(&agent.id)) {
                self.shown().forget(&gone.name);
            }
            let reachable = agents
                .values()
                .filter(|agent| agent.is_reachable())
                .map(|agent| (AgentId::clone(&agent.id), agent.limit, at_first(agent)));
            state.desk.sync(reachable);
            let has_moved = |agent: &&Arc<Agent>| {
                let before = state.agents.get(&agent.id);
                before.is_some_and(|before| before.endpoint != agent.endpoint)
            };
            let moved: Vec<_> = agents.values().filter(has_moved).cloned().collect();
            for agent in moved {
                // What is known is known of another place.
                state.desk.note_health(&agent.id, at_first(&agent));
            }
            state.agents = agents;
            state.desk.serve()
        };
        self.hand_over(seated);
    }

    /// Makes an agent of a runner; what it told as endpoint is judged without the registry's lock.
    fn look(&self, runner: &crate::runners::Runner) -> (Agent, String) {
        let executor = runner.executor();
        let known = executor.as_ref().map(|_| self.ground.executors.of(runner)).unwrap_or_default();
        let own_limit = executor.as_ref().and_then(|executor| executor.capacity);
        let agent = Agent {
            id: AgentId::from(runner.id.as_str()),
            name: runner.name.clone(),
            online: runner.is_online(),
            last_heard: runner.last_heartbeat,
            is_executor: executor.is_some(),
            endpoint: known.url.ok_or_else(String::new),
            token: known.token,
            capabilities: runner.capabilities.clone(),
            labels: runner.labels.clone(),
            limit: own_limit
                .map_or(self.rules.max_concurrency, |own| own.clamp(1, self.rules.max_concurrency)),
            tag: tag(&runner.id),
        };
        (agent, runner.endpoint.clone())
    }

    /// Notes how an agent answers.
    fn note_health(self: &Arc<Self>, id: &AgentId, health: Health) {
        let seated = {
            let mut state = self.lock();
            if let Some(agent) = state.agents.get(id) {
                self.shown().probed(&agent.name, health == Health::Good);
            }
            if state.desk.health(id) == Some(health) {
                return;
            }
            state.desk.note_health(id, health);
            state.desk.serve()
        };
        self.hand_over(seated);
    }

    fn release(self: &Arc<Self>, id: &AgentId) {
        let seated = self.lock().desk.release(id);
        self.hand_over(seated);
    }

    /// Gives places to those who waited for them; not while the state is locked.
    fn hand_over(
        self: &Arc<Self>,
        seated: impl IntoIterator<Item = (oneshot::Sender<Place>, AgentId)>,
    ) {
        for (who, id) in seated {
            let place = self.place(id, true);
            // Who has gone meanwhile gives it back by dropping it.
            drop(who.send(place));
        }
    }

    /// Makes the value that stands for a place that the desk gave.
    fn place(self: &Arc<Self>, id: AgentId, counts: bool) -> Place {
        let name = self.lock().agents.get(&id).map(|agent| agent.name.clone());
        let shown = name.map(|name| self.shown().in_flight(&name));
        Place { gateway: Arc::clone(self), id, counts, _shown: shown }
    }

    fn shown(&self) -> &crate::metrics::Gateway {
        self.ground.metrics.gateway()
    }

    fn now() -> Instant {
        Instant::now()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Never across an await.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to think of an agent that nobody has asked yet: an executor tells where it is, of others
/// it is a claim.
fn at_first(agent: &Agent) -> Health {
    if agent.is_executor { Health::Good } else { Health::Unknown }
}

/// Returns what the session cookie calls an agent: the same in each life of the coordinator, and
/// no more than that.
fn tag(id: &str) -> String {
    hex::encode(&Sha256::digest(id.as_bytes())[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_same_each_time_and_fits_into_a_cookie() {
        assert_eq!(tag("r-1"), tag("r-1"));
        assert_ne!(tag("r-1"), tag("r-2"));
        assert!(tag("r;\n1").bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
