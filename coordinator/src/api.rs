//! The coordinator's HTTP API: one readable list of routes.
//!
//! It answers from the board and the ledger, and asks the poll loop where a bead must be looked
//! at; it never runs the Beads CLI itself.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use daemon::token::Tokens;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

mod admin;
mod admission;
mod attempts;
mod beads;
mod error;
mod gateway;
mod health;
mod metrics;
mod plan;
mod runners;
mod sessions;

use error::Problem;

/// Who may ask for what.
#[derive(Debug, Clone)]
pub struct Keys {
    /// For every route but /health and /metrics; empty: open.
    pub api: Tokens,
    /// For /api/admin and nothing else; empty: closed.
    pub admin: Tokens,
}

/// Returns the whole API.
pub fn router(app: Arc<App>, keys: Keys) -> Router {
    let (described, _document) = OpenApiRouter::new()
        .merge(runners::routes())
        .merge(admin::routes())
        .merge(admission::routes())
        .merge(sessions::routes())
        .merge(gateway::routes())
        .merge(metrics::routes())
        .split_for_parts();
    described
        .route("/health", get(health::show))
        .route("/poll", post(plan::nudge))
        .route("/api/plan", get(plan::show))
        .route("/api/beads/{id}", get(beads::show))
        .route("/api/attempts/{id}", get(attempts::show))
        .route("/api/attempts/{id}/log", get(attempts::log))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_path)
        .layer(middleware::from_fn_with_state(keys, check_key))
        .with_state(app)
}

async fn check_key(State(keys): State<Keys>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path == "/health" || path == "/metrics" {
        return next.run(request).await;
    }
    let is_admin = path == "/api/admin" || path.starts_with("/api/admin/");
    let allowed = if is_admin {
        !keys.admin.is_empty() && keys.admin.accepts(request.headers())
    } else {
        keys.api.is_empty() || keys.api.accepts(request.headers())
    };
    if allowed {
        return next.run(request).await;
    }
    let (error, hint) = if is_admin {
        ("Unauthorized: invalid or missing admin API key", "these routes need ADMIN_API_KEY")
    } else {
        (
            "Unauthorized: invalid or missing API key",
            "send one of API_KEYS as `X-API-Key: KEY` or `Authorization: Bearer KEY`",
        )
    };
    Problem::new(StatusCode::UNAUTHORIZED, error).hinted(hint).into_response()
}

async fn wrong_method(method: Method) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not answered here"))
}

async fn unknown_path(request: Request) -> Problem {
    Problem::not_found(format!("there is nothing at {}", request.uri().path()))
        .hinted("try /health, /api/plan, /api/beads/ID or /api/attempts/ID")
}
