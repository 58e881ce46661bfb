//! Takes what registered at the runner API into the fleet.
//!
//! An executor of ours that routing.yaml names too keeps its address and its token from there;
//! its registration adds labels and capabilities. One that only registered is probed at the
//! endpoint that it told. Every other runner is reached by its list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use reqwest::header::HeaderValue;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    Condition, Door, ExecutorClient, ExecutorState, Fleet, Member, RunnerFacts, TaskList, announce,
};
use crate::routing::{ExecutorName, HostName, Routing};
use crate::runners::{Runner, Runners};

/// How those that registered are reached.
#[derive(Debug)]
pub struct Registered {
    http: reqwest::Client,
    /// What executors want that routing.yaml does not name.
    token: Option<HeaderValue>,
    /// How many tasks a runner gets at a time that does not say how many it takes.
    capacity: u32,
}

/// One runner, as the fleet sees it.
struct Seen {
    /// The entry of routing.yaml that it is.
    configured: Option<ExecutorName>,
    facts: RunnerFacts,
    reach: Reach,
    capacity: Option<u32>,
    version: String,
    is_online: bool,
    last_heard: Timestamp,
}

#[derive(Clone)]
enum Reach {
    Execute(Url),
    List,
    /// It says that it takes `POST /execute`, and not where.
    Nowhere(String),
}

impl Registered {
    /// Makes the ways of reaching them.
    pub fn new(http: reqwest::Client, token: Option<HeaderValue>, capacity: u32) -> Self {
        Self { http, token, capacity }
    }

    /// Brings the fleet in line with the registry; returns the members that want a probe loop.
    pub fn sync(
        &self,
        fleet: &Fleet,
        routing: &Routing,
        runners: &Arc<Runners>,
        stop: &CancellationToken,
    ) -> Vec<ExecutorName> {
        let seen: Vec<Seen> = {
            let registry = runners.read();
            registry.all().map(|runner| look(runner, routing)).collect()
        };
        let mut new = Vec::new();
        let mut named: BTreeMap<ExecutorName, Seen> = BTreeMap::new();
        for seen in seen {
            let name = seen.configured.clone().unwrap_or_else(|| member_name(&seen.facts));
            // Of two with one name the one that is there counts.
            if named.get(&name).is_none_or(|other| seen.is_online || !other.is_online) {
                named.insert(name, seen);
            }
        }
        {
            let mut members = fleet.members();
            let gone: BTreeSet<ExecutorName> = members
                .keys()
                .filter(|name| !routing.executors.contains_key(*name) && !named.contains_key(*name))
                .cloned()
                .collect();
            for name in gone {
                if let Some(member) = members.remove(&name) {
                    member.stop.cancel();
                }
            }
            for (name, seen) in named.iter().filter(|(_, seen)| seen.configured.is_none()) {
                let door = match &seen.reach {
                    Reach::Execute(url) => Door::Execute(ExecutorClient::new(
                        self.http.clone(),
                        url.clone(),
                        self.token.clone(),
                    )),
                    Reach::List | Reach::Nowhere(_) => Door::List(TaskList::new(
                        Arc::clone(runners),
                        seen.facts.id.clone(),
                        stop.clone(),
                    )),
                };
                match members.get(name) {
                    Some(member) if member.door.is_same(&door) => {}
                    known => {
                        if let Some(member) = known {
                            member.stop.cancel();
                        }
                        if matches!(door, Door::Execute(_)) {
                            new.push(name.clone());
                        }
                        members.insert(name.clone(), Arc::new(Member::new(door)));
                    }
                }
            }
        }
        let came = fleet.take_over(&named_states(&named, self.capacity, &new), routing);
        for name in came {
            fleet.suspect(&name);
        }
        new
    }
}

/// What a registration says of the state of a member.
pub(super) struct Told {
    pub(super) facts: Arc<RunnerFacts>,
    pub(super) capacity: Option<u32>,
    pub(super) version: String,
    /// None: a probe finds out.
    pub(super) condition: Option<Condition>,
    /// Whether the runner is there at all.
    pub(super) is_online: bool,
}

