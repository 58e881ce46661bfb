//! The simulation against a controller of a few lines, whose connections can be short-lived.

use std::sync::{Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::until;

/// How long anything here may take.
const LONG: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Controller {
    registrations: Mutex<Vec<Value>>,
    moves: Mutex<Vec<Value>>,
    beats: Mutex<Vec<Value>>,
    task: Mutex<Option<Value>>,
    told: Mutex<Vec<Value>>,
    update: Mutex<Option<Value>>,
    /// With what results are answered.
    refusal: Mutex<Option<StatusCode>>,
}

type Shared = State<Arc<Controller>>;

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a controller that closes a connection which is idle for so long.
async fn controller(idle: Duration) -> (Arc<Controller>, Target) {
    let controller = Arc::new(Controller::default());
    let router = Router::new()
        .route(
            "/runners/register",
            post(async |State(c): Shared, Json(body): Json<Value>| {
                lock(&c.registrations).push(body);
                StatusCode::CREATED
            }),
        )
        .route(
            "/runners/update",
            post(async |State(c): Shared, Json(body): Json<Value>| lock(&c.moves).push(body)),
        )
        .route(
            "/runners/heartbeat",
            post(async |State(c): Shared, Json(body): Json<Value>| {
                lock(&c.beats).push(body);
                let mut answer = json!({"status": "ok"});
                if let Some(update) = lock(&c.update).take() {
                    answer["pendingUpdate"] = update;
                }
                Json(answer)
            }),
        )
        .route(
            "/runners/{id}/tasks",
            get(async |State(c): Shared| {
                Json(json!({"tasks": lock(&c.task).take().into_iter().collect::<Vec<_>>()}))
            }),
        )
        .route(
            "/runners/{id}/tasks/{task}",
            patch(
                async |State(c): Shared,
                       Path(_): Path<(String, String)>,
                       Json(body): Json<Value>| {
                    lock(&c.told).push(body);
                    lock(&c.refusal).unwrap_or(StatusCode::OK)
                },
            ),
        )
        .with_state(Arc::clone(&controller));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::Url(format!("http://{}/", listener.local_addr().unwrap()));
    let tasks = TaskTracker::new();
    tasks.clone().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(router.clone());
            tasks.spawn(async move {
                let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
                builder.http1().timer(TokioTimer::new()).header_read_timeout(idle);
                drop(builder.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    (controller, target)
}

fn quick() -> Settings {
    Settings { poll_interval: Duration::from_secs(10), ..Settings::named("quick") }.at_speed(50.0)
}

fn task(kind: &str, metadata: &Value) -> Value {
    json!({"taskId": "t-1", "type": kind, "status": "running", "startedAt": 0, "metadata": metadata})
}

async fn first_result(controller: &Controller) -> Value {
    until("a result is told", LONG, async || lock(&controller.told).first().cloned()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_registers_without_an_endpoint_first_and_again_and_again() {
    let (controller, target) = controller(LONG).await;
    let journal = Arc::default();
    let one = Ratatoskr::start(quick(), &target, &journal);

    until("it registers again", LONG, async || {
        (lock(&controller.registrations).len() >= 3).then_some(())
    })
    .await;

    let registrations = lock(&controller.registrations).clone();
    assert_eq!(registrations[0]["endpoint"], "");
    assert_eq!(registrations[1]["endpoint"], "http://192.0.2.2:8080");
    assert_eq!(registrations[2]["runnerId"], one.id());
    assert!(registrations[0].get("tasks").is_none() && registrations[0].get("labels").is_none());
    assert_eq!(lock(&controller.moves).len(), 1);
    assert!(lock(&controller.beats).iter().all(|beat| beat.get("updateStatus").is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_longer_than_idle_connections_live_is_reported_as_failed() {
    let (controller, target) = controller(Duration::from_millis(300)).await;
    *lock(&controller.task) = Some(task("exec", &json!({"command": "sleep 1; echo done"})));

    let _one = Ratatoskr::start(quick().at_speed(1.0), &target, &Arc::default());
    let told = first_result(&controller).await;

    assert_eq!(told["status"], "failed", "{told}");
    let error = told["metadata"]["error"].as_str().unwrap();
    assert!(error.starts_with("socket hang up"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_command_is_reported_with_what_it_printed() {
    let (controller, target) = controller(Duration::from_secs(5)).await;
    *lock(&controller.task) = Some(task("exec", &json!({"command": "echo done"})));

    let _one = Ratatoskr::start(quick().at_speed(1.0), &target, &Arc::default());
    let told = first_result(&controller).await;

    assert_eq!(told["status"], "completed", "{told}");
    assert_eq!(told["metadata"]["stdout"], "done\n");
    assert_eq!(told["metadata"]["exitCode"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_heartbeat_goes_out_while_a_command_runs() {
    let (controller, target) = controller(LONG).await;
    *lock(&controller.task) = Some(task("exec", &json!({"command": "sleep 2"})));

    // A heartbeat is due every 300 ms.
    let journal = Arc::<Journal>::default();
    let _one = Ratatoskr::start(quick(), &target, &journal);
    until("the command runs", LONG, async || (!journal.book().started.is_empty()).then_some(()))
        .await;
    let before = lock(&controller.beats).len();
    first_result(&controller).await;
    let after = lock(&controller.beats).len();

    assert!(after - before <= 2, "{} heartbeats in 2 s", after - before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_is_refused_twice_is_the_end_of_the_daemon() {
    let (controller, target) = controller(LONG).await;
    *lock(&controller.refusal) = Some(StatusCode::INTERNAL_SERVER_ERROR);
    *lock(&controller.task) = Some(task("echo", &json!({"a": 1})));

    let mut one = Ratatoskr::start(quick(), &target, &Arc::default());
    let exit = one.ended().await;

    assert_eq!(exit, Exit::Crashed("Request failed with status code 500".to_owned()));
    let told = lock(&controller.told).clone();
    assert_eq!(told[0]["status"], "completed");
    assert_eq!(told[1]["status"], "failed");
    assert_eq!(told[1]["metadata"]["error"], "Request failed with status code 500");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_ends_it_and_its_next_life_has_the_version_and_another_id() {
    let (controller, target) = controller(LONG).await;
    *lock(&controller.update) = Some(json!({"version": "0.4.0", "command": "true"}));

    let one = Supervised::start(quick(), &target, &Arc::default());
    until("the new version registers", LONG, async || {
        let registrations = lock(&controller.registrations);
        let last = registrations.last()?;
        (last["version"] == "0.4.0").then_some(())
    })
    .await;

    let ids = one.ids();
    assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_fails_is_told_with_its_log() {
    let (controller, target) = controller(LONG).await;
    *lock(&controller.update) = Some(json!({"version": "0.4.0", "command": "echo oh no; false"}));

    let _one = Ratatoskr::start(quick(), &target, &Arc::default());
    let beat = until("the failure is told", LONG, async || {
        lock(&controller.beats).iter().find(|beat| beat["updateStatus"] == "failed").cloned()
    })
    .await;

    assert!(beat["updateLog"].as_str().unwrap().contains("oh no"), "{beat}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_controller_it_tries_to_register_again_and_begins_nothing_else() {
    let target = Target::Url(format!("http://127.0.0.1:{}", crate::ports::free()));
    let journal = Arc::<Journal>::default();

    let _one = Ratatoskr::start(quick(), &target, &journal);
    // 1 + 2 + 4 + 8 s and more, fifty times faster.
    until("five tries failed", LONG, async || (journal.book().failures >= 5).then_some(())).await;

    assert_eq!(journal.book().registrations, 0);
    assert_eq!(journal.book().most_under_way, 0, "nothing else begins before it is registered");
}
