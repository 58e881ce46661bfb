//! `GET /health`: always 200, with what needs attention.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use protocol::coordinator::{CoordinatorHealth, ExecutorView};
use protocol::executor::Health;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::fleet::Condition;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Says how the coordinator is, and what needs attention. Needs no key, and is answered with 200
/// while the process lives.
#[utoipa::path(
    get, path = "/health", tag = "Coordinator",
    responses((status = 200, body = CoordinatorHealth)),
    security(())
)]
async fn show(State(app): State<Arc<App>>) -> Json<CoordinatorHealth> {
    let now = Timestamp::now();
    let fleet = app.fleet.states();
    let (active, _) = app.board.room();
    let reasons = reasons(&app);
    let executors: std::collections::BTreeMap<_, _> = fleet
        .iter()
        .filter_map(|(name, state)| {
            let entry = app.routing.executors.get(name)?;
            let running =
                active.iter().filter(|active| active.executor.as_ref() == Some(name)).count();
            let view = ExecutorView {
                state: state.condition.as_str().to_owned(),
                url: entry.url.to_string(),
                since: state.since,
                error: state.condition.error().map(str::to_owned),
                version: state.version.clone(),
                running: u32::try_from(running).unwrap_or(u32::MAX),
                limit: entry.limit.or(state.capacity),
            };
            Some((name.to_string(), view))
        })
        .collect();
    let beads = app.beads.borrow().as_ref().map(|beads| {
        let dialect = beads.dialect();
        if dialect.for_keeps {
            dialect.to_string()
        } else {
            format!("{dialect} (for trying out; no store for keeps)")
        }
    });
    Json(CoordinatorHealth {
        status: word(&app, &reasons),
        timestamp: now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime: now.duration_since(app.started).as_secs_f64(),
        runners: app.runner_counts(),
        reasons,
        beads,
        executors,
    })
}

/// What needs attention.
pub(super) fn reasons(app: &App) -> Vec<String> {
    let mut reasons = app.board.troubles();
    for (name, state) in app.fleet.states().iter() {
        if let Condition::Misconfigured { error } = &state.condition {
            reasons.push(format!("{name} is set up wrongly: {error}"));
        }
    }
    reasons
}

/// How that is in one word.
pub(super) fn word(app: &App, reasons: &[String]) -> Health {
    if app.shutdown.draining.is_cancelled() {
        Health::Draining
    } else if reasons.is_empty() {
        Health::Healthy
    } else {
        Health::Degraded
    }
}
