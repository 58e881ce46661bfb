//! `git-clone`: a repository at a place, whole or not at all.

use std::num::NonZeroU32;

use executor_sdk::prelude::*;

use crate::beside::Beside;
use crate::git::{Git, without_password};
use crate::{Fenrir, NOTES, plain};

/// Clones a git repository; the same remote and branch already there is a success, anything else
/// there is refused and left alone.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GitClone {
    /// What to clone: a URL, `user@host:path`, or an absolute path.
    repo_url: String,
    /// Where to put it: an absolute path. Missing parents are made.
    dest_path: String,
    /// The branch or tag to check out (default: the remote's own branch).
    #[serde(default)]
    branch: Option<String>,
    /// How many commits of the history to fetch (default: all).
    #[serde(default)]
    depth: Option<NonZeroU32>,
}

impl Task<Fenrir> for GitClone {
    const TYPE: &'static str = "git-clone";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(30));
    const IDEMPOTENT: bool = true;
    const RETRYABLE: bool = true;
    const TOOLS: &'static [&'static str] = &["git"];

    fn asks(params: &Map<String, Value>) -> Vec<Ask> {
        Ask::paths(params, &["dest_path"])
    }

    async fn run(self, executor: &Fenrir, cx: &Context) -> TaskResult {
        is_source(&self.repo_url)?;
        if let Some(branch) = &self.branch {
            plain::word("branch", branch)?;
        }
        let place = plain::absolute("dest_path", &self.dest_path)?;
        let _turn = executor.changing.hold(&place).await;

        if is_free(&place).await? {
            self.clone_to(&place, executor, cx).await
        } else {
            self.compare(&place, executor, cx).await
        }
    }
}

impl GitClone {
    async fn clone_to(self, place: &Path, executor: &Fenrir, cx: &Context) -> TaskResult {
        let beside = {
            let (place, notes) = (place.to_owned(), cx.state_dir().join(NOTES));
            tokio::task::spawn_blocking(move || Beside::make(&place, &notes)).await??
        };
        let work = beside.work();
        let parent = place.parent().unwrap_or(place);

        let mut args = vec!["clone".to_owned()];
        if let Some(branch) = &self.branch {
            args.push(format!("--branch={branch}"));
        }
        if let Some(depth) = self.depth {
            // Git ignores the depth of a plain path unless it is told to copy as over a network.
            args.extend([format!("--depth={depth}"), "--no-local".to_owned()]);
        }
        args.extend(["--".to_owned(), self.repo_url.clone()]);
        let command = Git::within(parent, executor, cx).remote_command(args).await?;
        let shown = without_password(&self.repo_url);
        command.arg(&work).await.map_err(|failure| {
            failure.context(format!("`{shown}` was not cloned, and `{}` not made", place.display()))
        })?;

        let git = Git::within(&work, executor, cx);
        let commit = git.commit().await?;
        let branch = git.branch().await?;
        tokio::task::spawn_blocking(move || beside.finish()).await??;

        let text = match &commit {
            Some(commit) => format!("cloned {shown} to {}: {commit}", place.display()),
            None => format!("cloned {shown} to {}: it has no commit yet", place.display()),
        };
        Ok(self.report(&text, true, commit.as_deref(), branch.as_deref()))
    }

    /// Says whether what is there already is what was asked for.
    async fn compare(self, place: &Path, executor: &Fenrir, cx: &Context) -> TaskResult {
        let shown = place.display();
        let refused = |why: String| {
            Failure::new(format!("`{shown}` is there already and was left alone: {why}"))
        };
        let git = match Git::at_top(place, executor, cx).await {
            Ok(git) => git,
            Err(failure) => return Err(refused(failure.error().to_owned())),
        };
        let Some(remote) = git.ask(["config", "--get", "remote.origin.url"]).await? else {
            return Err(refused("it is a repository without a remote `origin`".to_owned()));
        };
        if !is_same_remote(&remote, &self.repo_url) {
            let remote = without_password(&remote);
            return Err(refused(format!("it is a clone of `{remote}`")));
        }
        let commit = git.commit().await?;
        let branch = git.branch().await?;
        let wanted = match &self.branch {
            Some(branch) => Some(branch.clone()),
            None => default_branch(&git).await?,
        };
        if let Some(wanted) = wanted
            && branch.as_ref() != Some(&wanted)
            && !(branch.is_none() && is_at_tag(&git, &wanted, commit.as_deref()).await?)
        {
            let there = branch.as_deref().unwrap_or("no branch, but a bare commit");
            return Err(refused(format!("`{wanted}` is wanted, and checked out is {there}")));
        }

        let at = commit.as_deref().unwrap_or("no commit yet");
        let text = format!("{shown} is this clone already, at {at}; nothing was fetched");
        Ok(self.report(&text, false, commit.as_deref(), branch.as_deref()))
    }

