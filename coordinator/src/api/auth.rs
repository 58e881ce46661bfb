//! Lets a request in, or says why not. Nothing of a body is looked at before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::Problem;
use crate::app::App;
use crate::keys::{Asking, Caller, Denial, Rights, Verdict};
use crate::unread::throw_away;

/// The path as it was sent, where a layer further out has made another of it.
#[derive(Debug, Clone)]
pub(super) struct RawPath(pub(super) String);

/// Judges the key of a request, and notes in its extensions who sent it.
pub(super) async fn check_key(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let raw = request.extensions().get::<RawPath>();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let verdict = app.keys.judge(Asking {
        headers: request.headers(),
        method: request.method(),
        raw_path: raw.map_or(path, |raw| raw.0.as_str()),
        path,
        peer: peer.map(|peer| peer.0.ip()),
    });
    match verdict {
        Verdict::Allowed(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Verdict::Denied(denial) => {
            throw_away(request.into_body()).await;
            refusal(denial)
        }
    }
}

fn refusal(denial: Denial) -> Response {
    let problem = |status, error, hint| Problem::new(status, error).hinted(hint).into_response();
    match denial {
        Denial::NoKey => unauthorized(problem(
            StatusCode::UNAUTHORIZED,
            "Unauthorized: invalid or missing API key",
            "send one of API_KEYS as `X-API-Key: KEY` or `Authorization: Bearer KEY`",
        )),
        Denial::NoAdminKey { closed } => unauthorized(problem(
            StatusCode::UNAUTHORIZED,
            "Unauthorized: invalid or missing admin API key",
            if closed {
                "these routes are closed until ADMIN_API_KEY is set"
            } else {
                "send ADMIN_API_KEY as `X-Admin-Api-Key: KEY`"
            },
        )),
        Denial::ReadOnly => problem(
            StatusCode::FORBIDDEN,
            "Forbidden: this API key may only read",
            "it is one of READ_API_KEYS; writing needs one of API_KEYS",
        ),
        Denial::Throttled { retry_after } => too_many(
            "Too many requests without a valid key from this address",
            "a valid key is let in at any time",
            retry_after,
        ),
        Denial::TooFast { retry_after } => too_many(
            "Too many requests with this API key",
            "API_KEY_RATE_LIMIT says how many per second one key may send",
            retry_after,
        ),
    }
}

fn unauthorized(mut response: Response) -> Response {
    let scheme = HeaderValue::from_static("Bearer realm=\"yggdrasil\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    response
}

fn too_many(error: &str, hint: &str, wait: Duration) -> Response {
    let mut response =
        Problem::new(StatusCode::TOO_MANY_REQUESTS, error).hinted(hint).into_response();
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

/// The caller of a route, in any handler: `Extension<Caller>` in short.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        // Without the layer above nobody is known, and nothing but the public is open.
        let nobody = Self { key: None, rights: Rights::Public };
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or(nobody))
    }
}
/// Proof that the caller has shown the admin key: a second lock behind the layer's.
#[derive(Debug)]
pub(super) struct Admin;

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let caller = parts.extensions.get::<Caller>();
        if caller.is_some_and(|caller| caller.rights == Rights::Admin) {
            return Ok(Self);
        }
        Err(refusal(Denial::NoAdminKey { closed: false }))
    }
}
