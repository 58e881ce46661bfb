//! `ollama-deploy`, on scripted compose programs, and on the real Docker where one runs.

use executor_sdk::harness::{Ending, Harness, RefusalCode};
use executor_sdk::prelude::*;
use surtr_executor::Surtr;
use tempfile::TempDir;

use crate::common::{closed, completed, failed, surtr_at};
use crate::stand_in::StandIn;

/// A program that knows no `compose`, as Docker's does without its plugin.
const NO_PLUGIN: &str = "echo \"docker: unknown command: docker $1\" >&2; exit 1";

/// A compose program: the container is up when the file `up` is there. `$0` is in its folder.
fn compose(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "printf '%s\\n' \"$*\" >> {folder}/calls
         case \"$*\" in
           *version) echo 'Compose version v2.27.0' ;;
           *'up --detach '*) [ ! -e {folder}/broken ] || {{ echo 'no such image' >&2; exit 1; }}
                             touch {folder}/up; echo 'Container started' ;;
           *'ps --quiet '*) [ ! -e {folder}/up ] || echo 4f00 ;;
           *'ps --services --filter status=running')
             if [ -e {folder}/up ] && [ ! -e {folder}/dies ]; then echo ollama; echo llm; fi ;;
           *'logs --tail 20 '*) echo 'the last words' ;;
           *) echo \"what is $*?\" >&2; exit 64 ;;
         esac"
    )
}

/// A node with a compose file.
struct Node {
    folder: TempDir,
    file: PathBuf,
    ollama: StandIn,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("compose.yaml");
        std::fs::write(&file, "services: {}\n").unwrap();
        Self { folder, file, ollama: StandIn::start() }
    }

    /// Starts Surtr with these programs instead of the machine's.
    async fn start(&self, docker: &str, docker_compose: &str, podman: &str) -> Harness {
        Harness::with(surtr_at(self.ollama.url.clone()))
            .program("docker", docker)
            .program("docker-compose", docker_compose)
            .program("podman", podman)
            .start()
            .await
    }

    async fn with_docker(&self) -> Harness {
        self.start(&compose(self.folder.path()), NO_PLUGIN, NO_PLUGIN).await
    }

    fn calls(&self) -> Vec<String> {
        let calls = std::fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    fn touch(&self, name: &str) {
        std::fs::write(self.folder.path().join(name), "").unwrap();
    }
}

#[tokio::test]
async fn a_service_is_brought_up_with_its_models_and_twice_changes_nothing() {
    let node = Node::new();
    let surtr = node.with_docker().await;
    let order = json!({"compose_file": node.file, "models": ["tiny", "new"]});

    let first = surtr.execute("ollama-deploy", order.clone()).await.unwrap();
    let second = surtr.execute("ollama-deploy", order).await.unwrap();

    let data = completed(&first);
    assert_eq!((&data["compose"], &data["version"]), (&json!("docker compose"), &json!("0.9.6")));
    assert_eq!((&data["containers"], &data["changed"]), (&json!(["4f00"]), &json!(true)));
    assert_eq!(
        (&data["models"][0]["pulled"], &data["models"][1]["pulled"]),
        (&json!(false), &json!(true))
    );
    assert!(first.output.contains("Container started"), "{}", first.output);
    assert!(first.output.contains("pulling 6f85: 50 %"), "{}", first.output);
    let data = completed(&second);
    assert_eq!((&data["changed"], &data["models"][1]["pulled"]), (&json!(false), &json!(false)));
    let file = node.file.display();
    let up = format!("compose --file {file} up --detach ollama");
    assert_eq!(node.calls().iter().filter(|call| **call == up).count(), 2, "{:?}", node.calls());
}

#[tokio::test]
async fn whichever_compose_program_works_is_taken() {
    for (programs, called) in [
        ([true, true, true], "docker compose"),
        ([false, true, true], "docker-compose"),
        ([false, false, true], "podman compose"),
    ] {
        let node = Node::new();
        let script = compose(node.folder.path());
        let [docker, docker_compose, podman] =
            programs.map(|works| if works { script.as_str() } else { NO_PLUGIN });
        let surtr = node.start(docker, docker_compose, podman).await;

        let order = json!({"compose_file": node.file, "service": "llm"});
        let outcome = surtr.execute("ollama-deploy", order).await.unwrap();

        assert_eq!(completed(&outcome)["compose"], json!(called));
        assert_eq!(outcome.data["compose_version"], json!("Compose version v2.27.0"));
        let is_up = node.calls().iter().any(|call| call.ends_with(" up --detach llm"));
        assert!(is_up, "{:?}", node.calls());
    }
}

#[tokio::test]
async fn a_program_that_cannot_list_containers_claims_no_change() {
    let node = Node::new();
    let script =
        format!("case \"$*\" in *' ps '*) exit 2 ;; esac\n{}", compose(node.folder.path()));
    let surtr = node.start(NO_PLUGIN, NO_PLUGIN, &script).await;

    let outcome = surtr.execute("ollama-deploy", json!({"compose_file": node.file})).await.unwrap();

    let data = completed(&outcome);
    assert_eq!((&data["changed"], &data["containers"]), (&json!(null), &json!(null)));
    assert!(outcome.output.contains("`ollama` is up: Ollama 0.9.6"), "{}", outcome.output);
}

