//! What a task prints.

/// The log of one attempt.
#[derive(Debug, Default)]
pub(crate) struct AttemptLog {}

impl AttemptLog {
    pub(crate) fn append(&self, _bytes: &[u8]) {}
}
