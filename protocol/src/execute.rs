//! An order to an executor, and how it ended.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

/// The body of `POST /execute`.
///
/// Unknown members are ignored here; unknown members of `params` are refused by the executor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct ExecuteRequest {
    /// What the caller calls this work: the bead's id, or any text.
    pub task_id: String,
    /// The task type, such as `git-clone`.
    #[serde(rename = "type")]
    pub task_type: String,
    /// The task's params; absent means `{}`.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// The idempotency key: the same attempt again joins the running task. Absent: the executor
    /// makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Uuid>,
    /// The time limit in seconds; absent: the task's own, else the executor's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<f64>,
    /// The ledger that the epoch belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Uuid>,
    /// Rises at each start of the coordinator; an older one than the highest seen is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// How a task ended. There is no default, and nothing but `Completed` is a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The task did what it was asked to do.
    Completed,
    /// The task says that it did not.
    Failed,
    /// The time limit ended it.
    TimedOut,
    /// Somebody cancelled it.
    Cancelled,
    /// The executor stopped, or was killed, while the task ran.
    Interrupted,
}

impl Ending {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// The record of how an attempt ended: the answer of a synchronous `POST /execute`, and the
/// `outcome` of `GET /attempts/{attempt}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Outcome {
    /// The `task_id` of the order.
    pub task_id: String,
    /// The task type.
    #[serde(rename = "type")]
    pub task_type: String,
    /// The attempt.
    pub attempt: Uuid,
    /// How it ended.
    pub status: Ending,
    /// The last 64 KiB of what the task printed; bytes that are not UTF-8 are replaced.
    pub output: String,
    /// How long it ran, in seconds.
    pub duration_seconds: f64,
    /// The exit code of the command that decided the outcome; null when no command ended by itself.
    pub exit_code: Option<i32>,
    /// The task's structured result; `{}` when it has none.
    pub data: Value,
    /// One line that a person understands; present on every ending but `completed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How many bytes the task printed.
    pub log_bytes: u64,
    /// Whether the cap dropped a middle part of the log.
    pub truncated: bool,
    /// When it ended.
    pub timestamp: Timestamp,
}

/// The 202 answer to `Prefer: respond-async`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Started {
    /// The `task_id` of the order.
    pub task_id: String,
    /// The task type.
    #[serde(rename = "type")]
    pub task_type: String,
    /// The attempt, to be asked for at `/attempts/{attempt}`.
    pub attempt: Uuid,
    /// Always `"running"`: also for an attempt that has ended in the meantime.
    pub status: String,
}
