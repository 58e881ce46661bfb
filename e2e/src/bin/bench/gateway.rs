//! Requests that the coordinator hands through to an agent.

use std::time::Duration;

use axum::Json;
use axum::routing::{get, post};
use e2e::cli::BeadsCli;
use e2e::world::COORDINATOR;
use e2e::{World, ports};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::load::{flat_out, once, request};
use crate::{Line, ms};

const CONNECTIONS: usize = 32;
const LAST: Duration = Duration::from_secs(5);

/// No-ops in a second through `/agent/{id}/process`, to an agent that answers at once.
pub(crate) async fn no_ops(cli: &BeadsCli) -> anyhow::Result<Line> {
    let stop = CancellationToken::new();
    let _ends = stop.clone().drop_guard();
    let agent = ports::free();
    let router = axum::Router::new()
        .route("/health", get(async || Json(json!({"status": "healthy"}))))
        .route("/process", post(async || Json(json!({"result": "done"}))));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", agent)).await?;
    TaskTracker::new().spawn(daemon::http::serve(listener, router, stop, Duration::ZERO));
    let mut world = World::on(cli).await?;
    world.coordinator(&[]).await?;
    let port = world.port(COORDINATOR);
    let body = json!({
        "runnerId": "agent-1",
        "name": "agent-1",
        "endpoint": format!("http://127.0.0.1:{agent}"),
        "capabilities": ["text"],
    });
    once(port, 1, vec![request("POST", "/runners/register", Some(&body))]).await?;

    let process = [request("POST", "/agent/agent-1/process", Some(&json!({"task": "nothing"})))];
    let measured = flat_out(port, CONNECTIONS, &process, LAST).await?;

    let (rate, p95, refused) = (measured.rate(), measured.within(95.0), measured.refused);
    let value = format!("{rate:.0} /s, p95 {}, {refused} errors", ms(p95));
    let is_good = rate >= 1000.0 && p95 < Duration::from_millis(200) && refused == 0;
    let what = format!("gateway, no-op of an agent, {CONNECTIONS} connections");
    Ok(Line::new(what, value).goal(">= 1000 /s, p95 < 200 ms, no error", is_good))
}
