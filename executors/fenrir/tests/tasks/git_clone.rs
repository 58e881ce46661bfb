use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use executor_sdk::harness::{Ending, Harness};
use executor_sdk::prelude::*;
use fenrir_executor::Environment;

use crate::stage::{Stage, completed, environment, everything, failed, git};

#[tokio::test]
async fn a_clone_appears_and_tells_its_commit() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");

    let params = json!({"repo_url": bare, "dest_path": stage.text("deep/er/clone")});
    let outcome = stage.run("git-clone", params).await;

    let clone = stage.path("deep/er/clone");
    let head = git(&clone, &["rev-parse", "HEAD"]);
    let data = completed(&outcome);
    assert_eq!(data["commit"], json!(head));
    assert_eq!(data["branch"], json!("main"));
    assert_eq!(data["cloned"], json!(true));
    assert_eq!(head, git(&bare, &["rev-parse", "main"]));
    assert_eq!(fs::read_to_string(clone.join("README")).unwrap(), "first\n");
    assert_eq!(fs::read_dir(stage.path("deep/er")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_branch_a_tag_and_a_depth_are_honoured() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    let url = format!("file://{}", bare.display());
    let place = |name: &str| stage.text(name);

    let side = json!({"repo_url": url, "dest_path": place("side"), "branch": "side"});
    let tag = json!({"repo_url": url, "dest_path": place("tag"), "branch": "v1"});
    let flat = json!({"repo_url": bare, "dest_path": place("flat"), "depth": 1});
    for (params, branch) in [(side, json!("side")), (tag, json!(null)), (flat, json!("main"))] {
        let first = stage.run("git-clone", params.clone()).await;
        let again = stage.run("git-clone", params).await;

        assert_eq!(completed(&first)["branch"], branch);
        assert_eq!(completed(&again)["cloned"], json!(false));
        assert_eq!(again.data["commit"], first.data["commit"]);
    }
    let count = |name: &str| git(&stage.path(name), &["rev-list", "--count", "HEAD"]);
    assert_eq!([count("side"), count("tag"), count("flat")], ["1", "1", "1"]);
}

#[tokio::test]
async fn a_second_clone_of_the_same_is_a_success_that_changes_nothing() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    let params = json!({"repo_url": bare, "dest_path": stage.text("clone")});

    let first = stage.run("git-clone", params.clone()).await;
    stage.put("clone/mine", "my own\n");
    let before = everything(&stage.path("clone"));
    let second = stage.run("git-clone", params).await;

    assert_eq!(completed(&second)["cloned"], json!(false));
    assert_eq!(second.data["commit"], first.data["commit"]);
    assert_eq!(everything(&stage.path("clone")), before);
}

#[tokio::test]
async fn two_clones_of_the_same_at_the_same_time_make_one() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    let params = json!({"repo_url": bare, "dest_path": stage.text("clone")});

    let (one, other) =
        tokio::join!(stage.run("git-clone", params.clone()), stage.run("git-clone", params));

    let mut cloned = [completed(&one)["cloned"].clone(), completed(&other)["cloned"].clone()];
    cloned.sort_by_key(Value::to_string);
    assert_eq!(cloned, [json!(false), json!(true)]);
}

#[tokio::test]
async fn what_else_is_there_is_refused_and_left_alone() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    let other = stage.bare("other.git");
    stage.work_tree("no-remote");
    stage.put("folder/file", "mine\n");
    stage.put("file", "mine\n");
    stage.put("no-remote/sub/file", "mine\n");
    git(&stage.path(""), &["clone", "--quiet", other.to_str().unwrap(), "other"]);
    git(&stage.path(""), &["clone", "--quiet", "--branch=side", bare.to_str().unwrap(), "side"]);
    let before = everything(&stage.path(""));

    let cases = [
        ("folder", "not the top of a git work tree"),
        ("file", "left alone"),
        ("no-remote", "without a remote"),
        ("no-remote/sub", "not the top of a git work tree"),
        ("other", "it is a clone of"),
        ("side", "`main` is wanted, and checked out is side"),
    ];
    for (place, why) in cases {
        let params = json!({"repo_url": bare, "dest_path": stage.text(place)});
        let outcome = stage.run("git-clone", params).await;
        assert!(failed(&outcome).contains(why), "{place}: {outcome:?}");
    }
    assert_eq!(everything(&stage.path("")), before);
}

