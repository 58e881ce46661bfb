//! What only the holder of the admin key may do: keys, versions and updates.
//!
//! Members are in `camelCase`, as in [`crate::runner`]. Those of the protocol of
//! `@theaiinc/yggdrasil` 0.3.8 come first in each answer; the others are ours.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::runner::{RunnerStatus, write_iso};

/// The body of `POST /api/admin/api-keys/rotate`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotateApiKey {
    /// The new key; required. Printable ASCII without blanks and commas, at most 512 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true, max_length = 512, pattern = r"^\s*[!-+\--~]+\s*$")]
    pub new_api_key: Option<String>,
    /// The runners that are told of it with their heartbeats; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_ids: Option<Vec<String>>,
    /// How long the keys before it stay valid; absent: `API_KEY_GRACE`. At most 90 days.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::number::maybe_one"
    )]
    #[schema(maximum = 7_776_000)]
    pub grace_seconds: Option<u64>,
    /// What the new key may do, and so which keys end; absent: `full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<KeyRights>,
}

impl std::fmt::Debug for RotateApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RotateApiKey").field("runner_ids", &self.runner_ids).finish_non_exhaustive()
    }
}

/// What an API key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyRights {
    /// Everything but the admin routes.
    Full,
    /// GET and HEAD, but not of the admin routes.
    Read,
}

/// The answer of `POST /api/admin/api-keys/rotate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyRotated {
    /// Always `rotated`.
    pub status: String,
    /// The first characters of the new key: eight, or half of a short one.
    pub new_api_key_prefix: String,
    /// How many keys are valid now, those in their grace time included.
    pub total_active_keys: usize,
    /// The runners that are told.
    pub notified_runners: Vec<String>,
    /// The runners that are not known.
    pub skipped_runners: Vec<String>,
    /// What is still to be done by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The new key, as it is now.
    pub key: ApiKey,
    /// The keys that end, soonest first.
    pub retiring: Vec<ApiKey>,
}

/// The answer of `GET /api/admin/api-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct ApiKeys {
    /// Every key that is known, those that are off included.
    pub keys: Vec<ApiKey>,
    /// How many are valid now.
    pub count: usize,
}

/// One API key, without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// The first 16 hexadecimal characters of its SHA-256.
    pub id: String,
    /// What it may do.
    pub rights: KeyRights,
    /// `settings` (`API_KEYS`, `READ_API_KEYS`) or `rotation`.
    pub source: String,
    /// `active`, `retiring` (valid until its end) or `retired`.
    pub state: String,
    /// When it was added by a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<Timestamp>,
    /// From when on it opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// The runners that were to be told of it and have used it since.
    pub confirmed_runners: Vec<String>,
    /// The runners that were to be told of it and have not used it yet.
    pub pending_runners: Vec<String>,
    /// Whether every runner that was to be told uses it; absent when none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<bool>,
}

/// The body of `POST /api/admin/expected-version`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct ExpectVersion {
    /// The version that runners should have; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        value_type = String, required = true, max_length = 256,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    pub version: Option<String>,
}

/// The answer of `POST /api/admin/expected-version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct VersionExpected {
    /// Always `updated`.
    pub status: String,
    /// The version before; `null` when there was none.
    pub previous: Option<String>,
    /// The version now.
    pub current: String,
}

/// The answer of `GET /api/admin/runners`, in the order of first registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdminRunners {
    /// The runners.
    pub runners: Vec<AdminRunner>,
    /// The version that runners should have; `null` when any will do.
    pub expected_version: Option<String>,
    /// How many there are.
    pub count: usize,
}

/// One runner, as far as versions, updates and keys go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdminRunner {
    /// Its id.
    pub runner_id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether it is believed to be there.
    pub status: RunnerStatus,
    /// When it was last heard from.
    #[serde(serialize_with = "write_iso")]
    pub last_heartbeat: Timestamp,
    /// Whether its version is another than the expected one, be it older or newer.
    pub outdated: bool,
    /// Whether there is something that it is still to be told.
    pub has_pending_update: bool,
    /// Whether there is a new key that it does not use yet.
    pub has_pending_api_key: bool,
    /// The last state of an update that it reported; `idle` when it never did.
    pub update_status: String,
    /// The end of the log of its last update.
    pub update_log: String,
    /// The id of the API key that its last registration or heartbeat came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_id: Option<String>,
}

/// The answer of `GET /api/admin/runners/{id}/update-log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunnerUpdateLog {
    /// The runner.
    pub runner_id: String,
    /// Its name.
    pub name: String,
    /// The last state of an update that it reported; `idle` when it never did.
    pub update_status: String,
    /// The end of the log of its last update.
    pub update_log: String,
}

/// The body of `POST /api/admin/runners/request-update`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestUpdates {
    /// The runners; exactly `["ALL"]`: every one that is known; absent or empty: only the expected
    /// version is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_ids: Option<Vec<String>>,
    /// The version that they should have; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        value_type = String, required = true, max_length = 256,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    pub version: Option<String>,
    /// The command that brings them there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Where it could be had from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_url: Option<String>,
}

/// The answer of `POST /api/admin/runners/request-update`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdatesRequested {
    /// `update_requested`, or `version_set` when no runner was named.
    pub status: String,
    /// The version that the runners are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The version that runners should have now, when no runner was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<String>,
    /// The runners that are told.
    pub notified_runners: Vec<String>,
    /// The runners that are not known.
    pub skipped_runners: Vec<String>,
    /// What is still to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The answer of `POST /api/admin/self-update`; always 200.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelfUpdated {
    /// `update_started`, `update_running`, `update_skipped` or `already_up_to_date`.
    pub status: String,
    /// Why nothing was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The version that runs.
    pub current_version: String,
    /// The latest version, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_version: Option<String>,
    /// The command of the settings that was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What happens next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The answer of `GET /api/admin/self-update/log`: how the last update of the coordinator went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelfUpdateLog {
    /// The version that runs.
    pub current_version: String,
    /// The latest version; `null` when it is not known.
    pub latest_version: Option<String>,
    /// `idle` (never started), `running`, `succeeded`, `failed`, `timed_out` or `interrupted`.
    pub update_status: String,
    /// The end of what the command printed.
    pub update_log: String,
    /// The version that ran when it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_version: Option<String>,
    /// When it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The exit code of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}
