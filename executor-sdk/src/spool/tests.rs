use std::sync::Arc;
use std::time::Duration;

use protocol::execute::Ending;
use protocol::executor::AttemptStatus;
use serde_json::json;

use super::*;
use crate::log::AttemptLog;

const FOREVER: Retention = Retention { keep: Duration::from_hours(30 * 24), keep_bytes: u64::MAX };

async fn open(state: &Path, retention: Retention) -> Opened {
    Spool::open(state, Uuid::new_v4(), retention).await.unwrap()
}

fn attempt(id: Uuid) -> NewAttempt {
    NewAttempt {
        attempt: id,
        task_id: "homelab-1".into(),
        task_type: "plex-scan".into(),
        fingerprint: "f".into(),
        started: Timestamp::now(),
        log_cap: 1000,
        epoch: None,
    }
}

fn outcome(id: Uuid) -> Outcome {
    Outcome {
        task_id: "homelab-1".into(),
        task_type: "plex-scan".into(),
        attempt: id,
        status: Ending::Completed,
        output: "done\n".into(),
        duration_seconds: 1.5,
        exit_code: Some(0),
        data: json!({"section": 3}),
        error: None,
        log_bytes: 5,
        truncated: false,
        timestamp: Timestamp::now(),
    }
}

const NO_LOG: Kept = Kept { size: 0, from: 0, to: 0 };

#[tokio::test]
async fn an_outcome_survives_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let id = Uuid::now_v7();
    let first = open(state.path(), FOREVER).await;
    let begun = first.spool.begin(attempt(id)).await.unwrap();
    let ended = outcome(id);
    first.spool.end(&attempt(id), &ended, Kept { size: 5, from: 5, to: 5 }).await.unwrap();
    let name = first.spool.id();
    first.spool.close().await;

    let second = open(state.path(), FOREVER).await;
    let found = second.spool.find(id).await.unwrap().unwrap();

    assert!(matches!(begun, Begun::Fresh));
    assert!(!first.had_a_life && second.had_a_life);
    assert_eq!(second.spool.id(), name);
    assert_eq!(found.outcome.unwrap(), ended);
    assert_eq!(found.status, AttemptStatus::Completed);
    assert_eq!(found.kept.size, 5);
}

#[tokio::test]
async fn what_had_no_end_was_interrupted_and_keeps_its_output() {
    let state = tempfile::tempdir().unwrap();
    let id = Uuid::now_v7();
    let first = open(state.path(), FOREVER).await.spool;
    let _begun = first.begin(attempt(id)).await.unwrap();
    let log = AttemptLog::new(first.log_path(id), Layout::new(1000));
    log.append(b"half of the w");
    first.close().await;

    let second = open(state.path(), FOREVER).await.spool;
    let count = second.interrupt_unfinished().await.unwrap();
    let found = second.find(id).await.unwrap().unwrap();
    let piece = second.log_of(&found).read(5, 100).unwrap();

    assert_eq!(count, 1);
    let outcome = found.outcome.unwrap();
    assert_eq!(outcome.status, Ending::Interrupted);
    assert_eq!(outcome.output, "half of the w");
    assert_eq!(outcome.log_bytes, 13);
    assert_eq!(piece.bytes, b"of the w");
    assert_eq!(second.interrupt_unfinished().await.unwrap(), 0);
}

#[tokio::test]
async fn a_known_attempt_does_not_begin_twice() {
    let state = tempfile::tempdir().unwrap();
    let spool = open(state.path(), FOREVER).await.spool;
    let id = Uuid::new_v4();
    let _first = spool.begin(attempt(id)).await.unwrap();

    let again = spool.begin(attempt(id)).await.unwrap();

    assert!(matches!(again, Begun::Known(record) if record.fingerprint == "f"));
}

