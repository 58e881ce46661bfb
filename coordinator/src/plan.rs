//! What may start now, where, and why everything else waits.
//!
//! One pure function over a [`Snapshot`]. Concurrency, limits, priorities, absent executors and
//! the emergency brake are all here and nowhere else, so that every wait has a reason that can be
//! asked for. A reason is a code with indexes; its text is made when somebody wants to read it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;

use crate::beads::BeadId;
use crate::fleet::ExecutorState;
use crate::order::Order;
use crate::routing::{ExecutorName, HostName, Routing};

mod candidates;
mod reason;
mod resolve;
#[cfg(test)]
mod tests;

use candidates::Candidates;
pub use reason::{Names, Reason, Wait};
pub use resolve::{called, on_route, resolve};

/// One bead of the last listing that has a task type.
#[derive(Debug, Clone)]
pub struct Listed {
    pub order: Result<Order, BrokenOrder>,
    /// When it was first listed without a break.
    pub first_seen: Timestamp,
}

/// A bead whose order contradicts itself or cannot be read.
#[derive(Debug, Clone)]
pub struct BrokenOrder {
    pub bead: BeadId,
    pub title: String,
    pub priority: u8,
    pub problem: String,
}

impl Listed {
    /// Returns the bead.
    pub fn bead(&self) -> &BeadId {
        match &self.order {
            Ok(order) => &order.bead,
            Err(broken) => &broken.bead,
        }
    }
}

/// An attempt that takes up room.
#[derive(Debug, Clone)]
pub struct Active {
    pub bead: BeadId,
    pub executor: Option<ExecutorName>,
    pub task_type: String,
    pub labels: Vec<String>,
}

/// Why the coordinator takes nothing new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    Open,
    /// The Beads CLI does not work; claims would fail too.
    BeadsTrouble,
    /// The ledger cannot be written.
    LedgerTrouble,
    /// The coordinator is stopping.
    Draining,
}

impl Intake {
    /// Every state.
    pub const ALL: [Self; 4] =
        [Self::Open, Self::BeadsTrouble, Self::LedgerTrouble, Self::Draining];

    /// Returns the word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::BeadsTrouble => "beads_trouble",
            Self::LedgerTrouble => "ledger_trouble",
            Self::Draining => "draining",
        }
    }
}

/// Everything that a plan depends on.
#[derive(Debug)]
pub struct Snapshot<'a> {
    pub now: Timestamp,
    pub intake: Intake,
    /// In the order in which they are considered.
    pub listed: &'a [Listed],
    pub active: &'a [Active],
    pub fleet: &'a BTreeMap<ExecutorName, ExecutorState>,
    /// Those whose circuit breaker lets nothing through, and until when.
    pub left_alone: &'a BTreeMap<ExecutorName, Timestamp>,
    pub routing: &'a Routing,
    /// How many attempts were recorded in the last minute.
    pub recent_starts: u32,
    /// The largest bead that the Beads CLI can update, in bytes.
    pub size_limit: Option<usize>,
}

/// What to do with one listed bead.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Claim it and offer it to this executor.
    Start { executor: ExecutorName },
    /// Leave it alone for now.
    Wait(Wait),
    /// Claim it and block it: an executor has been away for longer than the grace.
    Park { reason: Wait, candidates: Vec<ExecutorName> },
    /// Claim it and block it: it can never work as it stands.
    Block { error: String, hint: Option<String> },
    /// It has an attempt already.
    Active,
}

/// The decisions, in the order of the snapshot's `listed`.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub decisions: Vec<Decision>,
    /// The names that the reasons point to.
    pub names: Names,
    /// When the plan changes by itself, without an event: a grace that ends.
    pub wake_at: Option<Timestamp>,
}

impl Plan {
    /// Whether something known is waiting only for room.
    pub fn has_backlog(&self) -> bool {
        self.decisions.iter().any(|decision| match decision {
            Decision::Wait(wait) => wait.is_for_room(),
            _ => false,
        })
    }
}

/// Sorts listed beads into the order in which they are considered.
///
/// Most urgent first, then the earliest due, then the oldest: Beads itself puts the newest first,
/// which starves the oldest in a steady stream.
pub fn sort(listed: &mut [Listed]) {
    let key = |listed: &Listed| match &listed.order {
        Ok(order) => (
            order.priority,
            order.due_at.unwrap_or(Timestamp::MAX),
            order.created_at.unwrap_or(Timestamp::MAX),
        ),
        Err(broken) => (broken.priority, Timestamp::MAX, Timestamp::MAX),
    };
    listed.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.bead().cmp(b.bead())));
}

/// Decides about every listed bead.
pub fn plan(snapshot: &Snapshot<'_>) -> Plan {
    let mut planner = Planner::new(snapshot);
    let decisions = snapshot.listed.iter().map(|listed| planner.decide(listed)).collect();
    Plan { decisions, names: planner.names, wake_at: planner.wake_at }
}

