//! Sessions.

use e2e::until;
use serde_json::{Value, json};

use super::api::{Api, SOON, is_id, is_iso, members, text};

const WRONG_TYPE: &str =
    "Invalid or missing session type. Must be \"computer-use\" or \"phone-use\".";

/// Returns the task that asks the runner for a realm.
pub(super) async fn request(api: &Api, runner: &str, realm: &Value) -> Value {
    let path = format!("/runners/{runner}/tasks?status=running");
    until(&format!("{runner} is asked for {realm}"), SOON, async || {
        let list = api.json(&path).await;
        let mut tasks = list["tasks"].as_array().unwrap().iter();
        tasks.find(|task| task["metadata"]["realmId"] == *realm).cloned()
    })
    .await
}

#[tokio::test]
async fn a_session_attaches_at_once_to_a_realm_that_runs() {
    let Some(api) = Api::start("a_session_attaches_at_once_to_a_realm_that_runs").await else {
        return;
    };
    api.realm("m1", "elsewhere").await;

    let answer = api
        .post(
            "/api/v1/sessions",
            json!({
                "type": "computer-use", "ownerId": "steve", "participantIds": ["a"],
                "metadata": {"goal": "g"}, "realmId": "ignored",
            }),
        )
        .await;
    let created = answer.json();
    let id = text(&created["sessionId"]);
    let shown = api.get(&format!("/api/v1/sessions/{id}")).await;

    assert_eq!(answer.status, 201);
    assert_eq!(members(&answer.text), ["sessionId", "descriptor"]);
    assert_eq!(
        members(&shown.text),
        [
            "id",
            "type",
            "state",
            "observationEndpoint",
            "inputEndpoint",
            "capabilities",
            "observationMethod",
            "realmId",
            "ownerId",
            "participantIds",
            "createdAt",
            "updatedAt",
            "metadata"
        ]
    );
    assert_eq!(shown.json(), created["descriptor"]);
    is_id(&created["sessionId"], "session-", 12);
    let mut descriptor = shown.json();
    is_iso(&descriptor["createdAt"]);
    is_iso(&descriptor["updatedAt"]);
    for member in ["id", "createdAt", "updatedAt"] {
        descriptor[member] = Value::Null;
    }
    assert_eq!(
        descriptor,
        json!({
            "id": null, "type": "computer-use", "state": "active",
            "observationEndpoint": "http://h/api/v1/realms/m1/capture",
            "inputEndpoint": "http://h/api/v1/realms/m1",
            "capabilities": ["mouse", "keyboard", "scroll", "clipboard"],
            "observationMethod": "screenshot", "realmId": "m1", "ownerId": "steve",
            "participantIds": ["a"], "createdAt": null, "updatedAt": null,
            "metadata": {"goal": "g", "runnerId": "elsewhere", "allocationAction": "attach"},
        })
    );
}

#[tokio::test]
async fn a_new_realm_is_asked_of_a_runner_and_comes_with_its_own_word() {
    let Some(api) =
        Api::start("a_new_realm_is_asked_of_a_runner_and_comes_with_its_own_word").await
    else {
        return;
    };
    api.host("ru").await;

    let session = api.session(json!({"type": "computer-use", "ownerId": "steve"})).await;
    let realm = session["realmId"].clone();
    let task = request(&api, "ru", &realm).await;
    let waiting = api.json(&format!("/api/v1/realms/{}", text(&realm))).await;
    api.realm(text(&realm), "ru").await;
    let active = api.becomes(&session, "active").await;

    assert_eq!(session["state"], "creating");
    assert_eq!(
        (&session["observationEndpoint"], &session["inputEndpoint"]),
        (&json!(""), &json!(""))
    );
    assert_eq!(session["metadata"], json!({"runnerId": "ru", "allocationAction": "spawn"}));
    is_id(&realm, "realm-", 12);
    assert_eq!(task["type"], "realm-create");
    assert_eq!(
        task["metadata"],
        json!({
            "realmId": realm, "template": "ubuntu-24", "templateType": "ubuntu",
            "sessionId": session["id"],
        })
    );
    assert_eq!(
        (&waiting["state"], &waiting["templateId"]),
        (&json!("creating"), &json!("ubuntu-24"))
    );
    assert_eq!((&waiting["ownerId"], &waiting["runnerId"]), (&json!("steve"), &json!("ru")));
    assert!(text(&active["observationEndpoint"]).starts_with("http://h/"), "{active}");
}

