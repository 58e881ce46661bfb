//! What `RUNNER_OFFLINE_HOOK` is told when a runner is gone.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::runner::write_iso;

/// A runner is gone: the body that a hook URL gets, and the standard input of a hook command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunnerGone {
    /// Always `runner.offline`.
    pub event: String,
    /// The runner's id.
    pub runner_id: String,
    /// Its name.
    pub name: String,
    /// Where it said that it listens; `unknown` when it did not say.
    pub endpoint: String,
    /// When it was last heard from.
    #[serde(serialize_with = "write_iso")]
    pub last_heartbeat: Timestamp,
    /// `lease_expired` or `offline_requested`.
    pub cause: String,
    /// The ids of the tasks that were running on it.
    pub tasks: Vec<String>,
    /// When the coordinator noticed.
    #[serde(serialize_with = "write_iso")]
    pub timestamp: Timestamp,
}

/// The value of [`RunnerGone::event`].
pub const RUNNER_OFFLINE: &str = "runner.offline";
