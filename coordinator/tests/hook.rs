//! The offline hook, against a real listener and a real shell.
#![expect(clippy::unwrap_used, reason = "what cannot be set up fails the test")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use yggdrasil_coordinator::hook::{Counts, Environment, Hook, Target};
use yggdrasil_coordinator::runners::Lost;

/// For a slow machine; nothing is measured here.
const LONG: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(5);

fn lost(name: &str) -> Lost {
    Lost {
        runner: "r-1".to_owned(),
        name: name.to_owned(),
        endpoint: "http://192.0.2.7:8080".to_owned(),
        last_heartbeat: "2026-11-21T00:39:02.773Z".parse::<Timestamp>().unwrap(),
        cause: "lease_expired",
        tasks: vec!["t-1".to_owned(), "t-2".to_owned()],
    }
}

fn hook(target: Target) -> Hook {
    drop(rustls::crypto::ring::default_provider().install_default());
    let environment = Environment { path: std::env::var_os("PATH"), home: None };
    Hook::new(Some(target), environment).unwrap().first_pause(PAUSE)
}

/// Feeds the hook until it has counted what `enough` wants.
async fn feed(hook: &Hook, losses: Vec<Lost>, enough: impl Fn(Counts) -> bool) {
    let (sender, receiver) = broadcast::channel(8);
    let stop = CancellationToken::new();
    for lost in losses {
        drop(sender.send(lost));
    }
    let watch = hook.watch(receiver, &stop);
    let counted = async {
        while !enough(hook.counts()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stop.cancel();
    };
    let both = async { tokio::join!(watch, counted) };
    tokio::time::timeout(LONG, both).await.expect("the hook counts what it does");
}

#[derive(Clone, Default)]
struct Receiver {
    /// How many are refused first.
    refuse: usize,
    seen: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
}

async fn receive(
    State(receiver): State<Receiver>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> StatusCode {
    let mut seen = receiver.seen.lock().unwrap();
    seen.push((headers, body));
    if seen.len() <= receiver.refuse { StatusCode::BAD_GATEWAY } else { StatusCode::NO_CONTENT }
}

async fn listen(receiver: Receiver) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/hook", post(receive)).with_state(receiver);
    tokio_util::task::TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test]
async fn a_url_gets_the_payload_once_it_takes_it() {
    let receiver = Receiver { refuse: 2, ..Receiver::default() };
    let address = listen(receiver.clone()).await;
    let hook = hook(Target::Url(format!("http://{address}/hook").parse().unwrap()));

    feed(&hook, vec![lost("box")], |counts| counts.delivered == 1).await;

    let seen = receiver.seen.lock().unwrap();
    let counts = hook.counts();
    assert_eq!(counts, Counts { delivered: 1, failed: 0, retried: 2, dropped: 0 });
    assert_eq!(seen.len(), 3);
    let (headers, body) = &seen[2];
    assert_eq!(headers["idempotency-key"], seen[0].0["idempotency-key"]);
    let noticed = body["timestamp"].as_str().unwrap();
    assert!(noticed.parse::<Timestamp>().is_ok() && noticed.ends_with('Z'), "{noticed}");
    let expected = serde_json::json!({
        "event": "runner.offline",
        "runnerId": "r-1",
        "name": "box",
        "endpoint": "http://192.0.2.7:8080",
        "lastHeartbeat": "2026-11-21T00:39:02.773Z",
        "cause": "lease_expired",
        "tasks": ["t-1", "t-2"],
        "timestamp": noticed,
    });
    assert_eq!(body, &expected);
}

#[tokio::test]
async fn a_url_that_never_takes_it_is_given_up() {
    let receiver = Receiver { refuse: usize::MAX, ..Receiver::default() };
    let address = listen(receiver.clone()).await;
    let hook = hook(Target::Url(format!("http://{address}/hook").parse().unwrap()));

    feed(&hook, vec![lost("box")], |counts| counts.failed == 1).await;

    assert_eq!(receiver.seen.lock().unwrap().len(), 4, "one try and three more");
    assert_eq!(hook.counts(), Counts { delivered: 0, failed: 1, retried: 3, dropped: 0 });
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn a_command_gets_it_on_stdin_and_in_the_environment_and_never_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let tries = folder.path().join("tries");
    let shown = (tries.display(), out.display());
    let text = format!(
        "echo x >> {0}; test $(wc -l < {0}) -ge 2 || exit 3; \
         {{ printf '%s|%s|%s|%s\\n' \"$YGGDRASIL_RUNNER_ID\" \"$YGGDRASIL_RUNNER_NAME\" \
         \"$YGGDRASIL_RUNNER_CAUSE\" \"$YGGDRASIL_RUNNER_TASKS\"; cat; }} > {1}",
        shown.0, shown.1
    );
    let hook = hook(Target::Command(text));
    let nasty = "$(touch pwned) `touch pwned`; touch pwned\u{0}\n";

    feed(&hook, vec![lost(nasty)], |counts| counts.delivered == 1).await;

    let written = read(&out);
    let (line, payload) = written.split_once('\n').unwrap();
    assert_eq!(line, "r-1|$(touch pwned) `touch pwned`; touch pwned  |lease_expired|2");
    let payload: Value = serde_json::from_str(payload).unwrap();
    assert_eq!(payload["name"], nasty, "whole on stdin");
    assert_eq!(payload["tasks"], serde_json::json!(["t-1", "t-2"]));
    assert_eq!(hook.counts(), Counts { delivered: 1, failed: 0, retried: 1, dropped: 0 });
}

#[tokio::test]
async fn what_does_not_fit_is_counted() {
    let hook = hook(Target::Command("true".to_owned()));

    // Nine more than the channel holds.
    let losses = (0..17).map(|number| lost(&format!("box-{number}"))).collect();
    feed(&hook, losses, |counts| counts.delivered == 8).await;

    assert_eq!(hook.counts().dropped, 9);
}
