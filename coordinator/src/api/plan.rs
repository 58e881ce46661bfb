//! `GET /api/plan` and `POST /poll`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use protocol::coordinator::{PlanView, PlannedBead, Reason as ReasonView};
use protocol::runner::Word;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::attempts::summary;
use crate::app::App;
use crate::plan::{Decision, Listed, Names, Reason};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(nudge))
}

/// Has the beads listed now, without waiting for it.
#[utoipa::path(
    post, path = "/poll", tag = "Beads",
    responses((status = 202, body = Word, description = "`polling`"))
)]
async fn nudge(State(app): State<Arc<App>>) -> (StatusCode, Json<Word>) {
    app.nudge.notify_one();
    (StatusCode::ACCEPTED, Json(Word::new("polling")))
}

/// Shows what runs, what may start now and where, and why the rest waits.
#[utoipa::path(
    get, path = "/api/plan", tag = "Beads",
    responses((status = 200, body = PlanView))
)]
async fn show(State(app): State<Arc<App>>) -> Json<PlanView> {
    let (_, without_task_type, listed) = app.board.listing();
    let planned = app.board.planned();
    let beads = planned.as_ref().map_or_else(Vec::new, |planned| {
        let decisions = planned.plan.decisions.iter();
        let names = &planned.plan.names;
        planned.listed.iter().zip(decisions).map(|(bead, what)| view(bead, what, names)).collect()
    });
    Json(PlanView {
        timestamp: planned.map_or_else(Timestamp::now, |planned| planned.at),
        listed,
        without_task_type,
        beads,
        attempts: app.board.active().iter().map(summary).collect(),
    })
}

/// Shows one decision to people and programs.
pub(super) fn view(listed: &Listed, decision: &Decision, names: &Names) -> PlannedBead {
    let (title, task_type, priority) = match &listed.order {
        Ok(order) => (order.title.clone(), Some(order.task_type.clone()), order.priority),
        Err(broken) => (broken.title.clone(), None, broken.priority),
    };
    let (word, executor, reason) = match decision {
        Decision::Start { executor } => ("start", Some(executor.to_string()), None),
        Decision::Wait(wait) => ("wait", None, Some(Reason { wait: *wait, names }.view())),
        Decision::Park { reason, .. } => {
            ("block", None, Some(Reason { wait: *reason, names }.view()))
        }
        Decision::Block { error, hint } => (
            "block",
            None,
            Some(ReasonView {
                code: "permanent".to_owned(),
                text: error.clone(),
                hint: hint.clone(),
            }),
        ),
        Decision::Active => ("active", None, None),
    };
    PlannedBead {
        bead: listed.bead().to_string(),
        title,
        task_type,
        priority,
        decision: word.to_owned(),
        executor,
        reason,
    }
}
