//! Clone, commit and push, pull and status against servers.

use std::fs;
use std::time::Instant;

use executor_sdk::prelude::*;
use fenrir_executor::Environment;

use crate::servers::{GitDaemon, serve_http};
use crate::stage::{Stage, completed, environment, failed, git, skipped, works};

/// `me:right` in base64.
const CREDENTIALS: &str = "bWU6cmlnaHQ=";

#[tokio::test]
async fn git_daemon_is_cloned_pulled_and_pushed() {
    if !works("sh", &["-c", "test -x \"$(git --exec-path)/git-daemon\""]) {
        return skipped("git_daemon_is_cloned_pulled_and_pushed", "this git has no daemon");
    }
    let stage = Stage::new().await;
    let bare = stage.bare("served/origin.git");
    let daemon = GitDaemon::start(&stage.path("served"));

    there_and_back(&stage, &bare, &daemon.url("origin.git")).await;
}

#[tokio::test]
async fn http_with_a_password_is_cloned_pulled_and_pushed() {
    if !works("sh", &["-c", "test -x \"$(git --exec-path)/git-http-backend\""]) {
        return skipped("http_with_a_password_is_cloned_pulled_and_pushed", "no git-http-backend");
    }
    let (stage, server) = stage_with_password("right").await;
    let bare = stage.bare("served/origin.git");
    git(&bare, &["config", "http.receivepack", "true"]);

    there_and_back(&stage, &bare, &format!("http://{server}/origin.git")).await;
}

#[tokio::test]
async fn a_server_that_is_gone_prevents_all_of_it() {
    let test = "a_server_that_is_gone_prevents_all_of_it";
    if !works("sh", &["-c", "test -x \"$(git --exec-path)/git-daemon\""]) {
        return skipped(test, "this git has no daemon");
    }
    let stage = Stage::new().await;
    let bare = stage.bare("served/origin.git");
    let daemon = GitDaemon::start(&stage.path("served"));
    let url = daemon.url("origin.git");
    git(&stage.path(""), &["clone", "--quiet", &url, "tree"]);
    let tree = stage.path("tree");
    git(&tree, &["config", "user.name", "F"]);
    git(&tree, &["config", "user.email", "f@example.org"]);
    let mine = stage.commit("tree", "mine", "mine\n");
    let theirs = git(&bare, &["rev-parse", "main"]);
    drop(daemon);

    for (task, params) in [
        ("git-clone", json!({"repo_url": url, "dest_path": stage.text("a/clone")})),
        ("git-status", json!({"repo_path": tree, "fetch": true})),
        ("git-pull", json!({"repo_path": tree})),
        ("git-push", json!({"repo_path": tree})),
        ("git-commit", json!({"repo_path": tree, "message": "x", "push": true})),
    ] {
        let outcome = stage.run(task, params).await;
        failed(&outcome);
        assert!(outcome.output.contains("Connection refused"), "{task}: {outcome:?}");
    }

    assert!(!stage.path("a").exists());
    assert_eq!(git(&bare, &["rev-parse", "main"]), theirs);
    assert_eq!(git(&tree, &["rev-parse", "HEAD"]), mine);
}

#[tokio::test]
async fn a_wrong_password_fails_in_seconds_and_changes_nothing() {
    if !works("sh", &["-c", "test -x \"$(git --exec-path)/git-http-backend\""]) {
        let test = "a_wrong_password_fails_in_seconds_and_changes_nothing";
        return skipped(test, "no git-http-backend");
    }
    let (stage, server) = stage_with_password("wrong").await;
    let bare = stage.bare("served/origin.git");
    let url = format!("http://{server}/origin.git");
    let tree = stage.clone_of(&bare, "tree");
    git(&tree, &["remote", "set-url", "origin", &url]);
    let mine = stage.commit("tree", "mine", "mine\n");
    let theirs = git(&bare, &["rev-parse", "main"]);
    let began = Instant::now();

    let orders = [
        ("git-clone", json!({"repo_url": url, "dest_path": stage.text("a/clone")})),
        ("git-pull", json!({"repo_path": tree})),
        ("git-push", json!({"repo_path": tree})),
        ("git-status", json!({"repo_path": tree, "fetch": true})),
        ("git-commit", json!({"repo_path": tree, "message": "x", "push": true})),
    ];
    for (task, params) in orders {
        let outcome = stage.run(task, params).await;
        failed(&outcome);
        let told = outcome.output.to_lowercase();
        assert!(told.contains("auth") || told.contains("could not read"), "{task}: {outcome:?}");
        assert!(!outcome.output.contains("wrong"), "{task}: {outcome:?}");
    }

    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(!stage.path("a").exists());
    assert_eq!(git(&bare, &["rev-parse", "main"]), theirs);
    assert_eq!(git(&tree, &["rev-parse", "HEAD"]), mine);
}

