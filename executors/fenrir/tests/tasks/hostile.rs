//! Hostile values in every text param of every task, on real repositories.

use std::fs;

use executor_sdk::harness::Harness;
use executor_sdk::harness::hostile::{HERE, Row, Table, builtin};
use executor_sdk::prelude::*;
use fenrir_executor::Fenrir;

use crate::stage::{Stage, environment};

/// Every text param of Fenrir's own tasks.
fn rows(bare: &Path, tree: &Path, clone: &str) -> Vec<Row> {
    let file = json!([{"path": "a", "content": HERE}]);
    let at_file = json!([{"path": HERE, "content": "x"}]);
    let all = [
        ("dev-health-check", "require_tools", json!({"require_tools": [HERE]})),
        ("git-clone", "repo_url", json!({"repo_url": HERE, "dest_path": clone})),
        ("git-clone", "dest_path", json!({"repo_url": bare, "dest_path": HERE})),
        ("git-clone", "branch", json!({"repo_url": bare, "dest_path": clone, "branch": HERE})),
        ("git-status", "repo_path", json!({"repo_path": HERE, "fetch": true})),
        ("git-pull", "repo_path", json!({"repo_path": HERE})),
        ("git-pull", "remote", json!({"repo_path": tree, "remote": HERE})),
        ("git-pull", "branch", json!({"repo_path": tree, "branch": HERE})),
        ("git-commit", "repo_path", json!({"repo_path": HERE, "message": "x"})),
        (
            "git-commit",
            "message",
            json!({"repo_path": tree, "message": HERE, "files": [{"path": "b", "content": "x"}]}),
        ),
        ("git-commit", "files.content", json!({"repo_path": tree, "message": "x", "files": file})),
        ("git-commit", "files.path", json!({"repo_path": tree, "message": "x", "files": at_file})),
        ("git-commit", "paths", json!({"repo_path": tree, "message": "x", "paths": [HERE]})),
        ("git-push", "repo_path", json!({"repo_path": HERE})),
        ("git-push", "remote", json!({"repo_path": tree, "remote": HERE})),
        ("git-push", "branch", json!({"repo_path": tree, "branch": HERE})),
        ("code-review", "repo_path", json!({"repo_path": HERE})),
        ("code-review", "base", json!({"repo_path": tree, "base": HERE})),
        ("code-review", "fail_on", json!({"repo_path": tree, "fail_on": HERE})),
        ("code-review", "sarif_file", json!({"repo_path": tree, "sarif_file": HERE})),
        ("run-tests", "repo_path", json!({"repo_path": HERE})),
        ("run-tests", "command", json!({"repo_path": tree, "command": [HERE]})),
        ("run-tests", "command", json!({"repo_path": tree, "command": ["true", HERE]})),
        ("run-tests", "tool", json!({"repo_path": tree, "tool": HERE})),
    ];
    all.into_iter().map(|(task, param, params)| Row::new(task, param, params)).collect()
}

#[tokio::test]
async fn no_value_is_taken_at_more_than_its_word() {
    let table = Table::new();
    let stage = Stage::new().await;
    let bare = stage.bare("inside/origin.git");
    stage.put("playbooks/site.yml", "[]\n");
    let fenrir = Harness::with(Fenrir::new(environment()))
        .confined(stage.path("inside"), stage.path("playbooks"))
        // The real one is tried by the SDK's own tests.
        .program("ansible-playbook", "exit 3")
        .start()
        .await;

    let figures = table
        .try_all(
            &fenrir,
            |number| {
                let tree = stage.work_tree(&format!("inside/trees/{number}"));
                stage.put(&format!("inside/trees/{number}/Makefile"), "test:\n\ttrue\n");
                stage.put(&format!("inside/trees/{number}/a.yml"), "---\na: 1\n");
                let clone = stage.text(&format!("inside/clones/{number}"));
                [rows(&bare, &tree, &clone), builtin("site.yml")].concat()
            },
            |_, _, _| {},
        )
        .await;

    assert!(figures.params > 30 && figures.completed > 100, "{figures}");
    // Beside the allowed folders nothing was made either.
    let mut left: Vec<_> = fs::read_dir(stage.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["inside", "playbooks"]);
}
