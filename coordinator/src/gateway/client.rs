//! The door to agents: one HTTP client for all of them.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{HeaderMap, Method};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Body, Response};
use url::Url;

use super::agent::is_forbidden;

/// How long it may take to be connected.
const CONNECT: Duration = Duration::from_secs(3);
/// Below the five seconds after which a common server closes an idle connection: a request that is
/// sent into its closing may or may not have arrived.
const IDLE: Duration = Duration::from_secs(4);

/// Why no answer came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The request never reached the agent.
    NotReached(String),
    /// It may have arrived; the answer did not come.
    Cut(String),
    /// It may have arrived; the answer did not come in time.
    TimedOut,
}

/// Sends requests to agents.
#[derive(Debug, Clone)]
pub(super) struct AgentClient {
    http: reqwest::Client,
}

impl AgentClient {
    /// Makes the client. It follows no redirect, repeats nothing, and goes to no forbidden address
    /// whatever a name leads to.
    pub(super) fn new() -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .dns_resolver(Careful)
            .no_proxy()
            .build()?;
        Ok(Self { http })
    }

    /// Sends one request; `limit` counts until the last byte of the answer.
    pub(super) async fn send(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Option<Body>,
        limit: Duration,
    ) -> Result<Response, Fault> {
        let mut request = self.http.request(method, url).headers(headers).timeout(limit);
        if let Some(body) = body {
            request = request.body(body);
        }
        request.send().await.map_err(|error| fault(&error))
    }
}

fn fault(error: &reqwest::Error) -> Fault {
    // A connection that takes too long is one that was not made.
    if error.is_connect() || error.is_builder() {
        return Fault::NotReached(innermost(error));
    }
    if error.is_timeout() {
        return Fault::TimedOut;
    }
    Fault::Cut(innermost(error))
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Looks names up as the system does, and leaves out addresses that nobody may be sent to.
#[derive(Debug)]
struct Careful;

impl Resolve for Careful {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|address| !is_forbidden(address.ip())).collect();
            if allowed.is_empty() {
                let text = format!("`{}` leads to no address that may be used", name.as_str());
                return Err(text.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
