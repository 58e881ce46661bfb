//! A ledger that fails every other call, for the conformance suite.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{
    Attempt, BeadId, Identity, Ledger, LedgerError, NewAttempt, Record, SqliteLedger, Step,
    async_trait,
};
use daemon::store::StoreError;
use uuid::Uuid;

/// Fails every other call, before it has any effect.
#[derive(Debug)]
pub(crate) struct FaultyLedger {
    inner: SqliteLedger,
    calls: AtomicU32,
}

impl FaultyLedger {
    pub(crate) fn new(inner: SqliteLedger) -> Self {
        Self { inner, calls: AtomicU32::new(0) }
    }

    fn trip(&self) -> Result<(), LedgerError> {
        if self.calls.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
            return Ok(());
        }
        Err(LedgerError::Store(StoreError::Closed))
    }
}

#[async_trait]
impl Ledger for FaultyLedger {
    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    async fn record(&self, new: NewAttempt) -> Result<Attempt, LedgerError> {
        self.trip()?;
        self.inner.record(new).await
    }

    async fn advance(&self, attempt: &Attempt, step: Step) -> Result<Attempt, LedgerError> {
        self.trip()?;
        self.inner.advance(attempt, step).await
    }

    async fn attempt(&self, id: Uuid) -> Result<Option<Attempt>, LedgerError> {
        self.trip()?;
        self.inner.attempt(id).await
    }

    async fn open(&self) -> Result<Vec<Attempt>, LedgerError> {
        self.trip()?;
        self.inner.open().await
    }

    async fn held(&self) -> Result<Vec<Attempt>, LedgerError> {
        self.trip()?;
        self.inner.held().await
    }

    async fn history(&self, bead: &BeadId) -> Result<Vec<Attempt>, LedgerError> {
        self.trip()?;
        self.inner.history(bead).await
    }

    async fn keep(&self, records: Vec<Record>) -> Result<(), LedgerError> {
        self.trip()?;
        self.inner.keep(records).await
    }

    async fn kept(&self) -> Result<Vec<Record>, LedgerError> {
        self.trip()?;
        self.inner.kept().await
    }

    async fn forget(&self, before: jiff::Timestamp) -> Result<u64, LedgerError> {
        self.trip()?;
        self.inner.forget(before).await
    }

    async fn count(&self) -> Result<u64, LedgerError> {
        self.trip()?;
        self.inner.count().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }

    async fn check(&self) -> Result<(), LedgerError> {
        self.trip()?;
        self.inner.check().await
    }
}
