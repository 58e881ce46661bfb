//! Huginn's tasks on this machine's loopback, in namespaces of its own, and against stand-ins, over
//! real HTTP.

#[cfg(test)]
mod namespaces;
#[cfg(test)]
mod power;
#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod web;

#[cfg(test)]
use executor_sdk::{
    harness::{Ending, Outcome},
    prelude::*,
};

#[cfg(test)]
#[track_caller]
fn completed(outcome: &Outcome) -> &Value {
    assert_eq!(outcome.status, Ending::Completed, "{outcome:?}");
    &outcome.data
}

#[cfg(test)]
#[track_caller]
fn failed(outcome: &Outcome) -> &str {
    assert_eq!(outcome.status, Ending::Failed, "{outcome:?}");
    outcome.error.as_deref().unwrap()
}
