//! An executor in a test: in this process, over real HTTP, with a throw-away state folder.
//!
//! ```no_run
//! # use executor_sdk::{harness::{Harness, tokio}, prelude::*};
//! # #[derive(Args)] struct Muninn;
//! # impl Executor for Muninn { const NAME: &'static str = "muninn-executor"; fn tasks() -> Tasks<Self> { Tasks::new() } }
//! #[tokio::test]
//! async fn a_section_is_scanned() {
//!     let muninn = Harness::start(Muninn).await;
//!
//!     let outcome = muninn.execute("plex-scan", json!({"section": 3})).await.unwrap();
//!
//!     assert_eq!(outcome.exit_code, Some(0));
//! }
//! ```

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub use protocol::execute::{Ending, ExecuteRequest, Outcome, Started};
pub use protocol::executor::{AttemptStatus, AttemptView, ExecutorStatus, TaskSpec};
pub use protocol::refusal::{Refusal, RefusalCode};
/// For `#[tokio::test]` without a dependency of one's own.
pub use tokio;

use serde_json::Value;
use url::Url;
use uuid::Uuid;

use crate::Executor;

/// What a test may decide before its executor starts; see [`Harness::with`].
#[must_use = "it starts with `.start().await`"]
#[derive(Debug)]
pub struct Setup<E> {
    executor: E,
    policy: Option<String>,
    path: Vec<PathBuf>,
    capacity: Option<u32>,
}

impl<E: Executor> Setup<E> {
    /// Gives it this policy file. Without one everything is allowed, commands included.
    pub fn policy(mut self, yaml: impl Into<String>) -> Self {
        self.policy = Some(yaml.into());
        self
    }

    /// Puts a folder before the programs of this machine, for fake ones.
    pub fn path(mut self, folder: impl Into<PathBuf>) -> Self {
        self.path.push(folder.into());
        self
    }

    /// Sets how many tasks run at a time.
    pub fn capacity(mut self, tasks: u32) -> Self {
        self.capacity = Some(tasks);
        self
    }

    /// Starts it; it listens when this returns.
    pub async fn start(self) -> Harness {
        unimplemented!("the harness is not built yet")
    }
}

/// An executor that runs inside the test. Dropping it ends what it runs.
#[derive(Debug)]
pub struct Harness {
    url: Url,
}

impl Harness {
    /// Starts an executor that allows everything.
    pub async fn start<E: Executor>(executor: E) -> Self {
        Self::with(executor).start().await
    }

    /// Starts an executor as the test wants it.
    pub fn with<E: Executor>(executor: E) -> Setup<E> {
        Setup { executor, policy: None, path: Vec::new(), capacity: None }
    }

    /// Returns where it listens.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Orders a task and waits for its end.
    pub async fn execute(&self, task_type: &str, params: Value) -> Result<Outcome, Refusal> {
        unimplemented!("the harness is not built yet")
    }

    /// Orders a task and returns as soon as it runs.
    pub async fn execute_async(&self, task_type: &str, params: Value) -> Result<Started, Refusal> {
        unimplemented!("the harness is not built yet")
    }

    /// Sends an order as it is, and waits for its end.
    pub async fn order(&self, order: &ExecuteRequest) -> Result<Outcome, Refusal> {
        unimplemented!("the harness is not built yet")
    }

    /// Returns what is known of an attempt.
    pub async fn attempt(&self, attempt: Uuid) -> Option<AttemptView> {
        unimplemented!("the harness is not built yet")
    }

    /// Waits until an attempt has ended.
    pub async fn outcome(&self, attempt: Uuid) -> Outcome {
        unimplemented!("the harness is not built yet")
    }

    /// Returns what an attempt has printed so far.
    pub async fn log(&self, attempt: Uuid) -> String {
        unimplemented!("the harness is not built yet")
    }

    /// Cancels an attempt.
    pub async fn cancel(&self, attempt: Uuid) {
        unimplemented!("the harness is not built yet")
    }

    /// Returns what `/status` says.
    pub async fn status(&self) -> ExecutorStatus {
        unimplemented!("the harness is not built yet")
    }

    /// Drains and stops it.
    pub async fn stop(self) {
        unimplemented!("the harness is not built yet")
    }
}
