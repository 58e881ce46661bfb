//! An answer of ours where an agent's was asked for.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::agent::AgentId;
use super::headers;
use crate::admission::whole_seconds;
use crate::metrics::Served;

/// Why a request got no agent's answer.
#[derive(Debug, Clone)]
pub struct Refused {
    pub status: StatusCode,
    pub error: String,
    pub hint: Option<String>,
    /// What goes with it: `Retry-After`, `X-Agent-Id`, `X-Request-Id`.
    pub headers: Box<HeaderMap>,
    /// How it is counted.
    pub(super) how: Served,
}

impl Refused {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
            hint: None,
            headers: Box::default(),
            how: Served::Refused,
        }
    }

    pub(super) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn retry_after(mut self, wait: Duration) -> Self {
        self.headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        self
    }

    pub(super) fn because(mut self, how: Served) -> Self {
        self.how = how;
        self
    }

    pub(super) fn of(mut self, agent: &AgentId) -> Self {
        if let Ok(id) = HeaderValue::try_from(&**agent) {
            self.headers.insert(headers::AGENT_ID, id);
        }
        self
    }
}