/// The room that is left, counted down while starts are decided.
struct Planner<'a> {
    snapshot: &'a Snapshot<'a>,
    names: Names,
    wake_at: Option<Timestamp>,
    active_beads: std::collections::HashSet<&'a BeadId>,
    total: u32,
    recent: u32,
    per_type: HashMap<&'a str, u32>,
    per_label: HashMap<&'a str, u32>,
    per_executor: HashMap<&'a ExecutorName, u32>,
    per_host: HashMap<&'a HostName, u32>,
    /// Hosts on which an exclusive task runs.
    exclusive_hosts: std::collections::HashSet<&'a HostName>,
    candidates: HashMap<(&'a str, Option<&'a str>), Result<Candidates<'a>, Decision>>,
    /// Why no executor has room any more, by task type and named executor.
    full: HashMap<(&'a str, Option<&'a str>), Wait>,
}

impl<'a> Planner<'a> {
    fn new(snapshot: &'a Snapshot<'a>) -> Self {
        let mut planner = Self {
            snapshot,
            names: Names::default(),
            wake_at: None,
            active_beads: snapshot.active.iter().map(|active| &active.bead).collect(),
            total: 0,
            recent: snapshot.recent_starts,
            per_type: HashMap::new(),
            per_label: HashMap::new(),
            per_executor: HashMap::new(),
            per_host: HashMap::new(),
            exclusive_hosts: std::collections::HashSet::new(),
            candidates: HashMap::new(),
            full: HashMap::new(),
        };
        for active in snapshot.active {
            let Some(executor) = &active.executor else { continue };
            planner.take_room(executor, &active.task_type, &active.labels);
        }
        planner
    }

    fn take_room(&mut self, executor: &'a ExecutorName, task_type: &'a str, labels: &'a [String]) {
        let routing = self.snapshot.routing;
        self.total += 1;
        *self.per_type.entry(task_type).or_default() += 1;
        *self.per_executor.entry(executor).or_default() += 1;
        if !routing.limits.per_label.is_empty() {
            for label in labels {
                *self.per_label.entry(label.as_str()).or_default() += 1;
            }
        }
        if let Some((host, _)) = self.place(executor) {
            *self.per_host.entry(host).or_default() += 1;
            if routing.limits.exclusive.contains(task_type) {
                self.exclusive_hosts.insert(host);
            }
        }
    }

    /// Returns the machine that an executor is on, and how much it takes at a time by routing.yaml.
    fn place(&self, executor: &ExecutorName) -> Option<(&'a HostName, Option<u32>)> {
        if let Some(entry) = self.snapshot.routing.executors.get(executor) {
            return Some((&entry.host, entry.limit));
        }
        let runner = self.snapshot.fleet.get(executor)?.runner.as_ref()?;
        Some((&runner.host, None))
    }

    fn decide(&mut self, listed: &'a Listed) -> Decision {
        if self.active_beads.contains(listed.bead()) {
            return Decision::Active;
        }
        match self.snapshot.intake {
            Intake::Open => {}
            Intake::BeadsTrouble => return Decision::Wait(Wait::BeadsTrouble),
            Intake::LedgerTrouble => return Decision::Wait(Wait::LedgerTrouble),
            Intake::Draining => return Decision::Wait(Wait::CoordinatorDraining),
        }
        let order = match &listed.order {
            Ok(order) => order,
            Err(broken) => {
                return Decision::Block { error: broken.problem.clone(), hint: None };
            }
        };
        if self.snapshot.size_limit.is_some_and(|limit| order.size >= limit) {
            return Decision::Wait(Wait::TooBig);
        }
        let candidates = match self.candidates(order) {
            Ok(candidates) => candidates,
            Err(decision) => return decision,
        };
        if candidates.all.is_empty() {
            return Decision::Wait(self.nobody(order));
        }
        if candidates.up.is_empty() {
            return self.away(listed, &candidates);
        }
        if let Some(wait) = self.no_room_for(order) {
            return Decision::Wait(wait);
        }
        // Room only gets less while a plan is made: what found none finds none again.
        let key = (order.task_type.as_str(), order.executor.as_deref());
        if let Some(wait) = self.full.get(&key) {
            return Decision::Wait(*wait);
        }
        match self.choose(order, &candidates) {
            Ok(executor) => {
                self.recent += 1;
                self.take_room(executor, &order.task_type, &order.labels);
                Decision::Start { executor: executor.clone() }
            }
            Err(wait) => {
                self.full.insert(key, wait);
                Decision::Wait(wait)
            }
        }
    }

