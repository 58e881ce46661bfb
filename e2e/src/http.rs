//! Asking the coordinator and the executors.

use std::sync::Once;
use std::time::Duration;

use anyhow::{Context, ensure};
use protocol::coordinator::{AttemptDetail, BeadView, CoordinatorHealth, PlanView};
use protocol::executor::{AttemptList, ExecutorStatus};
use reqwest::{Client, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A client without a proxy and with limits.
pub fn client() -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Another library of this process may have installed it already.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
    Client::builder()
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_mins(1))
        .build()
        .expect("a client without TLS roots of its own can be built")
}

/// One daemon of the homelab, asked over HTTP.
#[derive(Debug, Clone)]
pub struct Asked {
    client: Client,
    url: String,
}

impl Asked {
    /// Asks the daemon at `url`.
    pub fn new(client: &Client, url: impl Into<String>) -> Self {
        Self { client: client.clone(), url: url.into() }
    }

    /// Returns where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends `GET path` and returns the answer, whatever its status.
    pub async fn get(&self, path: &str) -> anyhow::Result<Response> {
        let url = format!("{}{path}", self.url);
        self.client.get(&url).send().await.with_context(|| format!("GET {url}"))
    }

    /// Sends `GET path` and reads the JSON of a good answer.
    pub async fn json<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let answer = self.get(path).await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "GET {path}: {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("GET {path} answered `{text}`"))
    }

    /// Sends `POST path` with a JSON body; returns the status and the JSON of the answer.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<(StatusCode, Value)> {
        self.post_with(path, body, &[]).await
    }

    /// Like [`Asked::post`], with headers.
    pub async fn post_with(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<(StatusCode, Value)> {
        let url = format!("{}{path}", self.url);
        let mut request = self.client.post(&url).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.with_context(|| format!("POST {url}"))?;
        let status = answer.status();
        let text = answer.text().await?;
        let json = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok((status, json))
    }

    /// Returns whether it answers `GET /health` with 200.
    pub async fn is_up(&self) -> bool {
        self.get("/health").await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// The coordinator's health.
    pub async fn health(&self) -> anyhow::Result<CoordinatorHealth> {
        self.json("/health").await
    }

    /// The coordinator's plan.
    pub async fn plan(&self) -> anyhow::Result<PlanView> {
        self.json("/api/plan").await
    }

    /// Why a bead is where it is.
    pub async fn why(&self, bead: &str) -> anyhow::Result<BeadView> {
        self.json(&format!("/api/beads/{bead}")).await
    }

    /// One attempt, as the coordinator knows it.
    pub async fn attempt(&self, id: &str) -> anyhow::Result<AttemptDetail> {
        self.json(&format!("/api/attempts/{id}")).await
    }

    /// An executor's status.
    pub async fn status(&self) -> anyhow::Result<ExecutorStatus> {
        self.json("/status").await
    }

    /// Everything in an executor's spool.
    pub async fn attempts(&self) -> anyhow::Result<AttemptList> {
        self.json("/attempts").await
    }

    /// Tells the coordinator to look for work now.
    pub async fn nudge(&self) -> anyhow::Result<()> {
        let (status, body) = self.post("/poll", &Value::Null).await?;
        ensure!(status.is_success(), "POST /poll: {status}: {body}");
        Ok(())
    }
}
