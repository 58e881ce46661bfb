use daemon::shutdown::Shutdown;
use protocol::runner::{Heartbeat, PatchRunnerTask, RUNNING, RegisterRunner, RunnerOffline};
use serde_json::json;

use super::*;
use crate::keeper::Keeper;
use crate::ledger::SqliteLedger;
use crate::runners::{Limits, Look};

/// A registry on a real ledger, with one runner.
struct World {
    runners: Arc<Runners>,
    list: TaskList,
    shutdown: Shutdown,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("ledger.sqlite")).await.unwrap();
        let keeper = Arc::new(Keeper::default());
        let limits = Limits {
            lease: Duration::from_millis(300),
            least_lease: Duration::from_millis(1),
            ..Limits::default()
        };
        let runners = Arc::new(Runners::restore(limits, &[], Arc::clone(&keeper)));
        let shutdown = Shutdown::new();
        let stop = shutdown.draining.clone();
        shutdown.spawn(async move { keeper.run(&ledger, &stop, |_| ()).await });
        let body = RegisterRunner { runner_id: Some("r1".to_owned()), ..RegisterRunner::default() };
        runners.register(body, None).await.unwrap();
        let list = TaskList::new(Arc::clone(&runners), "r1".to_owned(), CancellationToken::new());
        Self { runners, list, shutdown, _folder: folder }
    }

    fn sweep(&self) {
        let (runners, stop) = (Arc::clone(&self.runners), self.shutdown.draining.clone());
        self.shutdown.spawn(async move { runners.watch(&stop).await });
    }

    /// Waits until something is on the list, as the runner would see it; reading delivers it.
    async fn read_list(&self) -> Vec<protocol::runner::RunnerTask> {
        loop {
            let listed =
                self.runners.list_tasks("r1", Some(RUNNING), Look::OfTheRunner).await.unwrap();
            if !listed.is_empty() {
                return listed;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn report(&self, id: Uuid, status: &str, metadata: &serde_json::Value) {
        let body = PatchRunnerTask {
            status: Some(status.to_owned()),
            metadata: metadata.as_object().cloned(),
        };
        self.runners.patch_task("r1", &id.to_string(), body).await.unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.draining.cancel();
    }
}

fn order(id: Uuid) -> ExecuteRequest {
    ExecuteRequest {
        task_id: "hl-1".to_owned(),
        task_type: "echo".to_owned(),
        params: json!({"text": "hi"}).as_object().cloned().unwrap(),
        attempt: Some(id),
        timeout_seconds: None,
        ledger: None,
        epoch: None,
    }
}

#[tokio::test]
async fn an_order_is_taken_once_the_runner_has_read_its_list() {
    let world = World::new().await;
    let id = Uuid::now_v7();
    let order_of = order(id);

    let (offer, listed) =
        tokio::join!(world.list.offer(&order_of), async { world.read_list().await });
    world.report(id, "completed", &json!({"response": "hello", "exitCode": 0})).await;
    let again = world.list.offer(&order(id)).await;
    let view = world.list.attempt(id, Duration::from_secs(5)).await.unwrap();

    assert!(matches!(offer, Ok(Offer::Accepted)), "{offer:?}");
    assert!(matches!(again, Ok(Offer::Accepted)), "{again:?}");
    assert_eq!(listed[0].kind.as_deref(), Some("echo"));
    assert_eq!(listed[0].correlation_id.as_deref(), Some("hl-1"));
    let outcome = view.outcome.unwrap();
    assert_eq!((outcome.status, outcome.output.as_str()), (Ending::Completed, "hello"));
    assert_eq!(world.runners.list_tasks("r1", None, Look::FromOutside).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_nobody_has_read_goes_off_the_list_with_its_runner() {
    let world = World::new().await;
    let id = Uuid::now_v7();
    let order_of = order(id);

    let (offer, ()) = tokio::join!(world.list.offer(&order_of), async {
        while world.runners.read().task("r1", &id.to_string()).is_err() {
            tokio::task::yield_now().await;
        }
        let body = RunnerOffline { runner_id: Some("r1".to_owned()) };
        world.runners.offline(body).await.unwrap();
    });
    let offline = world.list.offer(&order(Uuid::now_v7())).await;

    assert!(matches!(offer, Err(ClientError::NotTaken { .. })), "{offer:?}");
    assert!(matches!(offline, Err(ClientError::NotTaken { .. })), "{offline:?}");
    assert!(world.runners.list_tasks("r1", None, Look::FromOutside).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_its_runner_was_lost_with_and_had_not_read_goes_elsewhere() {
    let world = World::new().await;
    world.sweep();

    // The lease ends before anybody has read the list.
    let offer = world.list.offer(&order(Uuid::now_v7())).await;

    assert!(matches!(offer, Err(ClientError::NotTaken { .. })), "{offer:?}");
    assert!(world.runners.list_tasks("r1", None, Look::FromOutside).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_runner_that_is_lost_is_silent_until_its_late_result() {
    let world = World::new().await;
    let id = Uuid::now_v7();
    let order_of = order(id);
    let (offer, _) = tokio::join!(world.list.offer(&order_of), world.read_list());
    offer.unwrap();
    world.sweep();

    let lost = loop {
        match world.list.attempt(id, Duration::ZERO).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    let beat = Heartbeat { runner_id: Some("r1".to_owned()), ..Heartbeat::default() };
    world.runners.heartbeat(beat, None).await.unwrap();
    let back = world.list.attempt(id, Duration::ZERO).await;
    world.report(id, "completed", &json!({"stdout": "late"})).await;
    let late = world.list.attempt(id, Duration::ZERO).await.unwrap();

    assert!(matches!(lost, ClientError::Silent { .. }), "{lost:?}");
    assert!(matches!(back, Err(ClientError::Silent { .. })), "being back says nothing of the task");
    assert_eq!(late.outcome.unwrap().output, "late");
}

#[tokio::test]
async fn at_its_limit_a_task_is_given_up_and_says_so() {
    let world = World::new().await;
    let id = Uuid::now_v7();
    let order_of = order(id);
    let (offer, _) = tokio::join!(world.list.offer(&order_of), world.read_list());
    offer.unwrap();

    let outcome = world.list.time_out(id, Duration::from_mins(1)).await.unwrap();

    assert_eq!(outcome.status, Ending::TimedOut);
    assert!(outcome.error.unwrap().starts_with("the time limit of 1m is over"));
    let listed = world.runners.list_tasks("r1", Some("failed"), Look::FromOutside).await.unwrap();
    assert_eq!(listed.len(), 1);
}

#[tokio::test]
async fn a_task_that_is_not_there_is_not_known() {
    let world = World::new().await;

    let asked = world.list.attempt(Uuid::now_v7(), Duration::ZERO).await;

    assert!(
        matches!(&asked, Err(ClientError::Refused { refusal, .. })
            if refusal.code == RefusalCode::NotFound),
        "{asked:?}"
    );
}
