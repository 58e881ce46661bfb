//! A registry, a ledger and a gateway in this process, behind a real listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use protocol::runner::{RegisterRunner, RunnerOffline};
use reqwest::{Client, RequestBuilder};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use yggdrasil_coordinator::admission::{Admission, Rules as BreakerRules};
use yggdrasil_coordinator::gateway::{Call, Executors, Gateway, Ground, Refused, Rules};
use yggdrasil_coordinator::keeper::Keeper;
use yggdrasil_coordinator::ledger::SqliteLedger;
use yggdrasil_coordinator::metrics::Metrics;
use yggdrasil_coordinator::runners::{Limits, Runners};

/// For a slow machine; nothing is measured here.
pub(super) const LONG: Duration = Duration::from_mins(1);

/// Everything between a client and agents.
pub(super) struct Stage {
    pub(super) runners: Arc<Runners>,
    pub(super) admission: Arc<Admission>,
    pub(super) gateway: Arc<Gateway>,
    pub(super) address: SocketAddr,
    client: Client,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What most tests go by: quick repetitions, and no probe that comes in between.
pub(super) fn rules() -> Rules {
    Rules {
        first_pause: Duration::from_millis(5),
        probe_every: Duration::from_hours(1),
        ..Rules::default()
    }
}

impl Stage {
    pub(super) async fn new() -> Self {
        Self::with(rules(), Executors::default()).await
    }

    pub(super) async fn with(rules: Rules, executors: Executors) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("ledger.sqlite")).await.unwrap();
        let keeper = Arc::new(Keeper::default());
        let runners = Arc::new(Runners::restore(Limits::default(), &[], Arc::clone(&keeper)));
        let stop = CancellationToken::new();
        let breakers = BreakerRules { threshold: 3, recovery: Duration::from_millis(200) };
        let admission = Arc::new(Admission::new(breakers, stop.clone()));
        let ground = Ground {
            runners: Arc::clone(&runners),
            admission: Arc::clone(&admission),
            metrics: Arc::new(Metrics::default()),
            keeper: Arc::clone(&keeper),
            executors,
            draining: stop.clone(),
        };
        let gateway = Arc::new(Gateway::new(rules, ground, &[]).unwrap());
        let tracker = TaskTracker::new();
        let stopped = stop.clone();
        tracker.spawn(async move { keeper.run(&ledger, &stopped, |_| {}).await });
        let (watched, stopped) = (Arc::clone(&gateway), stop.clone());
        tracker.spawn(async move { watched.watch(&stopped).await });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/agent/{id}/health", get(health))
            .route("/agent/{id}/metrics", get(metrics))
            .route("/agent/{id}/process", post(process))
            .with_state(Arc::clone(&gateway))
            .into_make_service_with_connect_info::<SocketAddr>();
        let stopped = stop.clone();
        tracker.spawn(async move {
            tokio::select! {
                served = axum::serve(listener, router) => served.unwrap(),
                () = stopped.cancelled() => {}
            }
        });
        let client = Client::builder().no_proxy().timeout(LONG).build().unwrap();
        Self { runners, admission, gateway, address, client, stop, _folder: folder }
    }

    /// Registers a runner.
    pub(super) async fn register(&self, id: &str, endpoint: &str) {
        let body = RegisterRunner {
            runner_id: Some(id.to_owned()),
            name: Some(id.to_owned()),
            endpoint: Some(endpoint.to_owned()),
            capabilities: Some(vec!["echo".to_owned()]),
            ..RegisterRunner::default()
        };
        self.runners.register(body, None).await.unwrap();
    }

    /// Registers an executor of ours.
    pub(super) async fn register_executor(&self, id: &str, endpoint: &str, capacity: u32) {
        let metadata = serde_json::json!({ "protocol": 1, "capacity": capacity });
        let body = RegisterRunner {
            runner_id: Some(id.to_owned()),
            name: Some(id.to_owned()),
            endpoint: Some(endpoint.to_owned()),
            metadata: metadata.as_object().cloned(),
            ..RegisterRunner::default()
        };
        self.runners.register(body, None).await.unwrap();
    }

    /// Has a runner say good-bye.
    pub(super) async fn offline(&self, id: &str) {
        let body = RunnerOffline { runner_id: Some(id.to_owned()) };
        self.runners.offline(body).await.unwrap();
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }
}

async fn health(gateway: State<Arc<Gateway>>, to: Path<String>, request: Request) -> Response {
    hand(gateway, &to, Call::Health, request).await
}

async fn metrics(gateway: State<Arc<Gateway>>, to: Path<String>, request: Request) -> Response {
    hand(gateway, &to, Call::Metrics, request).await
}

async fn process(gateway: State<Arc<Gateway>>, to: Path<String>, request: Request) -> Response {
    hand(gateway, &to, Call::Process, request).await
}

async fn hand(
    State(gateway): State<Arc<Gateway>>,
    to: &str,
    call: Call,
    request: Request,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    match gateway.handle(call, to, request, peer).await {
        Ok(response) => response,
        Err(Refused { status, error, headers, .. }) => (status, *headers, error).into_response(),
    }
}

/// Waits until something is so.
pub(super) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Returns a header of an answer as text.
pub(super) fn header<'a>(answer: &'a reqwest::Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name).map(|value| value.to_str().unwrap())
}