#[tokio::test]
async fn a_new_realm_comes_with_the_end_of_its_task() {
    let Some(api) = Api::start("a_new_realm_comes_with_the_end_of_its_task").await else { return };
    api.host("ru").await;

    let session = api.session(json!({"type": "phone-use"})).await;
    let task = request(&api, "ru", &session["realmId"]).await;
    let endpoints = json!({"observation": "http://p/capture", "input": "http://p"});
    let report = json!({"status": "completed", "metadata": {"endpoints": endpoints}});
    api.patch(&format!("/runners/ru/tasks/{}", text(&task["taskId"])), report).await;
    let active = api.becomes(&session, "active").await;

    assert_eq!(session["capabilities"], json!(["touch", "keyboard", "scroll"]));
    assert_eq!(active["inputEndpoint"], "http://p");
    let realm = api.json(&format!("/api/v1/realms/{}", text(&session["realmId"]))).await;
    assert_eq!((&realm["state"], &realm["endpoints"]), (&json!("running"), &endpoints));
}

#[tokio::test]
async fn a_realm_that_cannot_be_created_fails_the_session_with_the_reason() {
    let Some(api) =
        Api::start("a_realm_that_cannot_be_created_fails_the_session_with_the_reason").await
    else {
        return;
    };
    api.host("ru").await;
    let session = api.session(json!({"type": "computer-use"})).await;
    let task = request(&api, "ru", &session["realmId"]).await;

    // The words of a Ratatoskr that knows no such task.
    let error = "No handler registered for task type \"realm-create\"";
    let report = json!({"status": "failed", "metadata": {"error": error}});
    api.patch(&format!("/runners/ru/tasks/{}", text(&task["taskId"])), report).await;
    let failed = api.becomes(&session, "failed").await;

    assert!(text(&failed["metadata"]["error"]).ends_with(error), "{failed}");
    let path = format!("/api/v1/realms/{}", text(&session["realmId"]));
    api.get(&path).await.is(404, r#"{"error":"Realm not found"}"#);
}

#[tokio::test]
async fn a_realm_that_does_not_start_fails_the_session_in_time() {
    let test = "a_realm_that_does_not_start_fails_the_session_in_time";
    let env = [("REALM_START_TIMEOUT", "1s")];
    let Some(api) = Api::start_with(test, &env, &[]).await else { return };
    api.host("ru").await;
    let session = api.session(json!({"type": "computer-use", "ownerId": "steve"})).await;
    let realm = text(&session["realmId"]).to_owned();
    let task = request(&api, "ru", &session["realmId"]).await;

    let failed = api.becomes(&session, "failed").await;
    let path = "/runners/ru/tasks";
    let ended = until("the task is ended", SOON, async || {
        let list = api.json(path).await;
        (list["tasks"][0]["status"] == "failed").then(|| list["tasks"][0].clone())
    })
    .await;
    api.realm(&realm, "ru").await;
    let again = api.session(json!({"type": "computer-use", "ownerId": "steve"})).await;

    assert_eq!(
        text(&failed["metadata"]["error"]),
        format!("the realm {realm} did not start on the runner ru within 1 s")
    );
    assert_eq!(ended["taskId"], task["taskId"]);
    assert_eq!((&*realm, &again["state"]), (text(&again["realmId"]), &json!("active")));
}

#[tokio::test]
async fn without_a_host_there_is_no_session() {
    let Some(api) = Api::start("without_a_host_there_is_no_session").await else { return };
    let none = api.post("/api/v1/sessions", json!({"type": "computer-use"})).await;
    let templates = json!([{"id": "u", "type": "ubuntu"}]);
    let short = json!({"runnerId": "ru", "leaseTtlMs": 1000, "realmTemplates": templates});
    api.post("/runners/register", short).await;
    until("ru is offline", SOON, async || {
        (api.shown("ru").await["status"] == "offline").then_some(())
    })
    .await;
    let offline = api.post("/api/v1/sessions", json!({"type": "computer-use"})).await;
    let phone = api.post("/api/v1/sessions", json!({"type": "phone-use"})).await;

    none.is(503, r#"{"error":"Unable to create session: No runner available that can host realm type: ubuntu"}"#);
    offline.is(503, r#"{"error":"Unable to create session: No online runner available for realm type: ubuntu"}"#);
    phone.is(503, r#"{"error":"Unable to create session: No runner available that can host realm type: android"}"#);
    assert_eq!(api.json("/api/v1/sessions").await, json!({"sessions": [], "count": 0}));
    assert_eq!(api.json("/api/v1/realms").await, json!({"realms": [], "count": 0}));
}

#[tokio::test]
async fn four_requests_of_one_owner_at_once_make_one_realm() {
    let Some(api) = Api::start("four_requests_of_one_owner_at_once_make_one_realm").await else {
        return;
    };
    api.host("ru").await;
    let body = json!({"type": "computer-use", "ownerId": "steve"});

    let (a, b, c, d) = tokio::join!(
        api.session(body.clone()),
        api.session(body.clone()),
        api.session(body.clone()),
        api.session(body)
    );

    assert_eq!(api.json("/api/v1/realms").await["count"], 1);
    for session in [&b, &c, &d] {
        assert_eq!(session["realmId"], a["realmId"]);
    }
    request(&api, "ru", &a["realmId"]).await;
    assert_eq!(api.json("/runners/ru/tasks").await["count"], 1);
    api.realm(text(&a["realmId"]), "ru").await;
    for session in [&a, &b, &c, &d] {
        api.becomes(session, "active").await;
    }
}

#[tokio::test]
async fn a_realm_of_nobody_is_not_shared() {
    let Some(api) = Api::start("a_realm_of_nobody_is_not_shared").await else { return };
    api.realm("m1", "elsewhere").await;
    let first = api.session(json!({"type": "computer-use", "ownerId": "steve"})).await;

    let other =
        api.post("/api/v1/sessions", json!({"type": "computer-use", "ownerId": "anna"})).await;
    api.delete(&format!("/api/v1/sessions/{}", text(&first["id"]))).await;
    let later = api.session(json!({"type": "computer-use", "ownerId": "anna"})).await;

    assert_eq!((&first["realmId"], other.status), (&json!("m1"), 503));
    assert_eq!(later["realmId"], "m1");
}

#[tokio::test]
async fn sessions_are_listed_by_type_and_state() {
    let Some(api) = Api::start("sessions_are_listed_by_type_and_state").await else { return };
    api.host("ru").await;
    api.realm("m1", "ru").await;
    let computer = api.session(json!({"type": "computer-use"})).await;
    let phone = api.session(json!({"type": "phone-use"})).await;

    for (query, wanted) in [
        ("", vec![&computer, &phone]),
        ("?type=&state=", vec![&computer, &phone]),
        ("?type=phone-use", vec![&phone]),
        ("?state=active", vec![&computer]),
        ("?type=phone-use&state=active", vec![]),
        ("?state=Active", vec![]),
        ("?state=active&state=active", vec![]),
    ] {
        let answer = api.get(&format!("/api/v1/sessions{query}")).await;
        assert_eq!(members(&answer.text), ["sessions", "count"]);
        let list = answer.json();
        let ids: Vec<_> =
            list["sessions"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
        assert_eq!(ids, wanted.iter().map(|one| &one["id"]).collect::<Vec<_>>(), "{query}");
        assert_eq!(list["count"], wanted.len());
    }
}

#[tokio::test]
async fn a_session_changes_as_the_table_says() {
    let Some(api) = Api::start("a_session_changes_as_the_table_says").await else { return };
    api.realm("m1", "elsewhere").await;
    let paths: &[(&[&str], &str, &str)] = &[
        (
            &[],
            "bogus",
            r#"Invalid state transition from "active" to "bogus". Allowed: paused, completed, failed, terminated"#,
        ),
        (
            &["paused"],
            "completed",
            r#"Invalid state transition from "paused" to "completed". Allowed: active, terminated"#,
        ),
        (
            &["paused", "active", "completed"],
            "active",
            r#"Invalid state transition from "completed" to "active". Allowed: "#,
        ),
        (
            &["failed"],
            "active",
            r#"Invalid state transition from "failed" to "active". Allowed: terminated"#,
        ),
        (
            &["failed", "terminated"],
            "failed",
            r#"Invalid state transition from "terminated" to "failed". Allowed: "#,
        ),
    ];

    for (steps, refused, error) in paths {
        let session = api.session(json!({"type": "computer-use", "ownerId": "steve"})).await;
        let path = format!("/api/v1/sessions/{}", text(&session["id"]));
        for step in *steps {
            let answer = api.patch(&path, json!({"state": step})).await;
            assert_eq!((answer.status, &answer.json()["state"]), (200, &json!(step)));
        }
        let answer = api.patch(&path, json!({"state": refused, "metadata": {"x": 1}})).await;
        answer.refuses(400, error);
        let answer = api.patch(&path, json!({"metadata": {"x": 2}})).await;
        assert_eq!((answer.status, &answer.json()["metadata"]["x"]), (200, &json!(2)));
        let answer = api.delete(&path).await;
        answer.is(200, &format!(r#"{{"status":"terminated","sessionId":{}}}"#, session["id"]));
    }
}

#[tokio::test]
async fn a_session_ends_from_any_state_and_stays_listed() {
    let Some(api) = Api::start("a_session_ends_from_any_state_and_stays_listed").await else {
        return;
    };
    api.host("ru").await;
    let session = api.session(json!({"type": "computer-use"})).await;
    let path = format!("/api/v1/sessions/{}", text(&session["id"]));

    for _ in 0..2 {
        let answer = api.delete(&path).await;
        answer.is(200, &format!(r#"{{"status":"terminated","sessionId":{}}}"#, session["id"]));
    }

    assert_eq!(api.json(&path).await["state"], "terminated");
    assert_eq!(api.json("/api/v1/realms").await["count"], 1, "its realm stays");
}

#[tokio::test]
async fn what_is_wrong_with_a_session_is_said() {
    let Some(api) = Api::start("what_is_wrong_with_a_session_is_said").await else { return };
    api.realm("m1", "elsewhere").await;

    for body in [json!({}), json!({"type": "tv-use"}), json!({"type": null}), json!([])] {
        let error = json!({"error": WRONG_TYPE}).to_string();
        api.post("/api/v1/sessions", body).await.is(400, &error);
    }
    for (member, value) in [
        ("type", json!(5)),
        ("ownerId", json!(5)),
        ("participantIds", json!("a")),
        ("participantIds", json!([1])),
        ("capabilities", json!({"a": 1})),
        ("metadata", json!([1])),
    ] {
        let mut body = json!({"type": "computer-use"});
        body[member] = value;
        let answer = api.post("/api/v1/sessions", body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(text(&answer.json()["error"]).contains(member), "{answer:?}");
    }
    let missing = r#"{"error":"Session not found"}"#;
    api.get("/api/v1/sessions/none").await.is(404, missing);
    api.patch("/api/v1/sessions/none", json!({"state": "active"})).await.is(404, missing);
    api.delete("/api/v1/sessions/none").await.is(404, missing);
    assert_eq!(api.json("/api/v1/sessions").await["count"], 0);
}
