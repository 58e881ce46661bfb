//! The ledger in one SQLite file.

use std::path::Path;

use async_trait::async_trait;
use daemon::store::{Store, StoreError, sql};
use jiff::Timestamp;
use sql::{OptionalExtension as _, params};
use uuid::Uuid;

use super::{Attempt, Identity, Kind, Ledger, LedgerError, NewAttempt, Record, Stage, Step};
use crate::beads::BeadId;
use crate::routing::ExecutorName;

/// Times are UTC text with milliseconds, so that `sqlite3` shows them to people.
const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";

const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE identity (ledger TEXT NOT NULL, epoch INTEGER NOT NULL);
CREATE TABLE attempts (
    id TEXT PRIMARY KEY,
    bead TEXT NOT NULL,
    title TEXT NOT NULL,
    task_type TEXT NOT NULL,
    executor TEXT,
    facts TEXT NOT NULL,
    has_dependents INTEGER NOT NULL,
    labels TEXT NOT NULL,
    stage TEXT NOT NULL,
    revision INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    request TEXT,
    outcome TEXT,
    verdict TEXT,
    hold TEXT,
    class TEXT,
    created TEXT NOT NULL,
    offered TEXT,
    started TEXT,
    ended TEXT,
    settled TEXT
) STRICT;
CREATE INDEX attempts_of_bead ON attempts (bead, created);
CREATE INDEX attempts_open ON attempts (created) WHERE stage NOT IN ('settled', 'dropped');
CREATE INDEX attempts_held ON attempts (created) WHERE hold IS NOT NULL;
CREATE UNIQUE INDEX one_open_attempt ON attempts (bead)
    WHERE stage NOT IN ('settled', 'dropped', 'lost');
",
    "
CREATE TABLE records (
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    changed TEXT NOT NULL,
    PRIMARY KEY (kind, owner, id)
) STRICT;
CREATE VIEW runners AS SELECT id, body ->> 'name' AS name, body ->> 'status' AS status,
    body ->> 'version' AS version, body ->> 'last_heartbeat' AS last_heartbeat, changed
    FROM records WHERE kind = 'runner';
CREATE VIEW runner_tasks AS SELECT owner AS runner, id, body ->> 'type' AS type,
    body ->> 'status' AS status, changed FROM records WHERE kind = 'task';
",
];

const COLUMNS: &str = "id, bead, title, task_type, executor, facts, has_dependents, labels, stage, \
    revision, request, outcome, verdict, hold, created, offered, started, ended, settled";

/// The ledger in one SQLite file, readable with the `sqlite3` command.
#[derive(Debug)]
pub struct SqliteLedger {
    store: Store,
    identity: Identity,
}

impl SqliteLedger {
    /// Opens the ledger, making it when absent, and begins a new epoch.
    pub async fn open(path: &Path) -> Result<Self, LedgerError> {
        let store = Store::open(path, MIGRATIONS)?;
        let identity = store
            .write(|db| -> Result<Identity, LedgerError> {
                let known = db
                    .query_row("SELECT ledger, epoch FROM identity", [], |row| {
                        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
                    })
                    .optional()?;
                let (ledger, epoch) = match known {
                    Some((ledger, epoch)) => (read_uuid(&ledger)?, epoch + 1),
                    None => (Uuid::new_v4(), 1),
                };
                db.execute("DELETE FROM identity", [])?;
                db.execute(
                    "INSERT INTO identity (ledger, epoch) VALUES (?1, ?2)",
                    params![ledger.to_string(), epoch],
                )?;
                Ok(Identity { ledger, epoch: epoch.unsigned_abs() })
            })
            .await?;
        Ok(Self { store, identity })
    }

