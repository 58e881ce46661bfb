//! What the holder of the admin key does, with the exact answers.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use e2e::world::{COORDINATOR, LONG};
use e2e::{World, until};
use reqwest::header::ALLOW;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const ADMIN: &str = "admin-key-of-the-owner-99";

async fn homelab(test: &str, variables: &[(&str, &str)]) -> Option<World> {
    let mut world = match World::any().await {
        Ok(world) => world,
        Err(why) => {
            e2e::suite::skipped(test, &why);
            return None;
        }
    };
    world.prepare_coordinator(&[]).unwrap();
    let env = &mut world.daemon(COORDINATOR).spec_mut().env;
    env.insert("ADMIN_API_KEY".into(), ADMIN.into());
    for (name, value) in variables {
        env.insert(name.into(), value.into());
    }
    world.start(COORDINATOR).await.unwrap();
    Some(world)
}

async fn post(world: &World, path: &str, body: Value) -> (StatusCode, Value) {
    let headers = [("X-Admin-Api-Key", ADMIN)];
    world.ygg().post_with(&format!("/api/admin/{path}"), &body, &headers).await.unwrap()
}

async fn good(world: &World, path: &str, body: Value) -> Value {
    let (status, answer) = post(world, path, body).await;
    assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    answer
}

async fn get(world: &World, path: &str) -> Value {
    let url = format!("{}/api/admin/{path}", world.ygg().url());
    let answer = world.client().get(url).header("X-Admin-Api-Key", ADMIN).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.json().await.unwrap()
}

