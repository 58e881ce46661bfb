//! `GET /health`: always 200, with what needs attention.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use protocol::coordinator::{CoordinatorHealth, ExecutorView, RunnerCounts};
use protocol::executor::Health;

use crate::app::App;
use crate::fleet::Condition;

pub(super) async fn show(State(app): State<Arc<App>>) -> Json<CoordinatorHealth> {
    let now = Timestamp::now();
    let fleet = app.fleet.states();
    let (active, _) = app.board.room();
    let mut reasons = app.board.troubles();
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
    for (name, state) in fleet.iter() {
        if let Condition::Misconfigured { error } = &state.condition {
            reasons.push(format!("{name} is set up wrongly: {error}"));
        }
    }
    let beads = app.beads.borrow().as_ref().map(|beads| {
        let dialect = beads.dialect();
        if dialect.for_keeps {
            dialect.to_string()
        } else {
            format!("{dialect} (for trying out; no store for keeps)")
        }
    });
    let online = fleet.values().filter(|state| state.condition == Condition::Up).count();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let status = if app.shutdown.draining.is_cancelled() {
        Health::Draining
    } else if reasons.is_empty() {
        Health::Healthy
    } else {
        Health::Degraded
    };
    Json(CoordinatorHealth {
        status,
        timestamp: now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime: now.duration_since(app.started).as_secs_f64(),
        runners: RunnerCounts {
            total: count(fleet.len()),
            online: count(online),
            offline: count(fleet.len() - online),
        },
        reasons,
        beads,
        executors,
    })
}
