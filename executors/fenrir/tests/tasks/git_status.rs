use std::fs;

use executor_sdk::prelude::*;

use crate::stage::{Stage, completed, everything, failed, git};

#[tokio::test]
async fn what_is_changed_is_told_and_nothing_is_touched() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    let tree = stage.clone_of(&bare, "tree");
    let clean = stage.run("git-status", json!({"repo_path": tree, "require_clean": true})).await;
    stage.commit("tree", "ahead", "ahead\n");
    stage.put("tree/README", "changed\n");
    stage.put("tree/a b", "staged\n");
    git(&tree, &["add", "a b"]);
    stage.put("tree/-x\n", "untracked\n");
    let before = everything(&tree);

    let outcome = stage.run("git-status", json!({"repo_path": tree})).await;
    let dirty = stage.run("git-status", json!({"repo_path": tree, "require_clean": true})).await;
    let apart = stage.run("git-status", json!({"repo_path": tree, "require_synced": true})).await;

    assert_eq!(completed(&clean)["clean"], json!(true));
    let data = completed(&outcome);
    assert_eq!(data["commit"], json!(git(&tree, &["rev-parse", "HEAD"])));
    assert_eq!((&data["branch"], &data["upstream"]), (&json!("main"), &json!("origin/main")));
    assert_eq!((&data["ahead"], &data["behind"]), (&json!(1), &json!(0)));
    assert_eq!(data["staged"], json!(["a b"]));
    assert_eq!(data["changed"], json!(["README"]));
    assert_eq!(data["untracked"], json!(["-x\n"]));
    assert_eq!(data["clean"], json!(false));
    assert!(failed(&dirty).contains("not clean"), "{dirty:?}");
    assert_eq!(
        dirty.data["counts"],
        json!({"staged": 1, "changed": 1, "conflicts": 0, "untracked": 1})
    );
    assert!(failed(&apart).contains("not where its upstream is"), "{apart:?}");
    assert_eq!(everything(&tree), before);
}

#[tokio::test]
async fn a_conflict_an_unfinished_merge_and_an_empty_repository_are_told() {
    let stage = Stage::new().await;
    let tree = stage.work_tree("tree");
    git(&tree, &["checkout", "--quiet", "-b", "other"]);
    stage.commit("tree", "README", "theirs\n");
    git(&tree, &["checkout", "--quiet", "main"]);
    stage.commit("tree", "README", "ours\n");
    git(&tree, &["config", "rerere.enabled", "false"]);
    let merge = crate::stage::program("git").current_dir(&tree).args(["merge", "other"]).output();
    assert!(!merge.unwrap().status.success());
    fs::create_dir(stage.path("empty")).unwrap();
    git(&stage.path("empty"), &["init", "--quiet", "--initial-branch=main"]);

    let merging = stage.run("git-status", json!({"repo_path": tree})).await;
    let empty = stage.run("git-status", json!({"repo_path": stage.path("empty")})).await;
    let nowhere = stage.run("git-status", json!({"repo_path": stage.path("nowhere")})).await;

    assert_eq!(completed(&merging)["conflicts"], json!(["README"]));
    assert_eq!(merging.data["unfinished"], json!("merge"));
    assert_eq!(completed(&empty)["commit"], json!(null));
    assert_eq!(empty.data["upstream"], json!(null));
    failed(&nowhere);
}

#[tokio::test]
async fn the_remote_is_asked_only_when_it_should_be() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    let tree = stage.clone_of(&bare, "tree");
    stage.clone_of(&bare, "other");
    stage.commit("other", "new", "new\n");
    git(&stage.path("other"), &["push", "--quiet"]);

    let cached = stage.run("git-status", json!({"repo_path": tree})).await;
    let asked = stage.run("git-status", json!({"repo_path": tree, "fetch": true})).await;
    fs::rename(&bare, stage.path("gone.git")).unwrap();
    let gone = stage.run("git-status", json!({"repo_path": tree, "fetch": true})).await;

    assert_eq!(completed(&cached)["behind"], json!(0));
    assert_eq!(completed(&asked)["behind"], json!(1));
    assert!(failed(&gone).contains("the remote cannot be asked"), "{gone:?}");
}
