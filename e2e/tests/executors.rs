//! The three executors, asked as with curl.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use e2e::http::Asked;
use e2e::world::LONG;
use e2e::{World, until};
use protocol::executor::ExecutorStatus;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

/// A homelab for executors only: which Beads CLI made its workspace does not matter.
async fn world(test: &str) -> Option<World> {
    match World::any().await {
        Ok(world) => Some(world),
        Err(why) => {
            e2e::suite::skipped(test, &why);
            None
        }
    }
}

/// Posts bytes as they are, without a content type, as `curl -d @- -H 'Content-Type:'` does.
async fn execute(asked: &Asked, world: &World, body: impl Into<Vec<u8>>) -> (StatusCode, Value) {
    execute_with(world.client(), asked, body).await
}

async fn execute_with(
    client: &Client,
    asked: &Asked,
    body: impl Into<Vec<u8>>,
) -> (StatusCode, Value) {
    let url = format!("{}/execute", asked.url());
    let answer = client.post(url).body(body.into()).send().await.unwrap();
    let status = answer.status();
    (status, answer.json().await.unwrap())
}

#[tokio::test]
async fn each_executor_says_what_it_can_and_does_it() {
    let Some(mut world) = world("each_executor_says_what_it_can_and_does_it").await else { return };
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"));
    let readme = readme.unwrap();
    let cases = [
        (
            "fenrir",
            &["dev-health-check", "git-clone", "git-commit", "run-tests"][..],
            "dev-health-check",
        ),
        ("surtr", &["llm-health-check", "ollama-list-models", "llm-inference"], "llm-health-check"),
        ("huginn", &["ops-health-check", "network-check", "power-wake"], "ops-health-check"),
    ];
    for (name, tasks, health_check) in cases {
        world.executor(name, &format!("{name}-executor"), &[]).await.unwrap();
        let asked = world.ask(name);

        let health: Value = asked.json("/health").await.unwrap();
        let status: ExecutorStatus = asked.status().await.unwrap();
        let order = json!({"task_id": "by hand", "type": health_check, "params": {}});
        let (code, outcome) = execute(&asked, &world, order.to_string()).await;

        assert_eq!(health["executor"], format!("{name}-executor"));
        assert_eq!(status.protocol, 1);
        for task in tasks.iter().chain(&["run-command", "run-playbook"]) {
            assert!(status.handlers.iter().any(|own| own == task), "{name} lacks {task}");
            let spec = status.tasks.iter().find(|spec| spec.task_type == *task).unwrap();
            assert!(!spec.description.is_empty() && spec.params_schema.is_object(), "{spec:?}");
        }
        for task in &status.handlers {
            assert!(readme.contains(&format!("`{task}`")), "README.md does not name `{task}`");
        }
        assert_eq!(code, StatusCode::OK, "{outcome}");
        let ending = outcome["status"].as_str().unwrap();
        assert!(["completed", "failed"].contains(&ending), "{outcome}");
        assert_eq!(outcome["task_id"], "by hand");
    }
}

#[tokio::test]
async fn every_refusal_has_its_code() {
    let Some(mut world) = world("every_refusal_has_its_code").await else { return };
    let token = world.text_path("token");
    world.write("token", "sesame\n");
    world.executor("open", "test-executor", &["--capacity", "1"]).await.unwrap();
    world
        .executor("closed", "test-executor", &["--token-file", &token, "--host", "127.0.0.1"])
        .await
        .unwrap();
    let (open, closed) = (world.ask("open"), world.ask("closed"));
    let client = world.client().clone();
    let order = |task: &str, params: Value| {
        json!({"task_id": "t", "type": task, "params": params}).to_string()
    };
    let refused = async |body: String, expected: StatusCode, code: &str| {
        let (status, refusal) = execute_with(&client, &open, body).await;
        assert_eq!((status, refusal["code"].as_str()), (expected, Some(code)), "{refusal}");
        assert_eq!(refusal["status"], "error");
        assert!(refusal["error"].as_str().is_some_and(|text| !text.is_empty()), "{refusal}");
        refusal
    };

    refused("{".to_owned(), StatusCode::BAD_REQUEST, "malformed").await;
    refused("[]".to_owned(), StatusCode::BAD_REQUEST, "malformed").await;
    refused(r#"{"type": "echo"}"#.to_owned(), StatusCode::BAD_REQUEST, "malformed").await;
    let (status, refusal) = execute(&closed, &world, order("echo", json!({"text": "a"}))).await;
    assert_eq!(
        (status, refusal["code"].as_str()),
        (StatusCode::UNAUTHORIZED, Some("unauthorized"))
    );
    let command = order("run-command", json!({"program": "true"}));
    refused(command, StatusCode::FORBIDDEN, "forbidden").await;
    let nearest = refused(order("ecko", json!({})), StatusCode::NOT_FOUND, "unknown_task").await;
    assert!(nearest["hint"].as_str().unwrap().contains("echo"), "{nearest}");
    let huge = order("echo", json!({"text": "a".repeat(2 << 20)}));
    refused(huge, StatusCode::PAYLOAD_TOO_LARGE, "too_large").await;
    let field = order("echo", json!({"text": "a", "more": [1]}));
    let field = refused(field, StatusCode::UNPROCESSABLE_ENTITY, "invalid_params").await;
    assert!(field["error"].as_str().unwrap().contains("more"), "{field}");

    let attempt = Uuid::now_v7();
    let same = |text: &str| {
        json!({"task_id": "t", "type": "echo", "params": {"text": text}, "attempt": attempt})
            .to_string()
    };
    let (first, outcome) = execute(&open, &world, same("one")).await;
    let (again, joined) = execute(&open, &world, same("one")).await;
    assert_eq!((first, again), (StatusCode::OK, StatusCode::OK));
    assert_eq!(outcome, joined);
    refused(same("two"), StatusCode::CONFLICT, "stale").await;

    let hold = json!({"started": world.text_path("started"), "until": world.text_path("go")});
    let hold = json!({"task_id": "t", "type": "hold", "params": hold});
    let (status, _) =
        open.post_with("/execute", &hold, &[("Prefer", "respond-async")]).await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED);
    world.file("started").await;
    let busy = order("echo", json!({"text": "a"}));
    refused(busy, StatusCode::TOO_MANY_REQUESTS, "busy").await;

    world.daemon("open").terminate();
    until("the executor drains", LONG, async || {
        let health: Value = open.json("/health").await.ok()?;
        (health["status"] == "draining").then_some(())
    })
    .await;
    let draining = order("echo", json!({"text": "a"}));
    refused(draining, StatusCode::SERVICE_UNAVAILABLE, "draining").await;
    world.write("go", "");
    assert!(world.daemon("open").ends(LONG).await.success());
}

