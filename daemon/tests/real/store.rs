//! The store on a real file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daemon::store::sql::{self, Connection, params};
use daemon::store::{Store, StoreError};
use tempfile::TempDir;

const ONE: &[&str] = &["CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)"];
const TWO: &[&str] = &[ONE[0], "ALTER TABLE note ADD COLUMN extra TEXT; CREATE TABLE other (x)"];
const BROKEN: &[&str] = &[ONE[0], "CREATE TABLE half (x); CREATE TABEL other (x)"];

fn open(temp: &TempDir, migrations: &'static [&'static str]) -> Result<Store, StoreError> {
    Store::open(&temp.path().join("store.db"), migrations)
}

fn insert(connection: &Connection, text: &str) -> Result<(), StoreError> {
    connection.prepare_cached("INSERT INTO note (text) VALUES (?1)")?.execute([text])?;
    Ok(())
}

async fn texts(store: &Store) -> Vec<String> {
    let read = store.read(|connection| {
        let mut statement = connection.prepare("SELECT text FROM note ORDER BY id")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok::<_, StoreError>(rows.collect::<sql::Result<_>>()?)
    });
    read.await.unwrap()
}

#[tokio::test]
async fn a_write_is_there_after_its_answer() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(&temp, ONE).unwrap();

    store.write(|connection| insert(connection, "a")).await.unwrap();

    assert_eq!(texts(&store).await, ["a"]);
    store.close().await;
    assert_eq!(texts(&open(&temp, ONE).unwrap()).await, ["a"]);
}

#[tokio::test]
async fn writes_are_durable_and_a_crash_costs_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(&temp, ONE).unwrap();
    let setting = |name| {
        move |connection: &Connection| -> Result<String, StoreError> {
            Ok(connection.pragma_query_value(None, name, |row| {
                row.get::<_, sql::types::Value>(0).map(|value| format!("{value:?}"))
            })?)
        }
    };

    assert_eq!(store.write(setting("journal_mode")).await.unwrap(), "Text(\"wal\")");
    assert_eq!(store.write(setting("synchronous")).await.unwrap(), "Integer(2)");

    // The files as a killed process leaves them: nothing closed, nothing tidied up.
    store.write(|connection| insert(connection, "a")).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    for file in ["store.db", "store.db-wal"] {
        std::fs::copy(temp.path().join(file), copy.path().join(file)).unwrap();
    }
    assert_eq!(texts(&open(&copy, ONE).unwrap()).await, ["a"]);
}

#[tokio::test]
async fn an_error_rolls_back_its_own_job_and_no_other() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(&temp, ONE).unwrap();

    let failing = |connection: &Connection| {
        insert(connection, "half")?;
        insert(connection, "half")
    };
    let (first, failed, last) = tokio::join!(
        store.write(|connection| insert(connection, "first")),
        store.write(failing),
        store.write(|connection| insert(connection, "last")),
    );

    first.unwrap();
    last.unwrap();
    assert!(matches!(failed, Err(StoreError::Sql(_))), "{failed:?}");
    assert_eq!(texts(&store).await, ["first", "last"]);
}

#[tokio::test]
async fn a_panic_rolls_back_its_own_job_and_the_store_goes_on() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(&temp, ONE).unwrap();

    let panicking = |connection: &Connection| -> Result<(), StoreError> {
        insert(connection, "half")?;
        panic!("in the middle")
    };
    let (panicked, other) =
        tokio::join!(store.write(panicking), store.write(|connection| insert(connection, "other")));

    assert!(matches!(panicked, Err(StoreError::Panicked)), "{panicked:?}");
    other.unwrap();
    assert_eq!(texts(&store).await, ["other"]);
    let read = store.read(|_| -> Result<(), StoreError> { panic!("here too") }).await;
    assert!(matches!(read, Err(StoreError::Panicked)));
    assert_eq!(texts(&store).await, ["other"]);
}

#[tokio::test]
async fn a_lost_transaction_is_an_error_for_all_who_shared_it() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(&temp, ONE).unwrap();

    let lost = store
        .write(|connection| {
            insert(connection, "gone")?;
            // What SQLite does by itself when the disk is full.
            connection.execute_batch("ROLLBACK")?;
            Ok::<_, StoreError>(())
        })
        .await;

    assert!(matches!(lost, Err(StoreError::Lost)), "{lost:?}");
    store.write(|connection| insert(connection, "next")).await.unwrap();
    assert_eq!(texts(&store).await, ["next"]);
}

#[tokio::test]
async fn waiting_writes_keep_their_order_and_share_commits() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(&temp, ONE).unwrap();
    let wal = temp.path().join("store.db-wal");
    let before = wal.metadata().unwrap().len();
    let (release, released) = std::sync::mpsc::channel::<()>();
    store.write_later(move |_| {
        let _ = released.recv();
        Ok(())
    });
    for number in 0..100 {
        store.write_later(move |connection| insert(connection, &format!("{number:03}")));
    }

    drop(release);
    store.write(|connection| insert(connection, "last")).await.unwrap();

    let texts = texts(&store).await;
    assert_eq!(texts.len(), 101);
    assert!(texts.is_sorted());
    // One by one they would have written 200 pages and more.
    let pages = (wal.metadata().unwrap().len() - before) / 4096;
    assert!(pages < 50, "{pages}");
}

