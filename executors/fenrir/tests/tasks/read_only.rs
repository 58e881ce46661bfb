//! Repositories on a file system that is mounted read-only, for root as well.
//!
//! What runs there is a test of this same program, started again in a mount namespace; it is
//! ignored when nobody started it there.

use std::process::Stdio;

use executor_sdk::prelude::*;

use crate::stage::{Stage, everything, failed, git, program, skipped, works};

/// Says to a test inside that it is inside.
const INSIDE: &str = "FENRIR_TEST_INSIDE";

#[test]
fn nothing_is_done_where_nothing_can_be_written() {
    let test = "nothing_is_done_where_nothing_can_be_written";
    let namespace = ["--map-root-user", "--mount"];
    if !works("unshare", &[&namespace[..], &["mount", "-t", "tmpfs", "none", "/mnt"]].concat()) {
        return skipped(test, "no mount namespace can be made");
    }

    let inside = program("unshare")
        .args(namespace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "read_only::inside", "--ignored", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "yes")
        .stdin(Stdio::null())
        .output()
        .unwrap();

    let told = String::from_utf8_lossy(&inside.stdout);
    let said = String::from_utf8_lossy(&inside.stderr);
    assert!(inside.status.success() && told.contains("1 passed"), "{told}\n{said}");
}

#[tokio::test]
#[ignore = "another test starts it in a namespace"]
async fn inside() {
    if std::env::var_os(INSIDE).is_none() {
        return skipped("inside", "another test starts it in a namespace");
    }
    let stage = Stage::new().await;
    let fixed = stage.path("fixed");
    std::fs::create_dir(&fixed).unwrap();
    assert!(works("mount", &["-t", "tmpfs", "none", fixed.to_str().unwrap()]));
    let bare = stage.bare("fixed/origin.git");
    let mine = stage.clone_of(&bare, "mine");
    stage.commit("mine", "new", "new\n");
    let newer = stage.bare("newer.git");
    let tree = stage.clone_of(&newer, "fixed/tree");
    stage.put("fixed/tree/a.sh", "#!/bin/sh\n:\n");
    stage.put("fixed/tree/Makefile", "test:\n\ttouch done\n");
    stage.clone_of(&newer, "other");
    stage.commit("other", "theirs", "theirs\n");
    git(&stage.path("other"), &["push", "--quiet"]);
    let before = everything(&fixed);
    assert!(works("mount", &["-o", "remount,ro", fixed.to_str().unwrap()]));

    let files = json!([{"path": "new", "content": "new\n"}]);
    for (task, params, why) in [
        (
            "git-clone",
            json!({"repo_url": newer, "dest_path": stage.text("fixed/a/clone")}),
            "ead-only file system",
        ),
        ("git-status", json!({"repo_path": tree, "fetch": true}), "the remote cannot be asked"),
        ("git-pull", json!({"repo_path": tree}), "`main` was not changed"),
        (
            "git-commit",
            json!({"repo_path": tree, "message": "x", "files": files}),
            "ead-only file system",
        ),
        ("git-commit", json!({"repo_path": tree, "message": "x"}), "nothing was committed"),
        ("git-push", json!({"repo_path": mine}), "remote unpack failed"),
        ("code-review", json!({"repo_path": tree, "sarif_file": "out.sarif"}), "ead-only"),
        ("run-tests", json!({"repo_path": tree}), "`make` ended with exit code 2"),
    ] {
        if task == "code-review" && !works("shellcheck", &["--version"]) {
            skipped("nothing_is_done_where_nothing_can_be_written", "there is no shellcheck");
            continue;
        }
        let outcome = stage.run(task, params).await;
        let told = format!("{} {}", failed(&outcome), outcome.output);
        assert!(told.contains(why), "{task}: {outcome:?}");
    }

    assert_eq!(everything(&fixed), before);
}
