//! Values that would do harm if a shell, an option parser or a path join ever took them at more
//! than their word, put into every text param of every task.

use std::fs;

use executor_sdk::prelude::*;

use crate::stage::{Stage, everything};

/// Returns the values. Each would make the file `canary` if somebody executed it.
fn values(canary: &str) -> Vec<String> {
    let touch = format!("touch {canary}");
    vec![
        format!("$({touch})"),
        format!("`{touch}`"),
        format!("; {touch}"),
        format!("x; {touch} #"),
        format!("x && {touch}"),
        format!("| {touch}"),
        format!("x\n{touch}\n"),
        format!("\"; {touch}; \""),
        format!("'; {touch}; '"),
        format!("-c core.sshCommand={touch}"),
        format!("--upload-pack={touch}"),
        format!("--config=core.fsmonitor={touch}"),
        format!("-u{touch}"),
        format!("--exec={touch}"),
        format!("--output={canary}"),
        format!("ext::sh -c {}", touch.replace(' ', "% ")),
        format!("ssh://-oProxyCommand={touch}/x"),
        format!("x\0{touch}"),
        "\0".to_owned(),
        "-".to_owned(),
        "--".to_owned(),
        "--help".to_owned(),
        "../../outside/x".to_owned(),
        canary.to_owned(),
        format!("file://{canary}"),
        ":(exclude)*".to_owned(),
        ":!x".to_owned(),
        "%s%n".to_owned(),
        "\u{1b}[2J".to_owned(),
        "\u{202e}x".to_owned(),
        String::new(),
    ]
}

#[tokio::test]
async fn no_value_is_taken_at_more_than_its_word() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    stage.put("outside/x", "mine\n");
    let canary = stage.text("canary");
    let outside = everything(&stage.path("outside"));
    let mut orders = 0;

    for (index, value) in values(&canary).iter().enumerate() {
        let tree = stage.work_tree(&format!("trees/{index}"));
        stage.put(&format!("trees/{index}/Makefile"), "test:\n\ttrue\n");
        stage.put(&format!("trees/{index}/a.yml"), "---\na: 1\n");
        let clone = stage.text(&format!("clones/{index}"));
        let file = json!([{"path": "a", "content": value}]);
        let at_file = json!([{"path": value, "content": "x"}]);
        let all = [
            ("dev-health-check", json!({"require_tools": [value]})),
            ("git-clone", json!({"repo_url": value, "dest_path": clone})),
            ("git-clone", json!({"repo_url": bare, "dest_path": value})),
            ("git-clone", json!({"repo_url": bare, "dest_path": clone, "branch": value})),
            ("git-commit", json!({"repo_path": value, "message": "x"})),
            ("git-commit", json!({"repo_path": tree, "message": value, "files": file})),
            ("git-commit", json!({"repo_path": tree, "message": "x", "paths": [value]})),
            ("git-commit", json!({"repo_path": tree, "message": "x", "files": at_file})),
            ("git-status", json!({"repo_path": value, "fetch": true})),
            ("git-pull", json!({"repo_path": value})),
            ("git-pull", json!({"repo_path": tree, "remote": value})),
            ("git-pull", json!({"repo_path": tree, "branch": value})),
            ("git-push", json!({"repo_path": value})),
            ("git-push", json!({"repo_path": tree, "remote": value})),
            ("git-push", json!({"repo_path": tree, "branch": value})),
            ("code-review", json!({"repo_path": value})),
            ("code-review", json!({"repo_path": tree, "base": value})),
            ("code-review", json!({"repo_path": tree, "sarif_file": value})),
            ("run-command", json!({"program": value})),
            ("run-command", json!({"program": "true", "args": [value]})),
            ("run-command", json!({"program": "cat", "stdin": value})),
            ("run-command", json!({"program": "true", "cwd": value})),
            ("run-tests", json!({"repo_path": value})),
            ("run-tests", json!({"repo_path": tree, "command": [value]})),
            ("run-tests", json!({"repo_path": tree, "command": ["true", value]})),
        ];
        for (task, params) in all {
            // A clone may go where the value says, when that is a plain new place.
            if params["dest_path"] == json!(canary) {
                continue;
            }
            let shown = params.to_string();
            drop(stage.fenrir.execute(task, params).await);
            assert!(!fs::exists(&canary).unwrap(), "{task} {shown}");
            orders += 1;
        }
    }

    assert_eq!(everything(&stage.path("outside")), outside);
    assert!(orders > 700, "{orders}");
}