#[tokio::test]
async fn an_address_for_all_without_a_token_is_refused() {
    let Some(mut world) = world("an_address_for_all_without_a_token_is_refused").await else {
        return;
    };

    let error = world.executor("one", "test-executor", &["--host", "0.0.0.0"]).await.unwrap_err();

    let text = format!("{error:#}");
    assert!(text.contains("exit 78"), "{text}");
    assert!(text.contains("token") && text.contains("--host"), "{text}");
}

#[tokio::test]
async fn a_wrong_flag_is_bad_usage_for_every_program() {
    let Some(world) = world("a_wrong_flag_is_bad_usage_for_every_program").await else { return };

    for (program, args, code, part) in [
        ("test-executor", &["--bogus"][..], 64, "--bogus"),
        ("yggdrasil-coordinator", &["--bogus"], 64, "--bogus"),
        ("yggdrasil-coordinator", &["--check", "--metrics-prefix", "9-"], 64, "--metrics-prefix"),
        ("yggdrasil-coordinator", &["--lease-ttl-ms", "5"], 64, "--lease-ttl-ms"),
        ("yggdrasil-coordinator", &["--help"], 0, ""),
        ("yggdrasil-coordinator", &["--version"], 0, ""),
    ] {
        let answer = world.once(program, args).await;

        assert_eq!(answer.code, Some(code), "{program} {args:?}: {}", answer.stderr);
        assert!(answer.stderr.contains(part), "{program} {args:?}: {}", answer.stderr);
    }
}

#[tokio::test]
async fn a_check_says_whether_the_settings_are_good() {
    let Some(world) = world("a_check_says_whether_the_settings_are_good").await else { return };
    world.write("policy.yaml", "allow:\n  commandz: [ls]\n");
    let bad = world.text_path("policy.yaml");

    let executor = world.once("test-executor", &["--check"]).await;
    let policy = world.once("test-executor", &["--check", "--policy", &bad]).await;
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../routing.yaml");
    let workspace = world.beads.folder.to_str().unwrap();
    let bd = world.beads.cli.program.to_str().unwrap();
    let given = ["--check", "--routing", shipped, "--beads-dir", workspace, "--bd", bd];
    let coordinator = world.once("yggdrasil-coordinator", &given).await;
    let keys = ["--api-keys", "k1,k2", "--read-api-keys", "k2", "--admin-api-key", "k1"];
    let doubtful = world.once("yggdrasil-coordinator", &[&given[..], &keys[..]].concat()).await;

    assert_eq!(executor.code, Some(0), "{}", executor.stderr);
    assert_eq!(policy.code, Some(78), "{}", policy.stderr);
    assert!(policy.stderr.contains("commandz"), "{}", policy.stderr);
    assert_eq!(coordinator.code, Some(0), "{}", coordinator.stderr);
    assert!(!coordinator.stdout.contains("warning"), "{}", coordinator.stdout);
    assert_eq!(doubtful.code, Some(0), "{}", doubtful.stderr);
    // The beginning of the SHA-256 of k2.
    let read = "warning: the key 015f7e6bc5aeaf48 is in API_KEYS and in READ_API_KEYS";
    assert!(doubtful.stdout.contains(read), "{}", doubtful.stdout);
    assert!(doubtful.stdout.contains("ADMIN_API_KEY is an API key as well"), "{}", doubtful.stdout);
}
