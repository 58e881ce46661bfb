//! A chain over two executors, written as beads: a real Ollama answers, a real git commits it.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

#[cfg(test)]
#[path = "../../executors/surtr/tests/tasks/docker_stage.rs"]
mod docker_stage;
#[cfg(test)]
#[path = "../../executors/surtr/tests/tasks/gguf.rs"]
mod gguf;
#[cfg(test)]
#[path = "../../executors/surtr/tests/tasks/real.rs"]
#[expect(dead_code, reason = "the tests of the tasks use more of it")]
mod real;

use std::path::Path;
use std::time::Duration;

use daemon::process;
use docker_stage::{Stage, usable};
use e2e::{NewBead, World, command, programs};
use protocol::coordinator::Stage as Stands;
use real::Real;
use serde_json::json;

e2e::on_every_beads_cli!(
    a_real_answer_is_committed,
    an_ollama_that_was_deployed_answers,
    without_an_answer_nothing_is_committed,
);

/// What the real server's starter wants of its neighbours.
mod common {
    use std::net::{Ipv4Addr, SocketAddr};

    pub(crate) fn closed() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, e2e::ports::free()).into()
    }
}

async fn a_real_answer_is_committed(world: World) {
    let Some(ollama) = Real::with_tiny("a_real_answer_is_committed").await else { return };
    let world = homelab(world, ollama.url.as_str()).await;
    let tree = repository(&world).await;

    let list = world.create(NewBead::task("ollama-list-models", json!({}))).await;
    let [answer, commit] = answer_and_commit(&world, &list, &tree).await;

    for id in [&list, &answer, &commit] {
        let bead = world.settled(id).await;
        assert_eq!(bead.status, "closed", "{id}: {}", bead.told());
    }
    // Ollama's own log proves that it was asked, and git that the answer is there.
    assert!(ollama.log().contains("/api/generate"), "{}", ollama.log());
    let committed = world.show(&commit).await;
    let text = git(&tree, &["show", "HEAD:answer.md"]).await;
    assert!(!text.trim().is_empty(), "{}", committed.told());
    let attempt = world.why(&answer).await.attempts.pop().unwrap().attempt.to_string();
    let outcome = world.ygg().attempt(&attempt).await.unwrap().outcome.unwrap();
    assert_eq!(outcome.data["response"], json!(text));
    assert_eq!(git(&tree, &["log", "-1", "--format=%s"]).await, "What the model said\n");
    assert_eq!(git(&tree, &["rev-list", "--count", "HEAD"]).await, "2\n");
    assert_eq!(git(&tree, &["status", "--porcelain"]).await, "");
    let head = git(&tree, &["rev-parse", "--short", "HEAD"]).await;
    assert!(committed.told().contains(head.trim()), "{}", committed.told());
}

async fn an_ollama_that_was_deployed_answers(world: World) {
    let name = "an_ollama_that_was_deployed_answers";
    let Some(docker) = usable(name) else { return };
    let Some(ollama) = Real::with_tiny(name).await else { return };
    let address = common::closed().to_string();
    let Some(stage) = Stage::new(name, &ollama, &docker, &address) else { return };
    // Only its model goes on, in the container.
    let models = ollama.stop();
    let mut args = vec![format!("--ollama-url=http://{address}")];
    args.extend(docker.host.as_ref().map(|host| format!("--docker-host={host}")));
    let world = homelab_with(world, &args.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let tree = repository(&world).await;

    let order = json!({"compose_file": stage.file, "service": "llm", "models": ["tiny"]});
    let deploy = world.create(NewBead::task("ollama-deploy", order)).await;
    let [answer, commit] = answer_and_commit(&world, &deploy, &tree).await;

    for id in [&deploy, &answer, &commit] {
        let bead = world.settled(id).await;
        assert_eq!(bead.status, "closed", "{id}: {}", bead.told());
    }
    assert!(!git(&tree, &["show", "HEAD:answer.md"]).await.trim().is_empty());
    drop((stage, models));
}

async fn without_an_answer_nothing_is_committed(world: World) {
    let nobody = format!("http://{}", common::closed());
    let world = homelab(world, &nobody).await;
    let tree = repository(&world).await;

    let list = world.create(NewBead::titled("look by hand which models are there")).await;
    let [answer, commit] = answer_and_commit(&world, &list, &tree).await;
    world.beads.close(&list).await.unwrap();
    let failed = world.blocked(&answer, "task-failed").await;
    // A bead that came later was done, so the commit was looked at as well.
    let status = world.create(NewBead::task("git-status", json!({"repo_path": tree}))).await;
    assert_eq!(world.settled(&status).await.status, "closed");

    assert!(failed.notes.contains("does not answer at"), "{}", failed.notes);
    assert_eq!(world.show(&commit).await.status, "open");
    // It may have been listed before its dependency was written: then it was given back at once.
    let attempts = world.why(&commit).await.attempts;
    assert!(attempts.iter().all(|attempt| attempt.stage == Stands::Dropped), "{attempts:?}");
    assert_eq!(git(&tree, &["rev-list", "--count", "HEAD"]).await, "1\n");
}

/// Starts Fenrir, Surtr with this Ollama, and a coordinator.
async fn homelab(world: World, ollama: &str) -> World {
    homelab_with(world, &["--ollama-url", ollama]).await
}

async fn homelab_with(mut world: World, surtr: &[&str]) -> World {
    world.executor("fenrir", "fenrir-executor", &[]).await.unwrap();
    world.executor("surtr", "surtr-executor", surtr).await.unwrap();
    world.routing.route("git-*: fenrir").route("ollama-*: surtr").route("llm-*: surtr");
    world.routing.retry("attempts: 1");
    world.coordinator(&[]).await.unwrap();
    world
}

/// Writes the beads that ask the model once `before` is done, and then commit what it said.
async fn answer_and_commit(world: &World, before: &str, tree: &Path) -> [String; 2] {
    let prompt = json!({
        "model": "tiny",
        "prompt": "Say something about the shed",
        "options": {"num_predict": 8, "seed": 1, "temperature": 0},
    });
    let answer = world.create(NewBead::task("llm-inference", prompt).after(before)).await;
    let file = json!({"path": "answer.md", "content": {"$from": answer, "path": "data.response"}});
    let order = json!({"repo_path": tree, "message": "What the model said", "files": [file]});
    let commit = world.create(NewBead::task("git-commit", order).after(&answer)).await;
    [answer, commit]
}

/// Makes a repository with one commit, in which somebody may commit.
async fn repository(world: &World) -> std::path::PathBuf {
    let tree = world.path("notes");
    std::fs::create_dir(&tree).unwrap();
    git(&tree, &["init", "--quiet"]).await;
    git(&tree, &["config", "user.name", "Mimir"]).await;
    git(&tree, &["config", "user.email", "mimir@example.org"]).await;
    git(&tree, &["commit", "--quiet", "--allow-empty", "--message", "The first"]).await;
    tree
}

async fn git(tree: &Path, args: &[&str]) -> String {
    let command = process::Command::new(programs::find("git").unwrap())
        .args(args)
        .cwd(tree)
        .env("PATH", programs::path())
        .env("HOME", tree)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .limit(Duration::from_secs(30));
    command::run(command).await.unwrap().done().unwrap()
}
