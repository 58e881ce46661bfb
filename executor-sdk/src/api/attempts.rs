//! `/attempts` and `/attempts/{attempt}`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use protocol::executor::AttemptList;
use protocol::refusal::{Refusal, RefusalCode};
use uuid::Uuid;

use super::App;
use super::reply::{internal, json, refuse};
use crate::runner::Found;

/// What stands in the path where an attempt's id is expected.
pub(super) type Named = Result<Path<String>, PathRejection>;

/// How many attempts are listed unless `?limit=` says otherwise.
const LISTED: u32 = 1000;

/// The longest `?wait=`; a client asks again.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

pub(super) async fn list(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let limit = match member(query.as_deref(), "limit").map(|text| text.parse()) {
        None => LISTED,
        Some(Ok(limit)) => limit,
        Some(Err(_)) => return refuse(&malformed("`limit` must be a whole number")),
    };
    match app.runner.list(limit).await {
        Ok(attempts) => json(200, &AttemptList { attempts }),
        Err(error) => refuse(&internal(&error)),
    }
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    attempt: Named,
    RawQuery(query): RawQuery,
) -> Response {
    let wait = match member(query.as_deref(), "wait").map(|text| daemon::duration::parse(&text)) {
        None => Duration::ZERO,
        Some(Ok(wait)) => wait.min(LONGEST_WAIT),
        Some(Err(error)) => return refuse(&malformed(&format!("`wait`: {error}"))),
    };
    match find(&app, attempt).await {
        Ok(Found::Recorded(record)) => json(200, &record.view()),
        Ok(Found::Live(live)) => {
            if !wait.is_zero() {
                drop(tokio::time::timeout(wait, live.outcome()).await);
            }
            json(200, &live.view(true))
        }
        Err(refusal) => refuse(&refusal),
    }
}

/// Cancelling is told by 202, also when there is nothing left to cancel.
pub(super) async fn cancel(State(app): State<Arc<App>>, attempt: Named) -> Response {
    match find(&app, attempt).await {
        Ok(Found::Recorded(record)) => json(202, &record.view()),
        Ok(Found::Live(live)) => {
            if app.runner.cancel(live.order.attempt) {
                tracing::info!(attempt.id = %live.order.attempt, "cancelling on request");
            }
            json(202, &live.view(true))
        }
        Err(refusal) => refuse(&refusal),
    }
}

/// Finds an attempt by what stands in the path.
pub(super) async fn find(app: &App, attempt: Named) -> Result<Found, Refusal> {
    // A path that is no text names no attempt either.
    let attempt = attempt.map(|Path(attempt)| attempt).unwrap_or_default();
    let shown: String = attempt.chars().take(100).collect();
    let unknown = || Refusal::new(RefusalCode::NotFound, format!("there is no attempt `{shown}`"));
    let Ok(id) = Uuid::parse_str(&attempt) else {
        return Err(unknown().hinted("an attempt's id is a UUID; GET /attempts lists them"));
    };
    match app.runner.find(id).await {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(unknown().hinted("it never ran here, or it was forgotten by now")),
        Err(error) => Err(internal(&error)),
    }
}

/// Returns a member of the query.
pub(super) fn member(query: Option<&str>, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query?.as_bytes())
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.into_owned())
}

pub(super) fn malformed(error: &str) -> Refusal {
    Refusal::new(RefusalCode::Malformed, error)
}
