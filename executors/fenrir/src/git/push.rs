//! Where a push goes, and the proof that it arrived.

use executor_sdk::prelude::*;

use super::{Git, without_password};
use crate::plain;

/// A branch here, and the branch of a remote that it is pushed to.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) branch: String,
    pub(crate) remote: String,
    /// The full name of the branch there, `refs/heads/…`.
    pub(crate) there: String,
    // The branch has no upstream yet and gets this one.
    is_new: bool,
}

/// What a push came to.
#[derive(Debug)]
pub(crate) struct Pushed {
    /// The commit that the remote's branch is at, or has behind it.
    pub(crate) commit: String,
    /// Whether the remote's branch moved.
    pub(crate) moved: bool,
}

impl Push {
    /// Finds out where the branch that is checked out goes, before anything is changed.
    pub(crate) async fn of_this_branch(git: &Git<'_>) -> Result<Self, Failure> {
        let Some(branch) = git.branch().await? else {
            return Err(Failure::new("no branch is checked out, so there is nothing to push"));
        };
        Self::find(git, branch, None).await
    }

    /// Finds out where a branch goes, as `git push` would: to the remote that is asked for, else
    /// to the configured one, else to `origin`.
    pub(crate) async fn find(
        git: &Git<'_>,
        branch: String,
        remote: Option<String>,
    ) -> Result<Self, Failure> {
        let upstream = git.configured(&format!("branch.{branch}.remote")).await?;
        let upstream = upstream.filter(|remote| remote != ".");
        let merge = git.configured(&format!("branch.{branch}.merge")).await?;
        let mut chosen = remote;
        if chosen.is_none() {
            chosen = git.configured(&format!("branch.{branch}.pushRemote")).await?;
        }
        if chosen.is_none() {
            chosen = git.configured("remote.pushDefault").await?;
        }
        let remote = chosen.or_else(|| upstream.clone()).unwrap_or_else(|| "origin".to_owned());
        git.is_remote(&remote).await?;
        let there = match merge {
            Some(merge) if upstream.as_ref() == Some(&remote) => merge,
            _ => format!("refs/heads/{branch}"),
        };
        Ok(Self { is_new: upstream.is_none(), branch, remote, there })
    }

    /// Pushes, never by force, and then asks the remote where its branch is.
    pub(crate) async fn run(&self, git: &Git<'_>) -> Result<Pushed, Failure> {
        let here = format!("refs/heads/{}", self.branch);
        let tip = format!("{here}^{{commit}}");
        let Some(commit) = git.ask(["rev-parse", "--verify", "--quiet", &tip]).await? else {
            return Err(Failure::new(format!(
                "there is no commit on the branch `{}`",
                self.branch
            )));
        };
        let mut args = vec!["push", "--porcelain"];
        if self.is_new {
            args.push("--set-upstream");
        }
        // The commit is named, so that one that appears meanwhile is not pushed unseen; a new
        // upstream wants the branch's name.
        let from = if self.is_new { here.as_str() } else { commit.as_str() };
        let refspec = format!("{from}:{}", self.there);
        args.extend([self.remote.as_str(), &refspec]);
        let report = git.remote_command(args).await?.split().await?;
        // A line of `--porcelain` is `FLAG<TAB>FROM:TO<TAB>SUMMARY`; `=` was there already.
        let moved = !report.stdout().lines().any(|line| line.starts_with("=\t"));
        self.prove(git, &commit).await?;
        Ok(Pushed { commit, moved })
    }

    /// Asks every place that the remote's pushes go to whether its branch has the commit.
    async fn prove(&self, git: &Git<'_>, commit: &str) -> Result<(), Failure> {
        let name = format!("remote.{}.pushurl", self.remote);
        let own = git.ask(["config", "--get-all", &name]).await?.unwrap_or_default();
        let mut places: Vec<&str> = own.lines().collect();
        if places.is_empty() {
            places.push(&self.remote);
        }
        for place in places {
            let shown = without_password(place);
            let told = git.remote_command(["ls-remote", "--", place, &self.there]).await?;
            let told = told.split().quiet().await.map_err(|failure| {
                failure.context(format!("pushed, but `{shown}` does not tell where it is"))
            })?;
            let is_at = told.stdout().split_whitespace().next().unwrap_or_default().to_owned();
            if is_at == commit || self.has_moved_on(git, place, commit).await {
                continue;
            }
            let is_at =
                if is_at.is_empty() { "not there".to_owned() } else { format!("at {is_at}") };
            return Err(Failure::new(format!(
                "git says that it pushed, but `{}` of `{shown}` is {is_at}",
                self.there
            )));
        }
        Ok(())
    }

    /// Whether somebody has pushed on top of ours since.
    async fn has_moved_on(&self, git: &Git<'_>, place: &str, commit: &str) -> bool {
        let args = ["fetch", "--quiet", "--no-tags", "--", place, &self.there];
        let Ok(fetch) = git.remote_command(args).await else { return false };
        if fetch.quiet().await.is_err() {
            return false;
        }
        let behind = git.ask(["merge-base", "--is-ancestor", commit, "FETCH_HEAD"]).await;
        matches!(behind, Ok(Some(_)))
    }
}

impl Git<'_> {
    /// Returns a value of git's configuration.
    pub(crate) async fn configured(&self, name: &str) -> Result<Option<String>, Failure> {
        self.ask(["config", "--get", name]).await
    }

    /// Fails when the repository has no remote of this name. A URL is no name: what may be
    /// reached is what the repository's owner has set up.
    pub(crate) async fn is_remote(&self, remote: &str) -> Result<(), Failure> {
        plain::word("remote", remote)?;
        let known = self.ask(["remote"]).await?.unwrap_or_default();
        if known.lines().any(|known| known == remote) {
            return Ok(());
        }
        let shown = without_password(remote);
        let known = known.lines().collect::<Vec<_>>().join("`, `");
        Err(Failure::new(if known.is_empty() {
            format!("the repository has no remote `{shown}`, and no other")
        } else {
            format!("the repository has no remote `{shown}`; it has `{known}`")
        }))
    }

    /// Fails when this is no name that a branch may have.
    pub(crate) async fn is_branch_name(&self, field: &str, name: &str) -> Result<(), Failure> {
        plain::word(field, name)?;
        match self.ask(["check-ref-format", &format!("refs/heads/{name}")]).await? {
            Some(_) => Ok(()),
            None => Err(Failure::new(format!("`{field}` is no name of a branch: `{name}`"))),
        }
    }
}
