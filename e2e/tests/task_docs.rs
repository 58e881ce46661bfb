//! `docs/tasks.md` says what the executors say of their tasks.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use std::time::Duration;

use daemon::process;
use e2e::command::{self, Answer};
use e2e::programs;

async fn task_docs(args: &[&str]) -> Answer {
    let command = process::Command::new(programs::ours("task-docs"))
        .args(args)
        .env("PATH", programs::path())
        .limit(Duration::from_mins(5));
    command::run(command).await.unwrap()
}

#[tokio::test]
async fn the_page_of_the_tasks_is_fresh() {
    let answer = task_docs(&[]).await;

    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
}

#[tokio::test]
async fn a_page_that_is_not_fresh_is_told_and_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tasks.md");
    let name = file.to_str().unwrap();
    std::fs::write(&file, "# Tasks\n\nNone.\n").unwrap();

    let stale = task_docs(&["--file", name]).await;
    let written = task_docs(&["--file", name, "--write"]).await;
    let fresh = task_docs(&["--file", name]).await;

    assert_ne!(stale.code, Some(0));
    assert!(stale.stderr.contains("from line 3 on; run `make docs`"), "{}", stale.stderr);
    assert_eq!((written.code, fresh.code), (Some(0), Some(0)), "{written:?} {fresh:?}");
    let page = std::fs::read_to_string(&file).unwrap();
    for part in ["## Fenrir", "### `git-commit`", "## Surtr", "## Huginn", "### `run-playbook`"] {
        assert_eq!(page.matches(&format!("{part}\n")).count(), 1, "{part}");
    }
}
