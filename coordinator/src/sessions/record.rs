//! What is known of one session and of one realm.

use protocol::session::{Realm as WireRealm, SessionDescriptor};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The states of a realm that mean something here; any other text is kept as it came.
pub mod state {
    pub const CREATING: &str = "creating";
    pub const RUNNING: &str = "running";
    pub const PAUSED: &str = "paused";
    pub const UNHEALTHY: &str = "unhealthy";
    pub const DESTROYED: &str = "destroyed";
}

/// One session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Rises with each session: the order of every list.
    pub seq: u64,
    pub wire: SessionDescriptor,
    /// Until when it waits for its realm; starts anew with each life of the coordinator.
    #[serde(skip)]
    pub wait_ends: Option<Instant>,
}

/// One realm.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Realm {
    /// Rises with each realm: the order of every list.
    pub seq: u64,
    pub wire: WireRealm,
    /// The type of its template, such as `ubuntu`.
    pub kind: String,
    /// The task by which its runner was asked to create it; none when it registered by itself.
    pub task: Option<String>,
    /// The session that it was created for.
    pub session: Option<String>,
    /// Whether the task is on the runner's list, or was.
    pub handed: bool,
    /// Whether it has ever been there.
    pub started: bool,
    /// Nobody waits for its start any more; it may still come.
    pub given_up: bool,
    /// Its sessions were told that it is lost.
    pub lost: Option<Loss>,
    /// When it was last heard from itself; starts anew with each life of the coordinator.
    #[serde(skip)]
    pub heard: Option<Instant>,
    /// Since when its runner is away, for one that does not speak itself.
    #[serde(skip)]
    pub away: Option<Instant>,
    /// Until when its start is waited for; starts anew with each life of the coordinator.
    #[serde(skip)]
    pub start_ends: Option<Instant>,
}

/// Why a realm counts as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// Nothing was heard of it.
    Silent,
    /// Nothing was heard of its runner.
    Runner,
}

impl Realm {
    /// Whether its runner was asked to create it and it has not come yet.
    pub fn is_awaited(&self) -> bool {
        self.task.is_some() && !self.started
    }

    /// Whether it is known where it is watched and worked.
    pub fn has_endpoints(&self) -> bool {
        let endpoints = &self.wire.endpoints;
        !endpoints.observation.is_empty() && !endpoints.input.is_empty()
    }

    /// Whether somebody can use it.
    pub fn is_ready(&self) -> bool {
        let is_there = match &*self.wire.state {
            state::RUNNING => true,
            state::PAUSED => self.started,
            _ => false,
        };
        is_there && self.has_endpoints()
    }

    /// Whether it may soon be ready: it is being created, or has not told its endpoints yet.
    pub fn is_coming(&self) -> bool {
        let coming = [state::CREATING, state::RUNNING, state::PAUSED];
        coming.contains(&&*self.wire.state) && !self.is_ready() && !self.given_up
    }
}
