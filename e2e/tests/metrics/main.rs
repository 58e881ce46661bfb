//! `/metrics`, the dashboards and the alert rules, with the real Prometheus where it is installed.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

mod agents;
mod alerts;
mod dashboards;
mod discovery;
mod page;
mod prometheus;
mod scene;
