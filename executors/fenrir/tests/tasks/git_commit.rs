use std::fs;
use std::os::unix::fs::symlink;

use executor_sdk::prelude::*;

use crate::stage::{Stage, completed, everything, failed, git};

#[tokio::test]
async fn everything_is_committed_and_the_second_time_nothing() {
    let stage = Stage::new().await;
    let tree = stage.work_tree("tree");
    stage.put("tree/a/new", "new\n");
    fs::remove_file(tree.join("README")).unwrap();

    let params = json!({"repo_path": tree, "message": "-a message\n\n# with 'quotes' $(touch x)"});
    let first = stage.run("git-commit", params.clone()).await;
    let second = stage.run("git-commit", params).await;

    let data = completed(&first);
    assert_eq!(data["committed"], json!(true));
    assert_eq!(data["files"], json!(["README", "a/new"]));
    assert_eq!(data["commit"], json!(git(&tree, &["rev-parse", "HEAD"])));
    let message = git(&tree, &["log", "-1", "--format=%B"]);
    assert_eq!(message.trim_end(), "-a message\n\n# with 'quotes' $(touch x)");
    assert_eq!(completed(&second)["committed"], json!(false));
    assert_eq!(second.data["commit"], data["commit"]);
    assert_eq!(git(&tree, &["rev-list", "--count", "HEAD"]), "2");
}

#[tokio::test]
async fn files_are_written_and_only_they_are_committed() {
    let stage = Stage::new().await;
    let tree = stage.work_tree("tree");
    stage.put("tree/README", "changed by somebody\n");
    stage.put("tree/staged", "staged by somebody\n");
    git(&tree, &["add", "staged"]);

    let files =
        json!([{"path": "docs/report.md", "content": "# Report\n"}, {"path": "-x", "content": ""}]);
    let params = json!({"repo_path": tree, "message": "report", "files": files});
    let outcome = stage.run("git-commit", params).await;

    assert_eq!(completed(&outcome)["files"], json!(["-x", "docs/report.md"]));
    let committed = git(&tree, &["show", "--name-only", "--format=", "HEAD"]);
    assert_eq!(committed, "-x\ndocs/report.md");
    assert_eq!(git(&tree, &["status", "--porcelain"]), " M README\nA  staged");
}

#[tokio::test]
async fn paths_limit_the_commit_and_mean_themselves() {
    let stage = Stage::new().await;
    let tree = stage.work_tree("tree");
    stage.put("tree/a/one", "1\n");
    stage.put("tree/b/two", "2\n");
    stage.put("tree/*", "a star\n");

    let only_a = json!({"repo_path": tree, "message": "a", "paths": ["a"]});
    let star = json!({"repo_path": tree, "message": "star", "paths": ["*"]});
    let nothing = json!({"repo_path": tree, "message": "x", "paths": ["no/such"]});
    let only_a = stage.run("git-commit", only_a).await;
    let star = stage.run("git-commit", star).await;
    let nothing = stage.run("git-commit", nothing).await;

    assert_eq!(completed(&only_a)["files"], json!(["a/one"]));
    assert_eq!(completed(&star)["files"], json!(["*"]));
    assert!(failed(&nothing).contains("nothing was committed"), "{nothing:?}");
    assert_eq!(git(&tree, &["status", "--porcelain"]), "?? b/");
}

#[tokio::test]
async fn the_first_commit_of_a_repository_can_be_made() {
    let stage = Stage::new().await;
    let tree = stage.path("tree");
    fs::create_dir(&tree).unwrap();
    git(&tree, &["init", "--quiet", "--initial-branch=main"]);
    git(&tree, &["config", "user.name", "F"]);
    git(&tree, &["config", "user.email", "f@example.org"]);

    let nothing = stage.run("git-commit", json!({"repo_path": tree, "message": "x"})).await;
    let files = json!([{"path": "a", "content": "a"}]);
    let params = json!({"repo_path": tree, "message": "x", "files": files});
    let first = stage.run("git-commit", params).await;

    assert_eq!(completed(&nothing)["commit"], json!(null));
    assert_eq!(completed(&first)["committed"], json!(true));
}

