//! The one thread that reads.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use tokio::sync::{mpsc, oneshot};
use tracing::error;

use super::StoreError;
use super::sql::Connection;

pub(super) enum Message {
    Job(Job),
    Close(oneshot::Sender<()>),
}

pub(super) type Job = Box<dyn FnOnce(&Connection) + Send>;

pub(super) fn job<T, E, F, A>(f: F, answer: A) -> Job
where
    F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    A: FnOnce(Result<T, E>) + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    Box::new(move |connection| {
        answer(
            catch_unwind(AssertUnwindSafe(|| in_snapshot(connection, f)))
                .unwrap_or_else(|_| Err(StoreError::Panicked.into())),
        );
    })
}

fn in_snapshot<T, E: From<StoreError>>(
    connection: &Connection,
    f: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    // Rolled back when dropped: there is nothing to commit.
    let snapshot = connection.unchecked_transaction().map_err(StoreError::from)?;
    f(&snapshot)
}

pub(super) fn start(connection: Connection) -> io::Result<mpsc::UnboundedSender<Message>> {
    let (sender, mut queue) = mpsc::unbounded_channel();
    thread::Builder::new().name("ygg-store-read".to_owned()).spawn(move || {
        let mut closing = None;
        while closing.is_none()
            && let Some(message) = queue.blocking_recv()
        {
            match message {
                Message::Job(job) => job(&connection),
                Message::Close(done) => closing = Some(done),
            }
        }
        drop(queue);
        if let Err((_, error)) = connection.close() {
            error!("cannot close the store's reader: {error}");
        }
        if let Some(done) = closing {
            let _ = done.send(());
        }
    })?;
    Ok(sender)
}
