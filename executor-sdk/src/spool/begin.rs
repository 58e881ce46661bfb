//! The first record of an attempt.

use daemon::store::StoreError;
use daemon::store::sql::{self, Connection, params};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Record, Spool, SpoolError, micros, record};

/// An attempt that is about to start.
#[derive(Debug, Clone)]
pub(crate) struct NewAttempt {
    pub(crate) attempt: Uuid,
    pub(crate) task_id: String,
    pub(crate) task_type: String,
    /// What tells the same order from another one with the same attempt id.
    pub(crate) fingerprint: String,
    pub(crate) started: Timestamp,
    pub(crate) log_cap: u64,
    /// The ledger and the epoch that it was ordered in.
    pub(crate) epoch: Option<(Uuid, u64)>,
}

/// What became of a named attempt that wanted to start.
#[derive(Debug, Clone)]
pub(crate) enum Begun {
    /// It is on disk and may start.
    Fresh,
    /// It was here before.
    Known(Box<Record>),
    /// A newer coordinator with the same ledger was here before.
    OlderEpoch { highest: u64 },
    /// It is so old that it may have run and been forgotten.
    MayBeForgotten,
}

impl Spool {
    /// Records a named attempt, unless it must not start; answers when it is on disk.
    pub(crate) async fn begin(&self, attempt: NewAttempt) -> Result<Begun, SpoolError> {
        let life = self.life;
        let keep = self.retention.keep;
        let begun = self
            .store
            .write(move |db| -> Result<Begun, StoreError> {
                if let Some((ledger, epoch)) = attempt.epoch {
                    let highest = raise_epoch(db, ledger, epoch)?;
                    if highest > epoch {
                        return Ok(Begun::OlderEpoch { highest });
                    }
                }
                if let Some(record) = record::find(db, attempt.attempt)? {
                    return Ok(Begun::Known(Box::new(record)));
                }
                if let Some(made) = made_at_ms(attempt.attempt) {
                    let oldest = Timestamp::now().as_millisecond()
                        - i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
                    let forgotten: i64 =
                        db.query_row("SELECT forgotten_until_ms FROM spool", [], |row| row.get(0))?;
                    if made < oldest.max(forgotten) {
                        return Ok(Begun::MayBeForgotten);
                    }
                }
                attempt.insert(db, life)?;
                Ok(Begun::Fresh)
            })
            .await?;
        Ok(begun)
    }

    /// Remembers a new highest epoch, also when the order that carried it starts nothing.
    pub(crate) fn raise_epoch_later(&self, ledger: Uuid, epoch: u64) {
        self.store.write_later(move |db| Ok(raise_epoch(db, ledger, epoch).map(drop)?));
    }

    /// Records an attempt that nobody named, without waiting for the disk.
    pub(crate) fn begin_later(&self, attempt: NewAttempt) {
        let life = self.life;
        self.store.write_later(move |db| {
            attempt.insert(db, life)?;
            Ok(())
        });
    }
}

impl NewAttempt {
    /// Writes the row unless it is there.
    pub(super) fn insert(&self, db: &Connection, life: Uuid) -> sql::Result<()> {
        db.prepare_cached(
            "INSERT INTO attempts
                (attempt, task_id, type, fingerprint, life, started_us, status, log_cap)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (attempt) DO NOTHING",
        )?
        .execute(params![
            self.attempt.to_string(),
            self.task_id,
            self.task_type,
            self.fingerprint,
            life.to_string(),
            micros(self.started),
            record::RUNNING,
            self.log_cap.cast_signed(),
        ])?;
        Ok(())
    }
}

/// Raises the highest epoch seen of a ledger, and returns it.
fn raise_epoch(db: &Connection, ledger: Uuid, epoch: u64) -> sql::Result<u64> {
    // SQLite's integers are signed; an epoch counts starts and never comes near the limit.
    let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
    db.prepare_cached(
        "INSERT INTO epochs (ledger, epoch) VALUES (?1, ?2)
         ON CONFLICT (ledger) DO UPDATE SET epoch = max(epoch, excluded.epoch)
         RETURNING epoch",
    )?
    .query_row(params![ledger.to_string(), epoch], |row| row.get::<_, i64>(0))
    .map(i64::cast_unsigned)
}

/// Returns when a UUIDv7 was made; other versions do not tell.
pub(super) fn made_at_ms(attempt: Uuid) -> Option<i64> {
    if attempt.get_version_num() != 7 {
        return None;
    }
    let (seconds, nanos) = attempt.get_timestamp()?.to_unix();
    i64::try_from(seconds).ok()?.checked_mul(1000)?.checked_add(i64::from(nanos / 1_000_000))
}