async fn runner(world: &World, body: Value) {
    let (status, _) = world.ygg().post("/runners/register", &body).await.unwrap();
    assert_eq!(status, StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_expected_version_is_set_and_survives_a_power_cut() {
    let name = "the_expected_version_is_set_and_survives_a_power_cut";
    let Some(mut world) = homelab(name, &[]).await else { return };
    runner(&world, json!({"runnerId": "r1", "name": "one", "version": "0.3.8"})).await;

    let first = good(&world, "expected-version", json!({"version": " 0.4.0 "})).await;
    let second = good(&world, "expected-version", json!({"version": "0.5.0"})).await;

    assert_eq!(first, json!({"status": "updated", "previous": null, "current": "0.4.0"}));
    assert_eq!(second, json!({"status": "updated", "previous": "0.4.0", "current": "0.5.0"}));
    for body in [json!({}), json!({"version": ""}), json!({"version": " "}), json!([])] {
        let (status, answer) = post(&world, "expected-version", body.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer["error"], "version is required and must be non-empty", "{body}");
    }
    for body in [json!({"version": 4}), json!({"version": "x".repeat(300)})] {
        let (status, answer) = post(&world, "expected-version", body.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(answer["error"].as_str().unwrap().contains("version"), "{answer}");
    }
    world.kill(COORDINATOR);
    world.start(COORDINATOR).await.unwrap();
    let listed = get(&world, "runners").await;
    assert_eq!([&listed["expectedVersion"], &listed["count"]], [&json!("0.5.0"), &json!(1)]);
    assert_eq!(listed["runners"][0]["outdated"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_are_asked_of_some_of_all_and_of_nobody() {
    let name = "updates_are_asked_of_some_of_all_and_of_nobody";
    let Some(world) = homelab(name, &[]).await else { return };
    for id in ["r1", "r2"] {
        runner(&world, json!({"runnerId": id, "name": id, "version": "0.3.8"})).await;
    }
    world.ygg().post("/runners/offline", &json!({"runnerId": "r2"})).await.unwrap();

    let some = good(
        &world,
        "runners/request-update",
        json!({"runnerIds": ["r1", "gone", "r1"], "version": "0.4.0", "command": "true",
               "downloadUrl": "http://x/y", "metadata": {"a": 1}}),
    )
    .await;
    let (_, beat) =
        world.ygg().post("/runners/heartbeat", &json!({"runnerId": "r1"})).await.unwrap();
    let all =
        good(&world, "runners/request-update", json!({"runnerIds": ["ALL"], "version": "0.5.0"}))
            .await;
    let none =
        good(&world, "runners/request-update", json!({"version": "0.6.0", "runnerIds": []})).await;

    assert_eq!(
        some,
        json!({"status": "update_requested", "version": "0.4.0", "notifiedRunners": ["r1"],
               "skippedRunners": ["gone"]})
    );
    assert_eq!(
        beat["pendingUpdate"],
        json!({"version": "0.4.0", "command": "true", "downloadUrl": "http://x/y"})
    );
    assert_eq!(
        all,
        json!({"status": "update_requested", "version": "0.5.0", "notifiedRunners": ["r1", "r2"],
               "skippedRunners": []})
    );
    assert_eq!(
        none,
        json!({"status": "version_set", "expectedVersion": "0.6.0", "notifiedRunners": [],
               "skippedRunners": [], "message": "No Ratatoskr instances selected. Use runnerIds: [\"ALL\"] or a list of runner IDs."})
    );
    let listed = get(&world, "runners").await;
    // What it says that it did, it did.
    assert_eq!(listed["expectedVersion"], "0.6.0");
    let mut first = listed["runners"][0].clone();
    let heard = first.as_object_mut().unwrap().remove("lastHeartbeat").unwrap();
    assert!(
        heard.as_str().unwrap().ends_with('Z') && heard.as_str().unwrap().len() == 24,
        "{heard}"
    );
    assert_eq!(
        first,
        json!({"runnerId": "r1", "name": "r1", "version": "0.3.8", "status": "online",
               "outdated": true, "hasPendingUpdate": true, "hasPendingApiKey": false,
               "updateStatus": "idle", "updateLog": ""})
    );
    for body in [json!({"runnerIds": ["ALL"]}), json!({"runnerIds": ["r1"], "version": ""})] {
        let (status, answer) = post(&world, "runners/request-update", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(answer["error"], "version is required and must be non-empty");
    }
    for body in
        [json!({"version": "1", "runnerIds": "ALL"}), json!({"version": "1", "runnerIds": [1]})]
    {
        let (status, answer) = post(&world, "runners/request-update", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(answer["error"].as_str().unwrap().contains("runnerIds"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_an_update_is_shown() {
    let name = "the_log_of_an_update_is_shown";
    let Some(world) = homelab(name, &[]).await else { return };
    runner(&world, json!({"runnerId": "a b/c", "name": "one"})).await;

    let before = get(&world, "runners/a%20b%2Fc/update-log").await;
    let told = json!({"runnerId": "a b/c", "updateStatus": "failed", "updateLog": "no room"});
    world.ygg().post("/runners/heartbeat", &told).await.unwrap();
    let after = get(&world, "runners/a%20b%2Fc/update-log").await;

    let shown = |status: &str, log: &str| json!({"runnerId": "a b/c", "name": "one", "updateStatus": status, "updateLog": log});
    assert_eq!(before, shown("idle", ""));
    assert_eq!(after, shown("failed", "no room"));
    let url = format!("{}/api/admin/runners/nobody/update-log", world.ygg().url());
    let answer = world.client().get(url).header("X-Admin-Api-Key", ADMIN).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"], "Runner not found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_without_runners_says_what_is_left_to_do() {
    let name = "a_rotation_without_runners_says_what_is_left_to_do";
    let Some(world) = homelab(name, &[("API_KEYS", "an-old-key-of-mine")]).await else { return };

    let mut answer = good(&world, "api-keys/rotate", json!({"newApiKey": " newkey-12345 "})).await;

    let members = answer.as_object_mut().unwrap();
    assert!(members.remove("key").is_some() && members.remove("retiring").is_some());
    assert_eq!(
        answer,
        json!({"status": "rotated", "newApiKeyPrefix": "newkey-1…", "totalActiveKeys": 2,
               "notifiedRunners": [], "skippedRunners": [],
               "message": "No Ratatoskr instances selected. Each instance must be configured manually."})
    );
    for body in [json!({}), json!({"newApiKey": ""}), json!({"newApiKey": "  "})] {
        let (status, answer) = post(&world, "api-keys/rotate", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(answer["error"], "newApiKey is required and must be non-empty");
    }
    for (body, member) in [
        (json!({"newApiKey": 7}), "newApiKey"),
        (json!({"newApiKey": ADMIN}), "newApiKey"),
        (json!({"newApiKey": "good-key", "graceSeconds": -1}), "graceSeconds"),
        (json!({"newApiKey": "good-key", "graceSeconds": 1_000_000_000_000_u64}), "graceSeconds"),
        (json!({"newApiKey": "good-key", "runnerIds": {}}), "runnerIds"),
        (json!({"newApiKey": "good-key", "rights": "read", "runnerIds": ["r1"]}), "runnerIds"),
        (json!({"newApiKey": "good-key", "rights": "admin"}), "rights"),
    ] {
        let (status, answer) = post(&world, "api-keys/rotate", body.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(member) && !error.contains(ADMIN), "{body}: {error}");
    }
    let keys = get(&world, "api-keys").await;
    assert_eq!(keys["count"], 2, "{keys}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_of_the_coordinator_runs_the_command_of_its_owner_only() {
    let name = "an_update_of_the_coordinator_runs_the_command_of_its_owner_only";
    let command = "echo updating; id -u > updated; echo done";
    let variables = [("DOCKER_UPDATE_COMMAND", "cd \"$HOME\" && sh ./update.sh")];
    let Some(world) = homelab(name, &variables).await else { return };
    world.write("home/update.sh", command);
    let version = world.ygg().health().await.unwrap().version;

    let body =
        json!({"command": "touch stolen", "version": "9", "DOCKER_UPDATE_COMMAND": "touch stolen"});
    let answer = good(&world, "self-update", body).await;

    assert_eq!(answer["status"], "update_started");
    assert_eq!(answer["currentVersion"], json!(version));
    assert_eq!(answer["command"], json!(variables[0].1));
    let log = until("the update has ended", LONG, async || {
        let log = get(&world, "self-update/log").await;
        (log["updateStatus"] != "running").then_some(log)
    })
    .await;
    assert_eq!([&log["updateStatus"], &log["exitCode"]], [&json!("succeeded"), &json!(0)]);
    assert_eq!(log["updateLog"], "updating\ndone\n");
    assert!(world.path("home/updated").exists() && !world.path("home/stolen").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_without_a_command_is_a_clear_answer() {
    let name = "an_update_without_a_command_is_a_clear_answer";
    let Some(world) = homelab(name, &[]).await else { return };
    let version = world.ygg().health().await.unwrap().version;

    let answer = good(&world, "self-update", Value::Null).await;

    assert_eq!(
        [&answer["status"], &answer["currentVersion"]],
        [&json!("update_skipped"), &json!(version)]
    );
    assert!(answer["reason"].as_str().unwrap().contains("DOCKER_UPDATE_COMMAND"), "{answer}");
    assert_eq!(get(&world, "self-update/log").await["updateStatus"], "idle");
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let url = format!("{}/api/admin/self-update", world.ygg().url());
        let request = world.client().request(method.clone(), url).header("X-Admin-Api-Key", ADMIN);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.headers()[ALLOW], "POST", "{method}");
        assert!(answer.json::<Value>().await.unwrap()["error"].is_string(), "{method}");
    }
}
