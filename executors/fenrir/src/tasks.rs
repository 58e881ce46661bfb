//! The work that Fenrir can do.

mod dev_health_check;
mod git_clone;
mod git_commit;
mod run_tests;

pub use dev_health_check::DevHealthCheck;
pub use git_clone::GitClone;
pub use git_commit::GitCommit;
pub use run_tests::RunTests;