#[tokio::test]
async fn a_clone_that_fails_leaves_nothing() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    let before = everything(&stage.path(""));

    let no_such = stage.text("nowhere.git");
    let missing = json!({"repo_url": no_such, "dest_path": stage.text("a/b/clone")});
    let missing = stage.run("git-clone", missing).await;
    let branch = json!({"repo_url": bare, "dest_path": stage.text("a/b/clone"), "branch": "nope"});
    let branch = stage.run("git-clone", branch).await;

    assert!(failed(&missing).contains("was not cloned"), "{missing:?}");
    assert_eq!(missing.exit_code, Some(128));
    assert!(branch.output.contains("nope"), "{branch:?}");
    failed(&branch);
    assert_eq!(everything(&stage.path("")), before);
}

#[tokio::test]
async fn a_cancelled_clone_leaves_nothing() {
    let (stage, url) = stage_with_a_transport_that_hangs().await;
    let params = json!({"repo_url": url, "dest_path": stage.text("a/clone")});

    let started = stage.fenrir.execute_async("git-clone", params).await.unwrap();
    let work = stage.path("a/.clone.yggdrasil-unfinished/work");
    until(|| work.exists()).await;
    stage.fenrir.cancel(started.attempt).await.unwrap();
    let outcome = stage.fenrir.outcome(started.attempt).await;

    assert_eq!(outcome.status, Ending::Cancelled, "{outcome:?}");
    assert!(!stage.path("a").exists());
}

#[tokio::test]
async fn a_clone_that_is_interrupted_leaves_nothing() {
    let (stage, url) = stage_with_a_transport_that_hangs().await;
    let params = json!({"repo_url": url, "dest_path": stage.text("a/clone")});

    stage.fenrir.execute_async("git-clone", params).await.unwrap();
    let place = stage.path("a");
    until(|| place.join(".clone.yggdrasil-unfinished/work").exists()).await;
    stage.fenrir.end_now();
    stage.fenrir.stop().await;

    assert!(!place.exists());
}

#[tokio::test]
async fn an_empty_folder_is_a_place_for_a_clone() {
    let stage = Stage::new().await;
    let bare = stage.bare("origin.git");
    fs::create_dir(stage.path("clone")).unwrap();

    let params = json!({"repo_url": bare, "dest_path": stage.text("clone")});
    let outcome = stage.run("git-clone", params).await;

    assert_eq!(completed(&outcome)["cloned"], json!(true));
    assert!(stage.path("clone/README").exists());
}

#[tokio::test]
async fn a_clone_over_its_time_limit_leaves_nothing() {
    let (stage, url) = stage_with_a_transport_that_hangs().await;
    let params = json!({"repo_url": url, "dest_path": stage.text("a/clone")});
    let mut order = Harness::new_order("git-clone", params);
    order.timeout_seconds = Some(1.0);

    let outcome = stage.fenrir.order(&order).await.unwrap();

    assert_eq!(outcome.status, Ending::TimedOut, "{outcome:?}");
    assert!(!stage.path("a").exists());
}

#[tokio::test]
async fn a_server_that_asks_for_a_password_gets_no_answer() {
    let stage = Stage::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/repo.git", listener.local_addr().unwrap().port());
    std::thread::spawn(move || ask_for_passwords(&listener));

    let params = json!({"repo_url": url, "dest_path": stage.text("clone")});
    let outcome = stage.run("git-clone", params).await;

    failed(&outcome);
    assert!(outcome.output.contains("could not read Username"), "{outcome:?}");
    assert!(!stage.path("clone").exists());
}

#[tokio::test]
async fn a_transport_of_the_urls_choice_is_refused() {
    let stage = Stage::new().await;
    let canary = stage.path("canary");

    let url = format!("ext::sh -c touch% {}", canary.display());
    let params = json!({"repo_url": url, "dest_path": stage.text("clone")});
    let outcome = stage.run("git-clone", params).await;

    assert!(failed(&outcome).contains("`ext::`"), "{outcome:?}");
    assert!(!canary.exists());
}

/// Returns a URL that is reached by a program that never answers.
async fn stage_with_a_transport_that_hangs() -> (Stage, &'static str) {
    let stage = Stage::with(|home| {
        let ssh = home.join("ssh");
        fs::write(&ssh, "#!/bin/sh\nexec sleep 600\n").unwrap();
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
        let config = home.join("gitconfig");
        fs::write(&config, format!("[core]\n\tsshCommand = {}\n", ssh.display())).unwrap();
        Environment { git_config_global: Some(config.into()), ..environment() }
    });
    (stage.await, "ssh://nowhere.invalid/repo")
}

fn ask_for_passwords(listener: &TcpListener) {
    for stream in listener.incoming().map_while(Result::ok) {
        let mut lines = BufReader::new(&stream).lines();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\
                      Content-Length: 0\r\nConnection: close\r\n\r\n";
        drop((&stream).write_all(answer.as_bytes()));
    }
}

async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it comes true in time");
}
