//! `GET /admission`: circuit breakers, and whether new work is taken.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use protocol::admission::Admission;
use protocol::coordinator::ApiError;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Shows the circuit breaker of each runner and the global one, with the last hundred transitions.
#[utoipa::path(
    get,
    path = "/admission",
    tag = "admission",
    responses(
        (status = 200, description = "Every breaker.", body = Admission),
        (status = 401, description = "The API key is missing or wrong.", body = ApiError),
    ),
)]
async fn show(State(app): State<Arc<App>>) -> Json<Admission> {
    Json(app.admission.view(&app.runners))
}
