//! What needs the admin key.

use e2e::world::COORDINATOR;
use serde_json::json;

use super::api::{ADMIN_KEY, Api, KEY, is_iso, members, text};

const ROUTES: [(&str, &str); 6] = [
    ("POST", "/api/admin/api-keys/rotate"),
    ("POST", "/api/admin/expected-version"),
    ("GET", "/api/admin/runners"),
    ("GET", "/api/admin/runners/r1/update-log"),
    ("POST", "/api/admin/runners/request-update"),
    ("POST", "/api/admin/self-update"),
];
const DENIED: &str = "Unauthorized: invalid or missing admin API key";

#[tokio::test]
async fn without_a_key_that_is_set_the_admin_routes_are_closed() {
    let Some(api) = Api::start("without_a_key_that_is_set_the_admin_routes_are_closed").await
    else {
        return;
    };

    for (method, path) in ROUTES {
        for key in ["", "anything", KEY] {
            let headers = [("X-Admin-Api-Key", key), ("X-API-Key", key)];
            api.send(method, path, &headers, None).await.refuses(401, DENIED);
        }
    }
}

#[tokio::test]
async fn the_two_kinds_of_keys_do_not_open_each_other() {
    let Some(api) = Api::locked("the_two_kinds_of_keys_do_not_open_each_other").await else {
        return;
    };

    for (method, path) in ROUTES {
        for headers in [("X-API-Key", KEY), ("X-Admin-Api-Key", KEY)] {
            api.send(method, path, &[headers], None).await.refuses(401, DENIED);
        }
    }
    let runners = api.send("GET", "/api/runners", &[("X-Admin-Api-Key", ADMIN_KEY)], None).await;
    runners.refuses(401, "Unauthorized: invalid or missing API key");
    let runners = api.send("GET", "/api/runners", &[("X-API-Key", ADMIN_KEY)], None).await;
    runners.refuses(401, "Unauthorized: invalid or missing API key");
}

