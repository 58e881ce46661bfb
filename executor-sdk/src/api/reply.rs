//! Answers.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use protocol::refusal::{Refusal, RefusalCode};
use serde::Serialize;

/// What `Retry-After` says when the executor is full, in seconds.
const BUSY: u64 = 1;

/// Answers with JSON, and a line break for people at a terminal.
pub(super) fn json<T: Serialize>(status: u16, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (status, kind, Body::from(bytes)).into_response()
        }
        // The bodies are our own types; none has a map with odd keys.
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Answers that nothing was started.
pub(super) fn refuse(refusal: &Refusal) -> Response {
    refuse_until(refusal, BUSY)
}

/// The same, and says after how many seconds to try again where that makes sense.
pub(super) fn refuse_until(refusal: &Refusal, seconds: u64) -> Response {
    let code = refusal.code;
    let mut response = json(code.http_status(), refusal);
    if matches!(code, RefusalCode::Busy | RefusalCode::Draining) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Says that something here failed that is nobody's fault outside.
pub(super) fn internal(error: &dyn std::error::Error) -> Refusal {
    let error = crate::result::chain(error);
    tracing::error!("a request failed: {error}");
    Refusal::new(RefusalCode::Internal, error)
}
