//! What every route refuses: wrong methods, unknown paths, and who shows no key.

use serde_json::json;

use super::api::{ADMIN_KEY, Api, KEY};

/// Every route of the existing protocol, with the methods that it answers.
const ROUTES: [(&str, &[&str]); 24] = [
    ("/health", &["GET"]),
    ("/metrics", &["GET"]),
    ("/runners/register", &["POST"]),
    ("/runners/heartbeat", &["POST"]),
    ("/runners/update", &["POST"]),
    ("/runners/offline", &["POST"]),
    ("/runners/r1/request-update", &["POST"]),
    ("/runners/r1/tasks", &["GET", "POST"]),
    ("/runners/r1/tasks/t1", &["PATCH"]),
    ("/api/runners", &["GET"]),
    ("/api/runners/r1", &["GET"]),
    ("/api/v1/sessions", &["GET", "POST"]),
    ("/api/v1/sessions/s1", &["GET", "PATCH", "DELETE"]),
    ("/api/v1/realms", &["GET"]),
    ("/api/v1/realms/m1", &["GET", "PATCH", "DELETE"]),
    // A realm could be called `register`; reading it is the other route's business.
    ("/api/v1/realms/register", &["POST", "GET", "PATCH", "DELETE"]),
    ("/api/v1/realms/heartbeat", &["POST", "GET", "PATCH", "DELETE"]),
    ("/api/v1/realms/deregister", &["POST", "GET", "PATCH", "DELETE"]),
    ("/api/admin/api-keys/rotate", &["POST"]),
    ("/api/admin/expected-version", &["POST"]),
    ("/api/admin/runners", &["GET"]),
    ("/api/admin/runners/r1/update-log", &["GET"]),
    ("/api/admin/runners/request-update", &["POST"]),
    ("/api/admin/self-update", &["POST"]),
];
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
/// What the documents name beside them.
const PROMISED: [(&str, &str); 5] = [
    ("GET", "/runners"),
    ("GET", "/runners/r1"),
    ("GET", "/admission"),
    ("POST", "/version-check/1.2.3"),
    ("GET", "/status"),
];