    async fn select(
        &self,
        condition: &'static str,
        value: Option<String>,
    ) -> Result<Vec<Attempt>, LedgerError> {
        self.store.read(move |db| select(db, condition, value.as_deref())).await
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    fn identity(&self) -> Identity {
        self.identity
    }

    async fn record(&self, new: NewAttempt) -> Result<Attempt, LedgerError> {
        let epoch = self.identity.epoch;
        self.store.write(move |db| record(db, &new, epoch)).await
    }

    async fn advance(&self, attempt: &Attempt, step: Step) -> Result<Attempt, LedgerError> {
        let (id, revision) = (attempt.id, attempt.revision);
        let epoch = self.identity.epoch;
        self.store.write(move |db| advance(db, id, revision, epoch, &step)).await
    }

    async fn attempt(&self, id: Uuid) -> Result<Option<Attempt>, LedgerError> {
        Ok(self.select("id = ?1", Some(id.to_string())).await?.pop())
    }

    async fn open(&self) -> Result<Vec<Attempt>, LedgerError> {
        self.select("stage NOT IN ('settled', 'dropped')", None).await
    }

    async fn held(&self) -> Result<Vec<Attempt>, LedgerError> {
        self.select("hold IS NOT NULL", None).await
    }

    async fn history(&self, bead: &BeadId) -> Result<Vec<Attempt>, LedgerError> {
        self.select("bead = ?1", Some(bead.to_string())).await
    }

    async fn keep(&self, records: Vec<Record>) -> Result<(), LedgerError> {
        self.store.write(move |db| keep(db, &records)).await
    }

    async fn kept(&self) -> Result<Vec<Record>, LedgerError> {
        self.store.read(kept).await
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, LedgerError> {
        self.store
            .write(move |db| -> Result<u64, LedgerError> {
                let gone = db.execute(
                    "DELETE FROM attempts WHERE stage IN ('settled', 'dropped') \
                     AND hold IS NULL AND settled < ?1",
                    params![format!("{before:.3}")],
                )?;
                Ok(u64::try_from(gone).unwrap_or(u64::MAX))
            })
            .await
    }

    async fn count(&self) -> Result<u64, LedgerError> {
        self.store
            .read(|db| -> Result<u64, LedgerError> {
                let count: i64 =
                    db.query_row("SELECT count(*) FROM attempts", [], |row| row.get(0))?;
                Ok(count.unsigned_abs())
            })
            .await
    }

    async fn close(&self) {
        self.store.clone().close().await;
    }

    async fn check(&self) -> Result<(), LedgerError> {
        self.store
            .write(|db| -> Result<(), LedgerError> {
                db.execute("UPDATE identity SET epoch = epoch", [])?;
                Ok(())
            })
            .await
    }
}

impl From<sql::Error> for LedgerError {
    fn from(error: sql::Error) -> Self {
        Self::Store(StoreError::from(error))
    }
}

fn keep(db: &sql::Connection, records: &[Record]) -> Result<(), LedgerError> {
    let mut put = db.prepare_cached(&format!(
        "INSERT INTO records (kind, owner, id, body, changed) VALUES (?1, ?2, ?3, ?4, {NOW}) \
         ON CONFLICT DO UPDATE SET body = excluded.body, changed = excluded.changed"
    ))?;
    let mut take =
        db.prepare_cached("DELETE FROM records WHERE kind = ?1 AND owner = ?2 AND id = ?3")?;
    for record in records {
        let kind = record.kind.as_str();
        match &record.body {
            Some(body) => put.execute(params![kind, record.owner, record.id, body])?,
            None => take.execute(params![kind, record.owner, record.id])?,
        };
    }
    Ok(())
}

fn kept(db: &sql::Connection) -> Result<Vec<Record>, LedgerError> {
    let mut statement = db.prepare_cached("SELECT kind, owner, id, body FROM records")?;
    let mut rows = statement.query([])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        // A kind that this version does not know stays where it is.
        let Some(kind) = Kind::from_word(row.get_ref(0)?.as_str().unwrap_or_default()) else {
            continue;
        };
        records.push(Record { kind, owner: row.get(1)?, id: row.get(2)?, body: row.get(3)? });
    }
    Ok(records)
}

fn record(db: &sql::Connection, new: &NewAttempt, epoch: u64) -> Result<Attempt, LedgerError> {
    let bead = new.bead.to_string();
    let inserted = db.execute(
        &format!(
            "INSERT INTO attempts (id, bead, title, task_type, executor, facts, has_dependents, \
             labels, stage, revision, epoch, created) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'recorded', 1, ?9, {NOW})"
        ),
        params![
            new.id.to_string(),
            bead,
            new.title,
            new.task_type,
            new.executor.as_ref().map(ExecutorName::as_str),
            write_json("facts", &new.facts)?,
            new.has_dependents,
            write_json("labels", &new.labels)?,
            epoch.cast_signed(),
        ],
    );
    match inserted {
        Ok(_) => one(db, new.id),
        Err(error) if error.sqlite_error_code() == Some(sql::ErrorCode::ConstraintViolation) => {
            Err(LedgerError::AlreadyOpen { bead: new.bead.clone() })
        }
        Err(error) => Err(error.into()),
    }
}

fn advance(
    db: &sql::Connection,
    id: Uuid,
    revision: u64,
    epoch: u64,
    step: &Step,
) -> Result<Attempt, LedgerError> {
    let (set, values): (String, Vec<Option<String>>) = match step {
        Step::Claimed | Step::Lost => (String::new(), vec![]),
        Step::Withdrawn => (", offered = NULL".to_owned(), vec![]),
        Step::Offered(request) => (
            format!(", offered = coalesce(offered, {NOW}), request = ?4"),
            vec![Some(write_json("request", request)?)],
        ),
        Step::Running => (format!(", started = coalesce(started, {NOW}), hold = NULL"), vec![]),
        Step::Ended { outcome, verdict } => (
            format!(", ended = {NOW}, outcome = coalesce(?4, outcome), verdict = ?5, class = ?6"),
            vec![
                outcome.as_ref().map(|outcome| write_json("outcome", outcome)).transpose()?,
                Some(write_json("verdict", verdict)?),
                verdict.class().map(|class| class.as_str().to_owned()),
            ],
        ),
        Step::Settled { hold } => (
            format!(", settled = {NOW}, hold = ?4"),
            vec![hold.as_ref().map(|hold| write_json("hold", hold)).transpose()?],
        ),
        Step::Dropped => (format!(", settled = {NOW}"), vec![]),
        Step::Unheld => (", hold = NULL".to_owned(), vec![]),
    };
    let stage =
        step.stage().map_or(String::new(), |stage| format!(", stage = '{}'", stage.as_str()));
    let statement = format!(
        "UPDATE attempts SET revision = revision + 1, epoch = ?3{stage}{set} \
         WHERE id = ?1 AND revision = ?2"
    );
    let mut statement = db.prepare_cached(&statement)?;
    let fixed: [Box<dyn sql::ToSql>; 3] =
        [Box::new(id.to_string()), Box::new(revision.cast_signed()), Box::new(epoch.cast_signed())];
    let all = fixed
        .iter()
        .map(|value| value.as_ref() as &dyn sql::ToSql)
        .chain(values.iter().map(|value| value as &dyn sql::ToSql));
    match statement.execute(sql::params_from_iter(all)) {
        Ok(0) => return Err(LedgerError::Conflict { attempt: id }),
        Ok(_) => {}
        // A newer attempt of the same bead is open already.
        Err(error) if error.sqlite_error_code() == Some(sql::ErrorCode::ConstraintViolation) => {
            return Err(LedgerError::Conflict { attempt: id });
        }
        Err(error) => return Err(error.into()),
    }
    let attempt = one(db, id)?;
    if matches!(step, Step::Claimed) {
        supersede(db, &attempt)?;
    }
    Ok(attempt)
}

/// A proven claim is the end of what went before.
fn supersede(db: &sql::Connection, claimed: &Attempt) -> Result<(), LedgerError> {
    let others = params![claimed.bead.to_string(), claimed.id.to_string()];
    db.execute(
        &format!(
            "UPDATE attempts SET stage = 'settled', settled = {NOW}, revision = revision + 1 \
             WHERE bead = ?1 AND id <> ?2 AND stage = 'lost'"
        ),
        others,
    )?;
    db.execute(
        "UPDATE attempts SET hold = NULL, revision = revision + 1 \
         WHERE bead = ?1 AND id <> ?2 AND hold IS NOT NULL",
        others,
    )?;
    Ok(())
}

fn one(db: &sql::Connection, id: Uuid) -> Result<Attempt, LedgerError> {
    select(db, "id = ?1", Some(&id.to_string()))?.pop().ok_or(LedgerError::Conflict { attempt: id })
}

fn select(
    db: &sql::Connection,
    condition: &str,
    value: Option<&str>,
) -> Result<Vec<Attempt>, LedgerError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM attempts WHERE {condition} ORDER BY created, id"
    ))?;
    let mut rows = statement.query(sql::params_from_iter(value))?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        attempts.push(read(row)?);
    }
    Ok(attempts)
}

