//! The HTTP surface of an executor. JSON in, JSON out, errors included.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use daemon::token::Tokens;
use futures::FutureExt as _;
use jiff::Timestamp;
use protocol::PROTOCOL;
use protocol::executor::{ExecutorHealth, ExecutorStatus, Health, TaskSpec};
use protocol::refusal::{Refusal, RefusalCode};

mod attempts;
mod envelope;
mod execute;
mod log;
mod reply;

use self::reply::{json, refuse};
use crate::metrics::{CONTENT_TYPE, Now};
use crate::registry::Entry;
use crate::runner::Runner;

/// What every handler may use.
pub(crate) struct App {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) runner: Arc<Runner>,
    pub(crate) tokens: Tokens,
    pub(crate) drain_timeout: Duration,
    pub(crate) started: Instant,
}

/// Every route.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/status", get(status))
        .route("/execute", post(execute::execute))
        .route("/attempts", get(attempts::list))
        .route("/attempts/{attempt}", get(attempts::show).delete(attempts::cancel))
        .route("/attempts/{attempt}/log", get(log::read))
        .route("/metrics", get(metrics))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), check_token))
        .layer(middleware::from_fn(catch_panic))
        .with_state(app)
}

async fn health(State(app): State<Arc<App>>) -> Response {
    let trouble = app.runner.trouble();
    let mut reasons: Vec<String> = trouble.into_iter().collect();
    let status = if app.runner.is_draining() {
        reasons.insert(0, "the executor is stopping and takes no new work".to_owned());
        Health::Draining
    } else if !app.runner.node.presence.reasons().is_empty() {
        reasons.splice(0..0, app.runner.node.presence.reasons());
        Health::Draining
    } else if reasons.is_empty() {
        Health::Healthy
    } else {
        Health::Degraded
    };
    json(
        200,
        &ExecutorHealth {
            status,
            executor: app.name.to_owned(),
            version: app.version.to_owned(),
            timestamp: Timestamp::now(),
            reasons,
        },
    )
}

async fn status(State(app): State<Arc<App>>) -> Response {
    let runner = &app.runner;
    let entries = runner.registry.entries();
    json(
        200,
        &ExecutorStatus {
            executor: app.name.to_owned(),
            version: app.version.to_owned(),
            protocol: PROTOCOL,
            life: runner.spool.life(),
            handlers: entries.iter().map(|entry| entry.task_type.to_owned()).collect(),
            tasks: entries.iter().map(|entry| spec(runner, entry)).collect(),
            running: runner.running(),
            capacity: runner.limits.capacity,
            timestamp: Timestamp::now(),
        },
    )
}

fn spec(runner: &Runner, entry: &Entry) -> TaskSpec {
    let description = entry.schema.get("description").and_then(serde_json::Value::as_str);
    TaskSpec {
        task_type: entry.task_type.to_owned(),
        description: first_paragraph(description.unwrap_or_default()),
        params_schema: entry.schema.clone(),
        timeout_seconds: entry.timeout.map(|limit| limit.as_secs_f64()),
        idempotent: entry.idempotent,
        retryable: entry.retryable,
        missing: runner.missing(entry),
        forbidden: runner.forbidden(entry).map(|forbidden| forbidden.error),
    }
}

fn first_paragraph(text: &str) -> String {
    text.split("\n\n").next().unwrap_or_default().replace('\n', " ")
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let page = app.runner.metrics.text(&Now {
        executor: app.name,
        version: app.version,
        running: app.runner.running().len(),
        capacity: app.runner.limits.capacity,
        is_draining: app.runner.is_draining(),
        uptime: app.started.elapsed().as_secs_f64(),
    });
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response()
}

async fn no_such_path(uri: Uri) -> Response {
    let path: String = uri.path().chars().take(200).collect();
    refuse(&Refusal::new(RefusalCode::NotFound, format!("there is no `{path}` here")).hinted(
        "known: /health, /status, /execute, /attempts, /attempts/ID, /attempts/ID/log, /metrics",
    ))
}

async fn no_such_method(request: Request) -> Response {
    let (method, path) = (request.method().as_str(), request.uri().path());
    let error = format!("{method} is not for `{path}`");
    let hint = match path {
        "/execute" => "use POST",
        path if path.starts_with("/attempts/") => "use GET, or DELETE to cancel an attempt",
        _ => "use GET",
    };
    refuse(&Refusal::new(RefusalCode::MethodNotAllowed, error).hinted(hint))
}

/// Lets in who brings a token, once there is one. `/health` needs none.
async fn check_token(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let is_open = app.tokens.is_empty() || request.uri().path() == "/health";
    if is_open || app.tokens.accepts(request.headers()) {
        return next.run(request).await;
    }
    app.runner.metrics.refused(RefusalCode::Unauthorized);
    let refusal = Refusal::new(RefusalCode::Unauthorized, "the token is missing or wrong")
        .hinted("send `Authorization: Bearer TOKEN` or `X-API-Key: TOKEN`");
    let mut response = refuse(&refusal);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// A handler that panics answers like everything else, and takes nobody with it.
async fn catch_panic(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => refuse(
            &Refusal::new(RefusalCode::Internal, "the executor has a bug: this request panicked")
                .hinted("its log says where"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_handler_is_an_answer() {
        async fn bug() {
            panic!("a bug")
        }
        let router = Router::new().route("/", get(bug)).layer(middleware::from_fn(catch_panic));

        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();

        assert_eq!(response.status(), 500);
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let refusal: Refusal = serde_json::from_slice(&body).unwrap();
        assert_eq!(refusal.code, RefusalCode::Internal);
    }
}