#[tokio::test]
async fn without_a_compose_program_it_says_what_was_tried() {
    let node = Node::new();
    let surtr = node.start(NO_PLUGIN, NO_PLUGIN, NO_PLUGIN).await;

    let outcome = surtr.execute("ollama-deploy", json!({"compose_file": node.file})).await.unwrap();

    let error = failed(&outcome);
    assert!(error.contains("docker compose: `docker` exited with 1: docker: unknown command"));
    assert!(error.contains("docker-compose: ") && error.contains("podman compose: "), "{error}");
    assert!(error.contains("install Docker's compose plugin"), "{error}");
}

#[tokio::test]
async fn what_keeps_it_from_coming_up_is_told() {
    let node = Node::new();
    let surtr = node.with_docker().await;
    let order = json!({"compose_file": node.file});

    let unnamed = surtr.execute("ollama-deploy", json!({})).await.unwrap();
    let absent = json!({"compose_file": "/nonexistent/compose.yaml"});
    let absent = surtr.execute("ollama-deploy", absent).await.unwrap();
    node.touch("dies");
    let other = surtr.execute("ollama-deploy", order.clone()).await.unwrap();
    node.touch("broken");
    let broken = surtr.execute("ollama-deploy", order).await.unwrap();

    assert!(
        failed(&unnamed).contains("give `compose_file`, or set SURTR_COMPOSE_FILE"),
        "{unnamed:?}"
    );
    let error = failed(&absent);
    assert_eq!(error, "there is no compose file at `/nonexistent/compose.yaml` on this node");
    assert!(failed(&other).contains("but `ollama` does not run"), "{other:?}");
    assert!(other.output.contains("the last words"), "{other:?}");
    assert_eq!(failed(&broken), "`docker` exited with 1: no such image");
}

#[tokio::test]
async fn a_daemon_that_cannot_be_reached_is_told_with_a_way_out() {
    for (words, way_out) in [
        ("Cannot connect to the Docker daemon at x. Is the docker daemon running?", "start Docker"),
        ("docker.errors.DockerException: Error while fetching server API version", "start Docker"),
        ("permission denied while trying to connect to the Docker daemon", "the group `docker`"),
    ] {
        let node = Node::new();
        let script = format!("case \"$*\" in *version) ;; *) echo '{words}' >&2; exit 1 ;; esac");
        let surtr = node.start(&script, NO_PLUGIN, NO_PLUGIN).await;

        let order = json!({"compose_file": node.file});
        let outcome = surtr.execute("ollama-deploy", order).await.unwrap();

        let error = failed(&outcome);
        assert!(error.contains(words) && error.contains(way_out), "{error}");
        assert_eq!(outcome.exit_code, Some(1));
    }
}

#[tokio::test]
async fn an_ollama_that_never_answers_is_a_failure_with_its_log() {
    let node = Node::new();
    let script = compose(node.folder.path());
    let surtr = surtr_at(format!("http://{}", closed()).parse().unwrap());
    let surtr = Surtr { compose_file: Some(node.file.clone()), ..surtr };
    let surtr = Harness::with(surtr).program("docker", script).start().await;

    let outcome = surtr.execute("ollama-deploy", json!({"wait_seconds": 1})).await.unwrap();
    let waits = surtr.execute_async("ollama-deploy", json!({"wait_seconds": 600})).await.unwrap();
    surtr.log_contains(waits.attempt, "waiting until Ollama answers").await;
    surtr.cancel(waits.attempt).await.unwrap();

    let error = failed(&outcome);
    assert!(
        error.starts_with("`ollama` is up, but after 1 s: Ollama does not answer at"),
        "{error}"
    );
    assert!(outcome.output.contains("the last words"), "{outcome:?}");
    assert_eq!(surtr.outcome(waits.attempt).await.status, Ending::Cancelled);
}

#[tokio::test]
async fn a_model_that_cannot_be_pulled_is_a_failure() {
    let node = Node::new();
    let surtr = node.with_docker().await;

    let order = json!({"compose_file": node.file, "models": ["tiny", "breaks"]});
    let outcome = surtr.execute("ollama-deploy", order).await.unwrap();

    assert!(failed(&outcome).contains("cannot pull `breaks`"), "{outcome:?}");
    assert_eq!(outcome.data["containers"], json!(["4f00"]));
}

#[tokio::test]
async fn the_nodes_policy_says_which_compose_files_may_be_used() {
    let node = Node::new();
    let surtr = Harness::with(surtr_at(node.ollama.url.clone()))
        .program("docker", compose(node.folder.path()))
        .policy("allow: {paths: [/srv/compose]}")
        .start()
        .await;

    let refused = surtr.execute("ollama-deploy", json!({"compose_file": node.file})).await;

    assert_eq!(refused.unwrap_err().code, RefusalCode::Forbidden);
    assert_eq!(node.calls(), [""; 0]);
}