fn read(row: &sql::Row<'_>) -> Result<Attempt, LedgerError> {
    let bead: String = row.get("bead")?;
    let executor: Option<String> = row.get("executor")?;
    let stage: String = row.get("stage")?;
    let facts: String = row.get("facts")?;
    let labels: String = row.get("labels")?;
    Ok(Attempt {
        id: read_uuid(&row.get::<_, String>("id")?)?,
        bead: bead.parse().map_err(|_| unreadable("bead"))?,
        title: row.get("title")?,
        task_type: row.get("task_type")?,
        executor: executor.as_deref().map(ExecutorName::from),
        facts: read_json("facts", &facts)?,
        has_dependents: row.get("has_dependents")?,
        labels: read_json("labels", &labels)?,
        stage: read_json::<Stage>("stage", &format!("\"{stage}\""))?,
        revision: row.get::<_, i64>("revision")?.unsigned_abs(),
        request: optional_json(row, "request")?,
        outcome: optional_json(row, "outcome")?,
        verdict: optional_json(row, "verdict")?,
        hold: optional_json(row, "hold")?,
        created: read_time(&row.get::<_, String>("created")?)?,
        offered: optional_time(row, "offered")?,
        started: optional_time(row, "started")?,
        ended: optional_time(row, "ended")?,
        settled: optional_time(row, "settled")?,
    })
}

fn optional_json<T: serde::de::DeserializeOwned>(
    row: &sql::Row<'_>,
    column: &'static str,
) -> Result<Option<T>, LedgerError> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| read_json(column, &text)).transpose()
}

fn optional_time(row: &sql::Row<'_>, column: &str) -> Result<Option<Timestamp>, LedgerError> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| read_time(&text)).transpose()
}

fn read_json<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|_| unreadable(what))
}

fn write_json<T: serde::Serialize>(what: &str, value: &T) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|_| unreadable(what))
}

fn read_time(text: &str) -> Result<Timestamp, LedgerError> {
    text.parse().map_err(|_| unreadable("a time"))
}

fn read_uuid(text: &str) -> Result<Uuid, LedgerError> {
    text.parse().map_err(|_| unreadable("an id"))
}

fn unreadable(what: &str) -> LedgerError {
    LedgerError::Unreadable { what: what.to_owned() }
}
