//! `POST /execute`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures::StreamExt as _;
use protocol::execute::Started;
use protocol::refusal::{Refusal, RefusalCode};

use super::App;
use super::envelope;
use super::reply::{json, refuse, refuse_until};
use crate::runner::{Live, Taken};

/// The largest body.
const LIMIT: usize = 1024 * 1024;

/// How much of a body that is too large is read and thrown away, so that the client reads our
/// answer instead of a reset connection.
const DISCARD: usize = 32 * 1024 * 1024;

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn execute(State(app): State<Arc<App>>, request: Request) -> Response {
    if app.runner.is_draining() {
        return refused(&app, &draining());
    }
    let (head, body) = request.into_parts();
    let order = match read_body(&head.headers, body).await.and_then(|body| envelope::read(&body)) {
        Ok(order) => order,
        Err(refusal) => return refused(&app, &refusal),
    };
    let task_id = order.task_id.clone();
    let taken = match app.runner.take(order).await {
        Ok(taken) => taken,
        Err(refusal) => return refuse(&refusal),
    };

    if wants_async(&head.headers) {
        return accepted(&taken, task_id);
    }
    match taken {
        Taken::Ended(outcome) => json(200, &outcome),
        Taken::Live(live) => match live.outcome().await {
            Some(outcome) => json(200, &*outcome),
            None => refuse(&lost(&live)),
        },
    }
}

fn refused(app: &App, refusal: &Refusal) -> Response {
    app.runner.metrics.refused(refusal.code);
    let is_draining = refusal.code == RefusalCode::Draining;
    let seconds = if is_draining { app.drain_timeout.as_secs().max(1) } else { 1 };
    refuse_until(refusal, seconds)
}

fn accepted(taken: &Taken, task_id: String) -> Response {
    let (attempt, task_type) = match taken {
        Taken::Ended(outcome) => (outcome.attempt, outcome.task_type.clone()),
        Taken::Live(live) => (live.order.attempt, live.order.task_type.clone()),
    };
    let started = Started { task_id, task_type, attempt, status: "running".to_owned() };
    let mut response = json(202, &started);
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&format!("/attempts/{attempt}")) {
        headers.insert(header::LOCATION, location);
    }
    headers.insert("preference-applied", HeaderValue::from_static("respond-async"));
    response
}

fn draining() -> Refusal {
    Refusal::new(RefusalCode::Draining, "the executor is stopping and takes no new work")
}

fn lost(live: &Live) -> Refusal {
    let error = format!("attempt {} has lost its outcome", live.order.attempt);
    Refusal::new(RefusalCode::Internal, error)
}

/// Tells whether the client wants 202 at once (RFC 7240).
fn wants_async(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}

async fn read_body(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Refusal> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let is_too_large = announced.is_some_and(|length| length > LIMIT as u64);
    // A client that waits for `100 Continue` is told before it sends anything.
    if is_too_large && headers.contains_key(header::EXPECT) {
        return Err(too_large());
    }
    match tokio::time::timeout(PATIENCE, collect(body)).await {
        Ok(read) => read,
        Err(_) => Err(Refusal::new(
            RefusalCode::Malformed,
            format!("the body did not arrive within {} s", PATIENCE.as_secs()),
        )),
    }
}

async fn collect(body: Body) -> Result<Vec<u8>, Refusal> {
    let mut chunks = body.into_data_stream();
    let mut read = Vec::new();
    let mut length = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Refusal::new(RefusalCode::Malformed, format!("the body broke off: {error}"))
        })?;
        length += chunk.len();
        if length <= LIMIT {
            read.extend_from_slice(&chunk);
        } else if length > DISCARD {
            break;
        } else {
            read = Vec::new();
        }
    }
    if length > LIMIT { Err(too_large()) } else { Ok(read) }
}

fn too_large() -> Refusal {
    Refusal::new(RefusalCode::TooLarge, format!("the body is over the limit of {LIMIT} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preference_is_found_among_others() {
        let prefer = |values: &[&'static str]| {
            let values = values.iter().map(|value| {
                (header::HeaderName::from_static("prefer"), HeaderValue::from_static(value))
            });
            wants_async(&values.collect::<HeaderMap>())
        };

        assert!(prefer(&["respond-async"]));
        assert!(prefer(&["wait=10, Respond-Async"]));
        assert!(prefer(&["return=minimal", "respond-async; x=1"]));
        assert!(!prefer(&[]));
        assert!(!prefer(&["respond-asynchronously"]));
    }
}
