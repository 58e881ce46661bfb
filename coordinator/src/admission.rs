//! Circuit breakers, and whether new work is taken.

/// Whether new work is taken, in all and by each runner.
#[derive(Debug, Default)]
pub struct Admission {}
