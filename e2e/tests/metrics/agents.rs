//! Agents behind the gateway, and requests for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use e2e::World;
use reqwest::Response;
use serde_json::{Value, json};

use crate::scene::{serve, tell};

/// Answers at once; the first request with an idempotency key finds it unready.
async fn process(
    State(was_asked): State<Arc<AtomicBool>>,
    headers: HeaderMap,
) -> (StatusCode, Json<Value>) {
    let is_first =
        headers.contains_key("idempotency-key") && !was_asked.swap(true, Ordering::SeqCst);
    let status = if is_first { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Json(json!({ "done": !is_first })))
}

async fn agent() -> String {
    let app = axum::Router::new()
        .route("/health", get(|| async { Json(json!({ "status": "healthy" })) }))
        .route("/process", post(process))
        .with_state(Arc::default());
    serve(app).await
}

async fn ask(world: &World, header: (&str, &str)) -> Response {
    let url = format!("{}/agent/capability:chat/process", world.ygg().url());
    let asked = world.client().post(url).header(header.0, header.1).json(&json!({}));
    let answer = asked.send().await.unwrap();
    assert!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await.unwrap());
    answer
}

/// Two agents; a session that stays with one of them, and moves when that one leaves; a request
/// that is tried twice.
pub(crate) async fn talk(world: &World) {
    for name in ["agent-a", "agent-b"] {
        let body = json!({"runnerId": name, "name": name, "endpoint": agent().await,
            "version": "0.3.8", "capabilities": ["chat"]});
        tell(world, "/runners/register", body).await;
    }
    ask(world, ("idempotency-key", "one")).await;
    let session = ("x-session-id", "conversation");
    let first = ask(world, session).await;
    ask(world, session).await;
    let its_agent = first.headers()["x-agent-id"].to_str().unwrap();
    tell(world, "/runners/offline", json!({ "runnerId": its_agent })).await;
    let moved = ask(world, session).await;
    assert!(moved.headers().contains_key("x-session-moved"), "{:?}", moved.headers());
}
