//! `git-pull`: the checked out branch moves forward to what its remote has.

use executor_sdk::prelude::*;

use crate::git::Git;
use crate::{Fenrir, plain};

/// Fetches, and moves the checked out branch forward to what the remote has; one that has commits
/// of its own beside the remote's is refused and left alone.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GitPull {
    /// The top of the work tree: an absolute path.
    repo_path: String,
    /// The name of the remote (default: the upstream's, else `origin`).
    #[serde(default)]
    remote: Option<String>,
    /// The remote's branch (default: the upstream's, else the one of the same name).
    #[serde(default)]
    branch: Option<String>,
}

impl Task<Fenrir> for GitPull {
    const TYPE: &'static str = "git-pull";
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
        let Some(here) = git.branch().await? else {
            return Err(Failure::new("no branch is checked out, so there is nothing to pull into"));
        };
        let (remote, there) = self.source(&git, &here).await?;
        let before = git.commit().await?;

        let fetch = git.remote_command(["fetch", "--", &remote, &there]).await?;
        fetch.await.map_err(|failure| {
            failure.context(format!("`{here}` was not changed; cannot fetch from `{remote}`"))
        })?;
        let fetched = git.ask(["rev-parse", "--verify", "--quiet", "FETCH_HEAD^{commit}"]).await?;
        let Some(fetched) = fetched else {
            return Err(Failure::new(format!("`{remote}` gave no commit for `{there}`")));
        };
        let (ahead, behind) = match &before {
            Some(before) => git.apart(before, &fetched).await?,
            None => (0, git.count(&fetched).await?),
        };
        let mut data = json!({
            "branch": here,
            "remote": remote,
            "remote_ref": there,
            "before": before,
            "commit": before,
            "fetched": fetched,
            "ahead": ahead,
            "behind": behind,
            "updated": false,
        });
        if behind == 0 {
            let more =
                if ahead > 0 { format!(", and {ahead} commits ahead") } else { String::new() };
            let text = format!("{here} has all of {remote} at {fetched}{more}; nothing to pull");
            return Ok(Report::text(text).with_data(&data));
        }
        if ahead > 0 {
            return Err(Failure::new(format!(
                "`{here}` was not changed: it has {ahead} commits that `{remote}` lacks, and lacks \
                 {behind} that `{remote}` has; a person has to merge or rebase"
            ))
            .with_data(&data));
        }
        git.command(["merge", "--ff-only", "--no-stat", &fetched]).await.map_err(|failure| {
            failure.context(format!("`{here}` was not changed")).with_data(&data)
        })?;
        let after = git.commit().await?;
        if after.as_ref() != Some(&fetched) {
            let at = after.as_deref().unwrap_or("no commit");
            let error = format!("git says that it merged, but `{here}` is at {at}, not {fetched}");
            return Err(Failure::new(error).with_data(&data));
        }
        data["updated"] = json!(true);
        data["commit"] = json!(after);
        let text = format!("{here} moved {behind} commits forward, to {fetched}");
        Ok(Report::text(text).with_data(&data))
    }
}

impl GitPull {
    /// Returns the name of the remote and the full name of its branch.
    async fn source(&self, git: &Git<'_>, here: &str) -> Result<(String, String), Failure> {
        let upstream = git.configured(&format!("branch.{here}.remote")).await?;
        let merge = git.configured(&format!("branch.{here}.merge")).await?;
        let upstream = upstream.filter(|remote| remote != ".");
        let remote = match &self.remote {
            Some(remote) => remote.clone(),
            None => upstream.clone().unwrap_or_else(|| "origin".to_owned()),
        };
        git.is_remote(&remote).await?;
        let there = match (&self.branch, merge) {
            (Some(branch), _) => {
                git.is_branch_name("branch", branch).await?;
                format!("refs/heads/{branch}")
            }
            (None, Some(merge)) if upstream.as_ref() == Some(&remote) => merge,
            (None, _) => format!("refs/heads/{here}"),
        };
        Ok((remote, there))
    }
}
