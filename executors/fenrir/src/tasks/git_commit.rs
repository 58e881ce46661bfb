//! `git-commit`: what is in a work tree becomes a commit, and is pushed when asked.

use executor_sdk::prelude::*;

use crate::files::Files;
use crate::git::{Git, Push, pathspec};
use crate::{Fenrir, plain};

/// How many names of files the result lists.
const SHOWN_FILES: usize = 1000;

/// Commits what is in a work tree; nothing to commit is a success that says so.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GitCommit {
    /// The top of the work tree: an absolute path.
    repo_path: String,
    /// The commit message.
    message: String,
    /// Commit only what changed below these paths of the repository (default: everything, or
    /// only `files` where there are some).
    #[serde(default)]
    paths: Vec<String>,
    /// Write these files first.
    #[serde(default)]
    files: Vec<File>,
    /// Push the branch to its remote afterwards, also when there was nothing to commit.
    #[serde(default)]
    push: bool,
}

/// A file to write before the commit.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct File {
    /// Where it lies, from the top of the repository.
    path: String,
    /// The whole of its text.
    content: String,
}

impl Task<Fenrir> for GitCommit {
    const TYPE: &'static str = "git-commit";
    // The second run finds nothing to commit, and pushes what the first may not have pushed.
    const IDEMPOTENT: bool = true;
    const TOOLS: &'static [&'static str] = &["git"];

    fn asks(params: &Map<String, Value>) -> Vec<Ask> {
        Ask::paths(params, &["repo_path"])
    }

    async fn run(self, executor: &Fenrir, cx: &Context) -> TaskResult {
        if self.message.trim().is_empty() || self.message.contains('\0') {
            return Err(Failure::new("`message` is empty, or contains NUL"));
        }
        let top = plain::absolute("repo_path", &self.repo_path)?;
        let git = Git::at_top(&top, executor, cx).await?;
        let _turn = executor.changing.hold(git.folder()).await;
        let paths = self.wanted_paths()?;
        let push = if self.push { Some(Push::of_this_branch(&git).await?) } else { None };
        has_identity(&git).await?;
        has_no_conflict(&git).await?;

        self.write_files(&git).await?;
        let staged = stage(&git, &paths).await?;
        let committed = !staged.is_empty();
        let before = git.commit().await?;
        if committed {
            self.commit(&git, &paths).await?;
        }
        let commit = git.commit().await?;
        if committed && commit == before {
            let error = "git says that it committed, but the branch is where it was";
            return Err(Failure::new(error));
        }
        let mut data = json!({
            "committed": committed,
            "commit": commit,
            "branch": git.branch().await?,
            "files": &staged[..staged.len().min(SHOWN_FILES)],
            "files_count": staged.len(),
            "pushed": false,
        });
        let at = commit.as_deref().unwrap_or("no commit yet");
        let mut text = if committed {
            format!("committed {} files: {at}", staged.len())
        } else {
            format!("nothing to commit; at {at}")
        };
        if let Some(push) = push {
            if let Err(failure) = push.run(&git).await {
                let failure = failure.context(format!("{text}, but it was not pushed"));
                return Err(failure.with_data(&data));
            }
            data["pushed"] = Value::Bool(true);
            text = format!("{text}; pushed to {}", push.remote);
        }
        Ok(Report::text(text).with_data(&data))
    }
}

impl GitCommit {
    /// Returns what the commit is limited to; empty: everything.
    fn wanted_paths(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut paths = Vec::new();
        for (index, path) in self.paths.iter().enumerate() {
            paths.push(plain::below(&format!("paths[{index}]"), path)?);
        }
        for (index, file) in self.files.iter().enumerate() {
            paths.push(plain::below(&format!("files[{index}].path"), &file.path)?);
        }
        if paths.iter().any(|path| path.as_os_str().is_empty()) {
            // The top itself: everything.
            paths.clear();
        }
        Ok(paths)
    }

    async fn write_files(&self, git: &Git<'_>) -> Result<(), Failure> {
        if self.files.is_empty() {
            return Ok(());
        }
        let mut files = Files::new(git.folder());
        for (index, file) in self.files.iter().enumerate() {
            let path = plain::below(&format!("files[{index}].path"), &file.path)?;
            if is_ignored(git, &path).await? {
                return Err(Failure::new(format!(
                    "`{}` is ignored by a .gitignore, so it would not be committed",
                    path.display()
                )));
            }
            files.add(path, file.content.clone())?;
        }
        tokio::task::spawn_blocking(move || files.write()).await?
    }

    async fn commit(&self, git: &Git<'_>, paths: &[PathBuf]) -> Result<(), Failure> {
        let mut command = git
            .command(["-c", "user.useConfigOnly=true", "commit", "--file=-"])
            .stdin(self.message.as_bytes());
        if !paths.is_empty() {
            // What somebody else has staged elsewhere stays staged, and out of this commit.
            command = command.args(["--only", "--"]).args(paths.iter().map(|path| pathspec(path)));
        }
        command.await.map_err(|failure| failure.context("nothing was committed"))?;
        Ok(())
    }
}

/// Fails with the remedy when git does not know who commits.
///
/// Git would otherwise make up an identity from the names of the user and of the machine.
async fn has_identity(git: &Git<'_>) -> Result<(), Failure> {
    for who in ["GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"] {
        if git.ask(["-c", "user.useConfigOnly=true", "var", who]).await?.is_none() {
            let folder = git.folder().display();
            return Err(Failure::new(format!(
                "git does not know who commits in `{folder}`: set `git -C {folder} config user.name NAME` \
                 and `git -C {folder} config user.email MAIL`, or both with --global for the user \
                 that the executor runs as"
            )));
        }
    }
    Ok(())
}

/// Whether a .gitignore keeps this file, which is not tracked, out of commits.
async fn is_ignored(git: &Git<'_>, path: &Path) -> Result<bool, Failure> {
    // This command takes paths, and only `:` at the start makes one more than that.
    let path = Path::new(".").join(path);
    let answer =
        git.command(["check-ignore", "--quiet", "--"]).arg(path).quiet().any_exit().await?;
    Ok(answer.exit_code() == Some(0))
}

/// Fails while a merge waits for a person: staging would call its conflicts resolved.
async fn has_no_conflict(git: &Git<'_>) -> Result<(), Failure> {
    match git.ask(["ls-files", "--unmerged"]).await? {
        Some(conflicts) if !conflicts.is_empty() => Err(Failure::new(
            "the work tree has merge conflicts that a person has to resolve; nothing was changed",
        )),
        _ => Ok(()),
    }
}

/// Stages the changes below `paths` and returns the names of the files that the commit will hold.
async fn stage(git: &Git<'_>, paths: &[PathBuf]) -> Result<Vec<String>, Failure> {
    git.command(["add", "--all", "--"])
        .args(paths.iter().map(|path| pathspec(path)))
        .await
        .map_err(|failure| failure.context("nothing was committed"))?;
    let names = git
        .command(["diff", "--cached", "--name-only", "--no-renames", "-z", "--"])
        .args(paths.iter().map(|path| pathspec(path)))
        .split()
        .quiet()
        .await?;
    let names = names.stdout().split('\0').filter(|name| !name.is_empty());
    Ok(names.map(str::to_owned).collect())
}
