//! SQLite with one writer and group commit. The only user of `rusqlite`.
//!
//! All writes go through one thread. It takes every job that waits, gives each a savepoint in one
//! `BEGIN IMMEDIATE` transaction, commits once, and only then answers: an answer means the disk has
//! it (WAL, `synchronous=FULL`). A job that returns `Err` is rolled back alone. Reads have a
//! connection and a thread of their own and see a consistent snapshot of what is committed. Both
//! threads sleep while nobody asks.

mod error;
mod open;
mod reader;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::error;

use crate::exit;

pub use error::StoreError;
pub use rusqlite as sql;

/// How many writers, and how many readers, may be in the queue; the next ones wait for room.
const QUEUE: usize = 1024;
/// How many writes that nobody waits for may be in the queue; beyond this they are lost, and said so.
const LATER: usize = 16 * 1024;

/// A handle on an open store; clones are one and the same store.
///
/// When the last one is dropped, what is queued is still written. [`close`](Self::close) waits for it.
#[derive(Clone)]
pub struct Store {
    writer: mpsc::UnboundedSender<writer::Message>,
    reader: mpsc::UnboundedSender<reader::Message>,
    write_room: Arc<Semaphore>,
    later_room: Arc<Semaphore>,
    read_room: Arc<Semaphore>,
}

impl Store {
    /// Opens or makes the file and brings its schema up to date. `migrations` are SQL texts, each
    /// applied once, in order; `user_version` counts them. Blocks: call it before serving.
    pub fn open(path: &Path, migrations: &'static [&'static str]) -> Result<Store, StoreError> {
        let writing = open::writing(path, migrations)?;
        let reading = open::reading(path)?;
        Ok(Self {
            writer: writer::start(writing).map_err(StoreError::Thread)?,
            reader: reader::start(reading).map_err(StoreError::Thread)?,
            write_room: Arc::new(Semaphore::new(QUEUE)),
            later_room: Arc::new(Semaphore::new(LATER)),
            read_room: Arc::new(Semaphore::new(QUEUE)),
        })
    }

    /// Runs `f` in a savepoint and answers after the commit is on disk. `Err` rolls back this job
    /// and no other. A job that was queued runs even when this future is dropped.
    pub async fn write<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&sql::Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permit = Arc::clone(&self.write_room).acquire_owned().await;
        let (answer, answered) = oneshot::channel();
        let job = writer::job(f, move |result| {
            drop(permit);
            // The caller may have gone.
            drop(answer.send(result));
        });
        if self.writer.send(writer::Message::Job(job)).is_err() {
            return Err(StoreError::Closed.into());
        }
        answered.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Queues a write that nobody waits for. It keeps its place among the other writes; a failure
    /// is logged.
    pub fn write_later<F>(&self, f: F)
    where
        F: FnOnce(&sql::Connection) -> Result<(), StoreError> + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.later_room).try_acquire_owned() else {
            error!("the store is {LATER} writes behind; one is lost");
            return;
        };
        let job = writer::job(f, move |result: Result<(), StoreError>| {
            drop(permit);
            if let Err(error) = result {
                error!("a write to the store failed: {}", exit::chain(&error));
            }
        });
        if self.writer.send(writer::Message::Job(job)).is_err() {
            error!("the store is closed; a write is lost");
        }
    }

    /// Runs `f` on the read-only connection, in one snapshot.
    pub async fn read<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&sql::Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permit = Arc::clone(&self.read_room).acquire_owned().await;
        let (answer, answered) = oneshot::channel();
        let job = reader::job(f, move |result| {
            drop(permit);
            drop(answer.send(result));
        });
        if self.reader.send(reader::Message::Job(job)).is_err() {
            return Err(StoreError::Closed.into());
        }
        answered.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Waits until everything queued is on disk and both connections are closed. Every later use of
    /// any clone answers [`StoreError::Closed`].
    pub async fn close(self) {
        // The reader first: the last connection to leave tidies up the write-ahead log.
        let (done, closed) = oneshot::channel();
        if self.reader.send(reader::Message::Close(done)).is_ok() {
            drop(closed.await);
        }
        let (done, closed) = oneshot::channel();
        if self.writer.send(writer::Message::Close(done)).is_ok() {
            drop(closed.await);
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("closed", &self.writer.is_closed()).finish_non_exhaustive()
    }
}
