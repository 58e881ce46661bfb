//! The runners in memory, and what each call does to them. No I/O and no clock: the caller says
//! what time it is.

use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use protocol::runner::{
    COMPLETED, FAILED, Heartbeat, MoveRunner, NewRunnerTask, PatchRunnerTask, RUNNING,
    RegisterRunner, Registered, RunnerStatus, RunnerTask,
};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::record::{KeyPush, Runner, Task, Update};
use super::{Limits, RunnersError};

mod expiry;
mod tasks;
#[cfg(test)]
mod tests;
mod updates;

pub use tasks::Look;

/// What time it is.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For people, and for the wire.
    pub at: Timestamp,
    /// For leases: it never jumps.
    pub mono: Instant,
}

impl Moment {
    /// Returns this moment.
    pub fn now() -> Self {
        Self { at: Timestamp::now(), mono: Instant::now() }
    }

    fn millis(self) -> i64 {
        self.at.as_millisecond()
    }
}

/// What a call changed, beside its answer.
#[derive(Debug, Default)]
pub struct Changes {
    /// Rows to be written before the call is answered.
    pub runners: Vec<String>,
    /// The runner and the task.
    pub tasks: Vec<(String, String)>,
    /// Tasks that are gone.
    pub gone_tasks: Vec<(String, String)>,
    /// Runners that are gone.
    pub gone_runners: Vec<String>,
    /// Rows that may be written within a few seconds.
    pub beats: Vec<String>,
    /// Somebody is there, or gone, or can do something else.
    pub presence: bool,
    /// A task came, ended or was delivered.
    pub work: bool,
    /// Runners that were lost just now.
    pub lost: Vec<Lost>,
}

impl Changes {
    /// Whether a list of runners looks different now.
    pub fn is_visible(&self) -> bool {
        !(self.runners.is_empty()
            && self.tasks.is_empty()
            && self.gone_tasks.is_empty()
            && self.gone_runners.is_empty()
            && self.beats.is_empty())
    }
}

/// A runner whose lease ran out, or that said good-bye.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    pub runner: String,
    pub name: String,
    pub endpoint: String,
    pub last_heartbeat: Timestamp,
    /// `lease_expired` or `offline_requested`.
    pub cause: &'static str,
    /// The tasks that were running.
    pub tasks: Vec<String>,
}

/// Every runner that registered, in the order of first registration.
#[derive(Debug)]
pub struct Registry {
    runners: IndexMap<String, Runner>,
    limits: Limits,
    next: u64,
    /// How many tasks were put on lists in this life.
    pub dispatched: u64,
    /// How many ended in this life, by status.
    pub ended: Ended,
    /// How many came and went in this life.
    pub comings: Comings,
}

/// How many runners came and went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Comings {
    /// Registered for the first time.
    pub registered: u64,
    /// Were offline and are back.
    pub returned: u64,
    /// Said good-bye.
    pub left: u64,
    /// Lost their lease.
    pub lost: u64,
}

/// How many tasks ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    pub completed: u64,
    pub failed: u64,
}

impl Registry {
    /// Makes an empty registry.
    pub fn new(limits: Limits) -> Self {
        Self {
            runners: IndexMap::new(),
            limits,
            next: 1,
            dispatched: 0,
            ended: Ended::default(),
            comings: Comings::default(),
        }
    }

    /// Takes over what an earlier life wrote; every lease starts anew.
    pub fn restore(
        &mut self,
        mut runners: Vec<Runner>,
        mut tasks: Vec<(String, Task)>,
        now: Moment,
    ) {
        runners.sort_by_key(|runner| runner.seq);
        tasks.sort_by_key(|(_, task)| task.seq);
        for mut runner in runners {
            self.next = self.next.max(runner.seq + 1);
            runner.lease_ends = Some(now.mono + self.lease_of(&runner));
            self.runners.insert(runner.id.clone(), runner);
        }
        for (owner, task) in tasks {
            self.next = self.next.max(task.seq + 1);
            if let Some(runner) = self.runners.get_mut(&owner) {
                runner.running += usize::from(task.is_running());
                runner.tasks.insert(task.wire.task_id.clone(), task);
            }
        }
    }

    /// Returns a runner.
    pub fn get(&self, id: &str) -> Result<&Runner, RunnersError> {
        self.runners.get(id).ok_or(RunnersError::UnknownRunner)
    }

