//! `git-status`: what a work tree has that its commit, or its remote, has not.

use executor_sdk::prelude::*;

use crate::git::{Git, without_password};
use crate::{Fenrir, plain};

/// How many names each list of the result holds.
const SHOWN_FILES: usize = 1000;

/// Tells the branch and the commit of a work tree, what is changed in it, and how far it is from
/// its remote.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GitStatus {
    /// The top of the work tree: an absolute path.
    repo_path: String,
    /// Ask the remote first (default: compare with what was last fetched).
    #[serde(default)]
    fetch: bool,
    /// Fail when something is changed, untracked or in conflict.
    #[serde(default)]
    require_clean: bool,
    /// Fail when the branch is ahead of or behind its upstream, or has none.
    #[serde(default)]
    require_synced: bool,
}

impl Task<Fenrir> for GitStatus {
    const TYPE: &'static str = "git-status";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(5));
    const IDEMPOTENT: bool = true;
    const TOOLS: &'static [&'static str] = &["git"];

    fn asks(params: &Map<String, Value>) -> Vec<Ask> {
        Ask::paths(params, &["repo_path"])
    }

    async fn run(self, executor: &Fenrir, cx: &Context) -> TaskResult {
        let top = plain::absolute("repo_path", &self.repo_path)?;
        let git = Git::at_top(&top, executor, cx).await?;
        if self.fetch {
            let _turn = executor.changing.hold(git.folder()).await;
            // Without a remote there is nothing to ask, and git says nothing.
            let fetch = git.remote_command(["fetch"]).await?;
            fetch.await.map_err(|failure| failure.context("the remote cannot be asked"))?;
        }
        let status = git
            // Looking changes nothing, not even the index.
            .command(["--no-optional-locks", "status", "--porcelain=v2", "-z"])
            .args(["--branch", "--show-stash", "--untracked-files=all", "--renames"])
            .split()
            .quiet()
            .await?;
        let status = Status::read(status.stdout())
            .ok_or_else(|| Failure::new("git tells its status in words that are not understood"))?;
        let unfinished = unfinished(&git).await?;
        let remote = git.configured("remote.origin.url").await?;
        let remote = remote.as_deref().map(without_password);
        let data = status.data(unfinished, remote.as_deref());
        let text = status.text(unfinished);

        let mut breaches = Vec::new();
        if self.require_clean && !status.is_clean() {
            breaches.push("the work tree is not clean");
        }
        if self.require_synced && (status.upstream.is_none() || status.apart != Some((0, 0))) {
            breaches.push("the branch is not where its upstream is");
        }
        if breaches.is_empty() {
            return Ok(Report::text(text).with_data(&data));
        }
        Err(Failure::new(format!("{}: {text}", breaches.join(", and "))).with_data(&data))
    }
}

/// What `git status --porcelain=v2` tells.
#[derive(Debug, Default, PartialEq, Eq)]
struct Status {
    commit: Option<String>,
    branch: Option<String>,
    upstream: Option<String>,
    // Commits that only we have, and that only the upstream has; unknown without one.
    apart: Option<(u64, u64)>,
    stashes: u64,
    staged: Vec<String>,
    changed: Vec<String>,
    conflicts: Vec<String>,
    untracked: Vec<String>,
}

impl Status {
    /// Reads the output of `-z`; `None` where it is not of that form.
    fn read(text: &str) -> Option<Self> {
        let mut status = Self::default();
        let mut entries = text.split_terminator('\0');
        while let Some(entry) = entries.next() {
            let (kind, rest) = entry.split_once(' ')?;
            match kind {
                "#" => status.header(rest)?,
                "?" => status.untracked.push(rest.to_owned()),
                // XY SUBMODULE MODE MODE MODE HASH HASH PATH, and for a rename SCORE before it.
                "1" => status.change(rest, 7)?,
                "2" => {
                    status.change(rest, 8)?;
                    // The name before the rename.
                    entries.next()?;
                }
                "u" => status.conflicts.push(rest.splitn(10, ' ').nth(9)?.to_owned()),
                "!" => {}
                _ => return None,
            }
        }
        Some(status)
    }

    fn header(&mut self, line: &str) -> Option<()> {
        let (name, value) = line.split_once(' ')?;
        match name {
            "branch.oid" => self.commit = (value != "(initial)").then(|| value.to_owned()),
            "branch.head" => self.branch = (value != "(detached)").then(|| value.to_owned()),
            "branch.upstream" => self.upstream = Some(value.to_owned()),
            "branch.ab" => {
                let (ahead, behind) = value.split_once(' ')?;
                let ahead = ahead.strip_prefix('+')?.parse().ok()?;
                self.apart = Some((ahead, behind.strip_prefix('-')?.parse().ok()?));
            }
            "stash" => self.stashes = value.parse().ok()?,
            // Headers that are not known may be ignored, says git.
            _ => {}
        }
        Some(())
    }

