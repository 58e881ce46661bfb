//! Updates that runners are asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// What a runner is to do about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingUpdate {
    /// The version that it should have; for a new key alone, the one that it has.
    pub version: String,
    /// The command that brings it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Where it could be had from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_url: Option<String>,
    /// The key to use from now on: only ever in the answer to this runner's own heartbeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// Handed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// The body of `POST /runners/{id}/request-update`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestUpdate {
    /// The version that the runner should have; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true, min_length = 1)]
    pub version: Option<String>,
    /// The command that brings it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Where it could be had from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_url: Option<String>,
    /// Handed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// The answer of `POST /runners/{id}/request-update`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateRequested {
    /// Always `update_requested`.
    pub status: String,
    /// The runner.
    pub runner_id: String,
    /// What it will be told.
    pub pending_update: PendingUpdate,
}

/// The answer of `POST /version-check/{version}`: always with HTTP status 200.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct VersionCheck {
    /// The version that was asked about.
    pub version: String,
    /// The version that runners should have; null when none is expected.
    pub expected: Option<String>,
    /// Whether it is the expected one, or none is expected.
    pub compliant: bool,
}
