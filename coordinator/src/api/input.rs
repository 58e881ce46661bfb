//! What a request brings: its JSON body and the ids in its path, checked, with errors in JSON.
//!
//! A body counts only with `Content-Type: application/json`; any other, and none, is read as
//! `{}`, and so is an array: existing clients send both. A bare text, number or `null` is refused.

use axum::body::{Body as Stream, HttpBody as _};
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::Problem;

mod complaint;
#[cfg(test)]
mod tests;

/// The most that a body may have.
pub(super) const MOST: usize = 1024 * 1024;
/// The most that a body may have where results are reported: in a heartbeat, and in what is said
/// of a task.
pub(super) const MOST_OF_RESULTS: usize = 4 * 1024 * 1024;
/// How deep the objects and arrays of a body may be nested.
const DEEPEST: usize = 127;
/// What is read and thrown away of a body that is too large, so that its sender is still there
/// for the answer.
const MOST_THROWN_AWAY: usize = 64 * 1024 * 1024;

/// The JSON body of a request, up to [`MOST`] bytes.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

/// The JSON body of a request that reports results, up to [`MOST_OF_RESULTS`] bytes.
#[derive(Debug)]
pub(super) struct LargeBody<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned + Default> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        read(request, MOST).await.map(Self)
    }
}

impl<S: Sync, T: DeserializeOwned + Default> FromRequest<S> for LargeBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        read(request, MOST_OF_RESULTS).await.map(Self)
    }
}

/// The ids in the path of a request, percent-decoded.
#[derive(Debug)]
pub(super) struct Ids<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Ids<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if !is_encoded(parts.uri.path()) {
            let text = "the path is not readable: a `%` is not followed by two hexadecimal digits";
            return Err(Problem::bad_request(text));
        }
        match Path::from_request_parts(parts, state).await {
            Ok(Path(ids)) => Ok(Self(ids)),
            Err(rejection @ PathRejection::FailedToDeserializePathParams(_)) => {
                Err(Problem::bad_request(format!("the path is not readable: {rejection}")))
            }
            Err(rejection) => {
                Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, rejection.to_string()))
            }
        }
    }
}

/// Whether each `%` of a path stands for a byte.
fn is_encoded(path: &str) -> bool {
    path.split('%')
        .skip(1)
        .all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

async fn read<T: DeserializeOwned + Default>(request: Request, most: usize) -> Result<T, Problem> {
    if !is_json(request.headers()) {
        return Ok(T::default());
    }
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let problem =
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a compressed body is not read here");
        return Err(problem.hinted("send it without `Content-Encoding`"));
    }
    let bytes = collect(request.into_body(), most).await?;
    parse(&bytes)
}

/// Whether the body is to be read: only `application/json` is, with any parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or(kind);
    kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

/// Reads a body that may not be larger than `most`.
pub(super) async fn collect(body: Stream, most: usize) -> Result<Bytes, Problem> {
    let announced = body.size_hint().lower();
    let mut pieces = body.into_data_stream();
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut read = 0_usize;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| broken_off(&error))?;
        read += piece.len();
        if read > MOST_THROWN_AWAY {
            break;
        }
        if read > most || announced > most as u64 {
            all = BytesMut::new();
        } else if first.is_empty() {
            // Nearly every body is one piece, which is then not copied.
            first = piece;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&piece);
        }
    }
    if read > most {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than the {most} bytes that are read"),
        ));
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

fn broken_off(error: &axum::Error) -> Problem {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut) {
            return Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time");
        }
        cause = error.source();
    }
    Problem::bad_request("the body broke off")
}

/// Whether a JSON text is nested too deeply; serde only looks where it does not skip.
fn is_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                if depth > DEEPEST {
                    return true;
                }
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Reads a JSON body. What is well is read once; only what is not is looked at again, to name the
/// member.
pub(super) fn parse<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, Problem> {
    if is_deep(bytes) {
        return Err(Problem::bad_request("the body is nested too deeply"));
    }
    match bytes.trim_ascii_start().first() {
        None => Ok(T::default()),
        Some(b'{') => serde_json::from_slice(bytes)
            .map_err(|_| Problem::bad_request(complaint::of::<T>(bytes))),
        Some(b'[') => match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(_) => Ok(T::default()),
            Err(error) => Err(Problem::bad_request(complaint::not_json(&error))),
        },
        Some(_) => Err(Problem::bad_request(match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(_) => "the body must be a JSON object".to_owned(),
            Err(error) => complaint::not_json(&error),
        })),
    }
}
