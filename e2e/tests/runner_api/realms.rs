//! Realms.

use std::time::{Duration, Instant};

use e2e::until;
use e2e::world::LONG;
use serde_json::{Value, json};

use super::api::{Api, SOON, is_iso, members, text};

#[tokio::test]
async fn a_realm_registers_and_is_shown() {
    let Some(api) = Api::start("a_realm_registers_and_is_shown").await else { return };

    let answer = api.realm("m1", "nobody-knows-it").await;
    let shown = api.get("/api/v1/realms/m1").await;
    let listed = api.get("/api/v1/realms").await;

    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(
        members(&answer.text),
        [
            "id",
            "templateId",
            "runnerId",
            "state",
            "endpoints",
            "createdAt",
            "updatedAt",
            "lastHeartbeat"
        ]
    );
    assert_eq!(shown.text, answer.text);
    assert_eq!(listed.text, format!(r#"{{"realms":[{}],"count":1}}"#, answer.text));
    let mut realm = answer.json();
    for member in ["createdAt", "updatedAt", "lastHeartbeat"] {
        is_iso(&realm[member]);
        realm[member] = Value::Null;
    }
    assert_eq!(
        realm,
        json!({
            "id": "m1", "templateId": "ubuntu", "runnerId": "nobody-knows-it", "state": "running",
            "endpoints": {
                "observation": "http://h/api/v1/realms/m1/capture",
                "input": "http://h/api/v1/realms/m1",
            },
            "createdAt": null, "updatedAt": null, "lastHeartbeat": null,
        })
    );
}

#[tokio::test]
async fn three_members_are_required_and_no_other() {
    let Some(api) = Api::start("three_members_are_required_and_no_other").await else { return };
    let whole = json!({"realmId": "m1", "runnerId": "r1", "template": "ubuntu"});

    for member in ["realmId", "runnerId", "template"] {
        for value in [Value::Null, json!("")] {
            let mut body = whole.clone();
            body[member] = value;
            let answer = api.post("/api/v1/realms/register", body).await;
            answer.is(400, r#"{"error":"realmId, runnerId, and template are required"}"#);
        }
    }
    let answer = api.post("/api/v1/realms/register", whole).await;

    assert_eq!(answer.status, 201);
    assert_eq!(answer.json()["endpoints"], json!({"observation": "", "input": ""}));
}

#[tokio::test]
async fn a_registration_again_takes_no_endpoint_away() {
    let Some(api) = Api::start("a_registration_again_takes_no_endpoint_away").await else { return };
    let first = api.realm("m1", "r1").await.json();
    api.patch("/api/v1/realms/m1", json!({"state": "unhealthy"})).await;

    let body = json!({"realmId": "m1", "runnerId": "r2", "template": "android"});
    let again = api.post("/api/v1/realms/register", body).await.json();

    assert_eq!(again["endpoints"], first["endpoints"]);
    assert_eq!((&again["state"], &again["runnerId"]), (&json!("running"), &json!("r1")));
    assert_eq!(
        (&again["templateId"], &again["createdAt"]),
        (&json!("ubuntu"), &first["createdAt"])
    );
}

#[tokio::test]
async fn a_heartbeat_says_whether_a_realm_is_well() {
    let Some(api) = Api::start("a_heartbeat_says_whether_a_realm_is_well").await else { return };
    let first = api.realm("m1", "r1").await.json();
    let beat = async |body: Value| api.post("/api/v1/realms/heartbeat", body).await;

    let stock = beat(json!({"realmId": "m1", "uptime": 5, "healthy": true, "activeSessions": 0}));
    stock.await.is(200, r#"{"status":"ok","realmId":"m1","state":"running"}"#);
    beat(json!({"realmId": "m1", "healthy": false, "memoryMb": 1.5, "cpuPercent": 99}))
        .await
        .is(200, r#"{"status":"ok","realmId":"m1","state":"unhealthy"}"#);
    beat(json!({"realmId": "m1"}))
        .await
        .is(200, r#"{"status":"ok","realmId":"m1","state":"running"}"#);
    beat(json!({})).await.is(400, r#"{"error":"realmId is required"}"#);
    beat(json!({"realmId": "none"})).await.is(404, r#"{"error":"Realm not found"}"#);

    let seen = api.json("/api/v1/realms/m1").await;
    assert!(text(&seen["lastHeartbeat"]) > text(&first["lastHeartbeat"]), "{seen}");
    assert!(seen.get("memoryMb").is_none());
}

#[tokio::test]
async fn a_realm_takes_any_state_and_moves_with_its_sessions() {
    let Some(api) = Api::start("a_realm_takes_any_state_and_moves_with_its_sessions").await else {
        return;
    };
    api.realm("m1", "r1").await;
    let session = api.session(json!({"type": "computer-use", "ownerId": "steve"})).await;

    let odd = api.patch("/api/v1/realms/m1", json!({"state": "half asleep"})).await;
    let endpoints = json!({"observation": "http://n/capture", "input": "http://n"});
    let moved = api.patch("/api/v1/realms/m1", json!({"endpoints": endpoints})).await;
    let seen = api.json(&format!("/api/v1/sessions/{}", text(&session["id"]))).await;

    assert_eq!((odd.status, &odd.json()["state"]), (200, &json!("half asleep")));
    assert_eq!((moved.status, &moved.json()["endpoints"]), (200, &endpoints));
    assert_eq!(moved.json()["state"], "half asleep");
    assert_eq!((&seen["state"], &seen["inputEndpoint"]), (&json!("active"), &json!("http://n")));
}

#[tokio::test]
async fn a_realm_that_goes_takes_its_sessions_along() {
    let Some(api) = Api::start("a_realm_that_goes_takes_its_sessions_along").await else { return };
    let mut failed = Vec::new();
    for (id, ends) in [("m1", "deregister"), ("m2", "delete"), ("m3", "set")] {
        api.realm(id, "r1").await;
        let owner = format!("owner of {id}");
        let session = api.session(json!({"type": "computer-use", "ownerId": owner})).await;
        assert_eq!(session["realmId"], id);
        match ends {
            "deregister" => {
                let body = json!({"realmId": id, "reason": "shutdown"});
                let answer = api.post("/api/v1/realms/deregister", body).await;
                answer.is(200, r#"{"status":"deregistered","realmId":"m1"}"#);
            }
            "delete" => {
                let answer = api.delete("/api/v1/realms/m2").await;
                answer.is(200, r#"{"status":"destroyed","realmId":"m2"}"#);
            }
            _ => {
                api.patch("/api/v1/realms/m3", json!({"state": "destroyed"})).await;
            }
        }
        let seen = api.json(&format!("/api/v1/sessions/{}", text(&session["id"]))).await;
        assert_eq!(seen["state"], "failed", "{seen}");
        failed.push(text(&seen["metadata"]["error"]).to_owned());
    }

    assert_eq!(
        failed,
        [
            "the realm m1 is gone: shutdown",
            "the realm m2 was destroyed",
            "the realm m3 was destroyed"
        ]
    );
    let missing = r#"{"error":"Realm not found"}"#;
    api.get("/api/v1/realms/m1").await.is(404, missing);
    api.delete("/api/v1/realms/m2").await.is(404, missing);
    api.patch("/api/v1/realms/m2", json!({"state": "running"})).await.is(404, missing);
}

#[tokio::test]
async fn an_unknown_realm_says_good_bye_politely() {
    let Some(api) = Api::start("an_unknown_realm_says_good_bye_politely").await else { return };

    let answer = api.post("/api/v1/realms/deregister", json!({"realmId": "zz"})).await;
    let nobody = api.post("/api/v1/realms/deregister", json!({})).await;

    answer.is(200, r#"{"status":"deregistered","realmId":"zz"}"#);
    nobody.is(400, r#"{"error":"realmId is required"}"#);
}

#[tokio::test]
async fn a_realm_on_a_runner_that_is_gone_is_not_handed_out() {
    let Some(api) = Api::start("a_realm_on_a_runner_that_is_gone_is_not_handed_out").await else {
        return;
    };
    api.host("r1").await;
    api.realm("m1", "r1").await;
    api.post("/runners/offline", json!({"runnerId": "r1"})).await;

    let refused = api.post("/api/v1/sessions", json!({"type": "computer-use"})).await;
    api.beat("r1").await;
    let attached = api.session(json!({"type": "computer-use"})).await;

    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!((&attached["realmId"], &attached["state"]), (&json!("m1"), &json!("active")));
}

#[tokio::test]
async fn a_realm_that_is_silent_for_a_minute_is_lost_with_its_sessions() {
    let test = "a_realm_that_is_silent_for_a_minute_is_lost_with_its_sessions";
    let Some(api) = Api::start(test).await else { return };
    let registered = Instant::now();
    api.realm("m1", "r1").await;
    let session = api.session(json!({"type": "computer-use", "ownerId": "steve"})).await;

    let took = until("m1 is unhealthy", LONG, async || {
        let realm = api.json("/api/v1/realms/m1").await;
        (realm["state"] == "unhealthy").then(|| registered.elapsed())
    })
    .await;
    let failed = api.becomes(&session, "failed").await;
    let beat = api.post("/api/v1/realms/heartbeat", json!({"realmId": "m1"})).await;
    let again = api.session(json!({"type": "computer-use", "ownerId": "steve"})).await;

    assert!(took >= Duration::from_mins(1), "{took:?}");
    // One second, and what a busy machine may add to it.
    assert!(took < Duration::from_secs(61 + 5), "{took:?}");
    assert_eq!(
        text(&failed["metadata"]["error"]),
        "the realm m1 was lost: nothing heard of it for 60 s"
    );
    beat.is(200, r#"{"status":"ok","realmId":"m1","state":"running"}"#);
    assert_eq!((&again["realmId"], &again["state"]), (&json!("m1"), &json!("active")));
}

#[tokio::test]
async fn the_runner_is_told_when_its_realm_is_destroyed() {
    let Some(api) = Api::start("the_runner_is_told_when_its_realm_is_destroyed").await else {
        return;
    };
    api.host("r1").await;
    let session = api.session(json!({"type": "computer-use"})).await;
    let realm = text(&session["realmId"]);
    api.realm(realm, "r1").await;

    let answer = api.delete(&format!("/api/v1/realms/{realm}")).await;
    let task = until("r1 is told", SOON, async || {
        let list = api.json("/runners/r1/tasks").await;
        let tasks = list["tasks"].as_array().unwrap();
        tasks.iter().find(|task| task["type"] == "realm-destroy").cloned()
    })
    .await;

    assert_eq!(answer.status, 200);
    assert_eq!(task["metadata"], json!({"realmId": realm}));
}

#[tokio::test]
async fn what_is_wrong_with_a_realm_is_said() {
    let Some(api) = Api::start("what_is_wrong_with_a_realm_is_said").await else { return };
    api.realm("m1", "r1").await;
    let whole = json!({"realmId": "m1", "runnerId": "r1", "template": "ubuntu"});

    for (path, member, value) in [
        ("/api/v1/realms/register", "realmId", json!(5)),
        ("/api/v1/realms/register", "capabilities", json!("a")),
        ("/api/v1/realms/register", "endpoints", json!("http://h")),
        ("/api/v1/realms/register", "endpoints", json!(["http://h", "http://i"])),
        ("/api/v1/realms/register", "endpoints", json!({"input": 5})),
        ("/api/v1/realms/heartbeat", "healthy", json!("yes")),
        ("/api/v1/realms/heartbeat", "uptime", json!("5")),
        ("/api/v1/realms/deregister", "reason", json!(5)),
    ] {
        let mut body = whole.clone();
        body[member] = value;
        let answer = api.post(path, body).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert!(text(&answer.json()["error"]).contains(member), "{answer:?}");
    }
    for id in ["register", "heartbeat", "deregister"] {
        let mut body = whole.clone();
        body["realmId"] = id.into();
        let error = format!("`realmId` must not be `{id}`: that is the name of a route");
        api.post("/api/v1/realms/register", body).await.refuses(400, &error);
    }
    let answer = api.patch("/api/v1/realms/m1", json!({"state": 5})).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(api.json("/api/v1/realms/m1").await["state"], "running");
}
