//! What can go wrong with a store.

use std::path::PathBuf;
use std::sync::Arc;

use super::sql;

/// Why a store cannot be opened, or a job did not take effect.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the store `{path}`")]
    Open { path: PathBuf, source: sql::Error },
    #[error(
        "the store `{path}` was written by a newer version of this program (schema {found}, this one knows {known})"
    )]
    Newer { path: PathBuf, found: usize, known: usize },
    #[error("cannot bring the store `{path}` to schema {number}")]
    Migration { path: PathBuf, number: usize, source: sql::Error },
    #[error("cannot start a thread for the store")]
    Thread(#[source] std::io::Error),
    #[error("the store refused a statement")]
    Sql(#[from] sql::Error),
    /// Nothing of the job is on disk.
    #[error("the store could not commit")]
    Commit(#[source] Arc<sql::Error>),
    /// Nothing of the job is on disk.
    #[error("the store gave up the transaction; the disk may be full")]
    Lost,
    #[error("the store is closed")]
    Closed,
    #[error("a job of the store panicked; it had no effect")]
    Panicked,
}
