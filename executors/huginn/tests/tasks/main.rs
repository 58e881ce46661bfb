//! Huginn's tasks on this machine's loopback, in namespaces of its own, and against stand-ins, over
//! real HTTP.

#[cfg(test)]
mod dns;
#[cfg(test)]
mod ended;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod logind;
#[cfg(test)]
mod namespaces;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod power;
#[cfg(test)]
mod services;
#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod systemd;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod web;

#[cfg(test)]
use std::process::{Child, Command};

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

/// A child of a test; it ends with it.
#[cfg(test)]
struct Ends(Child);

#[cfg(test)]
impl Drop for Ends {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests' own machinery, not a daemon's")]
fn command(program: &str) -> Command {
    Command::new(program)
}