#[tokio::test]
async fn a_later_write_keeps_its_place_and_is_kept_by_closing() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(&temp, ONE).unwrap();

    store.write_later(|connection| insert(connection, "first"));
    store.write_later(|connection| insert(connection, "first"));
    store.write(|connection| insert(connection, "second")).await.unwrap();
    store.write_later(|connection| insert(connection, "third"));
    store.close().await;

    assert_eq!(texts(&open(&temp, ONE).unwrap()).await, ["first", "second", "third"]);
}

#[tokio::test]
async fn what_is_queued_is_written_when_the_last_handle_goes() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(&temp, ONE).unwrap();
    store.write_later(|connection| insert(connection, "a"));

    drop(store);

    // The file is whole as soon as the write-ahead log is folded into it and gone.
    crate::support::until("the store is closed", || !temp.path().join("store.db-wal").exists())
        .await;
    assert_eq!(texts(&open(&temp, ONE).unwrap()).await, ["a"]);
}

#[tokio::test]
async fn a_dropped_future_does_not_undo_the_write() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(&temp, ONE).unwrap();

    tokio::select! {
        biased;
        _ = store.write(|connection| insert(connection, "a")) => panic!("too quick"),
        () = async {} => {}
    }

    store.close().await;
    assert_eq!(texts(&open(&temp, ONE).unwrap()).await, ["a"]);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(&temp, ONE).unwrap();

    store.clone().close().await;

    assert!(matches!(store.write(|c| insert(c, "a")).await, Err(StoreError::Closed)));
    assert!(matches!(store.read(|_| Ok::<_, StoreError>(())).await, Err(StoreError::Closed)));
    store.write_later(|c| insert(c, "a"));
    store.close().await;
    assert!(!temp.path().join("store.db-wal").exists(), "closing folds the log into the file");
}

#[tokio::test]
async fn the_reading_connection_cannot_write() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(&temp, ONE).unwrap();

    let refused = store.read(|connection| insert(connection, "a")).await;

    assert!(matches!(refused, Err(StoreError::Sql(_))), "{refused:?}");
}

#[tokio::test]
async fn a_read_is_a_snapshot_and_holds_up_no_write() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(&temp, ONE).unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let count = |connection: &Connection| -> Result<i64, StoreError> {
        Ok(connection.query_row("SELECT count(*) FROM note", [], |row| row.get(0))?)
    };
    let read = store.read(move |connection| {
        let before = count(connection)?;
        let _ = wait.recv();
        Ok::<_, StoreError>((before, count(connection)?))
    });
    let write = async {
        store.write(|connection| insert(connection, "a")).await.unwrap();
        drop(go);
    };

    let (read, ()) = tokio::join!(read, write);

    let (before, after) = read.unwrap();
    assert_eq!(before, after);
    assert_eq!(texts(&store).await, ["a"]);
}

#[tokio::test]
async fn an_older_file_is_brought_up_to_date_and_keeps_its_rows() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(&temp, ONE).unwrap();
    store.write(|connection| insert(connection, "old")).await.unwrap();
    store.close().await;

    let store = open(&temp, TWO).unwrap();
    let write = store.write(|connection| {
        connection.execute("UPDATE note SET extra = ?1", params!["new"])?;
        connection.execute("INSERT INTO other VALUES (1)", [])?;
        Ok::<_, StoreError>(())
    });
    write.await.unwrap();

    assert_eq!(texts(&store).await, ["old"]);
    store.close().await;
    open(&temp, TWO).unwrap();
}

#[tokio::test]
async fn a_newer_file_is_refused_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    open(&temp, TWO).unwrap().close().await;

    let error = open(&temp, ONE).unwrap_err();

    let text = error.to_string();
    assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{text}");
    assert!(text.contains("newer version") && text.contains("store.db"), "{text}");
    open(&temp, TWO).unwrap();
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_half_done() {
    let temp = tempfile::tempdir().unwrap();

    let error = open(&temp, BROKEN).unwrap_err();

    assert!(matches!(error, StoreError::Migration { number: 2, .. }), "{error}");
    open(&temp, TWO).unwrap();
}

#[test]
fn a_file_that_is_no_store_is_named() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("store.db"), "this is a letter, not a store".repeat(100))
        .unwrap();

    let error = open(&temp, ONE).unwrap_err();

    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    assert!(error.to_string().contains("store.db"));
    assert!(matches!(
        Store::open(&temp.path().join("no/such/folder"), ONE),
        Err(StoreError::Open { .. })
    ));
}

#[tokio::test]
async fn more_writers_than_the_queue_holds_wait_and_all_succeed() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(&temp, ONE).unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..3000 {
        let store = store.clone();
        writers.spawn(async move {
            store.write(move |connection| insert(connection, &number.to_string())).await
        });
    }

    for written in writers.join_all().await {
        written.unwrap();
    }

    assert_eq!(texts(&store).await.len(), 3000);
}

#[tokio::test]
async fn a_slow_write_does_not_hold_up_the_runtime() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(&temp, ONE).unwrap();
    let released = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&released);
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let write = store.write(move |_| {
        let _ = wait.recv();
        Ok::<_, StoreError>(seen.load(Ordering::SeqCst))
    });

    let (seen, ()) = tokio::join!(write, async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        released.store(true, Ordering::SeqCst);
        drop(release);
    });

    assert!(seen.unwrap());
}
