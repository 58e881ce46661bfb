//! What the tests stand on: a Fenrir, a folder of its own, and git to set the stage with.

use std::fs;
use std::path::{Path, PathBuf};

use executor_sdk::harness::{Ending, Harness, Outcome};
use executor_sdk::prelude::*;
use fenrir_executor::{Environment, Fenrir};
use tempfile::TempDir;

/// A running Fenrir and the folder that its repositories lie in.
pub(crate) struct Stage {
    pub(crate) fenrir: Harness,
    home: TempDir,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(|_| environment()).await
    }

    /// Starts a Fenrir whose commands see an environment made for its folder.
    pub(crate) async fn with(environment: impl FnOnce(&Path) -> Environment) -> Self {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        Self { fenrir: Harness::start(Fenrir::new(environment)).await, home }
    }

    /// Starts a Fenrir that finds these programs before any other.
    pub(crate) async fn on_path(folder: &Path) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { fenrir: Harness::with(Fenrir::new(environment())).path(folder).start().await, home }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Makes a work tree with one commit and an identity of its own.
    pub(crate) fn work_tree(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        git(&path, &["init", "--quiet", "--initial-branch=main"]);
        git(&path, &["config", "user.name", "Fenrir"]);
        git(&path, &["config", "user.email", "fenrir@example.org"]);
        self.put(&format!("{name}/README"), "first\n");
        git(&path, &["add", "README"]);
        git(&path, &["commit", "--quiet", "--message=first"]);
        path
    }

    /// Makes a bare repository with two commits on `main`, a branch `side` and a tag `v1`.
    pub(crate) fn bare(&self, name: &str) -> PathBuf {
        let tree = self.work_tree(&format!("{name}-source"));
        git(&tree, &["tag", "v1"]);
        git(&tree, &["branch", "side"]);
        git(&tree, &["commit", "--quiet", "--allow-empty", "--message=second"]);
        let bare = self.path(name);
        git(&self.path(""), &["clone", "--quiet", "--bare", tree.to_str().unwrap(), name]);
        bare
    }

    /// Makes a clone with an identity of its own.
    pub(crate) fn clone_of(&self, bare: &Path, name: &str) -> PathBuf {
        let path = self.path(name);
        git(&self.path(""), &["clone", "--quiet", bare.to_str().unwrap(), name]);
        git(&path, &["config", "user.name", "Fenrir"]);
        git(&path, &["config", "user.email", "fenrir@example.org"]);
        path
    }

    /// Makes a commit of one file in a work tree, and returns its name.
    pub(crate) fn commit(&self, tree: &str, file: &str, text: &str) -> String {
        self.put(&format!("{tree}/{file}"), text);
        git(&self.path(tree), &["add", file]);
        git(&self.path(tree), &["commit", "--quiet", "--message=more"]);
        git(&self.path(tree), &["rev-parse", "HEAD"])
    }

    /// Orders a task that must have started, and returns how it ended.
    pub(crate) async fn run(&self, task: &str, params: Value) -> Outcome {
        self.fenrir.execute(task, params).await.unwrap()
    }
}

/// Returns what Fenrir's commands see here: this machine's toolchains, and no one's git config.
pub(crate) fn environment() -> Environment {
    Environment {
        git_config_global: Some("/dev/null".into()),
        cargo_home: std::env::var_os("CARGO_HOME"),
        rustup_home: std::env::var_os("RUSTUP_HOME"),
        rustup_toolchain: std::env::var_os("RUSTUP_TOOLCHAIN"),
        pyenv_root: std::env::var_os("PYENV_ROOT"),
        ..Environment::default()
    }
}

/// Runs git to set the stage, and returns what it prints.
pub(crate) fn git(folder: &Path, args: &[&str]) -> String {
    let output = program("git").current_dir(folder).args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Returns whether a program runs here and ends well.
pub(crate) fn works(name: &str, args: &[&str]) -> bool {
    program(name).args(args).output().is_ok_and(|output| output.status.success())
}

#[expect(clippy::disallowed_methods, reason = "a test sets its stage without the code it tests")]
pub(crate) fn program(name: &str) -> std::process::Command {
    let mut command = std::process::Command::new(name);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
    command
}

/// Returns where `make test` puts Python's tools, if these are there.
pub(crate) fn python_tools(names: &[&str]) -> Option<PathBuf> {
    tools("python/bin", names)
}

/// Returns where `make test` puts JavaScript's tools, if these are there.
pub(crate) fn node_tools(names: &[&str]) -> Option<PathBuf> {
    tools("node/node_modules/.bin", names)
}

/// Returns where `make test` puts what Maven downloads, if it is there.
pub(crate) fn maven_repository() -> Option<PathBuf> {
    tools("m2", &[]).filter(|folder| folder.is_dir())
}

fn tools(folder: &str, names: &[&str]) -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target =
        target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"));
    let folder = target.join("tools").join(folder);
    let is_here = |name: &&str| works(folder.join(name).to_str().unwrap(), &["--version"]);
    names.iter().all(is_here).then_some(folder)
}

/// Says aloud that a test is skipped.
pub(crate) fn skipped(test: &str, why: &str) {
    eprintln!("skipped: {test}: {why}");
}

#[track_caller]
pub(crate) fn completed(outcome: &Outcome) -> &Value {
    assert_eq!(outcome.status, Ending::Completed, "{outcome:?}");
    &outcome.data
}

/// Returns the error of a task that failed.
#[track_caller]
pub(crate) fn failed(outcome: &Outcome) -> &str {
    assert_eq!(outcome.status, Ending::Failed, "{outcome:?}");
    outcome.error.as_deref().unwrap()
}

/// Returns the names of all files and folders below a folder, with the files' contents.
pub(crate) fn everything(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                folders.push(path.clone());
                found.push((path, None));
            } else {
                let content = fs::read(&path).ok();
                found.push((path, content));
            }
        }
    }
    found.sort();
    found
}
