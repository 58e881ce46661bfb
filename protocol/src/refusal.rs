//! Why an executor did not start something.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of every refusal: nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Refusal {
    /// The `task_id` of the order, when it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// Always `"error"`.
    #[serde(default = "error_word")]
    pub status: String,
    /// One line that a person understands.
    pub error: String,
    /// What a program decides by.
    pub code: RefusalCode,
    /// A way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

fn error_word() -> String {
    "error".to_owned()
}

impl Refusal {
    /// Returns a refusal without a task id and without a hint.
    pub fn new(code: RefusalCode, error: impl Into<String>) -> Self {
        Self { task_id: None, status: error_word(), error: error.into(), code, hint: None }
    }

    /// Adds a way out.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the order that was refused.
    #[must_use]
    pub fn of(mut self, task_id: impl Into<String>) -> Self {
        self.task_id = Some(task_id.into());
        self
    }
}

/// The reasons for a refusal, each with its own HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// Not JSON, not an object, or a required member missing or of a wrong type.
    Malformed,
    /// The token is missing or wrong.
    Unauthorized,
    /// The node's policy does not allow this task or this value.
    Forbidden,
    /// There is no such task type here.
    UnknownTask,
    /// There is no such attempt, or no such path.
    NotFound,
    /// The path exists, but not for this method.
    MethodNotAllowed,
    /// From an older epoch, older than the retention, or known with another body.
    Stale,
    /// The body is over the limit.
    TooLarge,
    /// The params do not fit the task; the text names the field path.
    InvalidParams,
    /// At capacity; `Retry-After` says when to try again.
    Busy,
    /// Shutting down; `Retry-After` says when to try again.
    Draining,
    /// The executor itself failed (its spool cannot be written, for example).
    Internal,
}

impl RefusalCode {
    /// Returns the HTTP status that carries this code.
    pub fn http_status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::UnknownTask | Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Stale => 409,
            Self::TooLarge => 413,
            Self::InvalidParams => 422,
            Self::Busy => 429,
            Self::Internal => 500,
            Self::Draining => 503,
        }
    }
}
