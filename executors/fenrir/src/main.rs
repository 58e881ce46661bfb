//! `fenrir-executor`: see the library of the same package.
use executor_sdk::prelude::*;

fn main() -> ExitCode {
    executor_sdk::run::<fenrir_executor::Fenrir>()
}
