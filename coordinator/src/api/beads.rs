//! `GET /api/beads/{id}`: why a bead is where it is.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use protocol::coordinator::{ApiError, BeadView, Reason};
use tokio::sync::oneshot;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::attempts::summary;
use super::error::Problem;
use super::input::Ids;
use super::plan::view;
use crate::app::{App, Ask};
use crate::beads::{Bead, BeadId, BeadsTrouble, Status};
use crate::ledger::{Attempt, Stage};
use crate::order::{self, Read};
use crate::plan::Decision;
use crate::why;

/// How long a look at a bead may take: a busy Beads CLI does one thing at a time.
const LOOK: Duration = Duration::from_secs(45);

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Says why a bead is where it is, and shows its attempts.
#[utoipa::path(
    get, path = "/api/beads/{id}", tag = "Beads",
    params((
        "id" = String, Path, description = "The bead.", max_length = 255,
        pattern = r"^[^-,\s\u0000-\u001f\u007f-\u009f][^,\s\u0000-\u001f\u007f-\u009f]*$",
    )),
    responses(
        (status = 200, body = BeadView),
        (status = 400, body = ApiError, description = "That is no bead id."),
        (status = 404, body = ApiError, description = "There is no such bead."),
        (status = 500, body = ApiError, description = "The ledger cannot be read."),
        (status = 503, body = ApiError, description = "The Beads CLI cannot be asked now."),
    )
)]
async fn show(
    State(app): State<Arc<App>>,
    Ids(id): Ids<String>,
) -> Result<Json<BeadView>, Problem> {
    let id: BeadId =
        id.parse().map_err(|_| Problem::bad_request(format!("`{id}` is not a bead id")))?;
    let history = app.ledger.history(&id).await?;
    let mut answer = BeadView {
        bead: id.to_string(),
        title: history.last().map(|attempt| attempt.title.clone()),
        status: None,
        task_type: history.last().map(|attempt| attempt.task_type.clone()),
        executor: history
            .last()
            .and_then(|attempt| attempt.executor.as_ref())
            .map(ToString::to_string),
        reason: Reason { code: String::new(), text: String::new(), hint: None },
        attempts: history.iter().map(summary).collect(),
    };
    let open = history.iter().rev().find(|attempt| is_open(attempt));
    if let Some(open) = open.filter(|open| open.stage != Stage::Lost) {
        answer.reason = why::of_attempt(open, app.board.trouble_of(&id));
    } else if let Some((planned, reason)) = planned(&app, &id) {
        answer.title = Some(planned.title);
        answer.task_type = planned.task_type;
        answer.executor = planned.executor;
        answer.reason = reason;
    } else {
        let now = Timestamp::now();
        let held = app.board.held_of(&id);
        let bead = look(&app, id).await?;
        // What we wait for counts only while nobody else has decided about the bead.
        answer.reason = match (open, held) {
            (Some(lost), _) if bead.status == Status::Blocked => {
                why::of_attempt(lost, app.board.trouble_of(&bead.id))
            }
            (_, Some(held)) if bead.status == Status::Blocked => why::of_hold(&held, now),
            _ => {
                let last = history.iter().rev().find(|attempt| attempt.verdict.is_some());
                why::of_bead(&bead, last, &app.beads_settings.actor, now)
            }
        };
        if let Read::Order(order) = order::read(&bead) {
            answer.task_type = Some(order.task_type);
        }
        answer.status = Some(bead.status.to_string());
        answer.title = Some(bead.title);
    }
    Ok(Json(answer))
}

fn is_open(attempt: &Attempt) -> bool {
    !matches!(attempt.stage, Stage::Settled | Stage::Dropped)
}

/// What the newest plan says of a bead that has no open attempt.
fn planned(app: &App, id: &BeadId) -> Option<(protocol::coordinator::PlannedBead, Reason)> {
    let planned = app.board.planned()?;
    let at = planned.listed.iter().position(|listed| listed.bead() == id)?;
    let decision = planned.plan.decisions.get(at)?;
    let shown = view(&planned.listed[at], decision, &planned.plan.names);
    let reason = match decision {
        // It has ended since: the bead itself says more.
        Decision::Active => return None,
        Decision::Start { executor } => Reason {
            code: "starting".to_owned(),
            text: format!("it starts now on {executor}"),
            hint: None,
        },
        Decision::Wait(_) | Decision::Park { .. } | Decision::Block { .. } => {
            shown.reason.clone()?
        }
    };
    Some((shown, reason))
}

/// Asks the poll loop for one bead.
async fn look(app: &App, bead: BeadId) -> Result<Bead, Problem> {
    let name = bead.to_string();
    if app.beads.borrow().is_none() {
        return Err(no_beads(app));
    }
    let (answer, answered) = oneshot::channel();
    let asked = async {
        // A loop that is gone drops the question, and with it the answer.
        drop(app.asks.send(Ask { bead, answer }).await);
        answered.await
    };
    match tokio::time::timeout(LOOK, asked).await {
        Ok(Ok(Ok(Some(bead)))) => Ok(bead),
        Ok(Ok(Ok(None))) => Err(Problem::not_found(format!("there is no bead `{name}`"))
            .hinted("`bd list` shows the beads of the workspace")),
        Ok(Ok(Err(error))) if error.class() == BeadsTrouble::NotFound => {
            Err(Problem::not_found(format!("there is no bead `{name}`"))
                .hinted("`bd list` shows the beads of the workspace"))
        }
        Ok(Ok(Err(error))) => Err(Problem::unavailable(crate::poll::trouble_text(&error))),
        Ok(Err(_)) => Err(Problem::unavailable("the coordinator is stopping")),
        Err(_) => Err(Problem::unavailable("the Beads CLI did not answer in time")),
    }
}

fn no_beads(app: &App) -> Problem {
    let troubles = app.board.troubles();
    Problem::unavailable(
        troubles.first().cloned().unwrap_or_else(|| "the Beads CLI is not ready yet".to_owned()),
    )
}