fn is_public(path: &str) -> bool {
    path == "/health" || path == "/metrics"
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let Some(api) = Api::locked("a_wrong_method_is_told_the_right_ones").await else { return };
    let keys = [("X-API-Key", KEY), ("X-Admin-Api-Key", ADMIN_KEY)];

    for (path, methods) in ROUTES {
        // These three exist beside a parameter and are looked at below.
        if ["register", "heartbeat", "deregister"]
            .iter()
            .any(|word| path == format!("/api/v1/realms/{word}"))
        {
            continue;
        }
        for method in METHODS.iter().filter(|method| !methods.contains(method)) {
            // The documents promise `GET /runners/{id}`, and these words are ids there.
            let is_an_id = path.starts_with("/runners/") && path.matches('/').count() == 2;
            if *method == "GET" && is_an_id {
                continue;
            }
            let answer = api.send(method, path, &keys, None).await;
            assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
            let allowed: Vec<_> = answer.header("Allow").split(',').map(str::trim).collect();
            for method in methods {
                assert!(allowed.contains(method), "{path}: {allowed:?}");
            }
            assert!(!allowed.contains(method), "{path}: {allowed:?}");
            assert!(answer.json()["error"].is_string(), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn every_route_is_there() {
    let Some(api) = Api::locked("every_route_is_there").await else { return };
    let keys = [("X-API-Key", KEY), ("X-Admin-Api-Key", ADMIN_KEY)];
    let named = ROUTES.iter().flat_map(|(path, methods)| {
        let own = if path.starts_with("/api/v1/realms/") { &methods[..1] } else { methods };
        own.iter().map(move |method| (*method, *path))
    });

    for (method, path) in named.chain(PROMISED) {
        let answer = api.send(method, path, &keys, None).await;
        // A route that is not there answers 404 with another text, or 405.
        let is_unknown_thing = answer.status == 404
            && ["Runner not found", "Session not found", "Realm not found"]
                .iter()
                .any(|known| answer.json()["error"] == *known);
        let is_there = answer.status <= 400 || is_unknown_thing;
        assert!(is_there, "{method} {path}: {answer:?}");
    }
}

#[tokio::test]
async fn without_a_key_nothing_is_read_or_told() {
    let Some(api) = Api::locked("without_a_key_nothing_is_read_or_told").await else { return };
    let denied = "Unauthorized: invalid or missing API key";
    let denied_admin = "Unauthorized: invalid or missing admin API key";
    let headers: [&[(&str, &str)]; 4] = [
        &[],
        &[("X-API-Key", "wrong")],
        &[("X-API-Key", "")],
        &[("X-API-Key", KEY), ("X-API-Key", KEY)],
    ];

    for (path, methods) in ROUTES {
        for headers in headers {
            let mut all = vec![("Content-Type", "application/json")];
            all.extend(headers);
            // Not even malformed JSON is looked at before the key.
            let body = (methods[0] != "GET").then(|| "{nonsense".to_owned());
            let answer = api.send(methods[0], path, &all, body).await;
            if is_public(path) {
                assert_eq!(answer.status, 200, "{path}: {answer:?}");
            } else if path.starts_with("/api/admin/") {
                answer.refuses(401, denied_admin);
            } else {
                answer.refuses(401, denied);
            }
        }
    }
    for (method, path) in PROMISED {
        api.send(method, path, &[], None).await.refuses(401, denied);
    }
}

#[tokio::test]
async fn the_exemption_is_exactly_two_paths() {
    let Some(api) = Api::locked("the_exemption_is_exactly_two_paths").await else { return };

    assert_eq!(api.get("/health").await.status, 200);
    assert_eq!(api.get("/metrics").await.status, 200);
    for path in ["/HEALTH", "/health/", "/Metrics", "/metrics/", "/nothing", "/api/admin2"] {
        assert_eq!(api.get(path).await.status, 401, "{path}");
    }
    let key = [("X-API-Key", KEY)];
    for (path, status) in [("/HEALTH", 200), ("/metrics/", 200), ("/nothing", 404)] {
        assert_eq!(api.send("GET", path, &key, None).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn members_of_a_wrong_type_are_named() {
    let Some(api) = Api::start("members_of_a_wrong_type_are_named").await else { return };
    api.runner("r1").await;
    api.post("/runners/r1/tasks", json!({"taskId": "t1"})).await;

    for (method, path, member, value) in [
        ("POST", "/runners/register", "runnerId", json!(5)),
        ("POST", "/runners/register", "name", json!({"a": 1})),
        ("POST", "/runners/register", "version", json!(1.5)),
        ("POST", "/runners/register", "capabilities", json!("http")),
        ("POST", "/runners/register", "capabilities", json!([1])),
        ("POST", "/runners/register", "realmTemplates", json!("ubuntu")),
        ("POST", "/runners/register", "labels", json!({"zone": 1})),
        ("POST", "/runners/register", "tasks", json!({"t": 1})),
        ("POST", "/runners/register", "resources", json!("none")),
        ("POST", "/runners/register", "leaseTtlMs", json!("60000")),
        ("POST", "/runners/heartbeat", "runnerId", json!(["r1"])),
        ("POST", "/runners/heartbeat", "updateLog", json!(5)),
        ("POST", "/runners/update", "newEndpoint", json!(5)),
        ("POST", "/runners/offline", "runnerId", json!(5)),
        ("POST", "/runners/r1/request-update", "version", json!(5)),
        ("POST", "/runners/r1/request-update", "command", json!(["rm"])),
        ("POST", "/runners/r1/tasks", "taskId", json!(5)),
        ("POST", "/runners/r1/tasks", "metadata", json!([1])),
        ("PATCH", "/runners/r1/tasks/t1", "status", json!(5)),
        ("PATCH", "/runners/r1/tasks/t1", "metadata", json!("text")),
    ] {
        let body = json!({ member: value }).to_string();
        let answer = api.text(method, path, &body).await;
        assert_eq!(answer.status, 400, "{method} {path} {body}: {answer:?}");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(member), "{body}: {error}");
    }
    // None of it has broken anything.
    assert_eq!(api.get("/metrics").await.status, 200);
    assert_eq!(api.json("/api/runners").await["count"], 1);
}
