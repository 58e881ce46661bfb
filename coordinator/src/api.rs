//! The coordinator's HTTP API: one readable list of routes.
//!
//! It answers from the board and the ledger, and asks the poll loop where a bead must be looked
//! at; it never runs the Beads CLI itself.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

mod admin;
mod admission;
mod attempts;
mod auth;
mod beads;
pub mod document;
mod error;
mod gateway;
mod health;
mod input;
mod layers;
mod metrics;
mod plan;
mod runners;
mod sessions;
mod status;

use error::Problem;

/// Returns the whole API.
pub fn router(app: Arc<App>) -> Router {
    let (described, document) = described().split_for_parts();
    let paths = layers::Paths::new(document.paths.paths.keys().map(String::as_str));
    let routes = described
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_path)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), auth::check_key))
        .with_state(app);
    layers::around(routes, paths)
}

/// All routes, each with its description.
fn described() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(health::routes())
        .merge(status::routes())
        .merge(plan::routes())
        .merge(beads::routes())
        .merge(attempts::routes())
        .merge(runners::routes())
        .merge(admin::routes())
        .merge(admission::routes())
        .merge(sessions::routes())
        .merge(gateway::routes())
        .merge(metrics::routes())
        .merge(document::routes())
}

async fn wrong_method(method: Method) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not answered here"))
}

async fn unknown_path(request: Request) -> Problem {
    Problem::not_found(format!("there is nothing at {}", request.uri().path()))
        .hinted("GET /openapi.json lists every route")
}
