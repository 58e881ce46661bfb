//! One row of the spool.

use daemon::store::sql::{self, Connection, OptionalExtension as _, Row, params};
use jiff::Timestamp;
use protocol::execute::{Ending, Outcome};
use protocol::executor::{AttemptStatus, AttemptView};
use uuid::Uuid;

use super::{from_micros, micros};
use crate::log::Kept;

/// What the spool knows of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) attempt: Uuid,
    pub(crate) task_id: String,
    pub(crate) task_type: String,
    pub(crate) fingerprint: String,
    pub(crate) started: Timestamp,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) status: AttemptStatus,
    /// Absent while it runs, and in lists.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) log_cap: u64,
    pub(crate) kept: Kept,
}

impl Record {
    pub(crate) fn view(&self) -> AttemptView {
        let until = self.ended.unwrap_or_else(Timestamp::now);
        let elapsed = match &self.outcome {
            Some(outcome) => outcome.duration_seconds,
            None => until.duration_since(self.started).as_secs_f64().max(0.0),
        };
        AttemptView {
            task_id: self.task_id.clone(),
            task_type: self.task_type.clone(),
            attempt: self.attempt,
            status: self.status,
            started: self.started,
            elapsed,
            outcome: self.outcome.clone(),
        }
    }
}

const COLUMNS: &str = "attempt, task_id, type, fingerprint, started_us, ended_us, status, \
     log_cap, log_bytes, dropped_from, dropped_to";

pub(super) fn find(db: &Connection, attempt: Uuid) -> sql::Result<Option<Record>> {
    let text = format!("SELECT {COLUMNS}, outcome FROM attempts WHERE attempt = ?1");
    db.prepare_cached(&text)?.query_row([attempt.to_string()], read).optional()
}

pub(super) fn list(db: &Connection, limit: u32) -> sql::Result<Vec<Record>> {
    let text = format!(
        "SELECT {COLUMNS}, NULL FROM attempts ORDER BY started_us DESC, attempt DESC LIMIT ?1"
    );
    db.prepare_cached(&text)?.query_map([limit], read)?.collect()
}

pub(super) fn unfinished(db: &Connection) -> sql::Result<Vec<Record>> {
    let text =
        format!("SELECT {COLUMNS}, NULL FROM attempts WHERE ended_us IS NULL ORDER BY started_us");
    db.prepare(&text)?.query_map([], read)?.collect()
}

pub(super) fn finish(
    db: &Connection,
    attempt: Uuid,
    ended: Timestamp,
    status: &str,
    outcome: &str,
    kept: Kept,
) -> sql::Result<()> {
    let bytes = outcome.len() as u64 + kept.available(0);
    db.prepare_cached(
        "UPDATE attempts SET ended_us = ?2, status = ?3, outcome = ?4, log_bytes = ?5,
            dropped_from = ?6, dropped_to = ?7, bytes = ?8
         WHERE attempt = ?1 AND ended_us IS NULL",
    )?
    .execute(params![
        attempt.to_string(),
        micros(ended),
        status,
        outcome,
        kept.size.cast_signed(),
        kept.from.cast_signed(),
        kept.to.cast_signed(),
        bytes.cast_signed(),
    ])?;
    Ok(())
}

fn read(row: &Row<'_>) -> sql::Result<Record> {
    let unsigned = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    let size = unsigned(8)?;
    let ended: Option<i64> = row.get(5)?;
    // While it runs nothing is recorded of its log.
    let (from, to) = if ended.is_some() { (unsigned(9)?, unsigned(10)?) } else { (0, 0) };
    Ok(Record {
        attempt: uuid(row, 0)?,
        task_id: row.get(1)?,
        task_type: row.get(2)?,
        fingerprint: row.get(3)?,
        started: from_micros(row.get(4)?),
        ended: ended.map(from_micros),
        status: status(row, 6)?,
        log_cap: unsigned(7)?,
        kept: Kept { size, from, to },
        outcome: outcome(row, 11)?,
    })
}

fn uuid(row: &Row<'_>, at: usize) -> sql::Result<Uuid> {
    row.get::<_, String>(at)?.parse().map_err(|error| wrong(at, error))
}

fn outcome(row: &Row<'_>, at: usize) -> sql::Result<Option<Outcome>> {
    let Some(text) = row.get::<_, Option<String>>(at)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| wrong(at, error))
}

/// The word for an attempt without an end.
pub(super) const RUNNING: &str = "running";

fn status(row: &Row<'_>, at: usize) -> sql::Result<AttemptStatus> {
    let word: String = row.get(at)?;
    let endings = [
        Ending::Completed,
        Ending::Failed,
        Ending::TimedOut,
        Ending::Cancelled,
        Ending::Interrupted,
    ];
    if word == RUNNING {
        return Ok(AttemptStatus::Running);
    }
    endings
        .into_iter()
        .find(|ending| ending.as_str() == word)
        .map(AttemptStatus::from)
        .ok_or_else(|| wrong(at, std::io::Error::other(format!("`{word}` is no status"))))
}

fn wrong(at: usize, error: impl std::error::Error + Send + Sync + 'static) -> sql::Error {
    sql::Error::FromSqlConversionFailure(at, sql::types::Type::Text, Box::new(error))
}
