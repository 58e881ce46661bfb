//! A ledger that tells how long its writes took.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Attempt, BeadId, Identity, Ledger, LedgerError, NewAttempt, Record, Step, async_trait,
};
use crate::metrics::LedgerTimes;

/// Times every write of another ledger.
#[derive(Debug)]
pub struct TimedLedger<L> {
    inner: L,
    times: Arc<LedgerTimes>,
}

impl<L> TimedLedger<L> {
    /// Puts the clock around a ledger.
    pub fn new(inner: L, times: Arc<LedgerTimes>) -> Self {
        Self { inner, times }
    }

    fn note<T>(&self, operation: &'static str, begun: Instant, written: &Result<T, LedgerError>) {
        // A conflict is an answer, not a failure.
        let failed = matches!(written, Err(LedgerError::Store(_)));
        self.times.wrote(operation, begun.elapsed(), failed);
    }
}

#[async_trait]
impl<L: Ledger> Ledger for TimedLedger<L> {
    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    async fn record(&self, new: NewAttempt) -> Result<Attempt, LedgerError> {
        let begun = Instant::now();
        let written = self.inner.record(new).await;
        self.note("record", begun, &written);
        written
    }

    async fn advance(&self, attempt: &Attempt, step: Step) -> Result<Attempt, LedgerError> {
        let begun = Instant::now();
        let written = self.inner.advance(attempt, step).await;
        self.note("advance", begun, &written);
        written
    }

    async fn attempt(&self, id: Uuid) -> Result<Option<Attempt>, LedgerError> {
        self.inner.attempt(id).await
    }

    async fn open(&self) -> Result<Vec<Attempt>, LedgerError> {
        self.inner.open().await
    }

    async fn held(&self) -> Result<Vec<Attempt>, LedgerError> {
        self.inner.held().await
    }

    async fn history(&self, bead: &BeadId) -> Result<Vec<Attempt>, LedgerError> {
        self.inner.history(bead).await
    }

    async fn keep(&self, records: Vec<Record>) -> Result<(), LedgerError> {
        let begun = Instant::now();
        let written = self.inner.keep(records).await;
        self.note("keep", begun, &written);
        written
    }

    async fn kept(&self) -> Result<Vec<Record>, LedgerError> {
        self.inner.kept().await
    }

    async fn count(&self) -> Result<u64, LedgerError> {
        self.inner.count().await
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, LedgerError> {
        let begun = Instant::now();
        let written = self.inner.forget(before).await;
        self.note("forget", begun, &written);
        written
    }

    async fn close(&self) {
        self.inner.close().await;
    }

    async fn check(&self) -> Result<(), LedgerError> {
        self.inner.check().await
    }
}
