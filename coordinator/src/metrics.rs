//! Counters and times for Prometheus.

/// What is counted while the coordinator runs.
#[derive(Debug, Default)]
pub struct Metrics {}
