//! Errors of the API: always JSON, always one line and a way out.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::coordinator::ApiError;

/// An answer that is not the one that was asked for.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    body: ApiError,
}

impl Problem {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: ApiError { error: error.into(), hint: None } }
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
}

impl From<crate::ledger::LedgerError> for Problem {
    fn from(error: crate::ledger::LedgerError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            .hinted("`ygg status` says what is wrong with the ledger")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
