//! Updates of runners, and whether a version is the right one.

use serde_json::json;

use super::api::{ADMIN_KEY, Api, KEY, members, text};

#[tokio::test]
async fn a_request_for_an_update_is_answered_to_the_byte() {
    let Some(api) = Api::start("a_request_for_an_update_is_answered_to_the_byte").await else {
        return;
    };
    api.runner("r1").await;
    let body = r#"{"version":"9.9.9","command":"echo hi","downloadUrl":"http://x/y","metadata":{"a":1},"apiKey":"stolen"}"#;
    let update =
        r#"{"version":"9.9.9","command":"echo hi","downloadUrl":"http://x/y","metadata":{"a":1}}"#;

    let answer = api.text("POST", "/runners/r1/request-update", body).await;
    let beat = api.beat("r1").await;
    let shown = api.shown("r1").await;

    answer.is(
        200,
        &format!(r#"{{"status":"update_requested","runnerId":"r1","pendingUpdate":{update}}}"#),
    );
    beat.is(200, &format!(r#"{{"status":"ok","pendingUpdate":{update}}}"#));
    assert_eq!(shown["pendingUpdate"]["version"], "9.9.9");
    let list = api.json("/api/runners").await;
    assert!(list["runners"][0].get("pendingUpdate").is_none(), "{list}");
}

#[tokio::test]
async fn an_update_needs_a_version_and_a_runner() {
    let Some(api) = Api::start("an_update_needs_a_version_and_a_runner").await else { return };
    api.runner("r1").await;

    for body in [json!({}), json!({"version": ""}), json!({"version": null})] {
        let answer = api.post("/runners/r1/request-update", body).await;
        answer.refuses(400, "version is required");
    }
    let nobody = api.post("/runners/none/request-update", json!({"version": "1"})).await;
    nobody.is(404, r#"{"error":"Runner not found"}"#);
}

#[tokio::test]
async fn an_update_is_told_until_the_version_registers() {
    let Some(api) = Api::start("an_update_is_told_until_the_version_registers").await else {
        return;
    };
    let register = async |version: &str| {
        let body = json!({"runnerId": "r1", "version": version});
        assert_eq!(api.post("/runners/register", body).await.status, 201);
    };
    register("1.0.0").await;
    api.post("/runners/r1/request-update", json!({"version": "2.0.0"})).await;

    // A registration between the request and the heartbeat loses nothing, nor does an answer
    // that never arrives.
    register("1.0.0").await;
    for _ in 0..3 {
        let beat = api.beat("r1").await;
        beat.is(200, r#"{"status":"ok","pendingUpdate":{"version":"2.0.0"}}"#);
    }
    register("2.0.0").await;

    api.beat("r1").await.is(200, r#"{"status":"ok"}"#);
}

#[tokio::test]
async fn an_update_that_failed_is_shown_with_the_end_of_its_log() {
    let Some(api) = Api::start("an_update_that_failed_is_shown_with_the_end_of_its_log").await
    else {
        return;
    };
    api.runner("r1").await;
    api.post("/runners/r1/request-update", json!({"version": "2.0.0"})).await;
    api.beat("r1").await;

    let log = format!("{}the end", "x".repeat(3000));
    let body = json!({"runnerId": "r1", "updateStatus": "failed", "updateLog": log});
    api.post("/runners/heartbeat", body).await.is(200, r#"{"status":"ok"}"#);

    let shown = api.get("/api/runners/r1").await;
    assert_eq!(members(&shown.text)[10..], ["updateStatus", "updateLog"]);
    let shown = shown.json();
    assert_eq!(shown["updateStatus"], "failed");
    let log = text(&shown["updateLog"]);
    assert!(log.ends_with("the end") && log.chars().count() == 2000, "{}", log.len());
}

#[tokio::test]
async fn a_new_update_replaces_the_one_before() {
    let Some(api) = Api::start("a_new_update_replaces_the_one_before").await else { return };
    api.runner("r1").await;

    for version in ["2.0.0", "3.0.0"] {
        api.post("/runners/r1/request-update", json!({"version": version})).await;
    }

    api.beat("r1").await.is(200, r#"{"status":"ok","pendingUpdate":{"version":"3.0.0"}}"#);
}

#[tokio::test]
async fn a_version_is_checked_against_the_expected_one() {
    let test = "a_version_is_checked_against_the_expected_one";
    let env = [("EXPECTED_RUNNER_VERSION", "1.2.3"), ("ADMIN_API_KEY", ADMIN_KEY)];
    let Some(api) = Api::start_with(test, &env, &[]).await else { return };

    let same = api.send("POST", "/version-check/1.2.3", &[], None).await;
    let other = api.send("POST", "/version-check/1.2.4%2Bx", &[], None).await;
    let version = json!({"version": "1.2.4"});
    api.admin("POST", "/api/admin/expected-version", Some(version)).await;
    let newer = api.send("POST", "/version-check/1.2.4", &[], None).await;

    same.is(200, r#"{"version":"1.2.3","expected":"1.2.3","compliant":true}"#);
    other.is(200, r#"{"version":"1.2.4+x","expected":"1.2.3","compliant":false}"#);
    newer.is(200, r#"{"version":"1.2.4","expected":"1.2.4","compliant":true}"#);
}

#[tokio::test]
async fn a_key_is_told_to_its_runner_and_shown_to_nobody() {
    let Some(api) = Api::locked("a_key_is_told_to_its_runner_and_shown_to_nobody").await else {
        return;
    };
    let headers = [("X-API-Key", KEY), ("Content-Type", "application/json")];
    let with_key = async |method: &str, path: &str, body: Option<String>| {
        api.send(method, path, &headers, body).await
    };
    let register = json!({"runnerId": "r1", "version": "1.0.0"}).to_string();
    assert_eq!(with_key("POST", "/runners/register", Some(register)).await.status, 201);
    let rotate = json!({"newApiKey": "a-brand-new-key", "runnerIds": ["r1", "none"]});

    let rotated = api.admin("POST", "/api/admin/api-keys/rotate", Some(rotate)).await;
    let beat =
        with_key("POST", "/runners/heartbeat", Some(json!({"runnerId": "r1"}).to_string())).await;
    let shown = with_key("GET", "/api/runners/r1", None).await;

    assert_eq!(rotated.status, 200, "{rotated:?}");
    let rotated = rotated.json();
    assert_eq!(rotated["status"], "rotated");
    assert_eq!(rotated["notifiedRunners"], json!(["r1"]));
    assert_eq!(rotated["skippedRunners"], json!(["none"]));
    assert!(!rotated.to_string().contains("a-brand-new-key"), "{rotated}");
    beat.is(
        200,
        r#"{"status":"ok","pendingUpdate":{"version":"1.0.0","apiKey":"a-brand-new-key"}}"#,
    );
    assert_eq!(shown.json()["pendingUpdate"], json!({"version": "1.0.0"}));
    assert!(!shown.text.contains("a-brand-new-key"), "{shown:?}");
}