    fn get_mut(&mut self, id: &str) -> Result<&mut Runner, RunnersError> {
        self.runners.get_mut(id).ok_or(RunnersError::UnknownRunner)
    }

    /// Returns all runners, in the order of first registration.
    pub fn all(&self) -> impl ExactSizeIterator<Item = &Runner> {
        self.runners.values()
    }

    /// How long a heartbeat of a runner is believed.
    pub fn lease_of(&self, runner: &Runner) -> Duration {
        runner.lease_ttl_ms.map_or(self.limits.lease, Duration::from_millis)
    }

    fn next(&mut self) -> u64 {
        let next = self.next;
        self.next += 1;
        next
    }

    /// Registers a runner, or one that is known again.
    pub fn register(
        &mut self,
        body: RegisterRunner,
        new_id: impl FnOnce() -> String,
        now: Moment,
        changes: &mut Changes,
    ) -> Result<Registered, RunnersError> {
        check(&body, &self.limits)?;
        let id = body.runner_id.clone().filter(|id| !id.is_empty()).unwrap_or_else(new_id);
        let known = self.runners.get(&id);
        if known.is_none() && self.runners.len() >= self.limits.runners {
            return Err(RunnersError::TooMany { limit: self.limits.runners });
        }
        let is_known = known.is_some();
        let (seq, first_registered) = match known {
            Some(known) => (known.seq, known.first_registered),
            None => (self.next(), now.at),
        };
        let mut fresh = fresh(body, &id, seq, first_registered, now);
        let seeds = std::mem::take(&mut fresh.tasks);
        fresh.lease_ends = Some(now.mono + self.lease_of(&fresh));
        if let Some(known) = self.runners.get_mut(&id) {
            let before = known.clone_without_tasks();
            self.comings.returned += u64::from(!before.is_online());
            fresh.tasks = std::mem::take(&mut known.tasks);
            fresh.running = known.running;
            fresh.listed = known.listed;
            fresh.update.clone_from(&known.update);
            fresh.key_push.clone_from(&known.key_push);
            fresh.update_status.clone_from(&known.update_status);
            fresh.update_log.clone_from(&known.update_log);
            fresh.key.clone_from(&known.key);
            updates::note_version(&before, &mut fresh);
            changes.presence |= differs_in_presence(&before, &fresh);
            if is_beat_only(&before, &fresh) {
                changes.beats.push(id.clone());
            } else {
                changes.runners.push(id.clone());
            }
            *known = fresh;
        } else {
            self.comings.registered += 1;
            changes.presence = true;
            changes.runners.push(id.clone());
            self.runners.insert(id.clone(), fresh);
            self.seed(&id, seeds, changes);
            self.succeed(&id, changes);
        }
        let status = if is_known { "re-registered" } else { "registered" };
        Ok(Registered { runner_id: id, status: status.to_owned() })
    }

    fn seed(&mut self, id: &str, seeds: IndexMap<String, Task>, changes: &mut Changes) {
        for (task_id, mut task) in seeds {
            task.seq = self.next();
            let Some(runner) = self.runners.get_mut(id) else { return };
            runner.running += usize::from(task.is_running());
            runner.tasks.insert(task_id.clone(), task);
            changes.tasks.push((id.to_owned(), task_id));
            changes.work = true;
        }
    }

    /// Takes a heartbeat. What the runner is to be told is asked for with [`Registry::deliver`].
    pub fn heartbeat(
        &mut self,
        body: Heartbeat,
        now: Moment,
        changes: &mut Changes,
    ) -> Result<(), RunnersError> {
        let id = body.runner_id.unwrap_or_default();
        let lease = self.lease_of(self.get(&id)?);
        let runner = self.get_mut(&id)?;
        runner.last_heartbeat = now.at;
        runner.lease_ends = Some(now.mono + lease);
        let came_back = !runner.is_online();
        runner.status = RunnerStatus::Online;
        runner.away_from = None;
        if body.resources.is_some() {
            runner.resources = body.resources;
        }
        let told = body
            .update_status
            .filter(|status| !status.is_empty())
            .is_some_and(|status| updates::note_status(runner, status, body.update_log));
        self.comings.returned += u64::from(came_back);
        changes.presence |= came_back;
        if came_back || told {
            changes.runners.push(id.clone());
        } else {
            changes.beats.push(id.clone());
        }
        if let Some(tasks) = body.tasks {
            self.replace_tasks(&id, tasks, now, changes)?;
        }
        Ok(())
    }

