//! `/agent/{id}/…`: requests handed through to an agent.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use protocol::coordinator::ApiError;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::Problem;
use super::input::Ids;
use crate::app::App;
use crate::gateway::{Call, Refused};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(metrics)).routes(routes!(process))
}

/// Asks an agent how it is: `GET /health` at its endpoint.
#[utoipa::path(
    get,
    path = "/agent/{agentId}/health",
    tag = "gateway",
    params(
        ("agentId" = String, Path, description = "A runner's id or name, `any`, `capability:WORD` or `label:KEY=VALUE`."),
        ("X-Session-Id" = Option<String>, Header, min_length = 1, max_length = 256, pattern = "^[!-~]+$", description = "Keeps the requests of one session at one agent."),
    ),
    responses(
        (status = "default", description = "Whatever the agent answers, with `X-Agent-Id`, and `X-Session-Moved` where the session was with another one."),
        (status = 400, description = "The agent or the session is named wrongly.", body = ApiError),
        (status = 401, description = "The API key is missing or wrong.", body = ApiError),
        (status = 404, description = "There is no such runner.", body = ApiError),
        (status = 502, description = "The runner has no endpoint that can be used, or cannot be reached.", body = ApiError),
        (status = 503, description = "Nobody who is meant is online, or they are left alone; see `Retry-After`.", body = ApiError),
        (status = 504, description = "The agent did not answer in time.", body = ApiError),
        (status = 508, description = "The runner's endpoint leads back here.", body = ApiError),
    ),
)]
async fn health(state: State<Arc<App>>, Ids(agent): Ids<String>, request: Request) -> Response {
    hand_through(state, Call::Health, &agent, request).await
}

/// Asks an agent what it counts: `GET /metrics` at its endpoint.
#[utoipa::path(
    get,
    path = "/agent/{agentId}/metrics",
    tag = "gateway",
    params(
        ("agentId" = String, Path, description = "A runner's id or name, `any`, `capability:WORD` or `label:KEY=VALUE`."),
        ("X-Session-Id" = Option<String>, Header, min_length = 1, max_length = 256, pattern = "^[!-~]+$", description = "Keeps the requests of one session at one agent."),
    ),
    responses(
        (status = "default", description = "Whatever the agent answers, with `X-Agent-Id`, and `X-Session-Moved` where the session was with another one."),
        (status = 400, description = "The agent or the session is named wrongly.", body = ApiError),
        (status = 401, description = "The API key is missing or wrong.", body = ApiError),
        (status = 404, description = "There is no such runner.", body = ApiError),
        (status = 502, description = "The runner has no endpoint that can be used, or cannot be reached.", body = ApiError),
        (status = 503, description = "Nobody who is meant is online, or they are left alone; see `Retry-After`.", body = ApiError),
        (status = 504, description = "The agent did not answer in time.", body = ApiError),
        (status = 508, description = "The runner's endpoint leads back here.", body = ApiError),
    ),
)]
async fn metrics(state: State<Arc<App>>, Ids(agent): Ids<String>, request: Request) -> Response {
    hand_through(state, Call::Metrics, &agent, request).await
}

/// Gives an agent something to do: `POST /execute` at an executor of Yggdrasil, `POST /process` at
/// every other agent.
///
/// It is sent again only where that is safe: when it never reached the agent, when it carries an
/// `Idempotency-Key`, or when it is an attempt with an id for an executor.
#[utoipa::path(
    post,
    path = "/agent/{agentId}/process",
    tag = "gateway",
    params(
        ("agentId" = String, Path, description = "A runner's id or name, `any`, `capability:WORD` or `label:KEY=VALUE`."),
        ("X-Session-Id" = Option<String>, Header, min_length = 1, max_length = 256, pattern = "^[!-~]+$", description = "Keeps the requests of one session at one agent; the cookie `srv_id` does it too."),
        ("Idempotency-Key" = Option<String>, Header, description = "Says that the agent does it once however often it arrives."),
    ),
    request_body(content = Vec<u8>, content_type = "*/*", description = "Whatever the agent takes, up to 2 MiB."),
    responses(
        (status = "default", description = "Whatever the agent answers, with `X-Agent-Id`, and `X-Session-Moved` where the session was with another one."),
        (status = 400, description = "The agent or the session is named wrongly, or the body did not come whole.", body = ApiError),
        (status = 401, description = "The API key is missing or wrong.", body = ApiError),
        (status = 404, description = "There is no such runner.", body = ApiError),
        (status = 413, description = "The body is too long.", body = ApiError),
        (status = 502, description = "The runner has no endpoint that can be used, cannot be reached, or broke off.", body = ApiError),
        (status = 503, description = "Nobody who is meant is online, they are left alone, or they are full; see `Retry-After`.", body = ApiError),
        (status = 504, description = "The agent did not answer in time.", body = ApiError),
        (status = 508, description = "The runner's endpoint leads back here.", body = ApiError),
    ),
)]
async fn process(state: State<Arc<App>>, Ids(agent): Ids<String>, request: Request) -> Response {
    hand_through(state, Call::Process, &agent, request).await
}

async fn hand_through(
    State(app): State<Arc<App>>,
    call: Call,
    agent: &str,
    request: Request,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    match app.gateway.handle(call, agent, request, peer).await {
        Ok(response) => response,
        Err(Refused { status, error, hint, headers, .. }) => {
            let problem = Problem::new(status, error);
            let problem = match hint {
                Some(hint) => problem.hinted(hint),
                None => problem,
            };
            (*headers, problem).into_response()
        }
    }
}