#[tokio::test]
async fn the_expected_version_is_set_and_makes_runners_outdated() {
    let Some(api) = Api::locked("the_expected_version_is_set_and_makes_runners_outdated").await
    else {
        return;
    };
    register(&api, "r1", "0.4.0").await;
    register(&api, "r2", "0.5.0").await;
    let set = async |body| api.admin("POST", "/api/admin/expected-version", Some(body)).await;

    let first = set(json!({"version": " 0.3.8 "})).await;
    let second = set(json!({"version": "0.4.0"})).await;
    let empty = [set(json!({})).await, set(json!({"version": "  "})).await];
    let listed = api.admin("GET", "/api/admin/runners", None).await;

    assert_eq!(members(&first.text), ["status", "previous", "current"]);
    assert_eq!(first.json()["current"], "0.3.8");
    second.is(200, r#"{"status":"updated","previous":"0.3.8","current":"0.4.0"}"#);
    for refused in empty {
        refused.refuses(400, "version is required and must be non-empty");
    }
    assert_eq!(members(&listed.text), ["runners", "expectedVersion", "count"]);
    let listed = listed.json();
    assert_eq!((&listed["expectedVersion"], &listed["count"]), (&json!("0.4.0"), &json!(2)));
    let [one, two] = &listed["runners"].as_array().unwrap()[..] else { panic!("{listed}") };
    assert_eq!((&one["outdated"], &two["outdated"]), (&json!(false), &json!(true)));
    assert_eq!(
        members(&one.to_string()).len(),
        members(&two.to_string()).len(),
        "each has the same members"
    );
    for member in [
        "runnerId",
        "name",
        "version",
        "status",
        "hasPendingUpdate",
        "hasPendingApiKey",
        "updateStatus",
    ] {
        assert!(one.get(member).is_some(), "{member} is missing in {one}");
    }
    assert_eq!((&one["updateStatus"], &one["updateLog"]), (&json!("idle"), &json!("")));
    is_iso(&one["lastHeartbeat"]);
}

#[tokio::test]
async fn updates_are_asked_of_some_runners_or_of_all() {
    let Some(api) = Api::locked("updates_are_asked_of_some_runners_or_of_all").await else {
        return;
    };
    register(&api, "r1", "0.3.8").await;
    register(&api, "r2", "0.3.8").await;
    let ask = async |body| api.admin("POST", "/api/admin/runners/request-update", Some(body)).await;

    let some = ask(json!({"version": "0.4.0", "runnerIds": ["r1", "gone"]})).await;
    let all = ask(json!({"version": "0.5.0", "runnerIds": ["ALL"], "command": "true"})).await;
    let none = ask(json!({"version": "0.6.0"})).await;
    let empty = ask(json!({"runnerIds": ["r1"]})).await;

    some.is(200, r#"{"status":"update_requested","version":"0.4.0","notifiedRunners":["r1"],"skippedRunners":["gone"]}"#);
    all.is(200, r#"{"status":"update_requested","version":"0.5.0","notifiedRunners":["r1","r2"],"skippedRunners":[]}"#);
    none.is(200, r#"{"status":"version_set","expectedVersion":"0.6.0","notifiedRunners":[],"skippedRunners":[],"message":"No Ratatoskr instances selected. Use runnerIds: [\"ALL\"] or a list of runner IDs."}"#);
    empty.refuses(400, "version is required and must be non-empty");
    let listed = api.admin("GET", "/api/admin/runners", None).await.json();
    assert_eq!(listed["runners"][0]["hasPendingUpdate"], true);
    assert_eq!(listed["expectedVersion"], "0.6.0", "what it says is done");
}

#[tokio::test]
async fn the_log_of_an_update_is_shown() {
    let Some(api) = Api::locked("the_log_of_an_update_is_shown").await else { return };
    register(&api, "r1", "0.3.8").await;
    let beat = json!({"runnerId": "r1", "updateStatus": "failed", "updateLog": "no space"});
    let headers = [("X-API-Key", KEY), ("Content-Type", "application/json")];
    api.send("POST", "/runners/heartbeat", &headers, Some(beat.to_string())).await;

    let log = api.admin("GET", "/api/admin/runners/r1/update-log", None).await;
    let nobody = api.admin("GET", "/api/admin/runners/none/update-log", None).await;

    log.is(
        200,
        r#"{"runnerId":"r1","name":"unknown","updateStatus":"failed","updateLog":"no space"}"#,
    );
    nobody.is(404, r#"{"error":"Runner not found"}"#);
}

#[tokio::test]
async fn a_key_is_added_and_never_shown() {
    let Some(api) = Api::locked("a_key_is_added_and_never_shown").await else { return };
    let rotate = async |body| api.admin("POST", "/api/admin/api-keys/rotate", Some(body)).await;

    let missing = [rotate(json!({})).await, rotate(json!({"newApiKey": "  "})).await];
    let number = rotate(json!({"newApiKey": 5})).await;
    let rotated = rotate(json!({"newApiKey": " newkey-1234567 "})).await;
    let with_new = api.send("GET", "/api/runners", &[("X-API-Key", "newkey-1234567")], None).await;
    let with_old = api.send("GET", "/api/runners", &[("X-API-Key", KEY)], None).await;

    for refused in missing {
        refused.refuses(400, "newApiKey is required and must be non-empty");
    }
    assert_eq!(number.status, 400, "{number:?}");
    let said = rotated.json();
    assert_eq!((&said["status"], &said["totalActiveKeys"]), (&json!("rotated"), &json!(2)));
    assert_eq!((&said["notifiedRunners"], &said["skippedRunners"]), (&json!([]), &json!([])));
    assert_eq!(
        text(&said["message"]),
        "No Ratatoskr instances selected. Each instance must be configured manually."
    );
    assert!(said["newApiKeyPrefix"].is_string(), "{said}");
    assert!(!rotated.text.contains("newkey-1234567"), "{rotated:?}");
    assert_eq!((with_new.status, with_old.status), (200, 200), "the old one is in its grace");
}

#[tokio::test]
async fn a_coordinator_that_knows_no_newer_version_of_itself_says_so() {
    let Some(api) =
        Api::locked("a_coordinator_that_knows_no_newer_version_of_itself_says_so").await
    else {
        return;
    };

    let answer = api.admin("POST", "/api/admin/self-update", None).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["status"], "update_skipped");
    assert!(answer.json()["currentVersion"].is_string());
    assert!(answer.json()["reason"].is_string());
}

async fn register(api: &Api, id: &str, version: &str) {
    let headers = [("X-API-Key", KEY), ("Content-Type", "application/json")];
    let body = json!({"runnerId": id, "version": version}).to_string();
    let answer = api.send("POST", "/runners/register", &headers, Some(body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn a_key_that_may_only_read_although_it_is_an_api_key_is_told_at_the_start() {
    let test = "a_key_that_may_only_read_although_it_is_an_api_key_is_told_at_the_start";
    let env = [("API_KEYS", "k1,k2"), ("READ_API_KEYS", "k2"), ("ADMIN_API_KEY", "k1")];
    let Some(mut api) = Api::start_with(test, &env, &[]).await else { return };

    let log = api.world.daemon(COORDINATOR).output();

    // The beginning of the SHA-256 of k2.
    assert!(log.contains("the key 015f7e6bc5aeaf48 is in API_KEYS and in READ_API_KEYS"), "{log}");
    assert!(log.contains("ADMIN_API_KEY is an API key as well"), "{log}");
}
