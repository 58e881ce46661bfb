//! What every ledger must do, whatever it is made of.

use std::path::Path;

use jiff::Timestamp;
use protocol::execute::{Ending, ExecuteRequest, Outcome};
use serde_json::json;
use uuid::Uuid;

use super::faulty::FaultyLedger;
use super::*;
use crate::settle::{Class, Verdict};

/// The implementations that the suite runs against.
const KINDS: [Make; 2] = [Make::Sqlite, Make::FailingSqlite];

#[derive(Debug, Clone, Copy)]
enum Make {
    Sqlite,
    /// Every other call fails first, without effect, and is made again.
    FailingSqlite,
}

impl Make {
    async fn open(self, folder: &Path) -> Box<dyn Ledger> {
        let sqlite = SqliteLedger::open(&folder.join("ledger.sqlite")).await.unwrap();
        match self {
            Self::Sqlite => Box::new(sqlite),
            Self::FailingSqlite => Box::new(Insistent(FaultyLedger::new(sqlite))),
        }
    }
}

/// Makes each call again until the store works.
#[derive(Debug)]
struct Insistent(FaultyLedger);

macro_rules! insist {
    ($call:expr) => {
        loop {
            match $call.await {
                Err(LedgerError::Store(_)) => {}
                answer => break answer,
            }
        }
    };
}

#[async_trait]
impl Ledger for Insistent {
    fn identity(&self) -> Identity {
        self.0.identity()
    }
    async fn record(&self, new: NewAttempt) -> Result<Attempt, LedgerError> {
        insist!(self.0.record(new.clone()))
    }
    async fn advance(&self, attempt: &Attempt, step: Step) -> Result<Attempt, LedgerError> {
        insist!(self.0.advance(attempt, step.clone()))
    }
    async fn attempt(&self, id: Uuid) -> Result<Option<Attempt>, LedgerError> {
        insist!(self.0.attempt(id))
    }
    async fn open(&self) -> Result<Vec<Attempt>, LedgerError> {
        insist!(self.0.open())
    }
    async fn held(&self) -> Result<Vec<Attempt>, LedgerError> {
        insist!(self.0.held())
    }
    async fn history(&self, bead: &BeadId) -> Result<Vec<Attempt>, LedgerError> {
        insist!(self.0.history(bead))
    }
    async fn forget(&self, before: Timestamp) -> Result<u64, LedgerError> {
        insist!(self.0.forget(before))
    }
    async fn count(&self) -> Result<u64, LedgerError> {
        insist!(self.0.count())
    }
    async fn keep(&self, records: Vec<Record>) -> Result<(), LedgerError> {
        insist!(self.0.keep(records.clone()))
    }
    async fn kept(&self) -> Result<Vec<Record>, LedgerError> {
        insist!(self.0.kept())
    }
    async fn close(&self) {
        self.0.close().await;
    }
    async fn check(&self) -> Result<(), LedgerError> {
        insist!(self.0.check())
    }
}

fn bead(name: &str) -> BeadId {
    name.parse().unwrap()
}

fn new_attempt(name: &str) -> NewAttempt {
    NewAttempt {
        id: Uuid::now_v7(),
        bead: bead(name),
        title: "Run the tests".to_owned(),
        task_type: "run-tests".to_owned(),
        executor: Some(ExecutorName::from("fenrir")),
        facts: TaskFacts { idempotent: true, retryable: false, limit_seconds: 60.5 },
        has_dependents: true,
        labels: vec!["ci".to_owned()],
    }
}

fn request(id: Uuid) -> ExecuteRequest {
    ExecuteRequest {
        task_id: "hl-1".to_owned(),
        task_type: "run-tests".to_owned(),
        params: json!({"repo_path": "/srv/x"}).as_object().unwrap().clone(),
        attempt: Some(id),
        timeout_seconds: Some(9.5),
        ledger: Some(Uuid::nil()),
        epoch: Some(3),
    }
}

