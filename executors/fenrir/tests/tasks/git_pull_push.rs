use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use executor_sdk::prelude::*;

use crate::stage::{Stage, completed, everything, failed, git};

#[tokio::test]
async fn a_pull_moves_forward_and_the_second_has_nothing_to_do() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    let tree = stage.clone_of(&bare, "tree");
    let before = git(&tree, &["rev-parse", "HEAD"]);
    stage.clone_of(&bare, "other");
    stage.commit("other", "one", "1\n");
    let theirs = stage.commit("other", "two", "2\n");
    git(&stage.path("other"), &["push", "--quiet"]);
    stage.put("tree/mine", "not committed\n");

    let first = stage.run("git-pull", json!({"repo_path": tree})).await;
    let second = stage.run("git-pull", json!({"repo_path": tree})).await;

    let data = completed(&first);
    assert_eq!((&data["before"], &data["commit"]), (&json!(before), &json!(theirs)));
    assert_eq!((&data["updated"], &data["behind"]), (&json!(true), &json!(2)));
    assert_eq!(git(&tree, &["rev-parse", "HEAD"]), theirs);
    assert_eq!(fs::read_to_string(tree.join("two")).unwrap(), "2\n");
    assert_eq!(git(&tree, &["status", "--porcelain"]), "?? mine");
    assert_eq!(completed(&second)["updated"], json!(false));
}

#[tokio::test]
async fn what_a_pull_would_overwrite_or_merge_is_left_alone() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    let apart = stage.clone_of(&bare, "apart");
    let dirty = stage.clone_of(&bare, "dirty");
    let gone = stage.clone_of(&bare, "gone");
    let detached = stage.clone_of(&bare, "detached");
    stage.clone_of(&bare, "other");
    stage.commit("other", "README", "theirs\n");
    git(&stage.path("other"), &["push", "--quiet"]);
    stage.commit("apart", "mine", "mine\n");
    stage.put("dirty/README", "mine\n");
    git(&gone, &["remote", "set-url", "origin", &stage.text("nowhere.git")]);
    git(&detached, &["checkout", "--quiet", "--detach"]);
    let files = |tree: &Path| {
        let mut all = everything(tree);
        all.retain(|(path, _)| !path.starts_with(tree.join(".git")));
        (all, git(tree, &["rev-parse", "HEAD"]))
    };

    let cases = [
        (&apart, json!({}), "a person has to merge or rebase"),
        (&dirty, json!({}), "`main` was not changed"),
        (&gone, json!({}), "cannot fetch"),
        (&detached, json!({}), "no branch is checked out"),
        (&dirty, json!({"branch": "nope"}), "cannot fetch"),
        (&dirty, json!({"branch": "a..b"}), "no name of a branch"),
        (&dirty, json!({"remote": "nope"}), "no remote `nope`; it has `origin`"),
        (&dirty, json!({"remote": bare}), "no remote"),
    ];
    for (tree, mut params, why) in cases {
        let before = files(tree);
        params["repo_path"] = json!(tree);
        let outcome = stage.run("git-pull", params).await;
        assert!(failed(&outcome).contains(why), "{why}: {outcome:?}");
        assert_eq!(files(tree), before, "{why}");
    }
}

#[tokio::test]
async fn the_first_commit_can_be_pulled_and_another_branch_too() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    let tree = stage.path("tree");
    fs::create_dir(&tree).unwrap();
    git(&tree, &["init", "--quiet", "--initial-branch=main"]);
    git(&tree, &["remote", "add", "hub", bare.to_str().unwrap()]);

    let params = json!({"repo_path": tree, "remote": "hub", "branch": "side"});
    let side = stage.run("git-pull", params).await;
    let main = stage.run("git-pull", json!({"repo_path": tree, "remote": "hub"})).await;

    assert_eq!(completed(&side)["before"], json!(null));
    assert_eq!(side.data["commit"], json!(git(&bare, &["rev-parse", "side"])));
    assert_eq!(completed(&main)["commit"], json!(git(&bare, &["rev-parse", "main"])));
}

#[tokio::test]
async fn a_push_is_proved_and_the_second_has_nothing_to_do() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    let tree = stage.clone_of(&bare, "tree");
    let mine = stage.commit("tree", "mine", "mine\n");
    git(&tree, &["branch", "topic/new"]);

    let first = stage.run("git-push", json!({"repo_path": tree})).await;
    let second = stage.run("git-push", json!({"repo_path": tree})).await;
    let topic = stage.run("git-push", json!({"repo_path": tree, "branch": "topic/new"})).await;

    assert_eq!(completed(&first)["pushed"], json!(true));
    assert_eq!(first.data["commit"], json!(mine));
    assert_eq!(git(&bare, &["rev-parse", "main"]), mine);
    assert_eq!(completed(&second)["pushed"], json!(false));
    assert_eq!(completed(&topic)["remote_ref"], json!("refs/heads/topic/new"));
    assert_eq!(git(&bare, &["rev-parse", "topic/new"]), mine);
    assert_eq!(git(&tree, &["rev-parse", "topic/new@{upstream}"]), mine);
}

#[tokio::test]
async fn a_push_that_has_no_effect_is_a_failure() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    let tree = stage.clone_of(&bare, "tree");
    let behind = stage.clone_of(&bare, "behind");
    let odd = stage.clone_of(&bare, "odd");
    stage.commit("tree", "theirs", "theirs\n");
    git(&tree, &["push", "--quiet"]);
    stage.commit("behind", "mine", "mine\n");
    // Pushes go to another place than fetches, and a hook there takes them back.
    let liar = stage.bare("liar.git");
    let hook = liar.join("hooks/post-receive");
    fs::create_dir_all(liar.join("hooks")).unwrap();
    fs::write(&hook, "#!/bin/sh\nread old new ref\ngit update-ref \"$ref\" \"$old\"\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    git(&odd, &["config", "remote.origin.pushurl", liar.to_str().unwrap()]);
    git(&odd, &["fetch", "--quiet", liar.to_str().unwrap(), "main"]);
    git(&odd, &["reset", "--quiet", "--hard", "FETCH_HEAD"]);
    stage.commit("odd", "mine", "mine\n");
    let before = git(&bare, &["rev-parse", "main"]);

    let rejected = stage.run("git-push", json!({"repo_path": behind})).await;
    let lied = stage.run("git-push", json!({"repo_path": odd})).await;
    let no_branch = stage.run("git-push", json!({"repo_path": tree, "branch": "nope"})).await;
    let no_remote = stage.run("git-push", json!({"repo_path": tree, "remote": "nope"})).await;

    failed(&rejected);
    assert!(rejected.output.contains("rejected"), "{rejected:?}");
    assert!(failed(&lied).contains("git says that it pushed, but"), "{lied:?}");
    assert!(failed(&no_branch).contains("no commit on the branch"), "{no_branch:?}");
    assert!(failed(&no_remote).contains("no remote `nope`"), "{no_remote:?}");
    assert_eq!(git(&bare, &["rev-parse", "main"]), before);
}

#[tokio::test]
async fn a_repository_that_cannot_be_written_is_not_pushed_to() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    let tree = stage.clone_of(&bare, "tree");
    stage.commit("tree", "mine", "mine\n");
    let before = git(&bare, &["rev-parse", "main"]);
    // Also root fails here: a folder where a file has to be.
    fs::create_dir(bare.join("refs/heads/main.lock")).unwrap();

    let outcome = stage.run("git-push", json!({"repo_path": tree})).await;

    failed(&outcome);
    assert_eq!(git(&bare, &["rev-parse", "main"]), before);
}
