//! Who is let in where, on a real coordinator: every route with every kind of key, over rotations
//! and restarts.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use std::fs;
use std::path::Path;

use e2e::World;
use e2e::world::{COORDINATOR, LONG};
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const OLD: &str = "old-key-of-the-house-4711";
const NEW: &str = "new-key-of-the-house-0815";
const READ: &str = "reading-key-of-the-wall-42";
const ADMIN: &str = "admin-key-of-the-owner-99";

const NO_KEY: &str = "Unauthorized: invalid or missing API key";
const NO_ADMIN_KEY: &str = "Unauthorized: invalid or missing admin API key";

/// Every route that wants an API key, with its methods.
const API: &[(&str, &str)] = &[
    ("POST", "/runners/register"),
    ("POST", "/runners/heartbeat"),
    ("POST", "/runners/update"),
    ("POST", "/runners/offline"),
    ("POST", "/runners/nobody/request-update"),
    ("POST", "/runners/nobody/tasks"),
    ("GET", "/runners/nobody/tasks"),
    ("PATCH", "/runners/nobody/tasks/none"),
    ("GET", "/api/runners"),
    ("GET", "/api/runners/nobody"),
    ("GET", "/runners"),
    ("GET", "/runners/nobody"),
    ("POST", "/version-check/1.0.0"),
    ("GET", "/admission"),
    ("POST", "/api/v1/sessions"),
    ("GET", "/api/v1/sessions"),
    ("GET", "/api/v1/sessions/none"),
    ("PATCH", "/api/v1/sessions/none"),
    ("DELETE", "/api/v1/sessions/none"),
    ("GET", "/api/v1/realms"),
    ("GET", "/api/v1/realms/none"),
    ("PATCH", "/api/v1/realms/none"),
    ("DELETE", "/api/v1/realms/none"),
    ("POST", "/api/v1/realms/register"),
    ("POST", "/api/v1/realms/heartbeat"),
    ("POST", "/api/v1/realms/deregister"),
    ("GET", "/sd/executors"),
    ("GET", "/status"),
    ("GET", "/openapi.json"),
    ("GET", "/agent/none/health"),
    ("GET", "/agent/none/metrics"),
    ("POST", "/agent/none/process"),
    ("POST", "/poll"),
    ("GET", "/api/plan"),
    ("GET", "/api/beads/hl-none"),
    ("GET", "/api/attempts/none"),
    ("GET", "/api/attempts/none/log"),
    ("GET", "/no/such/path"),
    ("POST", "/no/such/path"),
    ("PUT", "/api/runners"),
    // The two that are open are open under their own names only.
    ("GET", "/HEALTH"),
    ("GET", "/health/"),
    ("GET", "/Metrics"),
];

/// Every route that wants the admin key.
const ADMINS: &[(&str, &str)] = &[
    ("POST", "/api/admin/api-keys/rotate"),
    ("GET", "/api/admin/api-keys"),
    ("POST", "/api/admin/expected-version"),
    ("GET", "/api/admin/runners"),
    ("GET", "/api/admin/runners/nobody/update-log"),
    ("POST", "/api/admin/runners/request-update"),
    ("POST", "/api/admin/self-update"),
    ("GET", "/api/admin/self-update"),
    ("GET", "/api/admin/self-update/log"),
    ("GET", "/api/admin"),
    ("GET", "/api/admin/no/such/path"),
    ("POST", "/API/Admin/self-update"),
    ("GET", "/API/ADMIN/runners/"),
];

/// A coordinator with these variables, or the reason why there is none.
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
    env.insert("LOG_LEVEL".into(), "trace".into());
    for (name, value) in variables {
        env.insert(name.into(), value.into());
    }
    world.start(COORDINATOR).await.unwrap();
    Some(world)
}

fn closed() -> Vec<(&'static str, &'static str)> {
    vec![
        ("API_KEYS", OLD),
        ("READ_API_KEYS", READ),
        ("ADMIN_API_KEY", ADMIN),
        ("AUTH_FAILURE_LIMIT", "0"),
    ]
}

