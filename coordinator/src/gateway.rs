//! Requests handed through to agents: choice, affinity, queue, retries.

/// Hands requests through to agents.
#[derive(Debug, Default)]
pub struct Gateway {}