fn outcome(id: Uuid) -> Outcome {
    Outcome {
        task_id: "hl-1".to_owned(),
        task_type: "run-tests".to_owned(),
        attempt: id,
        status: Ending::Completed,
        output: "ok\n".to_owned(),
        duration_seconds: 0.5,
        exit_code: Some(0),
        data: json!({"passed": 2}),
        error: None,
        log_bytes: 3,
        truncated: false,
        timestamp: Timestamp::UNIX_EPOCH,
    }
}

fn closed() -> Verdict {
    Verdict::Close { reason: "completed".to_owned(), result: Some(json!({"data": 1})) }
}

fn hold() -> Hold {
    Hold {
        not_before: Timestamp::UNIX_EPOCH,
        executors: vec![ExecutorName::from("fenrir")],
        label: "task-waiting".to_owned(),
    }
}

async fn to_end(ledger: &dyn Ledger, attempt: Attempt, verdict: Verdict) -> Attempt {
    let id = attempt.id;
    let attempt = ledger.advance(&attempt, Step::Claimed).await.unwrap();
    let attempt = ledger.advance(&attempt, Step::Offered(Box::new(request(id)))).await.unwrap();
    let attempt = ledger.advance(&attempt, Step::Running).await.unwrap();
    let step = Step::Ended { outcome: Some(Box::new(outcome(id))), verdict: Box::new(verdict) };
    ledger.advance(&attempt, step).await.unwrap()
}

#[tokio::test]
async fn an_attempt_keeps_everything_over_a_restart() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let ledger = kind.open(folder.path()).await;
        let recorded = ledger.record(new_attempt("hl-1")).await.unwrap();
        let ended = to_end(&*ledger, recorded.clone(), closed()).await;
        drop(ledger);

        let ledger = kind.open(folder.path()).await;
        let read = ledger.attempt(recorded.id).await.unwrap().unwrap();

        assert_eq!(read.stage, Stage::Ended);
        assert_eq!(read.revision, ended.revision);
        assert_eq!(read.request, Some(request(recorded.id)));
        assert_eq!(read.outcome, Some(outcome(recorded.id)));
        assert_eq!(read.verdict, Some(closed()));
        assert_eq!((read.facts, read.labels), (recorded.facts, recorded.labels));
        assert!(read.created <= read.offered.unwrap() && read.started <= read.ended);
        assert_eq!(ledger.open().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn the_id_stays_and_the_epoch_rises_with_each_start() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let first = kind.open(folder.path()).await.identity();

        let second = kind.open(folder.path()).await.identity();

        assert_eq!(second.ledger, first.ledger);
        assert_eq!(second.epoch, first.epoch + 1);
    }
}

#[tokio::test]
async fn a_bead_has_one_open_attempt() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let ledger = kind.open(folder.path()).await;
        let first = ledger.record(new_attempt("hl-1")).await.unwrap();

        let second = ledger.record(new_attempt("hl-1")).await;
        ledger.record(new_attempt("hl-2")).await.unwrap();
        let ended = to_end(&*ledger, first, closed()).await;
        let third = ledger.record(new_attempt("hl-1")).await;
        ledger.advance(&ended, Step::Settled { hold: None }).await.unwrap();

        assert!(matches!(second, Err(LedgerError::AlreadyOpen { .. })));
        assert!(matches!(third, Err(LedgerError::AlreadyOpen { .. })));
        ledger.record(new_attempt("hl-1")).await.unwrap();
        assert_eq!(ledger.history(&bead("hl-1")).await.unwrap().len(), 2);
        assert_eq!(ledger.count().await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_step_from_an_old_revision_is_refused() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let ledger = kind.open(folder.path()).await;
        let recorded = ledger.record(new_attempt("hl-1")).await.unwrap();
        ledger.advance(&recorded, Step::Claimed).await.unwrap();

        let again = ledger.advance(&recorded, Step::Dropped).await;

        assert!(matches!(again, Err(LedgerError::Conflict { .. })));
        assert_eq!(ledger.attempt(recorded.id).await.unwrap().unwrap().stage, Stage::Claimed);
    }
}

