//! What the coordinator answers to `ygg` and to people.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::execute::{Ending, Outcome};
use crate::executor::Health;
use crate::runner::write_iso;

/// The answer of the coordinator's `GET /health`: always with HTTP status 200.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct CoordinatorHealth {
    /// Whether it takes work.
    pub status: Health,
    /// The coordinator's clock.
    #[serde(serialize_with = "write_iso")]
    pub timestamp: Timestamp,
    /// The coordinator's version.
    pub version: String,
    /// Seconds since it started.
    pub uptime: f64,
    /// What registered, and the executors of routing.yaml that did not.
    pub runners: RunnerCounts,
    /// Why it is not `healthy`, each with its remedy.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// The Beads CLI in use, such as `bd 1.0.5`; absent while none was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beads: Option<String>,
    /// The executors by name.
    #[serde(default)]
    pub executors: BTreeMap<String, ExecutorView>,
}

/// The answer of `GET /status`: the figures of the whole system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SystemStatus {
    /// As in `GET /health`.
    pub status: Health,
    /// The coordinator's clock.
    #[serde(serialize_with = "write_iso")]
    pub timestamp: Timestamp,
    /// The coordinator's version.
    pub version: String,
    /// Seconds since it started.
    pub uptime: f64,
    /// What registered, and the executors of routing.yaml that did not.
    pub runners: RunnerCounts,
    /// What stands on the runners' lists.
    pub tasks: TaskCounts,
    /// Sessions and the realms under them.
    pub sessions: SessionCounts,
    /// What waits for somebody who takes it.
    pub queue: QueueCounts,
    /// The settings of the older orchestration system, as they were read.
    pub settings: InstanceSettings,
}

/// Tasks on the runners' lists; the sums count from the start of the coordinator on.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema,
)]
pub struct TaskCounts {
    /// How many run now.
    pub running: u64,
    /// How many were put on lists, or taken by executors, since the coordinator started.
    pub dispatched: u64,
    /// How many were completed since then.
    pub completed: u64,
    /// How many ended in any other way since then.
    pub failed: u64,
}

/// Sessions and realms.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema,
)]
pub struct SessionCounts {
    /// Sessions that can be used.
    pub active: u64,
    /// All sessions that are remembered.
    pub total: u64,
    /// All realms.
    pub realms: u64,
}

/// What waits.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema,
)]
pub struct QueueCounts {
    /// Beads with a task type that do not run yet.
    pub beads: u64,
    /// Attempts that are not settled yet.
    pub attempts: u64,
    /// Requests for agents that wait while all of them are full.
    pub requests: u64,
}

/// The settings of the older orchestration system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceSettings {
    /// `MIN_INSTANCES`; nothing starts agents yet.
    pub min_instances: u32,
    /// `MAX_INSTANCES`; nothing stops agents yet.
    pub max_instances: u32,
    /// `MAX_CONCURRENCY`: how many requests an agent is given at a time.
    pub max_concurrency: u32,
    /// `HEALTH_CHECK_INTERVAL`: milliseconds between two looks at an agent.
    pub health_check_interval: u64,
}

/// How many runners are known, and how many of them answer.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema,
)]
pub struct RunnerCounts {
    /// All known runners: those that registered, and the executors of routing.yaml that did not.
    pub total: u32,
    /// Those that answer.
    pub online: u32,
    /// Those that do not.
    pub offline: u32,
}

/// What the coordinator thinks of one executor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct ExecutorView {
    /// `up`, `away`, `draining`, `misconfigured` or `unknown`.
    pub state: String,
    /// Where it listens.
    pub url: String,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Why it is not `up`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its version, when it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How many of our attempts it has.
    pub running: u32,
    /// How many it takes at a time; absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Why a bead is where it is: a stable code, a text made from it, and a way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Reason {
    /// Stable; what a program decides by, such as `executor_away` or `limit_total`.
    pub code: String,
    /// One line that a person understands.
    pub text: String,
    /// What to do about it, when there is something to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The answer of `GET /api/plan`: what runs, what may start now and where, and why the rest waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct PlanView {
    /// When the plan was made.
    pub timestamp: Timestamp,
    /// When the beads were last listed; null before the first listing.
    pub listed: Option<Timestamp>,
    /// How many listed beads are a person's (no task type).
    pub without_task_type: u64,
    /// The beads with a task type, in the order in which they are considered.
    pub beads: Vec<PlannedBead>,
    /// The attempts that are not settled yet, oldest first.
    pub attempts: Vec<AttemptSummary>,
}

/// One bead of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct PlannedBead {
    /// The bead's id.
    pub bead: String,
    /// The bead's title.
    pub title: String,
    /// The task type; null when the bead's order cannot be read.
    pub task_type: Option<String>,
    /// 0 is the most urgent.
    pub priority: u8,
    /// `start`, `wait`, `block` or `active`.
    pub decision: String,
    /// The executor, once chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    /// Why it does not start; absent for `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// The answer of `GET /api/beads/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct BeadView {
    /// The bead's id.
    pub bead: String,
    /// The bead's title, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The status in Beads, when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The task type, when the bead has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_type: Option<String>,
    /// The executor that has it, or would get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    /// Why the bead is where it is.
    pub reason: Reason,
    /// Every attempt that the ledger knows, oldest first.
    pub attempts: Vec<AttemptSummary>,
}

/// Where an attempt stands in the coordinator's ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Written down; the bead is not claimed yet.
    Recorded,
    /// The bead is ours; no executor was asked yet.
    Claimed,
    /// An executor was asked; whether it started is not known yet.
    Offered,
    /// The executor said that it runs.
    Running,
    /// The executor does not answer any more.
    Lost,
    /// It is known what to write into the bead; it is not written yet.
    Ended,
    /// The bead tells the truth.
    Settled,
    /// The bead was given back, or was never ours; nothing ran.
    Dropped,
}

impl Stage {
    /// Returns the word used on the wire and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Claimed => "claimed",
            Self::Offered => "offered",
            Self::Running => "running",
            Self::Lost => "lost",
            Self::Ended => "ended",
            Self::Settled => "settled",
            Self::Dropped => "dropped",
        }
    }
}

/// One attempt, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct AttemptSummary {
    /// The attempt.
    pub attempt: Uuid,
    /// The bead's id.
    pub bead: String,
    /// The task type; empty when the bead's order could not be read.
    pub task_type: String,
    /// The executor; null when none was chosen.
    pub executor: Option<String>,
    /// Where it stands.
    pub stage: Stage,
    /// How it ended; null while it runs, and when it never started.
    pub ending: Option<Ending>,
    /// The class of what went wrong, such as `failed`, `permanent` or `lost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// One line on what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The exit code, when a command ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How long the task ran, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    /// When it was written down.
    pub created: Timestamp,
    /// When the executor said that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When its end became known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// When the bead was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Timestamp>,
}

/// The answer of `GET /api/attempts/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct AttemptDetail {
    /// The attempt, in short.
    pub summary: AttemptSummary,
    /// The outcome as the executor told it; null while it runs, and when it never started.
    pub outcome: Option<Outcome>,
    /// What was, or will be, written into the bead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
}

/// The body of every error of the coordinator's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct ApiError {
    /// One line that a person understands.
    pub error: String,
    /// A way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
