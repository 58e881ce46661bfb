//! Entity tags: who has the answer already is not sent it again.

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::Next;
use sha2::{Digest as _, Sha256};

use super::is_json;

/// Marks good answers to GET that are JSON. One that has a mark already keeps it.
pub(super) async fn mark(request: Request, next: Next) -> Response<Body> {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let known = known(request.headers());
    let response = next.run(request).await;
    if response.status() != StatusCode::OK || !is_json(response.headers()) {
        return response;
    }
    let response = with_mark(response).await;
    let mark = response.headers().get(header::ETAG);
    match (known, mark) {
        (Some(known), Some(mark)) if is_among(&known, mark.as_bytes()) => unchanged(&response),
        _ => response,
    }
}

/// What the client has, unless it wants the answer anyway.
fn known(headers: &HeaderMap) -> Option<HeaderValue> {
    let is_fresh_wanted = headers
        .get(header::CACHE_CONTROL)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().contains("no-cache"));
    headers.get(header::IF_NONE_MATCH).filter(|_| !is_fresh_wanted).cloned()
}

async fn with_mark(response: Response<Body>) -> Response<Body> {
    // A stream is not read here; its length is not known.
    let length = response.body().size_hint().exact();
    if length.is_none() || response.headers().contains_key(header::ETAG) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // The body is there already, in one piece.
    let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else {
        return Response::from_parts(parts, Body::empty());
    };
    let hash = Sha256::digest(&bytes);
    let short = hash.iter().take(8).fold(0_u64, |short, byte| short << 8 | u64::from(*byte));
    if let Ok(mark) = HeaderValue::try_from(format!("W/\"{:x}-{short:016x}\"", bytes.len())) {
        parts.headers.insert(header::ETAG, mark);
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// Compares as `If-None-Match` is to be compared: without regard to strength.
fn is_among(known: &HeaderValue, mark: &[u8]) -> bool {
    let strong = |mark: &[u8]| mark.strip_prefix(b"W/").unwrap_or(mark).to_owned();
    let mark = strong(mark);
    known
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|known| known == b"*" || strong(known) == mark)
}

fn unchanged(response: &Response<Body>) -> Response<Body> {
    let mut unchanged = Response::new(Body::empty());
    *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
    if let Some(mark) = response.headers().get(header::ETAG) {
        unchanged.headers_mut().insert(header::ETAG, mark.clone());
    }
    let vary = HeaderValue::from_static("Accept-Encoding");
    unchanged.headers_mut().insert(header::VARY, vary);
    unchanged
}
