//! From flags and environment to a serving executor.

use std::process::ExitCode;

use crate::Executor;

/// Runs an executor: the whole `main` of its program.
pub fn run<E: Executor>() -> ExitCode {
    unimplemented!("the program is not built yet")
}
