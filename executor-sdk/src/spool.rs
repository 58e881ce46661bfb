//! What this executor ran: a row per attempt in SQLite, and one log file each.
//!
//! An attempt that its caller named is on disk before it starts, and its outcome before the
//! answer. An attempt without an end at the start of the process was interrupted.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use daemon::store::{Store, StoreError, sql};
use jiff::Timestamp;
use protocol::execute::Outcome;
use sql::OptionalExtension as _;
use uuid::Uuid;

mod begin;
mod record;
mod recover;
mod retention;
#[cfg(test)]
mod tests;

pub(crate) use begin::{Begun, NewAttempt};
pub(crate) use record::Record;
pub(crate) use retention::Retention;

use crate::log::{Kept, Layout, LogReader};

const MIGRATIONS: &[&str] = &["
    CREATE TABLE spool (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        id TEXT NOT NULL,
        forgotten_until_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE epochs (
        ledger TEXT PRIMARY KEY,
        epoch INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE attempts (
        attempt TEXT PRIMARY KEY,
        task_id TEXT NOT NULL,
        type TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        life TEXT NOT NULL,
        started_us INTEGER NOT NULL,
        ended_us INTEGER,
        status TEXT NOT NULL,
        outcome TEXT,
        log_cap INTEGER NOT NULL,
        log_bytes INTEGER NOT NULL DEFAULT 0,
        dropped_from INTEGER NOT NULL DEFAULT 0,
        dropped_to INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX attempts_started ON attempts (started_us);
    CREATE INDEX attempts_ended ON attempts (ended_us);
    CREATE INDEX attempts_unfinished ON attempts (started_us) WHERE ended_us IS NULL;
"];

/// The memory of one executor. Clones are one and the same.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    store: Store,
    logs: PathBuf,
    id: Uuid,
    life: Uuid,
    retention: Retention,
}

/// What was there before this life.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) spool: Spool,
    /// The highest epoch seen of each ledger.
    pub(crate) epochs: HashMap<Uuid, u64>,
    /// Whether the spool had an earlier life, so that processes of it may still run.
    pub(crate) had_a_life: bool,
}

impl Spool {
    /// Opens or makes the spool in the state folder.
    pub(crate) async fn open(
        state: &Path,
        life: Uuid,
        retention: Retention,
    ) -> Result<Opened, SpoolError> {
        let logs = state.join("logs");
        std::fs::create_dir_all(&logs)
            .map_err(|source| SpoolError::Folder { path: logs.clone(), source })?;
        let store = Store::open(&state.join("spool.db"), MIGRATIONS)?;
        let found: Option<String> = store
            .read(|db| -> Result<_, StoreError> {
                Ok(db.query_row("SELECT id FROM spool", [], |row| row.get(0)).optional()?)
            })
            .await?;
        let had_a_life = found.is_some();
        let id = match found {
            Some(text) => Uuid::parse_str(&text).map_err(|_| SpoolError::Id(text))?,
            None => make_id(&store).await?,
        };
        let epochs = store
            .read(|db| -> Result<_, StoreError> {
                let mut rows = db.prepare("SELECT ledger, epoch FROM epochs")?;
                let rows = rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
                Ok(rows.collect::<Result<Vec<(String, i64)>, _>>()?)
            })
            .await?
            .into_iter()
            .filter_map(|(ledger, epoch)| Some((ledger.parse().ok()?, epoch.cast_unsigned())))
            .collect();
        let spool = Self { store, logs, id, life, retention };
        Ok(Opened { spool, epochs, had_a_life })
    }

    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    pub(crate) fn life(&self) -> Uuid {
        self.life
    }

    /// Returns where the log of an attempt lies.
    pub(crate) fn log_path(&self, attempt: Uuid) -> PathBuf {
        self.logs.join(format!("{attempt}.log"))
    }

    /// Returns the log of an attempt that has ended.
    pub(crate) fn log_of(&self, record: &Record) -> LogReader {
        let layout = Layout::new(record.log_cap);
        LogReader::ended(self.log_path(record.attempt), layout, record.kept)
    }

    pub(crate) async fn find(&self, attempt: Uuid) -> Result<Option<Record>, SpoolError> {
        let found = self
            .store
            .read(move |db| -> Result<_, StoreError> { Ok(record::find(db, attempt)?) })
            .await?;
        Ok(found)
    }

    /// Lists attempts without their outcomes, newest first.
    pub(crate) async fn list(&self, limit: u32) -> Result<Vec<Record>, SpoolError> {
        let found = self
            .store
            .read(move |db| -> Result<_, StoreError> { Ok(record::list(db, limit)?) })
            .await?;
        Ok(found)
    }

    /// Records how an attempt ended, and answers when it is on disk.
    ///
    /// The whole row is written: that of an attempt without a name may never have come so far.
    pub(crate) async fn end(
        &self,
        attempt: &NewAttempt,
        outcome: &Outcome,
        kept: Kept,
    ) -> Result<(), SpoolError> {
        let attempt = attempt.clone();
        let life = self.life;
        let status = outcome.status.as_str();
        let ended = outcome.timestamp;
        let text = serde_json::to_string(outcome)?;
        self.store
            .write(move |db| -> Result<(), StoreError> {
                attempt.insert(db, life)?;
                record::finish(db, attempt.attempt, ended, status, &text, kept)?;
                Ok(())
            })
            .await?;
        Ok(())
    }

    /// Waits until everything is on disk.
    pub(crate) async fn close(self) {
        self.store.close().await;
    }
}

async fn make_id(store: &Store) -> Result<Uuid, SpoolError> {
    let id = Uuid::new_v4();
    store
        .write(move |db| -> Result<(), StoreError> {
            db.execute(
                "INSERT INTO spool (one, id, forgotten_until_ms) VALUES (1, ?1, 0)",
                [id.to_string()],
            )?;
            Ok(())
        })
        .await?;
    Ok(id)
}

/// Why the spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    #[error("cannot make the folder `{path}`")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("the spool")]
    Store(#[from] StoreError),
    #[error("the spool's id `{0}` is not a UUID")]
    Id(String),
    #[error("an outcome cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}
