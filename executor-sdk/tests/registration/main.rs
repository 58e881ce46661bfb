//! The executor's part in the runner API, against a small coordinator of the test's own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod coordinator;
mod keys;
mod list;
mod presence;
#[path = "../contract/trial.rs"]
mod trial;
mod updates;

use executor_sdk::harness::{Harness, Setup};
use trial::Trial;

use crate::coordinator::Coordinator;

/// An executor that takes part, and is in a hurry.
fn trial(coordinator: &Coordinator, flags: &[&str]) -> Setup<Trial> {
    let quick = ["--heartbeat-interval", "50ms", "--task-poll-interval", "50ms"];
    let flags: Vec<&str> = quick.into_iter().chain(flags.iter().copied()).collect();
    Harness::with(Trial { greeting: "hello".into() }).coordinator(&coordinator.url, &flags)
}
