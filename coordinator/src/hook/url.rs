//! A hook that is a URL: a POST with JSON.

use std::time::Duration;

use protocol::hook::RunnerGone;
use url::Url;
use uuid::Uuid;

/// How long the other side may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Posts to one URL.
#[derive(Debug)]
pub(super) struct Post {
    http: reqwest::Client,
    url: Url,
}

impl Post {
    pub(super) fn new(url: Url) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(LIMIT)
            .no_proxy()
            // What is told is for the owner's URL alone.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("yggdrasil-coordinator/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, url })
    }

    /// Tells of one loss; anything but a 2xx is a failure.
    pub(super) async fn tell(&self, gone: &RunnerGone, delivery: Uuid) -> Result<(), String> {
        let request = self
            .http
            .post(self.url.clone())
            .header("idempotency-key", delivery.to_string())
            .json(gone);
        // The URL may hold a token: only its host is ever shown.
        let host = self.url.host_str().unwrap_or_default();
        let answer = request.send().await.map_err(|error| {
            let error = error.without_url();
            let mut cause: &dyn std::error::Error = &error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            format!("{host} does not answer: {cause}")
        })?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(format!("{host} answered {}", answer.status()))
    }
}
