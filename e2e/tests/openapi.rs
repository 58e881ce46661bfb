//! The API does what `/openapi.json` says: a tool makes requests from the document, right and
//! wrong ones, and compares the answers with it.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use std::path::Path;
use std::time::Duration;

use daemon::process;
use e2e::command::{self, Answer};
use e2e::suite::skipped;
use e2e::world::COORDINATOR;
use e2e::{World, programs};
use serde_json::{Value, json};

const KEY: &str = "a-key-for-reading-and-writing";
const ADMIN_KEY: &str = "a-key-for-administration";

/// A coordinator with keys, and a runner that hosts realms.
async fn coordinator(world: &mut World) {
    world.executor("one", "test-executor", &[]).await.unwrap();
    world.routing.default_to("one");
    world.prepare_coordinator(&[]).unwrap();
    let env = &mut world.daemon(COORDINATOR).spec_mut().env;
    for (name, value) in [
        ("API_KEYS", KEY),
        ("ADMIN_API_KEY", ADMIN_KEY),
        ("AUTH_FAILURE_LIMIT", "0"),
        ("LOG_LEVEL", "info"),
    ] {
        env.insert(name.into(), value.into());
    }
    world.start(COORDINATOR).await.unwrap();
    let host = json!({
        "runnerId": "host", "leaseTtlMs": 86_400_000,
        "realmTemplates": [{"id": "u", "type": "ubuntu"}, {"id": "a", "type": "android"}],
    });
    let key = [("X-API-Key", KEY)];
    let (status, body) = world.ygg().post_with("/runners/register", &host, &key).await.unwrap();
    assert_eq!(status, 201, "{body}");
}

async fn schemathesis(program: &Path, world: &World, args: &[&str]) -> Answer {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi/schemathesis.toml");
    let document = format!("{}/openapi.json", world.ygg().url());
    let examples = if programs::full() { "200" } else { "15" };
    let mut all = vec!["--config-file", config, "run", &document];
    let headers = [format!("X-API-Key: {KEY}"), format!("X-Admin-Api-Key: {ADMIN_KEY}")];
    all.extend(headers.iter().flat_map(|header| ["-H", header]));
    all.extend(["--max-examples", examples, "--no-color", "--continue-on-failure"]);
    // The short form is the same each time; the long one looks elsewhere each time.
    if !programs::full() {
        all.extend(["--seed", "5"]);
    }
    all.extend(args);
    let command = process::Command::new(program)
        .args(all)
        .cwd(world.folder())
        .env("PATH", programs::path())
        .env("HOME", world.folder().join("home"))
        .env("LANG", "C.UTF-8")
        .limit(Duration::from_mins(20));
    command::run(command).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_answers_as_it_is_described() {
    let name = "the_api_answers_as_it_is_described";
    let tool = programs::tool("schemathesis/bin/schemathesis");
    let Some(program) = tool.or_else(|| programs::find("schemathesis")) else {
        return skipped(name, "no schemathesis below target/tools or on PATH");
    };
    let mut world = match World::any().await {
        Ok(world) => world,
        Err(why) => return skipped(name, &why),
    };
    coordinator(&mut world).await;
    let rotate = "/api/admin/api-keys/rotate";

    let all = schemathesis(&program, &world, &["--exclude-path", rotate]).await;
    // This one takes the key away by which the others are asked.
    let rotating = schemathesis(&program, &world, &["--include-path", rotate]).await;

    assert_eq!(all.code, Some(0), "{}\n{}", all.stdout, all.stderr);
    assert_eq!(rotating.code, Some(0), "{}\n{}", rotating.stdout, rotating.stderr);
    let health = world.ygg().health().await.unwrap();
    assert_eq!(health.executors["one"].state, "up", "{health:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_is_served_as_it_is_kept() {
    let mut world = match World::any().await {
        Ok(world) => world,
        Err(why) => return skipped("the_document_is_served_as_it_is_kept", &why),
    };
    coordinator(&mut world).await;
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(kept).unwrap()).unwrap();

    let asked = world.client().get(format!("{}/OpenAPI.json/", world.ygg().url()));
    let served: Value = asked.header("x-api-key", KEY).send().await.unwrap().json().await.unwrap();

    assert_eq!(served["openapi"], "3.1.0");
    assert!(served == kept, "docs/openapi.json is stale; run `make docs`");
}
