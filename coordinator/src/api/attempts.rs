//! `GET /api/attempts/{id}` and its log.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::coordinator::{ApiError, AttemptDetail, AttemptSummary};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::error::Problem;
use super::input::Ids;
use crate::app::App;
use crate::fleet::ClientError;
use crate::ledger::Attempt;
use crate::settle::Verdict;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(log))
}

/// Shows one attempt: how it ended, and what was written into its bead.
#[utoipa::path(
    get, path = "/api/attempts/{id}", tag = "Beads",
    params(("id" = Uuid, Path, description = "The attempt.")),
    responses(
        (status = 200, body = AttemptDetail),
        (status = 400, body = ApiError, description = "That is no attempt id."),
        (status = 404, body = ApiError, description = "The ledger knows no such attempt."),
        (status = 500, body = ApiError, description = "The ledger cannot be read."),
    )
)]
async fn show(
    State(app): State<Arc<App>>,
    Ids(id): Ids<String>,
) -> Result<Json<AttemptDetail>, Problem> {
    let attempt = find(&app, &id).await?;
    Ok(Json(AttemptDetail {
        summary: summary(&attempt),
        written: attempt.verdict.as_ref().map(|verdict| verdict.text().to_owned()),
        outcome: attempt.outcome,
    }))
}

#[derive(Debug, Deserialize)]
struct LogQuery {
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    follow: bool,
}

/// Hands an attempt's log through from its executor, as it comes.
#[utoipa::path(
    get, path = "/api/attempts/{id}/log", tag = "Beads",
    params(
        ("id" = Uuid, Path, description = "The attempt."),
        ("offset" = Option<u64>, Query, description = "From which byte on."),
        ("follow" = Option<bool>, Query, description = "Goes on until the attempt ends."),
    ),
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        (status = 400, body = ApiError, description = "That is no attempt id, or no such place."),
        (status = 404, body = ApiError, description = "There is no such attempt, or no log of it."),
        (status = 500, body = ApiError, description = "The ledger cannot be read."),
        (status = 502, body = ApiError, description = "The executor cannot be reached."),
        (status = "default", body = ApiError, description = "What the executor said."),
    )
)]
async fn log(
    State(app): State<Arc<App>>,
    Ids(id): Ids<String>,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let attempt = find(&app, &id).await?;
    let Some(name) = attempt.executor.as_ref().filter(|_| attempt.offered.is_some()) else {
        return Err(Problem::not_found(format!("attempt {id} was never offered to an executor"))
            .hinted(format!("`ygg why {}` says what became of it", attempt.bead)));
    };
    let Some(door) = app.fleet.door(name) else {
        return Err(Problem::not_found(format!("{name} is not in routing.yaml any more")));
    };
    let log = door.log(attempt.id, query.offset, query.follow).await.map_err(|error| {
        let line = error.line();
        match error {
            ClientError::Refused { refusal, .. } => Problem::new(
                StatusCode::from_u16(refusal.code.http_status()).unwrap_or(StatusCode::BAD_GATEWAY),
                format!("{name} has no log of it: {}", refusal.error),
            ),
            ClientError::Unreachable { .. }
            | ClientError::Cut { .. }
            | ClientError::NotTaken { .. }
            | ClientError::Silent { .. }
            | ClientError::NotProtocol { .. } => Problem::new(StatusCode::BAD_GATEWAY, line)
                .hinted(format!("the log is on {name}; ask again when it is back")),
        }
    })?;
    let passed = [
        protocol::log::SIZE,
        protocol::log::OFFSET,
        protocol::log::NEXT,
        protocol::log::DROPPED,
        protocol::log::ENDED,
    ];
    let mut response = Response::new(Body::from_stream(log.bytes));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    for name in passed {
        if let Some(value) = log.headers.get(name) {
            response.headers_mut().insert(HeaderName::from_static(name), value.clone());
        }
    }
    Ok(response.into_response())
}

async fn find(app: &App, id: &str) -> Result<Attempt, Problem> {
    let id: Uuid = id
        .parse()
        .map_err(|_| Problem::bad_request(format!("`{id}` is not an attempt id (a UUID)")))?;
    app.ledger
        .attempt(id)
        .await?
        .ok_or_else(|| Problem::not_found(format!("the ledger knows no attempt {id}")))
}

/// Shows an attempt in short.
pub(super) fn summary(attempt: &Attempt) -> AttemptSummary {
    let verdict = attempt.verdict.as_ref();
    AttemptSummary {
        attempt: attempt.id,
        bead: attempt.bead.to_string(),
        task_type: attempt.task_type.clone(),
        executor: attempt.executor.as_ref().map(ToString::to_string),
        stage: attempt.stage,
        ending: attempt.outcome.as_ref().map(|outcome| outcome.status),
        class: verdict.and_then(Verdict::class).map(|class| class.as_str().to_owned()),
        error: verdict.and_then(|verdict| verdict.error()).map(str::to_owned),
        exit_code: attempt.outcome.as_ref().and_then(|outcome| outcome.exit_code),
        duration_seconds: attempt.outcome.as_ref().map(|outcome| outcome.duration_seconds),
        created: attempt.created,
        started: attempt.started,
        ended: attempt.ended,
        settled: attempt.settled,
    }
}