/// Asks, and returns the status and the body.
async fn ask(
    world: &World,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &Value,
) -> (StatusCode, Value) {
    let url = format!("{}{path}", world.ygg().url());
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = world.client().request(method.clone(), url);
    if method != Method::GET {
        request = request.json(body);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn rotate(world: &World, body: Value) -> Value {
    let route = ("POST", "/api/admin/api-keys/rotate");
    let (status, answer) = ask(world, route, &[("X-Admin-Api-Key", ADMIN)], &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

/// Asserts for each of the routes how this key is answered there: `None` means let in.
async fn all(
    world: &World,
    routes: &[(&'static str, &'static str)],
    headers: &[(&str, &str)],
    expected: impl Fn(&str) -> Option<(u16, &'static str)>,
) {
    for route in routes {
        let (status, body) = ask(world, *route, headers, &json!({})).await;
        if let Some((refused, error)) = expected(route.0) {
            assert_eq!(status, refused, "{route:?} with {headers:?}: {body}");
            assert_eq!(body["error"], error, "{route:?} with {headers:?}");
        } else {
            let let_in = ![401, 403, 429].contains(&status.as_u16());
            assert!(let_in, "{route:?} with {headers:?}: {status} {body}");
        }
    }
}

fn id_of(key: &str) -> String {
    hex::encode(&Sha256::digest(key)[..8])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_route_is_opened_by_its_key_and_by_no_other() {
    let name = "each_route_is_opened_by_its_key_and_by_no_other";
    let Some(world) = homelab(name, &closed()).await else { return };
    let no_key = |_: &str| Some((401, NO_KEY));
    let no_admin_key = |_: &str| Some((401, NO_ADMIN_KEY));
    let bearer = format!("Bearer {OLD}");

    for headers in [
        &[][..],
        &[("X-API-Key", "wrong")],
        &[("X-API-Key", NEW)],
        &[("X-Admin-Api-Key", ADMIN)],
        &[("X-API-Key", ADMIN)],
        &[("X-API-Key", OLD), ("X-API-Key", OLD)],
    ] {
        all(&world, API, headers, no_key).await;
    }
    for headers in [
        &[][..],
        &[("X-Admin-Api-Key", "wrong")],
        &[("X-API-Key", OLD)],
        &[("X-API-Key", READ)],
        &[("X-Admin-Api-Key", OLD)],
    ] {
        all(&world, ADMINS, headers, no_admin_key).await;
    }
    for headers in [&[("x-api-KEY", OLD)], &[("Authorization", bearer.as_str())]] {
        all(&world, API, headers, |_| None).await;
    }
    all(&world, API, &[("X-API-Key", READ)], |method| match method {
        "GET" => None,
        _ => Some((403, "Forbidden: this API key may only read")),
    })
    .await;
    all(&world, ADMINS, &[("X-Admin-Api-Key", ADMIN)], |_| None).await;
    for path in ["/health", "/metrics"] {
        let (status, _) = ask(&world, ("GET", path), &[], &Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{path}");
    }
    // The same with a key that is being replaced, and with one that has been.
    rotate(&world, json!({"newApiKey": NEW, "graceSeconds": 3600})).await;
    all(&world, API, &[("X-API-Key", OLD)], |_| None).await;
    all(&world, API, &[("X-API-Key", NEW)], |_| None).await;
    rotate(&world, json!({"newApiKey": NEW, "graceSeconds": 0})).await;
    all(&world, API, &[("X-API-Key", OLD)], no_key).await;
    all(&world, API, &[("X-API-Key", NEW)], |_| None).await;
    all(&world, ADMINS, &[("X-API-Key", NEW)], no_admin_key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_of_the_document_is_in_a_table() {
    let name = "every_route_of_the_document_is_in_a_table";
    let Some(world) = homelab(name, &closed()).await else { return };
    let read = [("X-API-Key", READ)];

    let (status, document) = ask(&world, ("GET", "/openapi.json"), &read, &Value::Null).await;

    assert_eq!(status, StatusCode::OK, "{document}");
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in
        paths.iter().filter(|(path, _)| !matches!(path.as_str(), "/health" | "/metrics"))
    {
        for method in methods.as_object().unwrap().keys() {
            let table = if path.starts_with("/api/admin") { ADMINS } else { API };
            let is_there = table
                .iter()
                .any(|(known, shape)| known.eq_ignore_ascii_case(method) && is_of(shape, path));
            assert!(is_there, "{method} {path} is in no table");
        }
    }
}

/// Whether a path of the table is one of a path of the document.
fn is_of(path: &str, template: &str) -> bool {
    let (path, template): (Vec<_>, Vec<_>) =
        (path.split('/').collect(), template.split('/').collect());
    let fits = |(part, of): (&&str, &&str)| of.starts_with('{') || part == of;
    path.len() == template.len() && path.iter().zip(&template).all(fits)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_the_api_is_open_and_the_admin_routes_stay_closed() {
    let name = "without_keys_the_api_is_open_and_the_admin_routes_stay_closed";
    let Some(world) = homelab(name, &[("AUTH_FAILURE_LIMIT", "0")]).await else { return };

    all(&world, API, &[], |_| None).await;
    all(&world, API, &[("X-API-Key", "any")], |_| None).await;
    for headers in [&[][..], &[("X-Admin-Api-Key", "")], &[("X-Admin-Api-Key", "undefined")]] {
        all(&world, ADMINS, headers, |_| Some((401, NO_ADMIN_KEY))).await;
    }
    let (_, body) = ask(&world, ("GET", "/api/admin/runners"), &[], &Value::Null).await;
    assert!(body["hint"].as_str().unwrap().contains("ADMIN_API_KEY"), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_reaches_its_runner_and_survives_a_power_cut_unseen() {
    let name = "a_rotation_reaches_its_runner_and_survives_a_power_cut_unseen";
    let Some(mut world) = homelab(name, &closed()).await else { return };
    let old = [("X-API-Key", OLD)];
    let new = [("X-API-Key", NEW)];
    let admin = [("X-Admin-Api-Key", ADMIN)];
    let beat = ("POST", "/runners/heartbeat");
    let me = json!({"runnerId": "r1"});
    for id in ["r1", "r2"] {
        ask(&world, ("POST", "/runners/register"), &old, &json!({"runnerId": id, "name": id}))
            .await;
    }

    let told = rotate(&world, json!({"newApiKey": NEW, "runnerIds": ["r1", "r1", "gone"]})).await;

    assert_eq!(told["status"], "rotated");
    assert_eq!(told["newApiKeyPrefix"], "new-key-…");
    assert_eq!(told["totalActiveKeys"], 3);
    assert_eq!(told["notifiedRunners"], json!(["r1"]));
    assert_eq!(told["skippedRunners"], json!(["gone"]));
    assert_eq!(told["key"]["id"], json!(id_of(NEW)));
    assert_eq!(told["key"]["pendingRunners"], json!(["r1"]));
    assert_eq!(told["retiring"][0]["id"], json!(id_of(OLD)));
    let (_, shown) = ask(&world, ("GET", "/api/runners/r1"), &old, &Value::Null).await;
    assert_eq!(shown["pendingUpdate"], json!({"version": "0.1.0"}), "{shown}");

    world.kill(COORDINATOR);
    world.start(COORDINATOR).await.unwrap();

    // Told again and again, until it is used.
    for _ in 0..2 {
        let (_, answer) = ask(&world, beat, &old, &me).await;
        assert_eq!(answer["pendingUpdate"], json!({"version": "0.1.0", "apiKey": NEW}), "{answer}");
    }
    let (_, other) = ask(&world, beat, &old, &json!({"runnerId": "r2"})).await;
    assert_eq!(other, json!({"status": "ok"}));
    let (_, listed) = ask(&world, ("GET", "/api/admin/runners"), &admin, &Value::Null).await;
    assert_eq!(listed["runners"][0]["hasPendingApiKey"], true);
    assert_eq!(listed["runners"][0]["apiKeyId"], json!(id_of(OLD)));
    let (_, answer) = ask(&world, beat, &new, &me).await;
    assert_eq!(answer, json!({"status": "ok"}));
    let (_, keys) = ask(&world, ("GET", "/api/admin/api-keys"), &admin, &Value::Null).await;
    let mine = keys["keys"].as_array().unwrap().iter().find(|key| key["id"] == id_of(NEW)).unwrap();
    assert_eq!([&mine["confirmed"], &mine["confirmedRunners"]], [&json!(true), &json!(["r1"])]);

    // The old key is taken away for good, although API_KEYS still names it.
    rotate(&world, json!({"newApiKey": NEW, "graceSeconds": 0})).await;
    world.kill(COORDINATOR);
    world.start(COORDINATOR).await.unwrap();
    assert_eq!(ask(&world, beat, &old, &me).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&world, beat, &new, &me).await.0, StatusCode::OK);
    let output = world.daemon(COORDINATOR).output();
    let warned = output.lines().any(|line| line.contains(&id_of(OLD)) && line.contains("API_KEYS"));
    assert!(warned, "nobody was told that API_KEYS names a key that is off");

    // Nothing of a key can be read anywhere.
    assert!(shows_a_key(format!("before{NEW}after").as_bytes()) && !shows_a_key(b"nothing"));
    for (method, path) in
        API.iter().chain(ADMINS).chain(&[("GET", "/metrics"), ("GET", "/api/runners/r1")])
    {
        if *method != "GET" {
            continue;
        }
        let (_, body) = ask(&world, (method, path), &[new[0], admin[0]], &Value::Null).await;
        assert!(!shows_a_key(body.to_string().as_bytes()), "{path} shows a key: {body}");
    }
    world.daemon(COORDINATOR).terminate();
    world.daemon(COORDINATOR).ends(LONG).await;
    let state = world.path("state").join(COORDINATOR);
    for folder in [state.as_path(), &world.path("logs")] {
        for (file, bytes) in files(folder) {
            assert!(!shows_a_key(&bytes), "{file} shows a key");
        }
    }
    assert!(
        files(&state).iter().any(|(file, bytes)| file.ends_with("key-seal") && bytes.len() == 32)
    );
}

fn shows_a_key(bytes: &[u8]) -> bool {
    // Half a key, or a key in hexadecimal, would be too much already.
    let parts = [OLD, NEW, READ, ADMIN].map(|key| &key[..13]);
    let hexed = parts.map(hex::encode);
    let all = parts.iter().map(|part| part.as_bytes()).chain(hexed.iter().map(String::as_bytes));
    all.into_iter().any(|part| bytes.windows(part.len()).any(|window| window == part))
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    assert!(!found.is_empty(), "{} is empty", folder.display());
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_slowed_down_and_a_right_key_never_is() {
    let name = "failures_are_slowed_down_and_a_right_key_never_is";
    let mut variables = closed();
    variables.retain(|(name, _)| *name != "AUTH_FAILURE_LIMIT");
    variables.extend([("AUTH_FAILURE_LIMIT", "5"), ("API_KEY_RATE_LIMIT", "20")]);
    let Some(world) = homelab(name, &variables).await else { return };
    let url = format!("{}/api/runners", world.ygg().url());
    let send = async |key: &str| {
        let answer = world.client().get(&url).header("X-API-Key", key).send().await.unwrap();
        let wait = answer.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok());
        (answer.status().as_u16(), wait.and_then(|wait| wait.parse::<u64>().ok()))
    };

    let mut found = Vec::new();
    for _ in 0..7 {
        found.push(send("wrong").await);
    }

    assert_eq!(found[..5], [(401, None); 5]);
    assert!(matches!(found[6], (429, Some(1..=60))), "{found:?}");
    assert_eq!(send(OLD).await, (200, None));
    assert_eq!(send(READ).await, (200, None));
    // One key that asks too often is told so, and another is not.
    let many = futures::future::join_all((0..200).map(|_| send(READ))).await;
    assert!(many.contains(&(429, Some(1))), "{many:?}");
    assert_eq!(send(OLD).await, (200, None));
    let (_, page) = ask(&world, ("GET", "/metrics"), &[], &Value::Null).await;
    assert!(page.as_str().unwrap().contains("yggdrasil_api_keys_total 2"), "{page}");
}
