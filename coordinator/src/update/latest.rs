//! Asking a configured address for the latest version.

use std::time::Duration;

use futures::StreamExt as _;
use serde::Deserialize;
use thiserror::Error;
use url::Url;

/// How long an answer may take, all of it.
const LIMIT: Duration = Duration::from_secs(10);
/// The most that is read of an answer.
const MOST: usize = 1024 * 1024;
/// The longest version that is believed: it becomes the label of a metric.
const VERSION_BYTES: usize = 64;

/// Why the latest version is not known.
#[derive(Debug, Error)]
pub enum LatestError {
    #[error("no answer from LATEST_VERSION_URL")]
    NoAnswer(#[source] reqwest::Error),
    #[error("LATEST_VERSION_URL answered {0}")]
    Status(u16),
    #[error("LATEST_VERSION_URL answered with more than {MOST} bytes")]
    TooLong,
    #[error("LATEST_VERSION_URL answered with something else than JSON with a text `version`")]
    NoVersion,
}

impl LatestError {
    /// Returns what failed and its innermost cause, in one line.
    pub fn line(&self) -> String {
        daemon::exit::chain(self)
    }
}

#[derive(Deserialize)]
struct Answer {
    version: String,
}

/// The address where the latest version is asked for.
#[derive(Debug, Clone)]
pub struct Door {
    http: reqwest::Client,
    url: Url,
}

impl Door {
    /// Makes the door to an address, on the HTTP client that executors are asked with.
    pub fn new(http: reqwest::Client, url: Url) -> Self {
        Self { http, url }
    }

    /// Asks once.
    pub async fn ask(&self) -> Result<String, LatestError> {
        // An address may hold a password, so no error names it.
        let no_answer = |error: reqwest::Error| LatestError::NoAnswer(error.without_url());
        let request = self.http.get(self.url.clone()).timeout(LIMIT);
        let response = request.header("accept", "application/json").send().await;
        let response = response.map_err(no_answer)?;
        if !response.status().is_success() {
            return Err(LatestError::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece.map_err(no_answer)?);
            if body.len() > MOST {
                return Err(LatestError::TooLong);
            }
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| LatestError::NoVersion)?;
        let version = answer.version.trim();
        let version = version.strip_prefix('v').unwrap_or(version);
        let fits = !version.is_empty()
            && version.len() <= VERSION_BYTES
            && version.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(version.to_owned()) } else { Err(LatestError::NoVersion) }
    }
}
