//! What runners may be and take up, and why a call is not followed.

use std::time::Duration;

use thiserror::Error;

use crate::keeper::NotKept;

/// What one runner, and all of them together, may be and take up.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a heartbeat is believed, unless the runner says so itself.
    pub lease: Duration,
    pub least_lease: Duration,
    pub longest_lease: Duration,
    /// How many runners there may be.
    pub runners: usize,
    /// How many tasks may run on one.
    pub running_tasks: usize,
    /// How many tasks that ended are kept on one.
    pub ended_tasks: usize,
    /// How long a runner that is gone is remembered.
    pub keep_offline: Duration,
    pub id_bytes: usize,
    pub text_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lease: Duration::from_mins(1),
            least_lease: Duration::from_secs(1),
            longest_lease: Duration::from_hours(24),
            runners: 20_000,
            running_tasks: 10_000,
            ended_tasks: 200,
            keep_offline: Duration::from_hours(7 * 24),
            id_bytes: 256,
            text_bytes: 2048,
        }
    }
}

/// Why a call about a runner was not followed.
#[derive(Debug, Error)]
pub enum RunnersError {
    #[error("Runner not found")]
    UnknownRunner,
    #[error("Task not found")]
    UnknownTask,
    #[error("the runner has a task `{task}` already")]
    DuplicateTask { task: String },
    /// Something in the body is not as it must be.
    #[error("{0}")]
    Invalid(String),
    #[error("there are {limit} runners already, and no more are taken")]
    TooMany { limit: usize },
    #[error("{limit} tasks run on this runner already, and no more are taken")]
    TooManyTasks { limit: usize },
    #[error(transparent)]
    NotKept(#[from] NotKept),
}
