//! What every answer of the API has in common, outermost first: paths in any case and with a
//! slash at the end, HEAD, CORS, fixed headers, errors in JSON; then compression; then entity tags. The
//! check of keys and the routes are inside.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::Predicate;
use tracing::debug;

use super::auth::RawPath;
use super::error::Problem;

mod etag;
mod paths;
#[cfg(test)]
mod tests;

pub(super) use paths::Paths;

/// Marks a request that was HEAD and is answered as GET.
#[derive(Debug, Clone, Copy)]
pub(super) struct IsHead;

/// The header that names the agent which answered.
const AGENT: &str = "x-agent-id";
/// From how many bytes on an answer is compressed.
const WORTH_COMPRESSING: u64 = 1024;
/// The longest text of an error that is turned into JSON.
const LONGEST_ERROR: usize = 64 * 1024;
/// How much of a request's id is logged.
const LONGEST_REQUEST_ID: usize = 200;

/// The headers that each answer has.
const FIXED: [(&str, &str); 11] = [
    ("access-control-allow-origin", "*"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("origin-agent-cluster", "?1"),
    ("referrer-policy", "no-referrer"),
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
    ("x-content-type-options", "nosniff"),
    ("x-dns-prefetch-control", "off"),
    ("x-download-options", "noopen"),
    ("x-permitted-cross-domain-policies", "none"),
    ("x-xss-protection", "0"),
];

/// Puts the layers around the routes.
pub(super) fn around(routes: Router, paths: Paths) -> Router {
    let compression =
        CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(WorthCompressing);
    Router::new()
        .fallback_service(routes)
        .layer(middleware::from_fn(etag::mark))
        .layer(compression)
        .layer(middleware::from_fn_with_state(Arc::new(paths), envelope))
}

/// Text of a known length that is long enough. A stream is not compressed: it would be held back.
#[derive(Debug, Clone, Copy)]
struct WorthCompressing;

impl Predicate for WorthCompressing {
    fn should_compress<B: HttpBody>(&self, response: &Response<B>) -> bool {
        let is_long =
            response.body().size_hint().exact().is_some_and(|length| length >= WORTH_COMPRESSING);
        is_long && (is_json(response.headers()) || has_type(response.headers(), "text/"))
    }
}

async fn envelope(
    State(paths): State<Arc<Paths>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    if request.method() == Method::OPTIONS {
        return preflight(request.headers());
    }
    let is_head = request.method() == Method::HEAD;
    if is_head {
        *request.method_mut() = Method::GET;
        request.extensions_mut().insert(IsHead);
        // So that the length that is told is that of the answer itself.
        request.headers_mut().remove(header::ACCEPT_ENCODING);
    }
    if let Some(uri) = paths.normalise(request.uri()) {
        let raw = RawPath(request.uri().path().to_owned());
        request.extensions_mut().insert(raw);
        *request.uri_mut() = uri;
    }
    let seen = tracing::enabled!(tracing::Level::DEBUG).then(|| Seen::of(&request, is_head));
    let mut response = next.run(request).await;
    let status = response.status();
    if let Some(seen) = seen
        && !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS)
    {
        seen.log(status);
    }
    let is_error = status.is_client_error() || status.is_server_error();
    // What an agent said is handed through as it is.
    let is_of_an_agent = response.headers().contains_key(AGENT);
    if is_error && !is_of_an_agent && !is_json(response.headers()) {
        response = in_json(response).await;
    }
    add_headers(response.headers_mut());
    if is_head { without_body(response) } else { response }
}

/// What is logged of a request.
struct Seen {
    method: Method,
    path: String,
    request_id: String,
}

impl Seen {
    fn of(request: &Request, is_head: bool) -> Self {
        let raw = request.extensions().get::<RawPath>();
        let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok());
        Self {
            method: if is_head { Method::HEAD } else { request.method().clone() },
            path: raw.map_or_else(|| request.uri().path(), |raw| &raw.0).to_owned(),
            request_id: id.unwrap_or("unknown").chars().take(LONGEST_REQUEST_ID).collect(),
        }
    }

    fn log(&self, status: StatusCode) {
        let Self { method, path, request_id } = self;
        debug!(%method, path, requestId = request_id, status = status.as_u16(), "Incoming request");
    }
}

/// Answers a browser that asks whether a page may send a request.
fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    add_headers(headers);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE"),
    );
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers.append(header::VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
    response
}

fn add_headers(headers: &mut HeaderMap) {
    for (name, value) in FIXED {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if !is_json(headers) {
        return;
    }
    if headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json") {
        let with_charset = HeaderValue::from_static("application/json; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, with_charset);
    }
    if !headers.contains_key(header::VARY) {
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    has_type(headers, "application/json")
}

fn has_type(headers: &HeaderMap, kind: &str) -> bool {
    let given = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    given.is_some_and(|given| given.starts_with(kind.as_bytes()))
}

/// Says in JSON what a part of the HTTP library said in plain text.
async fn in_json(response: Response<Body>) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let said = axum::body::to_bytes(body, LONGEST_ERROR).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let text = match said.trim() {
        "" => parts.status.canonical_reason().unwrap_or("the request was not answered"),
        said => said,
    };
    let mut told = Problem::new(parts.status, text).into_response();
    for (name, value) in &parts.headers {
        if *name != header::CONTENT_TYPE && *name != header::CONTENT_LENGTH {
            told.headers_mut().append(name, value.clone());
        }
    }
    told
}

fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(parts, Body::empty())
}