#[tokio::test]
async fn an_older_epoch_of_the_same_ledger_does_not_begin() {
    let state = tempfile::tempdir().unwrap();
    let spool = open(state.path(), FOREVER).await.spool;
    let (ledger, other) = (Uuid::new_v4(), Uuid::new_v4());
    let with =
        |ledger, epoch| NewAttempt { epoch: Some((ledger, epoch)), ..attempt(Uuid::now_v7()) };

    let seventh = spool.begin(with(ledger, 7)).await.unwrap();
    let sixth = spool.begin(with(ledger, 6)).await.unwrap();
    let first_of_other = spool.begin(with(other, 1)).await.unwrap();
    spool.close().await;
    let opened = open(state.path(), FOREVER).await;

    assert!(matches!(seventh, Begun::Fresh));
    assert!(matches!(sixth, Begun::OlderEpoch { highest: 7 }));
    assert!(matches!(first_of_other, Begun::Fresh));
    assert_eq!(opened.epochs, HashMap::from([(ledger, 7), (other, 1)]));
}

#[tokio::test]
async fn an_attempt_older_than_the_retention_may_have_been_forgotten() {
    let state = tempfile::tempdir().unwrap();
    let spool = open(state.path(), FOREVER).await.spool;
    let at = uuid::Timestamp::from_unix(uuid::NoContext, 1_600_000_000, 0);

    let begun = spool.begin(attempt(Uuid::new_v7(at))).await.unwrap();

    assert!(matches!(begun, Begun::MayBeForgotten));
}

#[tokio::test]
async fn age_forgets_rows_and_logs_and_remembers_that_it_did() {
    let state = tempfile::tempdir().unwrap();
    let brief = Retention { keep: Duration::ZERO, keep_bytes: u64::MAX };
    let spool = open(state.path(), brief).await.spool;
    let (id, unfinished) = (Uuid::new_v4(), Uuid::new_v4());
    for id in [id, unfinished] {
        let _begun = spool.begin(attempt(id)).await.unwrap();
        AttemptLog::new(spool.log_path(id), Layout::new(1000)).append(b"x");
    }
    spool.end(&attempt(id), &outcome(id), Kept { size: 1, from: 1, to: 1 }).await.unwrap();

    let count = spool.forget().await.unwrap();

    assert_eq!(count, 1);
    assert!(spool.find(id).await.unwrap().is_none());
    assert!(!spool.log_path(id).exists());
    assert!(spool.find(unfinished).await.unwrap().is_some());
    assert!(spool.log_path(unfinished).exists());
}

#[tokio::test]
async fn size_forgets_the_oldest_and_an_id_from_that_time_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let retention = Retention { keep: FOREVER.keep, keep_bytes: 2500 };
    let spool = open(state.path(), retention).await.spool;
    let kept = Kept { size: 1000, from: 1000, to: 1000 };
    let ids: Vec<_> = (0..3).map(|_| Uuid::now_v7()).collect();
    let hour_ago = Timestamp::now().as_second().cast_unsigned() - 3600;
    let older = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, hour_ago, 0));
    for id in &ids {
        let _begun = spool.begin(attempt(*id)).await.unwrap();
        spool.end(&attempt(*id), &outcome(*id), kept).await.unwrap();
    }

    let count = spool.forget().await.unwrap();
    let left: Vec<_> = spool.list(10).await.unwrap().iter().map(|found| found.attempt).collect();
    let begun = spool.begin(attempt(older)).await.unwrap();

    assert_eq!(count, 2);
    assert_eq!(left, vec![ids[2]]);
    assert!(matches!(begun, Begun::MayBeForgotten));
}

#[tokio::test]
async fn a_row_that_was_lost_is_written_with_the_end() {
    let state = tempfile::tempdir().unwrap();
    let spool = open(state.path(), FOREVER).await.spool;
    let id = Uuid::now_v7();

    spool.end(&attempt(id), &outcome(id), NO_LOG).await.unwrap();

    assert_eq!(spool.find(id).await.unwrap().unwrap().status, AttemptStatus::Completed);
}

#[tokio::test]
async fn many_wait_for_one_commit() {
    let state = tempfile::tempdir().unwrap();
    let spool = Arc::new(open(state.path(), FOREVER).await.spool);

    let begun = futures::future::join_all((0..200).map(|_| {
        let spool = Arc::clone(&spool);
        async move { spool.begin(attempt(Uuid::now_v7())).await.unwrap() }
    }))
    .await;

    assert!(begun.iter().all(|begun| matches!(begun, Begun::Fresh)));
    assert_eq!(spool.list(1000).await.unwrap().len(), 200);
}
