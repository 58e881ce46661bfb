//! The one thread that writes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, oneshot};
use tracing::error;

use super::StoreError;
use super::sql::{self, Connection};

/// As many as share one commit. More would make the first wait long for its answer.
const GROUP: usize = 256;

pub(super) enum Message {
    Job(Job),
    Close(oneshot::Sender<()>),
}

/// Runs once, in its savepoint, or is told that there is no transaction to run in.
pub(super) type Job = Box<dyn FnOnce(Result<&Connection, Failure>) -> Ran + Send>;

pub(super) struct Ran {
    keep: bool,
    answer: Answer,
}

/// Called once, with what became of the commit.
type Answer = Box<dyn FnOnce(Result<(), Failure>) + Send>;

/// Why a whole group has no effect.
#[derive(Clone)]
pub(super) enum Failure {
    Sql(Arc<sql::Error>),
    /// SQLite gave up the transaction in the middle of a job.
    Lost,
}

impl Failure {
    fn sql(error: sql::Error) -> Self {
        Self::Sql(Arc::new(error))
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sql(error) => Self::Commit(error),
            Failure::Lost => Self::Lost,
        }
    }
}

pub(super) fn job<T, E, F, A>(f: F, answer: A) -> Job
where
    F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    A: FnOnce(Result<T, E>) + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    Box::new(move |connection| {
        let result = match connection {
            Ok(connection) => catch_unwind(AssertUnwindSafe(|| f(connection)))
                .unwrap_or_else(|_| Err(StoreError::Panicked.into())),
            Err(failure) => Err(StoreError::from(failure).into()),
        };
        let keep = result.is_ok();
        let answer = Box::new(move |committed: Result<(), Failure>| {
            // A job that failed by itself keeps its own error.
            answer(result.and_then(|value| match committed {
                Ok(()) => Ok(value),
                Err(failure) => Err(StoreError::from(failure).into()),
            }));
        });
        Ran { keep, answer }
    })
}

pub(super) fn start(connection: Connection) -> io::Result<mpsc::UnboundedSender<Message>> {
    let (sender, queue) = mpsc::unbounded_channel();
    thread::Builder::new().name("ygg-store".to_owned()).spawn(move || work(connection, queue))?;
    Ok(sender)
}

fn work(connection: Connection, mut queue: mpsc::UnboundedReceiver<Message>) {
    let mut closing = None;
    while closing.is_none()
        && let Some(first) = queue.blocking_recv()
    {
        closing = match first {
            Message::Job(job) => group(&connection, job, &mut queue),
            Message::Close(done) => Some(done),
        };
    }
    // Jobs that came after the closing are dropped here, unanswered: their callers see `Closed`.
    drop(queue);
    if let Err((_, error)) = connection.close() {
        error!("cannot close the store: {error}");
    }
    if let Some(done) = closing {
        let _ = done.send(());
    }
}

/// Runs what waits in one transaction, and answers everybody after the commit.
fn group(
    connection: &Connection,
    first: Job,
    queue: &mut mpsc::UnboundedReceiver<Message>,
) -> Option<oneshot::Sender<()>> {
    let mut committed = connection.execute_batch("BEGIN IMMEDIATE").map_err(Failure::sql);
    let begun = committed.is_ok();
    let mut answers = Vec::new();
    let mut closing = None;
    let mut next = Some(first);
    while let Some(job) = next.take() {
        match &committed {
            Ok(()) => {
                let (answer, result) = in_savepoint(connection, job);
                answers.push(answer);
                committed = result;
            }
            Err(failure) => answers.push(job(Err(failure.clone())).answer),
        }
        // Without a beginning all that wait fail together; each would wait for the lock as long.
        if answers.len() < GROUP && (committed.is_ok() || !begun) {
            match queue.try_recv() {
                Ok(Message::Job(job)) => next = Some(job),
                Ok(Message::Close(done)) => closing = Some(done),
                Err(_) => {}
            }
        }
    }
    if committed.is_ok() {
        committed = connection.execute_batch("COMMIT").map_err(Failure::sql);
    }
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        error!("cannot roll back: {error}");
    }
    for answer in answers {
        answer(committed.clone());
    }
    closing
}

fn in_savepoint(connection: &Connection, job: Job) -> (Answer, Result<(), Failure>) {
    if let Err(error) = connection.execute_batch("SAVEPOINT job") {
        let failure = Failure::sql(error);
        return (job(Err(failure.clone())).answer, Err(failure));
    }
    let Ran { keep, answer } = job(Ok(connection));
    // A full disk, for one, makes SQLite roll back everything at once.
    if connection.is_autocommit() {
        return (answer, Err(Failure::Lost));
    }
    let end = if keep { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    (answer, connection.execute_batch(end).map_err(Failure::sql))
}
