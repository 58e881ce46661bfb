//! `GET /status`: the figures of the whole system.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use protocol::coordinator::{
    InstanceSettings, QueueCounts, SessionCounts, SystemStatus, TaskCounts,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::health;
use crate::app::App;
use crate::plan::Decision;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Shows the figures of the whole system: runners, tasks, sessions, and what waits.
#[utoipa::path(
    get, path = "/status", tag = "Coordinator",
    responses((status = 200, body = SystemStatus))
)]
async fn show(State(app): State<Arc<App>>) -> Json<SystemStatus> {
    let now = Timestamp::now();
    let (taken, completed, otherwise) = app.metrics.work().executed();
    let tasks = {
        let registry = app.runners.read();
        TaskCounts {
            running: registry.all().map(|runner| runner.running as u64).sum(),
            dispatched: registry.dispatched + taken,
            completed: registry.ended.completed + completed,
            failed: registry.ended.failed + otherwise,
        }
    };
    let rules = app.gateway.rules();
    let counts = app.sessions.counts();
    let sum = |by_state: &std::collections::BTreeMap<&str, usize>| {
        by_state.values().map(|count| *count as u64).sum()
    };
    let waits =
        |decision: &&Decision| matches!(decision, Decision::Wait(_) | Decision::Start { .. });
    let beads = app
        .board
        .planned()
        .map_or(0, |planned| planned.plan.decisions.iter().filter(waits).count());
    Json(SystemStatus {
        status: health::word(&app, &health::reasons(&app)),
        timestamp: now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime: now.duration_since(app.started).as_secs_f64(),
        runners: app.runner_counts(),
        tasks,
        sessions: SessionCounts {
            active: counts.sessions.get("active").copied().unwrap_or_default() as u64,
            total: sum(&counts.sessions),
            realms: sum(&counts.realms),
        },
        queue: QueueCounts {
            beads: beads as u64,
            attempts: app.board.stages().len() as u64,
            requests: app.metrics.gateway().waiting(),
        },
        settings: InstanceSettings {
            min_instances: rules.min_instances,
            max_instances: rules.max_instances,
            max_concurrency: rules.max_concurrency,
            health_check_interval: u64::try_from(rules.probe_every.as_millis()).unwrap_or(u64::MAX),
        },
    })
}
