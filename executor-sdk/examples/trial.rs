//! The executor of the contract tests as a program, to be killed and started again.

#[path = "../tests/contract/trial.rs"]
mod trial;

fn main() -> std::process::ExitCode {
    executor_sdk::run::<trial::Trial>()
}
