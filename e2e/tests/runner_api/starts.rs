//! From a session without a realm to one that can be used, or to the reason why not.

use serde_json::{Value, json};

use super::api::{Api, text};
use super::sessions::request;

/// Reports that the realm of a session is created.
async fn complete(api: &Api, session: &Value, metadata: Value) {
    let task = request(api, "ru", &session["realmId"]).await;
    let report = json!({"status": "completed", "metadata": metadata});
    let answer = api.patch(&format!("/runners/ru/tasks/{}", text(&task["taskId"])), report).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn shown(api: &Api, session: &Value) -> Value {
    api.json(&format!("/api/v1/sessions/{}", text(&session["id"]))).await
}

#[tokio::test]
async fn a_session_is_active_before_the_end_of_the_task_is_answered() {
    let test = "a_session_is_active_before_the_end_of_the_task_is_answered";
    let Some(api) = Api::start(test).await else { return };
    api.host("ru").await;

    // Several, since the next look of the coordinator may come by chance at the right time.
    for owner in ["a", "b", "c", "d", "e"] {
        let session = api.session(json!({"type": "computer-use", "ownerId": owner})).await;
        let endpoints = json!({"observation": "http://p/capture", "input": "http://p"});
        complete(&api, &session, json!({"endpoints": endpoints})).await;

        assert_eq!(shown(&api, &session).await["state"], "active");
    }
}

#[tokio::test]
async fn endpoints_that_are_none_fail_the_session_at_once() {
    let Some(api) = Api::start("endpoints_that_are_none_fail_the_session_at_once").await else {
        return;
    };
    api.host("ru").await;
    let session = api.session(json!({"type": "computer-use"})).await;

    complete(&api, &session, json!({"endpoints": "http://p"})).await;

    let failed = shown(&api, &session).await;
    assert_eq!(failed["state"], "failed", "{failed}");
    assert_eq!(
        text(&failed["metadata"]["error"]),
        format!(
            "the runner ru created the realm {}, but its `endpoints` are no object",
            text(&session["realmId"])
        )
    );
}

#[tokio::test]
async fn a_session_waits_for_the_endpoints_of_its_realm() {
    let Some(api) = Api::start("a_session_waits_for_the_endpoints_of_its_realm").await else {
        return;
    };
    let body = json!({"realmId": "m1", "runnerId": "elsewhere", "template": "ubuntu"});
    assert_eq!(api.post("/api/v1/realms/register", body).await.status, 201);

    let session = api.session(json!({"type": "computer-use"})).await;
    let path = format!("/api/v1/sessions/{}", text(&session["id"]));
    let early = api.patch(&path, json!({"state": "active"})).await;
    let endpoints = json!({"observation": "http://p/capture", "input": "http://p"});
    api.patch("/api/v1/realms/m1", json!({"endpoints": endpoints})).await;

    assert_eq!((&session["realmId"], &session["state"]), (&json!("m1"), &json!("creating")));
    early.is(400, r#"{"error":"the realm m1 has not told its endpoints yet"}"#);
    let active = api.json(&path).await;
    assert_eq!(
        (&active["state"], &active["inputEndpoint"]),
        (&json!("active"), &json!("http://p"))
    );
}

#[tokio::test]
async fn a_realm_that_tells_no_endpoints_fails_the_session_in_time() {
    let test = "a_realm_that_tells_no_endpoints_fails_the_session_in_time";
    let env = [("REALM_START_TIMEOUT", "1s")];
    let Some(api) = Api::start_with(test, &env, &[]).await else { return };
    let body = json!({"realmId": "m1", "runnerId": "elsewhere", "template": "ubuntu"});
    api.post("/api/v1/realms/register", body).await;
    let session = api.session(json!({"type": "computer-use"})).await;

    let failed = api.becomes(&session, "failed").await;

    assert_eq!(
        text(&failed["metadata"]["error"]),
        "the realm m1 did not tell its endpoints within 1 s"
    );
}

#[tokio::test]
async fn a_realm_that_nobody_began_to_create_needs_nobody_to_take_it_away() {
    let test = "a_realm_that_nobody_began_to_create_needs_nobody_to_take_it_away";
    let Some(api) = Api::start(test).await else { return };
    api.host("ru").await;
    let unread = api.session(json!({"type": "computer-use"})).await;
    let gone = api.delete(&format!("/api/v1/realms/{}", text(&unread["realmId"]))).await;
    let list = api.json("/runners/ru/tasks").await;
    let read = api.session(json!({"type": "computer-use"})).await;
    request(&api, "ru", &read["realmId"]).await;
    api.delete(&format!("/api/v1/realms/{}", text(&read["realmId"]))).await;

    assert_eq!(gone.status, 200, "{gone:?}");
    assert_eq!(list["count"], 0, "{list}");
    for session in [&unread, &read] {
        assert_eq!(shown(&api, session).await["state"], "failed");
    }
    let list = api.json("/runners/ru/tasks").await;
    let kinds: Vec<_> =
        list["tasks"].as_array().unwrap().iter().map(|t| text(&t["type"])).collect();
    assert_eq!(kinds, ["realm-create", "realm-destroy"]);
}
