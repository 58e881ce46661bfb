//! Errors of the API: always JSON, always one line and a way out.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::coordinator::ApiError;

use crate::admission::Closed;
use crate::keeper::NotKept;
use crate::runners::RunnersError;

/// An answer that is not the one that was asked for.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    body: ApiError,
    /// In how many seconds it is worth asking again.
    retry_after: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: ApiError { error: error.into(), hint: None }, retry_after: None }
    }

    pub(super) fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    pub(super) fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub(super) fn unavailable(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    pub(super) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = Some(hint.into());
        self
    }

    /// Says with `Retry-After` when to ask again.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.body.error
    }
}

impl From<crate::ledger::LedgerError> for Problem {
    fn from(error: crate::ledger::LedgerError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            .hinted("`ygg status` says what is wrong with the ledger")
    }
}

impl From<NotKept> for Problem {
    fn from(error: NotKept) -> Self {
        Self::unavailable(error.to_string()).retry_after(5)
    }
}

impl From<Closed> for Problem {
    fn from(closed: Closed) -> Self {
        Self::unavailable(closed.to_string()).retry_after(closed.retry_after_seconds())
    }
}

impl From<RunnersError> for Problem {
    fn from(error: RunnersError) -> Self {
        let text = error.to_string();
        match error {
            RunnersError::UnknownRunner | RunnersError::UnknownTask => Self::not_found(text),
            RunnersError::DuplicateTask { .. } => Self::new(StatusCode::CONFLICT, text),
            RunnersError::Invalid(_) => Self::bad_request(text),
            RunnersError::TooMany { .. } | RunnersError::TooManyTasks { .. } => {
                Self::unavailable(text).retry_after(60)
            }
            RunnersError::NotKept(error) => error.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
