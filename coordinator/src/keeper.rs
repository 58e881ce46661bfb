//! What must survive a restart beside the attempts: runners, their tasks, sessions, realms, keys.
//!
//! The owner of the state changes it in memory and puts the new row here while it still holds its
//! lock, so that rows arrive in the order of the changes. One loop writes whatever has gathered,
//! together; a row that is put again meanwhile is written once, as it is then. A write that
//! matters is answered only when it is on disk ([`Keeper::until`]); what may be lost for a few
//! seconds is put with [`Keeper::put_later`].

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::ledger::{Kind, Ledger, LedgerError, Record};

/// How old what may be lost gets before it is written.
const LATER: Duration = Duration::from_secs(5);
/// Between two tries to write.
const AGAIN: Duration = Duration::from_secs(1);
/// How long an answer waits for the disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many rows go into one transaction, so that attempts need not wait for long.
const AT_ONCE: usize = 2000;

/// The change is in memory and not on disk.
#[derive(Debug, Error)]
#[error("the ledger cannot be written now; what was asked for is not safe yet")]
pub struct NotKept;

/// Says which writes an answer waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

type Place = (Kind, String, String);

#[derive(Debug, Default)]
struct Waiting {
    now: BTreeMap<Place, Option<String>>,
    later: BTreeMap<Place, Option<String>>,
    ticket: u64,
}

/// Writes rows into the ledger, many at once.
#[derive(Debug)]
pub struct Keeper {
    waiting: Mutex<Waiting>,
    wake: Notify,
    kept: watch::Sender<u64>,
}

impl Default for Keeper {
    fn default() -> Self {
        Self { waiting: Mutex::default(), wake: Notify::new(), kept: watch::Sender::new(0) }
    }
}

impl Keeper {
    /// Puts a row to be written at once; `None` takes it away.
    pub fn put<T: Serialize>(&self, kind: Kind, owner: &str, id: &str, row: Option<&T>) -> Ticket {
        let body = row.and_then(text);
        let place = (kind, owner.to_owned(), id.to_owned());
        let mut waiting = self.lock();
        waiting.later.remove(&place);
        waiting.now.insert(place, body);
        waiting.ticket += 1;
        let ticket = Ticket(waiting.ticket);
        drop(waiting);
        self.wake.notify_one();
        ticket
    }

    /// Puts a row that is written within a few seconds; nobody waits for it.
    pub fn put_later<T: Serialize>(&self, kind: Kind, owner: &str, id: &str, row: &T) {
        let body = text(row);
        let place = (kind, owner.to_owned(), id.to_owned());
        let mut waiting = self.lock();
        if let Some(sooner) = waiting.now.get_mut(&place) {
            *sooner = body;
        } else {
            waiting.later.insert(place, body);
        }
    }

    /// Waits until everything up to the ticket is on disk.
    pub async fn until(&self, ticket: Ticket) -> Result<(), NotKept> {
        let mut kept = self.kept.subscribe();
        let safe = kept.wait_for(|kept| *kept >= ticket.0);
        match tokio::time::timeout(PATIENCE, safe).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(NotKept),
        }
    }

    /// Writes until `stop`, and then once more; `report` hears how each write went.
    pub async fn run(
        &self,
        ledger: &dyn Ledger,
        stop: &CancellationToken,
        report: impl Fn(Result<(), &LedgerError>),
    ) {
        let mut beat = tokio::time::interval(LATER);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let with_later = tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified() => false,
                _ = beat.tick() => true,
            };
            loop {
                let written = self.write(ledger, with_later).await;
                report(written.as_ref().copied());
                if written.is_ok() {
                    break;
                }
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(AGAIN) => {}
                }
            }
        }
        self.flush(ledger).await;
    }

    /// Writes everything that waits; called once more when nobody is answered any more.
    pub async fn flush(&self, ledger: &dyn Ledger) {
        if let Err(problem) = self.write(ledger, true).await {
            error!("runners and sessions are not written: {problem}");
        }
    }

    async fn write(&self, ledger: &dyn Ledger, with_later: bool) -> Result<(), LedgerError> {
        loop {
            let (rows, ticket, is_all) = self.take(with_later);
            if !rows.is_empty() {
                let records = rows.iter().map(|((kind, owner, id), body)| Record {
                    kind: *kind,
                    owner: owner.clone(),
                    id: id.clone(),
                    body: body.clone(),
                });
                if let Err(problem) = ledger.keep(records.collect()).await {
                    self.put_back(rows);
                    return Err(problem);
                }
            }
            if is_all {
                self.kept.send_replace(ticket);
                return Ok(());
            }
        }
    }

    fn take(&self, with_later: bool) -> (BTreeMap<Place, Option<String>>, u64, bool) {
        let mut waiting = self.lock();
        let mut rows = std::mem::take(&mut waiting.now);
        if rows.len() > AT_ONCE
            && let Some(from) = rows.keys().nth(AT_ONCE).cloned()
        {
            waiting.now = rows.split_off(&from);
        } else if with_later {
            let room = AT_ONCE - rows.len();
            let mut later = std::mem::take(&mut waiting.later);
            if let Some(from) = later.keys().nth(room).cloned() {
                waiting.later = later.split_off(&from);
            }
            rows.extend(later);
        }
        // What is put from here on has a higher ticket.
        let is_all = waiting.now.is_empty() && (!with_later || waiting.later.is_empty());
        (rows, waiting.ticket, is_all)
    }

    fn put_back(&self, rows: BTreeMap<Place, Option<String>>) {
        let mut waiting = self.lock();
        for (place, body) in rows {
            waiting.now.entry(place).or_insert(body);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn text<T: Serialize>(row: &T) -> Option<String> {
    match serde_json::to_string(row) {
        Ok(text) => Some(text),
        // Rows are made of text, numbers and maps with text keys, which JSON can always hold.
        Err(problem) => {
            error!("a row cannot be written as JSON: {problem}");
            None
        }
    }
}

/// Reads the rows of one kind; one that cannot be read is reported and left out.
pub fn read<T: DeserializeOwned>(records: &[Record], kind: Kind) -> Vec<(&Record, T)> {
    let mut rows = Vec::new();
    for record in records.iter().filter(|record| record.kind == kind) {
        match record.body.as_deref().map(serde_json::from_str) {
            Some(Ok(row)) => rows.push((record, row)),
            Some(Err(problem)) => {
                error!(
                    "the {} `{}` of the ledger cannot be read: {problem}",
                    kind.as_str(),
                    record.id
                );
            }
            None => {}
        }
    }
    rows
}