#[tokio::test]
async fn a_commit_is_pushed_and_a_lost_push_is_made_good() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    git(&stage.path(""), &["clone", "--quiet", bare.to_str().unwrap(), "tree"]);
    let tree = stage.path("tree");
    git(&tree, &["config", "user.name", "F"]);
    git(&tree, &["config", "user.email", "f@example.org"]);
    git(&tree, &["commit", "--quiet", "--allow-empty", "--message=not pushed yet"]);

    let params = json!({"repo_path": tree, "message": "x", "push": true});
    let lost = stage.run("git-commit", params.clone()).await;
    let after_lost = git(&bare, &["rev-parse", "main"]);
    git(&tree, &["checkout", "--quiet", "-b", "topic/new"]);
    stage.put("tree/new", "new\n");
    let new_branch = stage.run("git-commit", params).await;

    assert_eq!(completed(&lost)["committed"], json!(false));
    assert_eq!(lost.data["pushed"], json!(true));
    assert_eq!(json!(after_lost), lost.data["commit"]);
    assert_eq!(completed(&new_branch)["pushed"], json!(true));
    assert_eq!(json!(git(&bare, &["rev-parse", "topic/new"])), new_branch.data["commit"]);
}

#[tokio::test]
async fn a_push_that_is_refused_fails_and_tells_that_the_commit_stands() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    git(&stage.path(""), &["clone", "--quiet", bare.to_str().unwrap(), "tree"]);
    let tree = stage.path("tree");
    git(&tree, &["config", "user.name", "F"]);
    git(&tree, &["config", "user.email", "f@example.org"]);
    git(&tree, &["reset", "--quiet", "--hard", "HEAD~1"]);
    stage.put("tree/new", "new\n");

    let params = json!({"repo_path": tree, "message": "x", "push": true});
    let outcome = stage.run("git-commit", params).await;

    assert!(failed(&outcome).contains("but it was not pushed"), "{outcome:?}");
    assert_eq!(outcome.data["committed"], json!(true));
    assert_eq!(outcome.data["pushed"], json!(false));
    assert_eq!(outcome.data["commit"], json!(git(&tree, &["rev-parse", "HEAD"])));
}

#[tokio::test]
async fn without_an_identity_nothing_changes_and_the_remedy_is_told() {
    let stage = Stage::new().await;
    let tree = stage.work_tree("tree");
    git(&tree, &["config", "--unset", "user.email"]);
    let before = everything(&tree);

    let files = json!([{"path": "a", "content": "a"}]);
    let params = json!({"repo_path": tree, "message": "x", "files": files});
    let outcome = stage.run("git-commit", params).await;

    assert!(failed(&outcome).contains("config user.email"), "{outcome:?}");
    assert_eq!(everything(&tree), before);
}

#[tokio::test]
async fn files_stay_inside_of_the_repository() {
    let stage = Stage::new().await;
    let tree = stage.work_tree("tree");
    fs::create_dir(stage.path("outside")).unwrap();
    symlink(stage.path("outside"), tree.join("link")).unwrap();
    symlink(stage.path("outside/file"), tree.join("file-link")).unwrap();
    let before = everything(&stage.path(""));

    let paths = [
        "../outside/x",
        "a/../../outside/x",
        "link/x",
        "file-link",
        ".git/hooks/post-commit",
        ".GIT/config",
        "",
        "a\nb",
        "a\0b",
        &stage.text("outside/x"),
    ];
    for path in paths {
        let files = json!([{"path": "fine", "content": "x"}, {"path": path, "content": "x"}]);
        let params = json!({"repo_path": tree, "message": "x", "files": files});
        let outcome = stage.run("git-commit", params).await;
        failed(&outcome);
    }
    assert_eq!(everything(&stage.path("")), before);
}