    fn report(
        &self,
        text: &str,
        cloned: bool,
        commit: Option<&str>,
        branch: Option<&str>,
    ) -> Report {
        Report::text(text).with_data(&json!({
            "cloned": cloned,
            "commit": commit,
            "branch": branch,
            "repo_url": without_password(&self.repo_url),
            "dest_path": self.dest_path,
        }))
    }
}

/// Refuses what git would read as an option, a transport of its own, or a path relative to us.
fn is_source(url: &str) -> Result<(), Failure> {
    plain::word("repo_url", url)?;
    if url.starts_with('/') || url.contains("://") && !url.contains("::") {
        return Ok(());
    }
    let before_slash = url.split('/').next().unwrap_or_default();
    match before_slash.split_once(':') {
        Some((transport, rest)) if rest.starts_with(':') && !transport.contains('[') => {
            Err(Failure::new(format!(
                "`repo_url` names the transport `{transport}::`, which is not allowed"
            )))
        }
        Some(_) => Ok(()),
        None => Err(Failure::new(
            "`repo_url` is neither a URL, nor `user@host:path`, nor an absolute path",
        )),
    }
}

/// Whether a clone may be put there: nothing is there, or an empty folder.
async fn is_free(place: &Path) -> Result<bool, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(format!("cannot look at `{}`: {error}", place.display()))
    };
    match tokio::fs::symlink_metadata(place).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(cannot(error)),
        Ok(found) if found.is_dir() => {
            let mut entries = tokio::fs::read_dir(place).await.map_err(cannot)?;
            Ok(entries.next_entry().await.map_err(cannot)?.is_none())
        }
        Ok(_) => Ok(false),
    }
}

fn is_same_remote(one: &str, other: &str) -> bool {
    fn bare(url: &str) -> &str {
        let url = url.trim_end_matches('/');
        // A server takes both; on a disk they can be two repositories.
        if url.starts_with('/') || url.starts_with("file:") {
            return url;
        }
        url.strip_suffix(".git").unwrap_or(url)
    }
    bare(one) == bare(other)
}

async fn default_branch(git: &Git<'_>) -> Result<Option<String>, Failure> {
    let head = git.ask(["symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"]).await?;
    Ok(head.and_then(|head| head.strip_prefix("origin/").map(str::to_owned)))
}

async fn is_at_tag(git: &Git<'_>, tag: &str, commit: Option<&str>) -> Result<bool, Failure> {
    let tagged = format!("refs/tags/{tag}^{{commit}}");
    let tagged = git.ask(["rev-parse", "--verify", "--quiet", &tagged]).await?;
    Ok(tagged.is_some() && tagged.as_deref() == commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_url_or_an_absolute_path() {
        let good = [
            "https://host/a/b.git",
            "ssh://git@host:22/a",
            "git@host:a/b",
            "host:a",
            "[::1]:a",
            "file:///srv/a",
            "/srv/a b",
            "/srv/$(x);'",
        ];
        for url in good {
            assert!(is_source(url).is_ok(), "{url}");
        }
        let bad =
            ["", "-u", "a/b", "../a", "ext::sh -c x", "fd::3", "ext::https://x", "a\nb", "\0"];
        for url in bad {
            assert!(is_source(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_remote_is_the_same_with_and_without_what_servers_ignore() {
        assert!(is_same_remote("https://h/a.git", "https://h/a"));
        assert!(is_same_remote("git@h:a/", "git@h:a.git"));
        assert!(!is_same_remote("/srv/a.git", "/srv/a"));
        assert!(!is_same_remote("https://h/a", "https://h/b"));
    }
}
