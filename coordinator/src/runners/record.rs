//! What is known of one runner and of one task on its list.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use jiff::Timestamp;
use protocol::runner::{
    ExecutorMetadata, PendingUpdate, RUNNING, RealmTemplate, RunnerInfo, RunnerStatus, RunnerTask,
    SystemResources,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;

/// One runner.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Runner {
    pub id: String,
    /// Rises with each first registration: the order of every list.
    pub seq: u64,
    pub name: String,
    pub endpoint: String,
    pub version: String,
    pub capabilities: Vec<String>,
    pub realm_templates: Vec<RealmTemplate>,
    pub labels: BTreeMap<String, String>,
    pub metadata: Map<String, Value>,
    /// By its own word; none: the coordinator's setting.
    pub lease_ttl_ms: Option<u64>,
    pub status: RunnerStatus,
    /// Whether realms may be placed on it: not between a good-bye and the next registration.
    pub offers_realms: bool,
    pub first_registered: Timestamp,
    pub last_heartbeat: Timestamp,
    pub resources: Option<SystemResources>,
    pub update: Option<Update>,
    pub key_push: Option<KeyPush>,
    pub update_status: Option<String>,
    pub update_log: Option<String>,
    /// The id of the API key that its last registration or heartbeat came with.
    #[serde(default)]
    pub key: Option<String>,
    /// Since it is away: the number of the next task then. Those from there on were given to it
    /// for when it is back.
    #[serde(default)]
    pub away_from: Option<u64>,
    /// Until when it is believed; starts anew with each life of the coordinator. None once its end
    /// was seen.
    #[serde(skip)]
    pub lease_ends: Option<Instant>,
    /// When a list of its tasks was last answered.
    #[serde(skip)]
    pub listed: Option<Instant>,
    #[serde(skip)]
    pub tasks: IndexMap<String, Task>,
    /// How many of its tasks have the status `running`.
    #[serde(skip)]
    pub running: usize,
}

/// An update that the runner is told about until it has it, or has failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Update {
    pub version: String,
    pub command: Option<String>,
    pub download_url: Option<String>,
    pub metadata: Option<Map<String, Value>>,
    pub requested: Timestamp,
    /// In how many answers it was sent.
    pub delivered: u32,
    /// The log that the runner had reported before: the same again tells nothing new.
    pub log_before: Option<String>,
}

/// A key that the runner is told about until it uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPush {
    /// The key's id: a hash.
    pub key: String,
    /// The key itself, sealed; opened only for the answer to the runner.
    pub sealed: String,
    pub requested: Timestamp,
}

/// One task on a runner's list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    #[serde(flatten)]
    pub wire: RunnerTask,
    /// Rises with each task.
    pub seq: u64,
    /// Whether the list was read since the task is on it: an undelivered one surely did not start.
    pub delivered: bool,
    /// We wrote that it failed, because its runner was lost; a later word of the runner counts.
    pub lost: Option<String>,
    /// Its runner told us of it; nobody put it on the list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub told: bool,
}

impl Task {
    /// Whether its status says that it runs.
    pub fn is_running(&self) -> bool {
        self.wire.status == RUNNING
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.wire.is_over()
    }
}

impl Runner {
    /// Whether it is believed to be there.
    pub fn is_online(&self) -> bool {
        self.status == RunnerStatus::Online
    }

    /// Returns what it says of itself as an executor of ours; none for every other runner.
    pub fn executor(&self) -> Option<ExecutorMetadata> {
        let metadata = Value::Object(self.metadata.clone());
        let read: ExecutorMetadata = serde_json::from_value(metadata).ok()?;
        (read.protocol == protocol::PROTOCOL).then_some(read)
    }

    /// Returns what the runner is to be told about itself, without the key.
    pub fn pending_update(&self) -> Option<PendingUpdate> {
        match (&self.update, &self.key_push) {
            (None, None) => None,
            (Some(update), _) => Some(PendingUpdate {
                version: update.version.clone(),
                command: update.command.clone(),
                download_url: update.download_url.clone(),
                api_key: None,
                metadata: update.metadata.clone(),
            }),
            (None, Some(_)) => Some(PendingUpdate {
                version: self.version.clone(),
                command: None,
                download_url: None,
                api_key: None,
                metadata: None,
            }),
        }
    }

    /// Returns the runner as lists show it.
    pub fn listed(&self) -> RunnerInfo {
        RunnerInfo {
            runner_id: self.id.clone(),
            name: self.name.clone(),
            endpoint: self.endpoint.clone(),
            version: self.version.clone(),
            capabilities: self.capabilities.clone(),
            realm_templates: self.realm_templates.clone(),
            labels: self.labels.clone(),
            last_heartbeat: self.last_heartbeat,
            status: self.status,
            resources: self.resources.clone(),
            tasks: self.tasks.values().map(|task| task.wire.clone()).collect(),
            pending_update: None,
            update_status: None,
            update_log: None,
        }
    }

    /// Returns the runner with what is shown for one only.
    pub fn shown(&self) -> RunnerInfo {
        RunnerInfo {
            pending_update: self.pending_update(),
            update_status: self.update_status.clone(),
            update_log: self.update_log.clone(),
            ..self.listed()
        }
    }
}