    fn change(&mut self, rest: &str, words_before_the_path: usize) -> Option<()> {
        let path = rest.splitn(words_before_the_path + 1, ' ').nth(words_before_the_path)?;
        let mut states = rest.chars();
        if states.next()? != '.' {
            self.staged.push(path.to_owned());
        }
        if states.next()? != '.' {
            self.changed.push(path.to_owned());
        }
        Some(())
    }

    fn is_clean(&self) -> bool {
        [&self.staged, &self.changed, &self.conflicts, &self.untracked]
            .iter()
            .all(|list| list.is_empty())
    }

    fn data(&self, unfinished: Option<&str>, remote_url: Option<&str>) -> Value {
        let shown = |list: &Vec<String>| list[..list.len().min(SHOWN_FILES)].to_vec();
        json!({
            "commit": self.commit,
            "branch": self.branch,
            "upstream": self.upstream,
            "remote_url": remote_url,
            "ahead": self.apart.map(|(ahead, _)| ahead),
            "behind": self.apart.map(|(_, behind)| behind),
            "clean": self.is_clean(),
            "staged": shown(&self.staged),
            "changed": shown(&self.changed),
            "conflicts": shown(&self.conflicts),
            "untracked": shown(&self.untracked),
            "counts": {
                "staged": self.staged.len(),
                "changed": self.changed.len(),
                "conflicts": self.conflicts.len(),
                "untracked": self.untracked.len(),
            },
            "stashes": self.stashes,
            "unfinished": unfinished,
        })
    }

    fn text(&self, unfinished: Option<&str>) -> String {
        let branch = self.branch.as_deref().unwrap_or("no branch");
        let commit = self.commit.as_deref().unwrap_or("no commit yet");
        let mut parts = vec![format!("{branch} at {commit}")];
        if self.is_clean() {
            parts.push("clean".to_owned());
        }
        for (list, word) in [
            (&self.staged, "staged"),
            (&self.changed, "changed"),
            (&self.conflicts, "in conflict"),
            (&self.untracked, "untracked"),
        ] {
            if !list.is_empty() {
                parts.push(format!("{} {word}", list.len()));
            }
        }
        let upstream = match (&self.upstream, self.apart) {
            (Some(upstream), Some((0, 0))) => format!("as {upstream}"),
            (Some(upstream), Some((ahead, behind))) => {
                format!("{ahead} ahead of and {behind} behind {upstream}")
            }
            (Some(upstream), None) => format!("{upstream} is gone"),
            (None, _) => "no upstream".to_owned(),
        };
        let middle =
            unfinished.map_or(String::new(), |what| format!("; in the middle of a {what}"));
        format!("{}; {upstream}{middle}", parts.join(", "))
    }
}

/// Returns what a person has begun and not ended.
async fn unfinished(git: &Git<'_>) -> Result<Option<&'static str>, Failure> {
    for (name, what) in [
        ("MERGE_HEAD", "merge"),
        ("rebase-merge", "rebase"),
        ("rebase-apply", "rebase"),
        ("CHERRY_PICK_HEAD", "cherry-pick"),
        ("REVERT_HEAD", "revert"),
        ("BISECT_LOG", "bisect"),
    ] {
        let Some(path) = git.ask(["rev-parse", "--git-path", name]).await? else { continue };
        if tokio::fs::try_exists(git.folder().join(path)).await.unwrap_or(false) {
            return Ok(Some(what));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_entry_is_read() {
        let zeros = "100644 100644 100644 aaa bbb";
        let text = [
            "# branch.oid abc",
            "# branch.head topic/x",
            "# branch.upstream origin/topic/x",
            "# branch.ab +2 -1",
            "# stash 3",
            "# something new",
            &format!("1 M. N... {zeros} staged one"),
            &format!("1 .M N... {zeros} changed"),
            &format!("1 MM N... {zeros} both"),
            &format!("2 R. N... {zeros} R100 new name"),
            "old name",
            "u UU N... 100644 100644 100644 100644 a b c con flict",
            "? un\ntracked",
            "",
        ]
        .join("\0");

        let status = Status::read(&text).unwrap();

        assert_eq!(status.branch.as_deref(), Some("topic/x"));
        assert_eq!((status.apart, status.stashes), (Some((2, 1)), 3));
        assert_eq!(status.staged, ["staged one", "both", "new name"]);
        assert_eq!(status.changed, ["changed", "both"]);
        assert_eq!(status.conflicts, ["con flict"]);
        assert_eq!(status.untracked, ["un\ntracked"]);
    }

    #[test]
    fn what_is_not_of_the_form_is_no_status() {
        for text in ["x", "1 M. short", "# branch.ab 1 2", "9 x"] {
            assert_eq!(Status::read(text), None, "{text}");
        }
    }
}
