//! One executor over HTTP. Like every door it keeps reqwest to itself.

use std::time::Duration;

use futures::Stream;
use protocol::execute::{ExecuteRequest, Outcome};
use protocol::executor::{AttemptView, ExecutorHealth, ExecutorStatus, Health};
use protocol::refusal::Refusal;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use thiserror::Error;
use url::Url;
use uuid::Uuid;

/// For an answer that an executor gives at once.
const SHORT: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(3);
/// The most of a strange answer that is shown to a person.
const SHOWN: usize = 120;

/// What went wrong between us and an executor.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The request was never delivered.
    #[error("cannot reach `{url}`")]
    Unreachable {
        url: Url,
        #[source]
        source: reqwest::Error,
    },
    /// The request may have been delivered; the answer did not come.
    #[error("no answer from `{url}`")]
    Cut {
        url: Url,
        #[source]
        source: reqwest::Error,
    },
    /// The runner did not read its list, and the task is off it again.
    #[error("`{name}` did not take it: {why}")]
    NotTaken { name: String, why: String },
    /// The runner has the task, and nothing is known of it now.
    #[error("`{name}`: {why}")]
    Silent { name: String, why: String },
    /// It answered with a refusal.
    #[error("{} ({})", refusal.error, refusal.code.http_status())]
    Refused { refusal: Box<Refusal>, retry_after: Option<Duration> },
    /// It answered something that is not this protocol.
    #[error("`{url}` does not answer like an executor ({status}): {shown}")]
    NotProtocol { url: Url, status: u16, shown: String },
}

impl ClientError {
    /// Returns what failed and its innermost cause, in one line.
    pub fn line(&self) -> String {
        let Some(mut cause) = std::error::Error::source(self) else { return self.to_string() };
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        format!("{self}: {cause}")
    }
}

/// The answer to an offer.
#[derive(Debug)]
pub enum Offer {
    /// It runs, or has run: ask for the attempt.
    Accepted,
    /// It had ended already, and this is how.
    Ended(Box<Outcome>),
}

/// A piece of an attempt's log, or all that follows.
pub struct Log {
    /// The headers of [`protocol::log`] that came with it.
    pub headers: header::HeaderMap,
    /// The bytes as they come.
    pub bytes: std::pin::Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("headers", &self.headers).finish_non_exhaustive()
    }
}

/// Talks to one executor.
#[derive(Debug, Clone)]
pub struct ExecutorClient {
    http: reqwest::Client,
    url: Url,
    token: Option<header::HeaderValue>,
}

impl ExecutorClient {
    /// Returns the HTTP client that all executors share.
    pub fn http() -> reqwest::Result<reqwest::Client> {
        reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .no_proxy()
            // Below the time after which our servers close an idle connection.
            .pool_idle_timeout(Duration::from_secs(8))
            .user_agent(concat!("yggdrasil-coordinator/", env!("CARGO_PKG_VERSION")))
            .build()
    }

    /// Makes the client of one executor.
    pub fn new(http: reqwest::Client, url: Url, token: Option<header::HeaderValue>) -> Self {
        Self { http, url, token }
    }

    /// Returns the address of a path on the executor.
    pub fn address(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        url
    }

    /// Asks whether it takes work.
    pub async fn health(&self) -> Result<Health, ClientError> {
        let health: ExecutorHealth = self.get("/health", &[], SHORT).await?;
        Ok(health.status)
    }

    /// Asks what it can do.
    pub async fn status(&self) -> Result<ExecutorStatus, ClientError> {
        self.get("/status", &[], SHORT).await
    }

    /// Offers an attempt; the same attempt again joins the first.
    pub async fn offer(&self, request: &ExecuteRequest) -> Result<Offer, ClientError> {
        let builder = self
            .request(Method::POST, "/execute")
            .header("prefer", "respond-async")
            .timeout(SHORT * 2)
            .json(request);
        let response = self.send(builder).await?;
        if response.status() == StatusCode::ACCEPTED {
            return Ok(Offer::Accepted);
        }
        Ok(Offer::Ended(Box::new(self.read(response).await?)))
    }

    /// Asks how an attempt is; the answer comes at its end, or after `wait`.
    pub async fn attempt(&self, id: Uuid, wait: Duration) -> Result<AttemptView, ClientError> {
        let path = format!("/attempts/{id}");
        if wait.is_zero() {
            return self.get(&path, &[], SHORT).await;
        }
        let seconds = wait.as_secs().max(1).to_string();
        self.get(&path, &[("wait", &seconds)], wait + SHORT).await
    }

    /// Asks that an attempt be cancelled.
    pub async fn cancel(&self, id: Uuid) -> Result<(), ClientError> {
        let builder = self.request(Method::DELETE, &format!("/attempts/{id}")).timeout(SHORT);
        self.send(builder).await.map(drop)
    }

    /// Reads an attempt's log from an offset; with `follow` until the attempt ends.
    pub async fn log(&self, id: Uuid, offset: u64, follow: bool) -> Result<Log, ClientError> {
        let builder = self
            .request(Method::GET, &format!("/attempts/{id}/log"))
            .query(&[("offset", offset.to_string()), ("follow", follow.to_string())]);
        let response = self.send(builder).await?;
        let headers = response.headers().clone();
        Ok(Log { headers, bytes: Box::pin(response.bytes_stream()) })
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        limit: Duration,
    ) -> Result<T, ClientError> {
        let builder = self.request(Method::GET, path).query(query).timeout(limit);
        let response = self.send(builder).await?;
        self.read(response).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let builder = self.http.request(method, self.address(path));
        match &self.token {
            Some(token) => builder.header(header::AUTHORIZATION, token.clone()),
            None => builder,
        }
    }

    async fn send(&self, builder: RequestBuilder) -> Result<Response, ClientError> {
        let response = builder.send().await.map_err(|source| self.broken(source))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok())
            .map(Duration::from_secs);
        let body = response.bytes().await.map_err(|source| self.broken(source))?;
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) if refusal.code.http_status() == status => {
                Err(ClientError::Refused { refusal: Box::new(refusal), retry_after })
            }
            _ => Err(self.strange(status, &body)),
        }
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|source| self.broken(source))?;
        serde_json::from_slice(&body).map_err(|_| self.strange(status, &body))
    }

    fn broken(&self, source: reqwest::Error) -> ClientError {
        let url = self.url.clone();
        let source = source.without_url();
        if source.is_connect() {
            ClientError::Unreachable { url, source }
        } else {
            ClientError::Cut { url, source }
        }
    }

    fn strange(&self, status: u16, body: &[u8]) -> ClientError {
        let shown = crate::beads::clean(&String::from_utf8_lossy(body), SHOWN);
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        ClientError::NotProtocol { url: self.url.clone(), status, shown }
    }
}
