//! Opening the file, and bringing its schema up to date.

use std::path::Path;
use std::time::Duration;

use super::StoreError;
use super::sql::{Connection, OpenFlags, TransactionBehavior};

/// How long to wait for a person's `sqlite3` that holds a lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn writing(path: &Path, migrations: &[&str]) -> Result<Connection, StoreError> {
    let open = |source| StoreError::Open { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(open)?;
    let prepare = |connection: &Connection| {
        connection.busy_timeout(LOCK_PATIENCE)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        // In KiB when negative. The whole process should stay small.
        connection.pragma_update(None, "cache_size", -1024)?;
        // A log that once grew long is cut back at the next checkpoint.
        connection.pragma_update(None, "journal_size_limit", 4 * 1024 * 1024)?;
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
    };
    let version = prepare(&connection).map_err(open)?;
    let found = usize::try_from(version).unwrap_or(usize::MAX);
    if found > migrations.len() {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: migrations.len() });
    }
    for (index, sql) in migrations.iter().enumerate().skip(found) {
        let number = index + 1;
        migrate(&mut connection, sql, number).map_err(|source| StoreError::Migration {
            path: path.to_owned(),
            number,
            source,
        })?;
    }
    // After the migrations, since those may have to rebuild tables that others refer to.
    connection.pragma_update(None, "foreign_keys", true).map_err(open)?;
    Ok(connection)
}

pub(super) fn reading(path: &Path) -> Result<Connection, StoreError> {
    let open = |source| StoreError::Open { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(open)?;
    connection.busy_timeout(LOCK_PATIENCE).map_err(open)?;
    connection.pragma_update(None, "cache_size", -1024).map_err(open)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, sql: &str, number: usize) -> super::sql::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(sql)?;
    transaction.pragma_update(None, "user_version", i64::try_from(number).unwrap_or(i64::MAX))?;
    transaction.commit()
}
