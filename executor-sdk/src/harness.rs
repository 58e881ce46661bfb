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
//! What goes wrong in the harness itself (no free port, an answer that is not of the protocol)
//! panics with what it was: that is how a test fails.

use std::future::Future;
use std::time::Duration;

pub use protocol::execute::{Ending, ExecuteRequest, Outcome, Started};
pub use protocol::executor::{
    AttemptList, AttemptStatus, AttemptView, ExecutorHealth, ExecutorStatus, Health, TaskSpec,
};
pub use protocol::refusal::{Refusal, RefusalCode};
/// For `#[tokio::test]` without a dependency of one's own.
pub use tokio;

use daemon::shutdown::Shutdown;
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use url::Url;
use uuid::Uuid;

use crate::Executor;

pub mod hostile;
mod setup;

pub use setup::Setup;

/// How long a test waits for a condition before it fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// An executor that runs inside the test. Dropping it ends what it runs.
#[derive(Debug)]
pub struct Harness {
    url: Url,
    client: reqwest::Client,
    token: Option<String>,
    shutdown: Shutdown,
    serving: Option<JoinHandle<()>>,
    /// Removed with the harness: its state, unless the test brought its own, its programs and its
    /// secrets.
    _folders: [Option<TempDir>; 3],
}

impl Harness {
    /// Starts an executor that allows every command and path.
    pub async fn start<E: Executor>(executor: E) -> Self {
        Self::with(executor).start().await
    }

    /// Starts an executor as the test wants it: `Harness::with(x).capacity(1).start().await`.
    pub fn with<E: Executor>(executor: E) -> Setup<E> {
        Setup::new(executor)
    }

    /// Returns where it listens.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Orders a task and waits for its end.
    pub async fn execute(&self, task_type: &str, params: Value) -> Result<Outcome, Refusal> {
        self.order(&Self::new_order(task_type, params)).await
    }

    /// Orders a task and returns as soon as it runs.
    pub async fn execute_async(&self, task_type: &str, params: Value) -> Result<Started, Refusal> {
        self.order_async(&Self::new_order(task_type, params)).await
    }

    /// Returns an order with an attempt id of its own, to be changed and sent.
    pub fn new_order(task_type: &str, params: Value) -> ExecuteRequest {
        let params = match params {
            Value::Object(params) => params,
            other => panic!("params must be an object, found {other}"),
        };
        ExecuteRequest {
            task_id: "test-1".to_owned(),
            task_type: task_type.to_owned(),
            params,
            attempt: Some(Uuid::now_v7()),
            timeout_seconds: None,
            ledger: None,
            epoch: None,
        }
    }

    /// Sends an order as it is, and waits for its end.
    pub async fn order(&self, order: &ExecuteRequest) -> Result<Outcome, Refusal> {
        let sent = self.request(Method::POST, "execute").json(order).send();
        answer(sent.await.expect("the executor answers"), 200).await
    }

    /// Sends an order as it is, and returns as soon as it runs.
    pub async fn order_async(&self, order: &ExecuteRequest) -> Result<Started, Refusal> {
        let request = self.request(Method::POST, "execute").header("prefer", "respond-async");
        let sent = request.json(order).send();
        answer(sent.await.expect("the executor answers"), 202).await
    }

    /// Returns what is known of an attempt.
    pub async fn attempt(&self, attempt: Uuid) -> Result<AttemptView, Refusal> {
        self.get(&format!("attempts/{attempt}")).await
    }

    /// Waits until an attempt has ended, and returns its outcome.
    pub async fn outcome(&self, attempt: Uuid) -> Outcome {
        let path = format!("attempts/{attempt}?wait={}", PATIENCE.as_secs());
        let view: Result<AttemptView, Refusal> = self.get(&path).await;
        let view = view.unwrap_or_else(|refusal| panic!("{}", refusal.error));
        view.outcome.unwrap_or_else(|| panic!("attempt {attempt} still runs after {PATIENCE:?}"))
    }

    /// Returns every attempt, newest first.
    pub async fn attempts(&self) -> Vec<AttemptView> {
        let list: Result<AttemptList, Refusal> = self.get("attempts").await;
        list.unwrap_or_else(|refusal| panic!("{}", refusal.error)).attempts
    }

    /// Returns what an attempt has printed so far; bytes that are not UTF-8 are replaced.
    pub async fn log(&self, attempt: Uuid) -> String {
        let sent = self.request(Method::GET, &format!("attempts/{attempt}/log")).send();
        let bytes = sent.await.expect("the executor answers").bytes().await;
        String::from_utf8_lossy(&bytes.expect("the log arrives whole")).into_owned()
    }

    /// Waits until the log of an attempt contains a text.
    pub async fn log_contains(&self, attempt: Uuid, text: &str) {
        until(&format!("the log contains `{text}`"), async || {
            self.log(attempt).await.contains(text)
        })
        .await;
    }

    /// Cancels an attempt.
    pub async fn cancel(&self, attempt: Uuid) -> Result<AttemptView, Refusal> {
        let sent = self.request(Method::DELETE, &format!("attempts/{attempt}")).send();
        answer(sent.await.expect("the executor answers"), 202).await
    }

    /// Returns what `/status` says.
    pub async fn status(&self) -> ExecutorStatus {
        let status: Result<ExecutorStatus, Refusal> = self.get("status").await;
        status.unwrap_or_else(|refusal| panic!("{}", refusal.error))
    }

    /// Returns what `/health` says.
    pub async fn health(&self) -> ExecutorHealth {
        let health: Result<ExecutorHealth, Refusal> = self.get("health").await;
        health.unwrap_or_else(|refusal| panic!("{}", refusal.error))
    }

    /// Begins a request of the test's own; it carries the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = self.url.join(path).expect("a path below the root");
        let request = self.client.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Makes it drain, as the first SIGTERM does, and returns at once.
    pub fn drain(&self) {
        self.shutdown.draining.cancel();
    }

    /// Makes it end at once, as the second SIGTERM does.
    pub fn end_now(&self) {
        self.shutdown.draining.cancel();
        self.shutdown.now.cancel();
    }

    /// Drains it and waits until it has stopped.
    pub async fn stop(mut self) {
        self.drain();
        if let Some(serving) = self.serving.take() {
            serving.await.expect("the executor stops without a panic");
        }
    }

    /// Waits until it has stopped by itself, as after an update.
    pub async fn ended(mut self) {
        if let Some(serving) = self.serving.take() {
            let ended = tokio::time::timeout(PATIENCE, serving).await;
            ended.expect("the executor stops by itself").expect("it stops without a panic");
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        let sent = self.request(Method::GET, path).send();
        answer(sent.await.expect("the executor answers"), 200).await
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.end_now();
    }
}

/// Waits for a condition; fails the test when it does not come true.
pub async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let check = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let came_true = tokio::time::timeout(PATIENCE, check).await.is_ok();
    assert!(came_true, "waited {PATIENCE:?} until {what}");
}

async fn answer<T: DeserializeOwned>(response: Response, expected: u16) -> Result<T, Refusal> {
    let status = response.status().as_u16();
    let bytes = response.bytes().await.expect("the answer arrives whole");
    let text = String::from_utf8_lossy(&bytes);
    if status == expected {
        return Ok(serde_json::from_slice(&bytes)
            .unwrap_or_else(|error| panic!("{error} in the answer {text}")));
    }
    let refusal: Refusal = serde_json::from_slice(&bytes)
        .unwrap_or_else(|error| panic!("{error} in the refusal ({status}) {text}"));
    assert_eq!(refusal.code.http_status(), status, "{text}");
    Err(refusal)
}
