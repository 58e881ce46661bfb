//! The runner API: how a runner (a Ratatoskr, or an executor of ours) registers, is given tasks
//! and reports, and what consumers read.
//!
//! Source of the shapes: the protocol of `@theaiinc/yggdrasil` 0.3.8 as measured on a running
//! copy. Members are in `camelCase`; times are UTC with milliseconds where a member is text, and
//! milliseconds since 1970 where it is a number.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{number, object};

mod resources;
mod tasks;
mod updates;

pub use resources::{CpuResources, MemoryResources, SystemResources};
pub use tasks::{
    COMPLETED, FAILED, NewRunnerTask, PatchRunnerTask, RUNNING, RunnerTask, RunnerTasks,
};
pub use updates::{PendingUpdate, RequestUpdate, UpdateRequested, VersionCheck};

/// Writes a time as every program of JavaScript does: UTC, three decimals, `Z`.
pub fn iso(time: Timestamp) -> String {
    format!("{time:.3}")
}

pub(crate) fn write_iso<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&iso(*time))
}

/// A kind of realm that a runner can host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct RealmTemplate {
    /// The template's id.
    pub id: String,
    /// `ubuntu`, `android`, `browser`, `windows`, or any word.
    #[serde(rename = "type")]
    pub kind: String,
    /// What can be done in it: `observe`, `mouse`, `keyboard`, …
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// Whether a runner is believed to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunnerStatus {
    /// Heard from within its lease.
    Online,
    /// Its lease ran out, or it said good-bye.
    Offline,
}

impl RunnerStatus {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }
}

/// One runner, as `GET /api/runners` lists it and `GET /api/runners/{id}` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunnerInfo {
    /// Its id.
    pub runner_id: String,
    /// Its name; several runners may have one.
    pub name: String,
    /// Where it says that it listens; `unknown` when it does not say.
    pub endpoint: String,
    /// Its version.
    pub version: String,
    /// What it says that it can do; an executor of ours lists its task types.
    pub capabilities: Vec<String>,
    /// The realms that it can host.
    pub realm_templates: Vec<RealmTemplate>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// When it was last heard from.
    #[serde(serialize_with = "write_iso")]
    pub last_heartbeat: Timestamp,
    /// Whether it is believed to be there.
    pub status: RunnerStatus,
    /// What its machine has; absent when it never said.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "object::maybe_one"
    )]
    pub resources: Option<SystemResources>,
    /// Its tasks, oldest first: all that run, and the last ones that ended.
    pub tasks: Vec<RunnerTask>,
    /// What it is to do about itself; shown for one runner only, and its key never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_update: Option<PendingUpdate>,
    /// The last state of an update that it reported; shown for one runner only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_status: Option<String>,
    /// The end of the log of its last update; shown for one runner only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_log: Option<String>,
}

/// The body of `POST /runners/register`; every member may be absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegisterRunner {
    /// The runner's id; absent: a new one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub runner_id: Option<String>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2048)]
    pub name: Option<String>,
    /// Where it listens; may be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2048)]
    pub endpoint: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2048)]
    pub version: Option<String>,
    /// What it can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// The realms that it can host.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "object::maybe_many"
    )]
    pub realm_templates: Option<Vec<RealmTemplate>>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Free members; `protocol: 1` says that it takes `POST /execute` at its endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// What its machine has.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "object::maybe_one"
    )]
    pub resources: Option<SystemResources>,
    /// Its tasks; read at the first registration only.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "object::maybe_many"
    )]
    pub tasks: Option<Vec<RunnerTask>>,
    /// How long a heartbeat of this runner is believed, in milliseconds; absent: `LEASE_TTL_MS`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number::maybe_one"
    )]
    #[schema(minimum = 1000, maximum = 86_400_000)]
    pub lease_ttl_ms: Option<u64>,
}

/// The answer of `POST /runners/register`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    /// The runner's id.
    pub runner_id: String,
    /// `registered`, or `re-registered` when the id was known.
    pub status: String,
}

/// The body of `POST /runners/heartbeat`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_id: Option<String>,
    /// The runner's clock, in seconds since 1970; not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<f64>,
    /// `healthy`, `degraded` or `unhealthy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What its machine has now.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "object::maybe_one"
    )]
    pub resources: Option<SystemResources>,
    /// Its tasks as it knows them. They replace those of the same id and the others that ended;
    /// what was put on the list and still runs stays.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "object::maybe_many"
    )]
    pub tasks: Option<Vec<RunnerTask>>,
    /// `idle`, `pending`, `applying`, `failed` or `applied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_status: Option<String>,
    /// The end of the log of its update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_log: Option<String>,
}

/// The answer of `POST /runners/heartbeat`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatAnswer {
    /// Always `ok`.
    pub status: String,
    /// What the runner is to do about itself; repeated until it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_update: Option<PendingUpdate>,
}

/// The body of `POST /runners/update`: the runner listens elsewhere now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MoveRunner {
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_id: Option<String>,
    /// Not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_endpoint: Option<String>,
    /// Where it listens now; empty or absent: where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_endpoint: Option<String>,
}

/// The body of `POST /runners/offline`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunnerOffline {
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_id: Option<String>,
}

/// An answer that is one word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Word {
    /// `updated`, `offline`, …
    pub status: String,
}

impl Word {
    /// Makes the answer.
    pub fn new(word: &str) -> Self {
        Self { status: word.to_owned() }
    }
}

/// The answer of `GET /api/runners`, in the order of first registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct RunnerList {
    /// The runners, without what is only shown for one.
    pub runners: Vec<RunnerInfo>,
    /// How many there are.
    pub count: usize,
}

/// What a runner says of itself in `metadata` when it is an executor of ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct ExecutorMetadata {
    /// [`crate::PROTOCOL`].
    pub protocol: u32,
    /// How many tasks it takes at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// Identifies one life of its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<uuid::Uuid>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_decimals_always() {
        let whole: Timestamp = "2026-11-21T00:39:02Z".parse().unwrap();
        let exact: Timestamp = "2026-11-21T00:39:02.773123Z".parse().unwrap();

        assert_eq!(iso(whole), "2026-11-21T00:39:02.000Z");
        assert_eq!(iso(exact), "2026-11-21T00:39:02.773Z");
    }

    #[test]
    fn a_first_registration_of_a_ratatoskr_is_read() {
        let body = r#"{"runnerId":"runner-szFk9XMe","name":"peer-runner","endpoint":"",
            "version":"0.3.8","capabilities":["http","health"],"resources":{"cpu":{"load1":1.74,
            "load5":3.22,"load15":2.93,"cpus":2,"percent":0},"memory":{"total":25276502016,
            "used":615378944,"free":24661123072,"percent":2.43},"uptime":2740}}"#;

        let read: RegisterRunner = serde_json::from_str(body).unwrap();

        assert_eq!(read.endpoint.as_deref(), Some(""));
        let again = serde_json::to_string(&read).unwrap();
        assert_eq!(again, body.split_whitespace().collect::<String>());
        assert_eq!(read.resources.unwrap().memory.total, 25_276_502_016);
    }

    #[test]
    fn a_sample_that_is_no_number_refuses_nobody() {
        let body = r#"{"resources":{"cpu":{"percent":null,"cpus":null},"memory":null,"uptime":1}}"#;

        let read: Heartbeat = serde_json::from_str(body).unwrap();

        let resources = read.resources.unwrap();
        assert_eq!((resources.cpu.cpus, resources.memory.total), (0, 0));
        assert!(serde_json::from_str::<Heartbeat>(r#"{"resources":{"uptime":"1"}}"#).is_err());
    }
}
