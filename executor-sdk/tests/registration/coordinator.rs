//! A coordinator that does what the test says, and keeps a journal of what it was asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use executor_sdk::harness::{tokio, until};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use url::Url;

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) what: String,
    pub(crate) key: Option<String>,
    pub(crate) body: Value,
}

pub(crate) struct Coordinator {
    pub(crate) url: Url,
    state: Arc<Mutex<Inner>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Inner {
    journal: Vec<Asked>,
    /// Runners that it knows.
    known: Vec<String>,
    /// The list, and what was reported.
    tasks: Vec<Value>,
    /// What the answers to heartbeats carry until it is taken back.
    update: Option<Value>,
    /// By `METHOD /path` or a beginning of it: statuses for the next requests.
    failures: HashMap<String, VecDeque<u16>>,
    /// The keys that open it; none: everybody.
    keys: Vec<String>,
    /// A wrong key is answered 429, as after many of them.
    is_throttling: bool,
}

impl Coordinator {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let state = Arc::new(Mutex::new(Inner::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
        #[expect(clippy::disallowed_methods, reason = "aborted with the coordinator")]
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, state, serving }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap()
    }

    /// Loses its memory of runners.
    pub(crate) fn forget(&self) {
        self.inner().known.clear();
    }

    /// Answers the next requests that begin so with these statuses.
    pub(crate) fn fail(&self, what: &str, statuses: &[u16]) {
        self.inner().failures.insert(what.to_owned(), statuses.iter().copied().collect());
    }

    pub(crate) fn accept_keys(&self, keys: &[&str]) {
        self.inner().keys = keys.iter().map(|key| (*key).to_owned()).collect();
    }

    /// Answers every wrong key with 429.
    pub(crate) fn throttle(&self) {
        self.inner().is_throttling = true;
    }

    pub(crate) fn ask_update(&self, update: Value) {
        self.inner().update = Some(update);
    }

    pub(crate) fn drop_update(&self) {
        self.inner().update = None;
    }

    pub(crate) fn put(&self, task: Value) {
        let mut task = task;
        task["status"] = "running".into();
        task["startedAt"] = 1.into();
        self.inner().tasks.push(task);
    }

    pub(crate) fn task(&self, id: &str) -> Value {
        let inner = self.inner();
        inner.tasks.iter().find(|task| task["taskId"] == id).cloned().unwrap_or_default()
    }

    /// Says in its own name that a task failed, as for a runner that was lost.
    pub(crate) fn give_up(&self, id: &str) {
        let mut inner = self.inner();
        let task = inner.tasks.iter_mut().find(|task| task["taskId"] == id).unwrap();
        task["status"] = "failed".into();
    }

    /// What it was asked that begins so.
    pub(crate) fn asked(&self, what: &str) -> Vec<Asked> {
        let inner = self.inner();
        inner.journal.iter().filter(|asked| asked.what.starts_with(what)).cloned().collect()
    }

    pub(crate) fn beats(&self) -> Vec<Asked> {
        self.asked("POST /runners/heartbeat")
    }

    pub(crate) fn registrations(&self) -> Vec<Asked> {
        self.asked("POST /runners/register")
    }

    /// Waits until the last heartbeat looks so.
    pub(crate) async fn beat(&self, what: &str, looks: impl Fn(&Value) -> bool) -> Value {
        until(what, async || self.beats().last().is_some_and(|beat| looks(&beat.body))).await;
        let beats = self.beats();
        beats.into_iter().rev().find(|beat| looks(&beat.body)).unwrap().body
    }

    /// Waits until any heartbeat has looked so: the next one may look otherwise already.
    pub(crate) async fn any_beat(&self, what: &str, looks: impl Fn(&Value) -> bool) -> Value {
        let find = || self.beats().into_iter().rev().find(|beat| looks(&beat.body));
        until(what, async || find().is_some()).await;
        find().unwrap().body
    }

    /// Waits for some more heartbeats.
    pub(crate) async fn more_beats(&self, count: usize) {
        let until_then = self.beats().len() + count;
        until("more heartbeats", async || self.beats().len() >= until_then).await;
    }

    /// Waits until a task of the list has ended, and returns it.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        until(&format!("{id} has ended"), async || self.task(id)["status"] != "running").await;
        self.task(id)
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(state): State<Arc<Mutex<Inner>>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 10_000_000).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let what = format!("{} {}", head.method, head.uri);
    let key = head.headers.get("x-api-key").map(|key| key.to_str().unwrap().to_owned());
    let mut inner = state.lock().unwrap();
    inner.journal.push(Asked {
        at: Instant::now(),
        what: what.clone(),
        key: key.clone(),
        body: body.clone(),
    });
    let mut failures =
        inner.failures.iter_mut().filter(|(begin, _)| what.starts_with(begin.as_str()));
    let status = failures.find_map(|(_, statuses)| statuses.pop_front());
    if let Some(status) = status {
        let status = StatusCode::from_u16(status).unwrap();
        return (status, json!({"error": "as the test wants it"}).to_string()).into_response();
    }
    if !inner.keys.is_empty() && !key.is_some_and(|key| inner.keys.contains(&key)) {
        let status = if inner.is_throttling {
            StatusCode::TOO_MANY_REQUESTS
        } else {
            StatusCode::UNAUTHORIZED
        };
        return (status, "{}").into_response();
    }
    let (status, answer) = inner.answer(head.method.as_str(), head.uri.path(), &body);
    (StatusCode::from_u16(status).unwrap(), answer.to_string()).into_response()
}

impl Inner {
    fn answer(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let runner = body["runnerId"].as_str().unwrap_or_default().to_owned();
        let unknown = (404, json!({"error": "Runner not found"}));
        match (method, path.trim_matches('/').split('/').collect::<Vec<_>>().as_slice()) {
            ("POST", ["runners", "register"]) => {
                let is_known = self.known.contains(&runner);
                self.known.push(runner.clone());
                let status = if is_known { "re-registered" } else { "registered" };
                (201, json!({"runnerId": runner, "status": status}))
            }
            ("POST", ["runners", "heartbeat"]) if self.known.contains(&runner) => {
                let mut answer = json!({"status": "ok"});
                if let Some(update) = &self.update {
                    answer["pendingUpdate"] = update.clone();
                }
                (200, answer)
            }
            ("POST", ["runners", "offline"]) => (200, json!({"status": "offline"})),
            ("GET", ["runners", runner, "tasks"]) if self.known.iter().any(|r| r == runner) => {
                let running = self.tasks.iter().filter(|task| task["status"] == "running");
                let tasks: Vec<_> = running.cloned().collect();
                (200, json!({"runnerId": runner, "count": tasks.len(), "tasks": tasks}))
            }
            ("PATCH", ["runners", _, "tasks", id]) => {
                let id = percent_decoded(id);
                let Some(task) = self.tasks.iter_mut().find(|task| task["taskId"] == id) else {
                    return (404, json!({"error": "Task not found"}));
                };
                task["status"] = body["status"].clone();
                for (name, value) in body["metadata"].as_object().unwrap() {
                    task["metadata"][name] = value.clone();
                }
                (200, task.clone())
            }
            _ => unknown,
        }
    }
}

fn percent_decoded(text: &str) -> String {
    let pair = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes()).next().unwrap().1.into_owned()
}
