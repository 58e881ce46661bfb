//! Every task is ended in the middle of its work, by its time limit and by a cancellation.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use executor_sdk::harness::{Ending, Harness, until};
use executor_sdk::prelude::*;
use fenrir_executor::{Environment, Fenrir};
use tempfile::TempDir;

use crate::stage::{environment, everything, git};

/// A Fenrir on whose node every tool leaves a mark and hangs.
struct Hanging {
    fenrir: Harness,
    home: TempDir,
}

impl Hanging {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mark = home.path().join("mark");
        let script = format!("touch {}; exec sleep 600", mark.display());
        let ssh = home.path().join("ssh");
        fs::write(&ssh, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
        let config = home.path().join("gitconfig");
        fs::write(&config, format!("[core]\n\tsshCommand = {}\n", ssh.display())).unwrap();
        let environment = Environment { git_config_global: Some(config.into()), ..environment() };
        let mut setup = Harness::with(Fenrir::new(environment));
        for tool in ["df", "shellcheck", "make"] {
            setup = setup.program(tool, script.clone());
        }
        let hanging = Self { fenrir: setup.start().await, home };
        let tree = hanging.path("tree");
        fs::create_dir(&tree).unwrap();
        git(&tree, &["init", "--quiet", "--initial-branch=main"]);
        git(&tree, &["config", "user.name", "F"]);
        git(&tree, &["config", "user.email", "f@example.org"]);
        git(&tree, &["remote", "add", "origin", "ssh://nowhere.invalid/repo"]);
        fs::write(tree.join("a.sh"), "#!/bin/sh\n").unwrap();
        fs::write(tree.join("Makefile"), "test:\n\ttrue\n").unwrap();
        git(&tree, &["add", "."]);
        git(&tree, &["commit", "--quiet", "--message=first"]);
        hanging
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().canonicalize().unwrap().join(name)
    }

    /// Returns the files of the work tree and its commit; and no lock of git's may be left.
    fn state(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let tree = self.path("tree");
        let commit = git(&tree, &["rev-parse", "HEAD"]);
        let mut all = everything(&tree);
        let lock = all.iter().find(|(path, _)| path.extension().is_some_and(|it| it == "lock"));
        assert!(lock.is_none(), "{lock:?}");
        all.retain(|(path, _)| !path.starts_with(tree.join(".git")));
        (all, commit)
    }

    /// Every task, in a way that needs a tool that hangs.
    fn orders(&self) -> Vec<(&'static str, Value)> {
        let tree = self.path("tree");
        let url = "ssh://nowhere.invalid/repo";
        vec![
            ("dev-health-check", json!({})),
            ("git-clone", json!({"repo_url": url, "dest_path": self.path("a/clone")})),
            ("git-status", json!({"repo_path": tree, "fetch": true})),
            ("git-pull", json!({"repo_path": tree})),
            ("git-commit", json!({"repo_path": tree, "message": "x", "push": true})),
            ("git-push", json!({"repo_path": tree})),
            ("code-review", json!({"repo_path": tree})),
            ("run-tests", json!({"repo_path": tree})),
        ]
    }
}

#[tokio::test]
async fn every_task_ends_at_its_time_limit() {
    let hanging = Hanging::new().await;
    let before = hanging.state();

    for (task, params) in hanging.orders() {
        let mut order = Harness::new_order(task, params);
        order.timeout_seconds = Some(1.0);
        let outcome = hanging.fenrir.order(&order).await.unwrap();
        assert_eq!(outcome.status, Ending::TimedOut, "{task}: {outcome:?}");
    }

    assert_eq!(hanging.state(), before);
    assert!(!hanging.path("a").exists());
}

#[tokio::test]
async fn every_task_ends_when_it_is_cancelled() {
    let hanging = Hanging::new().await;
    let before = hanging.state();
    let mark = hanging.path("mark");

    for (task, params) in hanging.orders() {
        let started = hanging.fenrir.execute_async(task, params).await.unwrap();
        until(&format!("the tool of {task} runs"), async || mark.exists()).await;
        hanging.fenrir.cancel(started.attempt).await.unwrap();
        let outcome = hanging.fenrir.outcome(started.attempt).await;
        assert_eq!(outcome.status, Ending::Cancelled, "{task}: {outcome:?}");
        fs::remove_file(&mark).unwrap();
    }

    assert_eq!(hanging.state(), before);
    assert!(!hanging.path("a").exists());
}