    /// Notes where a runner listens now; it stays offline if it was.
    pub fn relocate(
        &mut self,
        body: MoveRunner,
        now: Moment,
        changes: &mut Changes,
    ) -> Result<(), RunnersError> {
        let id = body.runner_id.unwrap_or_default();
        let lease = self.lease_of(self.get(&id)?);
        let runner = self.get_mut(&id)?;
        runner.last_heartbeat = now.at;
        runner.lease_ends = Some(now.mono + lease);
        match body.new_endpoint.filter(|new| !new.is_empty() && *new != runner.endpoint) {
            Some(new) => {
                runner.endpoint = new;
                changes.runners.push(id);
                changes.presence = true;
            }
            None => changes.beats.push(id),
        }
        Ok(())
    }
}

impl Runner {
    fn clone_without_tasks(&mut self) -> Self {
        let tasks = std::mem::take(&mut self.tasks);
        let copy = self.clone();
        self.tasks = tasks;
        copy
    }
}

fn fresh(body: RegisterRunner, id: &str, seq: u64, first: Timestamp, now: Moment) -> Runner {
    let text = |text: Option<String>, else_: &str| {
        text.filter(|text| !text.is_empty()).unwrap_or_else(|| else_.to_owned())
    };
    let tasks = body.tasks.unwrap_or_default().into_iter().map(|mut wire| {
        if wire.started_at == 0 {
            wire.started_at = now.millis();
        }
        let task = Task { wire, seq: 0, delivered: true, lost: None, told: true };
        (task.wire.task_id.clone(), task)
    });
    Runner {
        id: id.to_owned(),
        seq,
        name: text(body.name, "unknown"),
        endpoint: text(body.endpoint, "unknown"),
        version: text(body.version, "0.1.0"),
        capabilities: body.capabilities.unwrap_or_default(),
        realm_templates: body.realm_templates.unwrap_or_default(),
        labels: body.labels.unwrap_or_default(),
        metadata: body.metadata.unwrap_or_default(),
        lease_ttl_ms: body.lease_ttl_ms,
        status: RunnerStatus::Online,
        offers_realms: true,
        first_registered: first,
        last_heartbeat: now.at,
        resources: body.resources,
        update: None,
        key_push: None,
        update_status: None,
        update_log: None,
        key: None,
        away_from: None,
        lease_ends: None,
        listed: None,
        tasks: tasks.collect(),
        running: 0,
    }
}

/// Whether nothing but the time and the load has changed: such a row may wait.
fn is_beat_only(before: &Runner, after: &Runner) -> bool {
    !differs_in_presence(before, after)
        && before.realm_templates == after.realm_templates
        && before.lease_ttl_ms == after.lease_ttl_ms
        && before.offers_realms == after.offers_realms
        && before.update == after.update
        && before.key_push == after.key_push
        && before.update_status == after.update_status
}

/// Whether those who choose runners must look again.
fn differs_in_presence(before: &Runner, after: &Runner) -> bool {
    before.status != after.status
        || before.name != after.name
        || before.endpoint != after.endpoint
        || before.version != after.version
        || before.capabilities != after.capabilities
        || before.labels != after.labels
        || before.metadata != after.metadata
}

fn check(body: &RegisterRunner, limits: &Limits) -> Result<(), RunnersError> {
    let invalid = |text: String| Err(RunnersError::Invalid(text));
    if let Some(id) = &body.runner_id
        && (id.len() > limits.id_bytes || id.chars().any(char::is_control))
    {
        return invalid(format!(
            "`runnerId` must have at most {} bytes and no control characters",
            limits.id_bytes
        ));
    }
    for (what, text) in
        [("name", &body.name), ("endpoint", &body.endpoint), ("version", &body.version)]
    {
        if text.as_ref().is_some_and(|text| text.len() > limits.text_bytes) {
            return invalid(format!("`{what}` must have at most {} bytes", limits.text_bytes));
        }
    }
    let least = limits.least_lease.as_millis();
    let most = limits.longest_lease.as_millis();
    match body.lease_ttl_ms.map(u128::from) {
        Some(ttl) if ttl < least || ttl > most => {
            invalid(format!("`leaseTtlMs` must lie between {least} and {most}"))
        }
        _ => Ok(()),
    }
}