#[tokio::test]
async fn what_cannot_be_committed_is_said_before_anything_is_written() {
    let stage = Stage::new().await;
    stage.work_tree("tree");
    stage.put("tree/.gitignore", "*.log\n");
    stage.put("tree/sub/file", "x\n");
    stage.put("plain/file", "x\n");
    let before = everything(&stage.path(""));
    let order = |path: &str, message: &str, file: &str| {
        let files = json!([{"path": file, "content": "x"}]);
        json!({"repo_path": stage.path(path), "message": message, "files": files})
    };

    let cases = [
        (order("tree", "x", "a.log"), "is ignored by a .gitignore"),
        (order("tree", " ", "a"), "`message` is empty"),
        (order("tree/sub", "x", "a"), "not the top of a git work tree"),
        (order("plain", "x", "a"), "not the top of a git work tree"),
        (order("nowhere", "x", "a"), "cannot use"),
        (json!({"repo_path": "tree", "message": "x"}), "absolute path"),
    ];
    for (params, why) in cases {
        let outcome = stage.run("git-commit", params).await;
        assert!(failed(&outcome).contains(why), "{outcome:?}");
    }
    assert_eq!(everything(&stage.path("")), before);
}

#[tokio::test]
async fn a_conflict_is_a_persons_to_resolve() {
    let stage = Stage::new().await;
    let tree = stage.work_tree("tree");
    git(&tree, &["checkout", "--quiet", "-b", "other"]);
    stage.put("tree/README", "theirs\n");
    git(&tree, &["commit", "--quiet", "--all", "--message=theirs"]);
    git(&tree, &["checkout", "--quiet", "main"]);
    stage.put("tree/README", "ours\n");
    git(&tree, &["commit", "--quiet", "--all", "--message=ours"]);
    git(&tree, &["config", "merge.conflictStyle", "merge"]);
    git(&tree, &["read-tree", "-m", "HEAD~1", "HEAD", "other"]);

    let outcome = stage.run("git-commit", json!({"repo_path": tree, "message": "x"})).await;

    assert!(failed(&outcome).contains("merge conflicts"), "{outcome:?}");
}

#[tokio::test]
async fn a_commit_that_is_taken_back_or_cannot_be_written_is_a_failure() {
    let stage = Stage::new().await;
    let tree = stage.work_tree("tree");
    let before = git(&tree, &["rev-parse", "HEAD"]);
    let hook = tree.join(".git/hooks/post-commit");
    stage.put("tree/.git/hooks/post-commit", "#!/bin/sh\ngit update-ref HEAD HEAD~1\n");
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let locked = stage.work_tree("locked");
    // Also root fails here: somebody else works on the index.
    fs::write(locked.join(".git/index.lock"), "").unwrap();
    let files = json!([{"path": "a", "content": "a"}]);
    let order = |tree: &Path| json!({"repo_path": tree, "message": "x", "files": files});

    let taken_back = stage.run("git-commit", order(&tree)).await;
    let unwritable = stage.run("git-commit", order(&locked)).await;

    assert!(failed(&taken_back).contains("the branch is where it was"), "{taken_back:?}");
    assert_eq!(git(&tree, &["rev-parse", "HEAD"]), before);
    assert!(failed(&unwritable).contains("nothing was committed"), "{unwritable:?}");
    assert_eq!(git(&locked, &["rev-list", "--count", "HEAD"]), "1");
}

#[tokio::test]
async fn a_hook_that_refuses_is_a_failure_with_its_words() {
    let stage = Stage::new().await;
    let tree = stage.work_tree("tree");
    let hook = tree.join(".git/hooks/pre-commit");
    stage.put("tree/.git/hooks/pre-commit", "#!/bin/sh\necho no such luck\nexit 1\n");
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    stage.put("tree/a", "a\n");

    let outcome = stage.run("git-commit", json!({"repo_path": tree, "message": "x"})).await;

    assert!(failed(&outcome).contains("nothing was committed"), "{outcome:?}");
    assert!(outcome.output.contains("no such luck"), "{outcome:?}");
    assert_eq!(git(&tree, &["rev-list", "--count", "HEAD"]), "1");
}