#[tokio::test]
async fn a_new_claim_supersedes_a_lost_attempt() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let ledger = kind.open(folder.path()).await;
        let lost = ledger.record(new_attempt("hl-1")).await.unwrap();
        let lost = to_end(&*ledger, lost, closed()).await;
        let lost = ledger.advance(&lost, Step::Lost).await.unwrap();

        let newer = ledger.record(new_attempt("hl-1")).await.unwrap();
        assert_eq!(ledger.attempt(lost.id).await.unwrap().unwrap().stage, Stage::Lost);
        ledger.advance(&newer, Step::Claimed).await.unwrap();
        let late = ledger.advance(&lost, Step::Running).await;

        assert!(matches!(late, Err(LedgerError::Conflict { .. })));
        assert_eq!(ledger.attempt(lost.id).await.unwrap().unwrap().stage, Stage::Settled);
    }
}

#[tokio::test]
async fn holds_are_known_until_they_are_taken_off() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let ledger = kind.open(folder.path()).await;
        let attempt = ledger.record(new_attempt("hl-1")).await.unwrap();
        let waiting = Verdict::Block {
            class: Class::Waiting,
            error: "away".to_owned(),
            note: "away".to_owned(),
            failures: 0,
            hold: Some(hold()),
        };
        let ended = to_end(&*ledger, attempt, waiting).await;
        let settled = ledger.advance(&ended, Step::Settled { hold: Some(hold()) }).await.unwrap();

        let held = ledger.held().await.unwrap();
        let free = ledger.advance(&settled, Step::Unheld).await.unwrap();

        assert_eq!(held[0].hold, Some(hold()));
        assert_eq!((free.hold, free.stage), (None, Stage::Settled));
        assert!(ledger.held().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_call_that_failed_had_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteLedger::open(&folder.path().join("ledger.sqlite")).await.unwrap();
    let ledger = FaultyLedger::new(sqlite);

    let failed = ledger.record(new_attempt("hl-1")).await;
    let count = ledger.count().await;

    assert!(matches!(failed, Err(LedgerError::Store(_))));
    assert!(matches!(count, Ok(0)), "{count:?}");
}

#[tokio::test]
async fn rows_beside_the_attempts_are_replaced_and_taken_away() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let ledger = kind.open(folder.path()).await;
        let row = |owner: &str, id: &str, body: Option<&str>| Record {
            kind: Kind::Task,
            owner: owner.to_owned(),
            id: id.to_owned(),
            body: body.map(str::to_owned),
        };
        let first = vec![row("r1", "t1", Some("1")), row("r2", "t1", Some("2"))];
        ledger.keep(first).await.unwrap();
        ledger.keep(vec![row("r1", "t1", Some("3")), row("r2", "t1", None)]).await.unwrap();
        ledger.close().await;

        let again = kind.open(folder.path()).await;

        assert_eq!(again.kept().await.unwrap(), [row("r1", "t1", Some("3"))]);
    }
}

#[tokio::test]
async fn only_what_is_over_and_old_is_forgotten() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let ledger = kind.open(folder.path()).await;
        let done = ledger.record(new_attempt("hl-1")).await.unwrap();
        let done = to_end(&*ledger, done, closed()).await;
        ledger.advance(&done, Step::Settled { hold: None }).await.unwrap();
        let held = ledger.record(new_attempt("hl-2")).await.unwrap();
        let held = to_end(&*ledger, held, closed()).await;
        ledger.advance(&held, Step::Settled { hold: Some(hold()) }).await.unwrap();
        let open = ledger.record(new_attempt("hl-3")).await.unwrap();
        let second = std::time::Duration::from_secs(1);

        let too_early = ledger.forget(Timestamp::now() - second).await.unwrap();
        let gone = ledger.forget(Timestamp::now() + second).await.unwrap();

        assert_eq!((too_early, gone), (0, 1));
        assert!(ledger.attempt(done.id).await.unwrap().is_none());
        assert!(ledger.attempt(held.id).await.unwrap().is_some());
        assert!(ledger.attempt(open.id).await.unwrap().is_some());
    }
}
