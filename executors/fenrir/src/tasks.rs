//! The work that Fenrir can do.

mod code_review;
mod dev_health_check;
mod git_clone;
mod git_commit;
mod git_pull;
mod git_push;
mod git_status;
mod run_tests;

pub use code_review::CodeReview;
pub use dev_health_check::DevHealthCheck;
pub use git_clone::GitClone;
pub use git_commit::GitCommit;
pub use git_pull::GitPull;
pub use git_push::GitPush;
pub use git_status::GitStatus;
pub use run_tests::RunTests;
