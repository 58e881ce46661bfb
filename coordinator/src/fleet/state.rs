//! What is known of one executor or runner.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::routing::HostName;

/// Whether an executor takes work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It has not been asked yet.
    Unknown,
    Up,
    /// It answers, and is stopping.
    Draining,
    /// It does not answer.
    Away {
        error: String,
    },
    /// It answers, and something is set up wrongly.
    Misconfigured {
        error: String,
    },
}

impl Condition {
    /// Returns the word used on the wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Away { .. } => "away",
            Self::Misconfigured { .. } => "misconfigured",
        }
    }

    /// Returns what is wrong, when something is.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Unknown | Self::Up | Self::Draining => None,
            Self::Away { error } | Self::Misconfigured { error } => Some(error),
        }
    }
}

/// What an executor said of one of its task types.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TaskFacts {
    pub limit: Option<Duration>,
    pub idempotent: bool,
    pub retryable: bool,
    /// Whether it can be done there now: no tool missing, not forbidden.
    pub able: bool,
}

/// What a runner says of itself at the runner API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerFacts {
    pub id: String,
    pub name: String,
    pub capabilities: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// The machine that it is on.
    pub host: HostName,
    /// It has a task list and no list of task types: whatever is routed there is tried.
    pub takes_anything: bool,
}

/// What is known of one executor.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutorState {
    pub condition: Condition,
    /// Since when it is in this condition.
    pub since: Timestamp,
    /// Its task types; empty until it was asked.
    pub tasks: Arc<BTreeMap<String, TaskFacts>>,
    /// How many tasks it takes at a time, by its own word.
    pub capacity: Option<u32>,
    /// One life of its process.
    pub life: Option<Uuid>,
    pub version: Option<String>,
    /// It said that it was full; not before this moment.
    pub busy_until: Option<Timestamp>,
    /// It refused an offer because something is set up wrongly.
    pub refused: Option<Refused>,
    /// What it registered as; none when it is known from routing.yaml alone.
    pub runner: Option<Arc<RunnerFacts>>,
    /// Whether routing.yaml names it.
    pub configured: bool,
}

/// An offer that showed a mistake in the set-up; what its probes say does not mend that.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    pub error: String,
    /// In this life of the executor.
    pub life: Option<Uuid>,
    /// One more try after this moment.
    pub until: Timestamp,
}

impl ExecutorState {
    /// Makes the state of an executor that routing.yaml names and nobody has asked yet.
    pub fn new(now: Timestamp) -> Self {
        Self {
            condition: Condition::Unknown,
            since: now,
            tasks: Arc::default(),
            capacity: None,
            life: None,
            version: None,
            busy_until: None,
            refused: None,
            runner: None,
            configured: true,
        }
    }

    /// Returns what is known of a task type here; none when it cannot be done here.
    pub fn task(&self, task_type: &str) -> Option<TaskFacts> {
        let anything = TaskFacts { limit: None, idempotent: false, retryable: false, able: true };
        let takes_anything = self.runner.as_ref().is_some_and(|runner| runner.takes_anything);
        self.tasks.get(task_type).copied().or_else(|| takes_anything.then_some(anything))
    }

    /// Returns the id that it registered under.
    pub fn runner_id(&self) -> Option<&str> {
        self.runner.as_ref().map(|runner| runner.id.as_str())
    }

    /// Whether it takes work.
    pub fn is_up(&self) -> bool {
        self.condition == Condition::Up
    }

    /// Whether it is known by its registration alone.
    pub fn is_registered_only(&self) -> bool {
        !self.configured
    }
}
