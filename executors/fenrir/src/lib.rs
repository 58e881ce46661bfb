//! Fenrir, the development host: git, code and tests.
//!
//! - [`tasks`]: what it can do, one file each.
//! - `git`: how `git` is run so that it never asks a person.
//! - `beside`: a folder beside a destination, for work that appears whole or not at all.
//! - `files`: files that are written into a work tree, and never outside of it.
//! - `review`: which linters review a folder, and how their findings are read.
//! - `suites`: which tools test a folder, and how their counts are read.
//! - `plain`: what a value may be before it becomes a path or an argument.
//! - `environment`: what of our own environment the commands see.

use executor_sdk::prelude::*;

mod beside;
mod environment;
mod files;
mod git;
mod one_at_a_time;
mod plain;
mod review;
mod suites;
pub mod tasks;

pub use environment::Environment;
use one_at_a_time::OneAtATime;

/// The development host: git, code and tests.
#[derive(Args, Debug, Default)]
pub struct Fenrir {
    /// What of its own environment the commands see.
    #[command(flatten)]
    pub environment: Environment,
    /// Which folders a task changes now.
    #[arg(skip)]
    changing: OneAtATime,
}

/// The folder below the state folder that tells what a killed life left elsewhere.
const NOTES: &str = "author-unfinished";

impl Fenrir {
    /// Returns a Fenrir whose commands see this of the environment.
    pub fn new(environment: Environment) -> Self {
        Self { environment, changing: OneAtATime::default() }
    }
}

impl Executor for Fenrir {
    const NAME: &'static str = "fenrir-executor";

    fn tasks() -> Tasks<Self> {
        Tasks::new()
            .with::<tasks::DevHealthCheck>()
            .with::<tasks::GitClone>()
            .with::<tasks::GitStatus>()
            .with::<tasks::GitPull>()
            .with::<tasks::GitCommit>()
            .with::<tasks::GitPush>()
            .with::<tasks::CodeReview>()
            .with::<tasks::RunTests>()
    }

    fn tidy(&self, state: &Path) {
        beside::remove_left(&state.join(NOTES));
    }
}
