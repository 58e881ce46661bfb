//! Forgetting: by age and by size, in small steps.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use daemon::store::StoreError;
use daemon::store::sql::{self, Connection, params};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::begin::made_at_ms;
use super::{Spool, SpoolError};
use crate::result::chain;

/// How many attempts are forgotten in one transaction.
const STEP: u32 = 100;

/// How often it is looked for something to forget.
const PAUSE: Duration = Duration::from_mins(1);

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// How long an attempt is remembered after its end.
    pub(crate) keep: Duration,
    /// How many bytes of logs and outcomes are kept; the oldest go first.
    pub(crate) keep_bytes: u64,
}

/// What one step did.
#[derive(Debug, Default)]
struct Step {
    forgotten: Vec<Uuid>,
    has_more: bool,
}

impl Spool {
    /// Forgets for as long as the process lives.
    pub(crate) async fn forget_regularly(self, stop: CancellationToken) {
        if let Err(error) = self.remove_strays().await {
            tracing::warn!(error = %chain(&error), "cannot look for logs without a record");
        }
        loop {
            if let Err(error) = self.forget().await {
                tracing::warn!(error = %chain(&error), "cannot forget old attempts");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Forgets what is too old or too much, and returns how many attempts that were.
    pub(crate) async fn forget(&self) -> Result<usize, SpoolError> {
        let mut count = 0;
        loop {
            let retention = self.retention;
            let step = self
                .store
                .write(move |db| -> Result<Step, StoreError> { Ok(step(db, retention)?) })
                .await?;
            count += step.forgotten.len();
            for attempt in step.forgotten {
                remove(&self.log_path(attempt));
            }
            if !step.has_more {
                return Ok(count);
            }
        }
    }

    /// Removes log files without a row: of attempts forgotten just before a kill, and of unnamed
    /// ones whose row a power loss took.
    async fn remove_strays(&self) -> Result<(), SpoolError> {
        let Ok(folder) = std::fs::read_dir(&self.logs) else { return Ok(()) };
        let old = SystemTime::now().checked_sub(Duration::from_hours(1));
        let mut suspects = Vec::new();
        for entry in folder.flatten() {
            let is_old = entry
                .metadata()
                .and_then(|found| found.modified())
                .is_ok_and(|at| old.is_some_and(|old| at < old));
            let name = entry.file_name();
            let attempt = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse().ok());
            if let (true, Some(attempt)) = (is_old, attempt) {
                suspects.push(attempt);
            }
        }
        if suspects.is_empty() {
            return Ok(());
        }
        let strays = self
            .store
            .read(move |db| -> Result<Vec<Uuid>, StoreError> { Ok(unknown(db, suspects)?) })
            .await?;
        for attempt in strays {
            remove(&self.log_path(attempt));
        }
        Ok(())
    }
}

fn step(db: &Connection, retention: Retention) -> sql::Result<Step> {
    let keep = i64::try_from(retention.keep.as_micros()).unwrap_or(i64::MAX);
    let oldest = Timestamp::now().as_microsecond().saturating_sub(keep);
    let total: i64 =
        db.query_row("SELECT coalesce(sum(bytes), 0) FROM attempts", [], |row| row.get(0))?;
    let mut surplus = total.saturating_sub(i64::try_from(retention.keep_bytes).unwrap_or(i64::MAX));

    let candidates: Vec<(String, i64, i64)> = db
        .prepare_cached(
            "SELECT attempt, ended_us, bytes FROM attempts
             WHERE ended_us IS NOT NULL ORDER BY ended_us LIMIT ?1",
        )?
        .query_map([STEP], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<sql::Result<_>>()?;
    let mut step = Step::default();
    let mut newest = 0;
    for (text, ended, bytes) in candidates {
        if ended >= oldest && surplus <= 0 {
            return end(db, step, newest);
        }
        surplus -= bytes;
        db.prepare_cached("DELETE FROM attempts WHERE attempt = ?1")?.execute([&text])?;
        if let Ok(attempt) = text.parse::<Uuid>() {
            newest = newest.max(made_at_ms(attempt).map_or(0, |made| made + 1));
            step.forgotten.push(attempt);
        }
    }
    step.has_more = step.forgotten.len() == STEP as usize;
    end(db, step, newest)
}

/// Remembers up to when attempts may have been forgotten: an unknown one that is older may have
/// run here.
fn end(db: &Connection, step: Step, newest: i64) -> sql::Result<Step> {
    if newest > 0 {
        db.execute(
            "UPDATE spool SET forgotten_until_ms = max(forgotten_until_ms, ?1)",
            params![newest],
        )?;
    }
    Ok(step)
}

fn unknown(db: &Connection, suspects: Vec<Uuid>) -> sql::Result<Vec<Uuid>> {
    let mut known = HashSet::new();
    let mut rows = db.prepare("SELECT 1 FROM attempts WHERE attempt = ?1")?;
    for attempt in &suspects {
        if rows.exists([attempt.to_string()])? {
            known.insert(*attempt);
        }
    }
    Ok(suspects.into_iter().filter(|attempt| !known.contains(attempt)).collect())
}

fn remove(path: &std::path::Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "cannot remove a log");
        }
        _ => {}
    }
}
