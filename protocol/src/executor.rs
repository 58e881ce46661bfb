//! What an executor says of itself.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::execute::{Ending, Outcome};

/// Whether a process takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Everything works.
    Healthy,
    /// It answers, but something needs attention; `reasons` say what.
    Degraded,
    /// It is stopping and takes no new work.
    Draining,
}

/// The answer of an executor's `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct ExecutorHealth {
    /// Whether it takes work.
    pub status: Health,
    /// The executor's name, such as `surtr-executor`.
    pub executor: String,
    /// The executor's version.
    pub version: String,
    /// The executor's clock.
    pub timestamp: Timestamp,
    /// Why it is not `healthy`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// The answer of an executor's `GET /status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct ExecutorStatus {
    /// The executor's name, such as `surtr-executor`.
    pub executor: String,
    /// The executor's version.
    pub version: String,
    /// The version of this protocol: 1.
    pub protocol: u32,
    /// Identifies one life of the process; another value means that it was started again.
    pub life: Uuid,
    /// The names of the task types.
    pub handlers: Vec<String>,
    /// The task types in full, those whose tool is missing or that the policy forbids included.
    pub tasks: Vec<TaskSpec>,
    /// What runs now.
    pub running: Vec<RunningTask>,
    /// How many tasks may run at a time.
    pub capacity: u32,
    /// The executor's clock.
    pub timestamp: Timestamp,
}

/// One kind of work that an executor can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct TaskSpec {
    /// The type name, such as `git-clone`.
    #[serde(rename = "type")]
    pub task_type: String,
    /// What it does, in one sentence.
    pub description: String,
    /// The JSON Schema of its params.
    pub params_schema: Value,
    /// The task's own time limit in seconds; null: the executor's.
    pub timeout_seconds: Option<f64>,
    /// Whether it may run again after its executor was lost in the middle.
    pub idempotent: bool,
    /// Whether a failure is worth another attempt.
    pub retryable: bool,
    /// The tools it needs that this node lacks; `a or b` where either would do.
    #[serde(default)]
    pub missing: Vec<String>,
    /// The rule of the node's policy that forbids it; null: allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forbidden: Option<String>,
}

/// A task that runs now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct RunningTask {
    /// The `task_id` of the order.
    pub task_id: String,
    /// The attempt.
    pub attempt: Uuid,
    /// The task type.
    #[serde(rename = "type")]
    pub task_type: String,
    /// When it started.
    pub started: Timestamp,
    /// How long it has run, in seconds.
    pub elapsed: f64,
}

/// Where an attempt stands on its executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptStatus {
    /// It runs.
    Running,
    /// It ended well.
    Completed,
    /// It failed.
    Failed,
    /// The time limit ended it.
    TimedOut,
    /// Somebody cancelled it.
    Cancelled,
    /// The executor stopped, or was killed, while it ran.
    Interrupted,
}

impl From<Ending> for AttemptStatus {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Completed => Self::Completed,
            Ending::Failed => Self::Failed,
            Ending::TimedOut => Self::TimedOut,
            Ending::Cancelled => Self::Cancelled,
            Ending::Interrupted => Self::Interrupted,
        }
    }
}

/// The answer of `GET /attempts/{attempt}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct AttemptView {
    /// The `task_id` of the order.
    pub task_id: String,
    /// The task type.
    #[serde(rename = "type")]
    pub task_type: String,
    /// The attempt.
    pub attempt: Uuid,
    /// Where it stands.
    pub status: AttemptStatus,
    /// When it started.
    pub started: Timestamp,
    /// How long it has run, or ran, in seconds.
    pub elapsed: f64,
    /// How it ended; null while it runs, and in the list of all attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// The answer of `GET /attempts`: newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct AttemptList {
    /// The attempts, without their outcomes.
    pub attempts: Vec<AttemptView>,
}