#[tokio::test]
async fn a_password_in_a_url_is_not_told() {
    if !works("sh", &["-c", "test -x \"$(git --exec-path)/git-http-backend\""]) {
        return skipped("a_password_in_a_url_is_not_told", "no git-http-backend");
    }
    let (stage, server) = stage_with_password("none").await;
    let bare = stage.bare("served/origin.git");
    git(&bare, &["config", "http.receivepack", "true"]);
    let good = format!("http://me:right@{server}/origin.git");
    let bad = format!("http://me:secret-word@{server}/origin.git");
    let tree = stage.text("clone");
    let clone = |url: &str, place: &str| json!({"repo_url": url, "dest_path": place});

    let clone_good = stage.run("git-clone", clone(&good, &tree)).await;
    let clone_bad = stage.run("git-clone", clone(&bad, &stage.text("other"))).await;
    let again = stage.run("git-clone", clone(&bad, &tree)).await;
    stage.put("clone/new", "new\n");
    for (name, value) in [("user.name", "F"), ("user.email", "f@example.org")] {
        git(&stage.path("clone"), &["config", name, value]);
    }
    let commit = json!({"repo_path": tree, "message": "x", "push": true});
    let commit = stage.run("git-commit", commit).await;
    let push = stage.run("git-push", json!({"repo_path": tree})).await;
    let pull = stage.run("git-pull", json!({"repo_path": tree})).await;
    let status = stage.run("git-status", json!({"repo_path": tree, "fetch": true})).await;

    failed(&clone_bad);
    failed(&again);
    for outcome in [&clone_good, &commit, &push, &pull, &status] {
        completed(outcome);
    }
    for outcome in [&clone_good, &clone_bad, &again, &commit, &push, &pull, &status] {
        let told = json!(outcome).to_string();
        assert!(!told.contains("right") && !told.contains("secret-word"), "{told}");
    }
}

/// Clones, commits and pushes, lets somebody else push, and pulls that.
async fn there_and_back(stage: &Stage, bare: &Path, url: &str) {
    let clone = json!({"repo_url": url, "dest_path": stage.text("clone")});
    let clone = stage.run("git-clone", clone).await;
    let tree = stage.path("clone");
    git(&tree, &["config", "user.name", "F"]);
    git(&tree, &["config", "user.email", "f@example.org"]);
    let files = json!([{"path": "new", "content": "new\n"}]);
    let commit = json!({"repo_path": tree, "message": "x", "files": files});
    let commit = stage.run("git-commit", commit).await;
    let push = stage.run("git-push", json!({"repo_path": tree})).await;
    let pushed = git(bare, &["rev-parse", "main"]);
    stage.clone_of(bare, "other");
    let theirs = stage.commit("other", "theirs", "theirs\n");
    git(&stage.path("other"), &["push", "--quiet"]);
    let behind = stage.run("git-status", json!({"repo_path": tree, "fetch": true})).await;
    let pull = stage.run("git-pull", json!({"repo_path": tree})).await;

    completed(&clone);
    assert_eq!(completed(&push)["pushed"], json!(true));
    assert_eq!(push.data["commit"], completed(&commit)["commit"]);
    assert_eq!(json!(pushed), push.data["commit"]);
    assert_eq!(completed(&behind)["behind"], json!(1));
    assert_eq!(completed(&pull)["commit"], json!(theirs));
    assert_eq!(fs::read_to_string(tree.join("theirs")).unwrap(), "theirs\n");
}

/// Starts a server that asks for `me:right`, and a Fenrir whose git has this password stored.
async fn stage_with_password(password: &str) -> (Stage, String) {
    let mut server = String::new();
    let stage = Stage::with(|home| {
        fs::create_dir(home.join("served")).unwrap();
        server = serve_http(&home.join("served"), CREDENTIALS);
        let store = home.join("credentials");
        fs::write(&store, format!("http://me:{password}@{server}\n")).unwrap();
        let config = home.join("gitconfig");
        let text = format!("[credential]\n\thelper = store --file={}\n", store.display());
        fs::write(&config, text).unwrap();
        Environment { git_config_global: Some(config.into()), ..environment() }
    })
    .await;
    (stage, server)
}