    /// Finds the executors for an order, once per task type.
    fn candidates(&mut self, order: &'a Order) -> Result<Candidates<'a>, Decision> {
        let key = (order.task_type.as_str(), order.executor.as_deref());
        if let Some(known) = self.candidates.get(&key) {
            return known.clone();
        }
        let found = self.find(order);
        self.candidates.insert(key, found.clone());
        found
    }

    /// Nothing that has registered is what the route asks for.
    fn nobody(&mut self, order: &Order) -> Wait {
        let wanted = self.snapshot.routing.route(&order.task_type).unwrap_or_default();
        let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        Wait::NoRunner { wanted: self.names.text(&wanted.join(", or ")) }
    }

    fn away(&mut self, listed: &Listed, candidates: &Candidates<'a>) -> Decision {
        let Some(away) = candidates.away else { return Decision::Wait(Wait::NoExecutor) };
        let grace = self.snapshot.routing.retry.grace;
        let ends = away.since.max(listed.first_seen) + grace;
        if self.snapshot.now < ends {
            self.wake(ends);
            return Decision::Wait(away.wait);
        }
        Decision::Park {
            reason: away.wait,
            candidates: candidates.all.iter().map(|name| (*name).clone()).collect(),
        }
    }

    /// The limits that do not depend on the executor.
    fn no_room_for(&mut self, order: &Order) -> Option<Wait> {
        let limits = &self.snapshot.routing.limits;
        if self.recent >= limits.attempts_per_minute {
            self.wake(self.snapshot.now + Duration::from_secs(1));
            return Some(Wait::Brake { limit: limits.attempts_per_minute });
        }
        if let Some(limit) = limits.total.filter(|limit| self.total >= *limit) {
            return Some(Wait::LimitTotal { limit });
        }
        if let Some(limit) = limits.per_type.get(&order.task_type)
            && self.per_type.get(order.task_type.as_str()).copied().unwrap_or(0) >= *limit
        {
            let task_type = self.names.text(&order.task_type);
            return Some(Wait::LimitType { task_type, limit: *limit });
        }
        if limits.per_label.is_empty() {
            return None;
        }
        let full = order.labels.iter().find_map(|label| {
            let limit = *limits.per_label.get(label)?;
            let taken = self.per_label.get(label.as_str()).copied().unwrap_or(0);
            (taken >= limit).then_some((label, limit))
        });
        full.map(|(label, limit)| Wait::LimitLabel { label: self.names.text(label), limit })
    }

    /// Chooses the executor with the most room; says why when none has any.
    fn choose(
        &mut self,
        order: &Order,
        candidates: &Candidates<'a>,
    ) -> Result<&'a ExecutorName, Wait> {
        let mut reason = None;
        let mut best: Option<(u64, &'a ExecutorName)> = None;
        for name in &candidates.up {
            match self.room(order, name) {
                Ok(load) => {
                    if best.is_none_or(|(least, _)| load < least) {
                        best = Some((load, name));
                    }
                }
                Err(wait) => reason = reason.or(Some(wait)),
            }
        }
        match (best, reason) {
            (Some((_, name)), _) => Ok(name),
            (None, Some(wait)) => Err(wait),
            (None, None) => Err(Wait::NoExecutor),
        }
    }

    /// Returns how loaded an executor is, in thousandths, or why it has no room.
    fn room(&mut self, order: &Order, name: &'a ExecutorName) -> Result<u64, Wait> {
        let routing = self.snapshot.routing;
        let state = &self.snapshot.fleet[name];
        if let Some(until) = state.busy_until.filter(|until| *until > self.snapshot.now) {
            self.wake(until);
            return Err(Wait::ExecutorBusy { executor: self.names.executor(name) });
        }
        if let Some(until) = self.snapshot.left_alone.get(name) {
            self.wake(*until);
            return Err(Wait::RunnerLeftAlone { executor: self.names.executor(name) });
        }
        let Some((host, limit)) = self.place(name) else { return Err(Wait::NoExecutor) };
        let limit = limit.or(state.capacity).unwrap_or(1);
        let taken = self.per_executor.get(name).copied().unwrap_or(0);
        if taken >= limit {
            return Err(Wait::LimitExecutor { executor: self.names.executor(name), limit });
        }
        let on_host = self.per_host.get(host).copied().unwrap_or(0);
        if let Some(limit) = routing.hosts.get(host).and_then(|host| host.limit)
            && on_host >= limit
        {
            return Err(Wait::LimitHost { host: self.names.text(host.as_str()), limit });
        }
        let wants_alone = routing.limits.exclusive.contains(&order.task_type);
        if self.exclusive_hosts.contains(host) || (wants_alone && on_host > 0) {
            return Err(Wait::Exclusive { host: self.names.text(host.as_str()) });
        }
        Ok(u64::from(taken) * 1000 / u64::from(limit.max(1)))
    }

    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }
}
