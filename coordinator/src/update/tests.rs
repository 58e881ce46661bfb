//! Real commands and a real web server on the loopback address.

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use daemon::shutdown::Shutdown;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

use super::*;
use crate::ledger::{Ledger, SqliteLedger};

fn settings(command: Option<&str>) -> UpdateSettings {
    let env = BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]);
    UpdateSettings { command: command.map(str::to_owned), env, limit: LIMIT }
}

struct World {
    update: Arc<SelfUpdate>,
    shutdown: Shutdown,
    ledger: Arc<SqliteLedger>,
    stop: CancellationToken,
    keeping: JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl World {
    async fn new(settings: UpdateSettings, door: Option<latest::Door>) -> Self {
        Self::on(settings, door, tempfile::tempdir().unwrap()).await
    }

    async fn on(
        settings: UpdateSettings,
        door: Option<latest::Door>,
        folder: tempfile::TempDir,
    ) -> Self {
        let ledger = SqliteLedger::open(&folder.path().join("ledger.sqlite")).await.unwrap();
        let ledger = Arc::new(ledger);
        let keeper = Arc::new(Keeper::default());
        let records = ledger.kept().await.unwrap();
        let update = Arc::new(SelfUpdate::restore(settings, door, &records, Arc::clone(&keeper)));
        let shutdown = Shutdown::new();
        let stop = CancellationToken::new();
        let (on, until) = (Arc::clone(&ledger), stop.clone());
        let keeping = shutdown.spawn(async move { keeper.run(&*on, &until, |_| {}).await });
        Self { update, shutdown, ledger, stop, keeping, folder }
    }

    async fn request(&self) -> Answer {
        self.update.request(&self.shutdown).await.unwrap()
    }

    /// Waits until the command has ended.
    async fn ended(&self) -> Run {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        loop {
            let run = self.update.last_run().unwrap();
            if run.state != RunState::Running {
                return run;
            }
            assert!(tokio::time::Instant::now() < deadline, "{run:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends this life with everything written.
    async fn end(self) -> tempfile::TempDir {
        self.stop.cancel();
        self.keeping.await.unwrap();
        self.ledger.close().await;
        self.folder
    }
}

/// Serves one answer at `/latest`.
async fn door(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> latest::Door {
    drop(rustls::crypto::ring::default_provider().install_default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/latest", listener.local_addr().unwrap())).unwrap();
    let router = Router::new().route("/latest", get(async move || answer()));
    let stop = CancellationToken::new();
    drop(Shutdown::new().spawn(daemon::http::serve(listener, router, stop, Duration::ZERO)));
    latest::Door::new(crate::fleet::ExecutorClient::http().unwrap(), url)
}

fn text(status: u16, body: &str) -> Response {
    Response::builder().status(status).body(body.to_owned().into()).unwrap()
}

#[tokio::test]
async fn the_command_of_the_settings_runs_and_its_output_is_kept_over_a_restart() {
    let line =
        r#"echo "hello $0 $HOME"; echo 'to the log' >&2; env | cut -d= -f1 | sort | tr '\n' ' '"#;
    let world = World::new(settings(Some(line)), None).await;

    let answer = world.request().await;
    let run = world.ended().await;

    assert_eq!(answer, Answer::Started { command: line.to_owned(), latest: None });
    assert_eq!((run.state, run.exit_code), (RunState::Succeeded, Some(0)));
    assert!(run.log.contains("hello") && run.log.contains("to the log"), "{}", run.log);
    assert!(!run.log.contains("API_KEY") && run.log.contains("PATH"), "{}", run.log);
    let folder = world.end().await;
    let again = World::on(settings(None), None, folder).await;
    assert_eq!(again.update.last_run(), Some(run));
}

#[tokio::test]
async fn a_command_that_fails_says_so() {
    let world = World::new(settings(Some("echo no room >&2; exit 3")), None).await;

    world.request().await;
    let run = world.ended().await;

    assert_eq!((run.state, run.exit_code), (RunState::Failed, Some(3)));
    assert_eq!(run.log.trim(), "no room");
    // It may be tried again.
    assert!(matches!(world.request().await, Answer::Started { .. }));
}

#[tokio::test]
async fn much_output_keeps_its_end_only() {
    let line = "yes 0123456789 | head -c 3000000; echo; echo the end";
    let world = World::new(settings(Some(line)), None).await;

    world.request().await;
    let run = world.ended().await;

    assert!(run.log.len() <= LOG_BYTES && run.log.ends_with("the end\n"), "{}", run.log.len());
}

#[tokio::test]
async fn one_update_at_a_time_and_not_for_ever() {
    let limit = Duration::from_secs(2);
    let world = World::new(UpdateSettings { limit, ..settings(Some("sleep 300")) }, None).await;

    let first = world.request().await;
    let second = world.request().await;

    assert!(matches!(first, Answer::Started { .. }), "{first:?}");
    assert!(matches!(second, Answer::Running { .. }), "{second:?}");
    assert_eq!(world.ended().await.state, RunState::TimedOut);
}

#[tokio::test]
async fn a_stop_ends_the_command_and_a_kill_is_known_afterwards() {
    let world = World::new(settings(Some("sleep 300")), None).await;
    world.request().await;
    // What a killed coordinator leaves behind.
    let left: Vec<Record> = world.ledger.kept().await.unwrap();

    world.shutdown.draining.cancel();

    assert_eq!(world.ended().await.state, RunState::Interrupted);
    let restored = SelfUpdate::restore(settings(None), None, &left, Arc::default());
    assert_eq!(restored.last_run().unwrap().state, RunState::Interrupted);
    let newer: Vec<Record> = left
        .into_iter()
        .map(|record| {
            let body = record.body.map(|body| body.replace(CURRENT, "0.0.1"));
            Record { body, ..record }
        })
        .collect();
    let restored = SelfUpdate::restore(settings(None), None, &newer, Arc::default());
    assert_eq!(restored.last_run().unwrap().state, RunState::Succeeded);
}

#[tokio::test]
async fn without_a_command_nothing_runs() {
    let none = World::new(settings(None), None).await;
    let newer = door(|| text(200, r#"{"name":"x","version":" v9.9.9 "}"#)).await;
    let newer = World::new(settings(None), Some(newer)).await;
    let same = door(|| text(200, &format!(r#"{{"version":"{CURRENT}"}}"#))).await;
    let same = World::new(settings(None), Some(same)).await;

    assert_eq!(none.request().await, Answer::NoCommand { latest: None });
    assert_eq!(newer.request().await, Answer::NoCommand { latest: Some("9.9.9".to_owned()) });
    assert_eq!(same.request().await, Answer::UpToDate);
    assert_eq!((none.update.latest(), none.update.last_run()), (None, None));
}

#[tokio::test]
async fn what_is_no_version_leaves_the_latest_unknown_and_starts_nothing() {
    let long = format!(r#"{{"version":"{}"}}"#, "9".repeat(65));
    let flood = " ".repeat(2 * 1024 * 1024);
    for (status, body) in [
        (200, ""),
        (200, "no JSON"),
        (200, r#"{"version":9}"#),
        (200, r#"{"version":""}"#),
        (200, r#"{"version":"9 9"}"#),
        (200, &long),
        (200, &flood),
        (404, r#"{"version":"9.9.9"}"#),
        (500, r#"{"version":"9.9.9"}"#),
    ] {
        let owned = body.to_owned();
        let door = door(move || text(status, &owned)).await;
        let world = World::new(settings(Some("echo ran")), Some(door)).await;

        let answer = world.request().await;

        let shown = &body[..body.len().min(30)];
        assert_eq!(answer, Answer::Unknown, "{status} {shown}");
        assert_eq!((world.update.latest(), world.update.last_run()), (None, None), "{shown}");
    }
}

#[tokio::test]
async fn the_latest_version_is_asked_for_at_the_start_and_stays_known() {
    let answers = Arc::new(Mutex::new(vec![text(500, ""), text(200, r#"{"version":"9.9.9"}"#)]));
    let door = door(move || answers.lock().unwrap().pop().unwrap_or_else(|| text(500, ""))).await;
    let world = World::new(settings(None), Some(door)).await;
    let stop = CancellationToken::new();
    let watched = Arc::clone(&world.update);
    let until = stop.clone();
    let watching = world.shutdown.spawn(async move { watched.watch(&until).await });

    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    while world.update.latest().is_none() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.cancel();
    watching.await.unwrap();
    world.update.look().await;

    assert_eq!(world.update.latest().as_deref(), Some("9.9.9"));
}
