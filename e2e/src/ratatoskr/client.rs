//! The requests of a daemon, and its way with failures.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

use super::event_loop::EventLoop;
use super::transport::{Call, Transport};
use super::{Journal, Settings, chance};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The first pause after a failure, and the longest.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Where it says that it listens, which it does not.
const ENDPOINT: &str = "http://192.0.2.2:8080";

/// What everything in a daemon shares.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) settings: Settings,
    pub(super) event_loop: EventLoop,
    pub(super) journal: Arc<Journal>,
    key: Mutex<Option<String>>,
    transport: Box<dyn Transport>,
}

impl Client {
    pub(super) fn new(
        id: String,
        settings: Settings,
        transport: Box<dyn Transport>,
        event_loop: EventLoop,
        journal: Arc<Journal>,
    ) -> Arc<Self> {
        let key = Mutex::new(settings.api_key.clone());
        Arc::new(Self { id, settings, event_loop, journal, key, transport })
    }

    /// From now on every request, also one that is tried again, has this key.
    pub(super) fn use_key(&self, key: String) {
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }

    /// Sends one request. What can be done at once is done before the answer is waited for.
    pub(super) fn ask(
        self: &Arc<Self>,
        method: Method,
        path: String,
        body: Option<&Value>,
    ) -> impl Future<Output = Result<Value, String>> + Send + use<> {
        let call = Call {
            method,
            path,
            key: self.key.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            body: body.map(|body| body.to_string().into()),
        };
        let answer = self.transport.exchange(call);
        let client = Arc::clone(self);
        async move {
            let result = match timeout(LIMIT, answer).await {
                Ok(Ok(answer)) if (200..300).contains(&answer.status) => {
                    Ok(serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
                }
                Ok(Ok(answer)) => Err(format!("Request failed with status code {}", answer.status)),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(format!("timeout of {}ms exceeded", LIMIT.as_millis())),
            };
            client.event_loop.free().await;
            if let Err(error) = &result {
                let mut book = client.journal.book();
                book.failures += 1;
                book.last_failure.clone_from(error);
            }
            result
        }
    }

    /// Sends a request again and again, until it is taken.
    async fn insist(self: &Arc<Self>, path: &str, body: &Value) -> Value {
        let mut failures = 0_u32;
        loop {
            self.event_loop.free().await;
            match self.ask(Method::POST, path.to_owned(), Some(body)).await {
                Ok(answer) => return answer,
                Err(_) => failures += 1,
            }
            let pause = PAUSE * 2_u32.saturating_pow(failures - 1).min(64);
            let pause = pause.min(LONGEST_PAUSE).mul_f64(1.0 + chance() / 4.0);
            sleep(self.settings.scaled(pause)).await;
        }
    }

    /// Registers, with the endpoint that is known by now.
    pub(super) async fn register(self: Arc<Self>, is_endpoint_known: bool) {
        let body = json!({
            "runnerId": self.id,
            "name": self.settings.name,
            "endpoint": if is_endpoint_known { ENDPOINT } else { "" },
            "version": self.settings.version,
            "capabilities": self.settings.capabilities,
            "resources": resources(),
        });
        self.insist("/runners/register", &body).await;
        self.journal.book().registrations += 1;
    }

    /// Sends a heartbeat; returns its answer.
    pub(super) async fn heartbeat(
        self: Arc<Self>,
        update: Option<(&'static str, String)>,
    ) -> Value {
        let mut body = json!({
            "runnerId": self.id,
            "timestamp": SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            "status": "healthy",
            "resources": resources(),
        });
        if let Some((status, log)) = update {
            body["updateStatus"] = status.into();
            body["updateLog"] = log.into();
        }
        let answer = self.insist("/runners/heartbeat", &body).await;
        self.journal.book().heartbeats += 1;
        answer
    }

    /// Reads the task list, once; what cannot be read is no task.
    pub(super) async fn list(self: Arc<Self>) -> Vec<Value> {
        self.event_loop.free().await;
        let path = format!("/runners/{}/tasks?status=running", self.id);
        let Ok(mut answer) = self.ask(Method::GET, path, None).await else { return Vec::new() };
        self.journal.book().lists += 1;
        match answer.get_mut("tasks").map(Value::take) {
            Some(Value::Array(tasks)) => tasks,
            _ => Vec::new(),
        }
    }

    /// Says where it listens, once; returns whether that was taken.
    pub(super) async fn relocate(self: Arc<Self>) -> bool {
        self.event_loop.free().await;
        let body = json!({"runnerId": self.id, "oldEndpoint": "", "newEndpoint": ENDPOINT});
        self.ask(Method::POST, "/runners/update".to_owned(), Some(&body)).await.is_ok()
    }

    /// Says good-bye, once.
    pub(super) async fn offline(self: &Arc<Self>) {
        let body = json!({"runnerId": self.id});
        // Whatever comes of it, the daemon ends.
        drop(self.ask(Method::POST, "/runners/offline".to_owned(), Some(&body)).await);
    }

    /// Tells a task's result: at once, and if that fails, that the task failed. When both fail,
    /// the error is what ends the daemon.
    pub(super) fn report(
        self: &Arc<Self>,
        task: &str,
        status: &'static str,
        metadata: &Map<String, Value>,
    ) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let path = format!("/runners/{}/tasks/{task}", self.id);
        let body = json!({"status": status, "metadata": metadata});
        let first = self.ask(Method::PATCH, path.clone(), Some(&body));
        let (client, task) = (Arc::clone(self), task.to_owned());
        async move {
            let Err(error) = first.await else {
                client.journal.reports(&task, status);
                return Ok(());
            };
            let body = json!({"status": "failed", "metadata": {"error": error}});
            client.ask(Method::PATCH, path, Some(&body)).await?;
            client.journal.reports(&task, "failed");
            Ok(())
        }
    }
}

/// What a machine of the fleet could say of itself.
fn resources() -> Value {
    let percent = (chance() * 10_000.0).round() / 100.0;
    json!({
        "cpu": {"load1": 1.74, "load5": 3.22, "load15": 2.93, "cpus": 2, "percent": percent},
        "memory": {"total": 25_276_502_016_u64, "used": 615_378_944, "free": 24_661_123_072_u64, "percent": 2.43},
        "uptime": 2740,
    })
}
