//! The tasks on a runner's list.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::number;

/// One task on a runner's list. Params and results share `metadata`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunnerTask {
    /// Unique on its runner.
    pub task_id: String,
    /// What the runner is to do; absent when the creator left it out.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `running`, `completed` or `failed`; any other text is kept as it came.
    #[serde(default = "running")]
    pub status: String,
    /// When it was created, in milliseconds since 1970.
    #[serde(default, deserialize_with = "number::one")]
    pub started_at: i64,
    /// When it was last reported as completed or failed, in milliseconds since 1970.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number::maybe_one"
    )]
    pub completed_at: Option<i64>,
    /// Handed through to whoever reads the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Params, and later results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// The word for a task that is not over.
pub const RUNNING: &str = "running";
/// The word for a task that did what it should.
pub const COMPLETED: &str = "completed";
/// The word for a task that did not.
pub const FAILED: &str = "failed";

impl RunnerTask {
    /// Whether it has ended; any status but these two means that it has not.
    pub fn is_over(&self) -> bool {
        self.status == COMPLETED || self.status == FAILED
    }
}

fn running() -> String {
    RUNNING.to_owned()
}

/// The body of `POST /runners/{id}/tasks`; every member may be absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewRunnerTask {
    /// Absent: `task-` and eight characters. One that the runner has already is refused (409).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub task_id: Option<String>,
    /// What the runner is to do.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Absent: `running`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Handed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Its params.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// The body of `PATCH /runners/{id}/tasks/{taskId}`; an empty one changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct PatchRunnerTask {
    /// The new status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Laid over the task's metadata, member by member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// The answer of `GET /runners/{id}/tasks`: oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunnerTasks {
    /// The runner.
    pub runner_id: String,
    /// Its tasks.
    pub tasks: Vec<RunnerTask>,
    /// How many there are.
    pub count: usize,
}
