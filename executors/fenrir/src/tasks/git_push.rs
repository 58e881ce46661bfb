//! `git-push`: a branch goes to its remote, and the remote says that it has it.

use executor_sdk::prelude::*;

use crate::git::{Git, Push};
use crate::{Fenrir, plain};

/// Pushes a branch, never by force, and asks the remote whether it has the commit; nothing to
/// push is a success that says so.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GitPush {
    /// The top of the work tree: an absolute path.
    repo_path: String,
    /// The branch to push (default: the one that is checked out).
    #[serde(default)]
    branch: Option<String>,
    /// The name of the remote (default: the one configured for the branch, else `origin`).
    #[serde(default)]
    remote: Option<String>,
}

impl Task<Fenrir> for GitPush {
    const TYPE: &'static str = "git-push";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(30));
    const IDEMPOTENT: bool = true;
    const RETRYABLE: bool = true;
    const TOOLS: &'static [&'static str] = &["git"];

    fn asks(params: &Map<String, Value>) -> Vec<Ask> {
        Ask::paths(params, &["repo_path"])
    }

    async fn run(self, executor: &Fenrir, cx: &Context) -> TaskResult {
        let top = plain::absolute("repo_path", &self.repo_path)?;
        let git = Git::at_top(&top, executor, cx).await?;
        let _turn = executor.changing.hold(git.folder()).await;
        let push = match (self.branch, self.remote) {
            (None, None) => Push::of_this_branch(&git).await?,
            (Some(branch), remote) => {
                git.is_branch_name("branch", &branch).await?;
                Push::find(&git, branch, remote).await?
            }
            (None, remote) => {
                let Some(branch) = git.branch().await? else {
                    return Err(Failure::new("no branch is checked out; `branch` can name one"));
                };
                Push::find(&git, branch, remote).await?
            }
        };
        let mut data = json!({
            "branch": push.branch,
            "remote": push.remote,
            "remote_ref": push.there,
            "pushed": false,
        });
        let pushed = push.run(&git).await.map_err(|failure| failure.with_data(&data))?;
        data["pushed"] = json!(pushed.moved);
        data["commit"] = json!(pushed.commit);
        let (branch, remote, commit) = (&push.branch, &push.remote, &pushed.commit);
        Ok(Report::text(if pushed.moved {
            format!("pushed {branch} to {remote}, which is at {commit} now")
        } else {
            format!("nothing to push: {remote} has {branch} at {commit} already")
        })
        .with_data(&data))
    }
}