fn named_states(
    named: &BTreeMap<ExecutorName, Seen>,
    capacity: u32,
    new: &[ExecutorName],
) -> BTreeMap<ExecutorName, Told> {
    named
        .iter()
        .map(|(name, seen)| {
            let away = || Condition::Away { error: format!("offline since {}", seen.last_heard) };
            let condition = match &seen.reach {
                _ if seen.configured.is_some() => None,
                Reach::Execute(_) if new.contains(name) => Some(Condition::Unknown),
                Reach::Execute(_) => None,
                Reach::List if seen.is_online => Some(Condition::Up),
                Reach::List => Some(away()),
                Reach::Nowhere(error) => Some(Condition::Misconfigured { error: error.clone() }),
            };
            let told = Told {
                facts: Arc::new(seen.facts.clone()),
                capacity: seen.capacity.or(Some(capacity)),
                version: seen.version.clone(),
                condition,
                is_online: seen.is_online,
            };
            (name.clone(), told)
        })
        .collect()
}

impl Fleet {
    /// Takes over what registrations say; returns those that a probe should look at now.
    fn take_over(
        &self,
        told: &BTreeMap<ExecutorName, Told>,
        routing: &Routing,
    ) -> Vec<ExecutorName> {
        let now = Timestamp::now();
        let mut suspects = Vec::new();
        let mut states = self.lock();
        let mut all = BTreeMap::clone(&states);
        all.retain(|name, _| routing.executors.contains_key(name) || told.contains_key(name));
        for (name, told) in told {
            let configured = routing.executors.contains_key(name);
            let before = all.get(name);
            let mut after = before
                .cloned()
                .unwrap_or_else(|| ExecutorState { configured, ..ExecutorState::new(now) });
            let was_online = before.is_some_and(|state| state.runner.is_some());
            if after.runner.as_deref() != Some(&*told.facts) {
                after.runner = Some(Arc::clone(&told.facts));
            }
            if !configured && told.facts.takes_anything {
                after.capacity = told.capacity;
                after.version = Some(told.version.clone());
            }
            if let Some(condition) = &told.condition {
                after.condition = condition.clone();
            }
            let is_changed =
                before.is_none_or(|before| before.condition.as_str() != after.condition.as_str());
            if is_changed {
                after.since = now;
                announce(name, &after.condition);
            }
            if told.is_online && (!was_online || !after.is_up()) {
                suspects.push(name.clone());
            }
            all.insert(name.clone(), after);
        }
        if all != **states {
            *states = Arc::new(all);
            drop(states);
            self.changed.notify_one();
        }
        suspects
    }
}

fn look(runner: &Runner, routing: &Routing) -> Seen {
    let executor = runner.executor();
    let url = Url::parse(&runner.endpoint)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
    let configured = executor.as_ref().and_then(|_| entry_of(runner, url.as_ref(), routing));
    let reach = match (&executor, &url) {
        (None, _) => Reach::List,
        (Some(_), Some(url)) => Reach::Execute(url.clone()),
        (Some(_), None) => Reach::Nowhere(format!(
            "it registered the endpoint `{}`, which is no address of an executor",
            runner.endpoint
        )),
    };
    let host = url.as_ref().and_then(Url::host_str).unwrap_or(&runner.name);
    Seen {
        configured,
        facts: RunnerFacts {
            id: runner.id.clone(),
            name: runner.name.clone(),
            capabilities: runner.capabilities.clone(),
            labels: runner.labels.clone(),
            host: HostName::from(host.trim_start_matches('[').trim_end_matches(']')),
            takes_anything: executor.is_none(),
        },
        reach,
        capacity: executor.and_then(|executor| executor.capacity),
        version: runner.version.clone(),
        is_online: runner.is_online(),
        last_heard: runner.last_heartbeat,
    }
}

/// Finds the entry of routing.yaml that a registered executor is: by its address, else its name.
pub(crate) fn entry_of(
    runner: &Runner,
    url: Option<&Url>,
    routing: &Routing,
) -> Option<ExecutorName> {
    let same = |entry: &Url, url: &Url| {
        entry.host_str() == url.host_str()
            && entry.port_or_known_default() == url.port_or_known_default()
    };
    let by_address = url.and_then(|url| {
        routing.executors.iter().find(|(_, entry)| same(&entry.url, url)).map(|(name, _)| name)
    });
    by_address.or_else(|| routing.named(&runner.name)).cloned()
}

/// Names a runner that routing.yaml does not: by its id, and by its name where the id does not
/// tell it.
fn member_name(facts: &RunnerFacts) -> ExecutorName {
    if facts.id.starts_with(&facts.name) {
        ExecutorName::from(facts.id.as_str())
    } else {
        ExecutorName::from(format!("{}/{}", facts.name, facts.id))
    }
}
