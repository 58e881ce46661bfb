//! Every refusal: its status, its code, and that nothing was started.

use std::time::Duration;

use executor_sdk::harness::{Ending, Harness, RefusalCode, tokio};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::trial::Trial;
use crate::{is, post, trial};

#[tokio::test]
async fn what_is_not_json_is_400() {
    let executor = trial().await;

    for body in
        ["", "{", "[]", "\"x\"", "{\"type\": \"greet\"}", "{\"task_id\": \"a\"}", "\u{feff}{}"]
    {
        let (status, refusal) = post(&executor, body).await;

        assert_eq!(status, 400, "{body}");
        assert_eq!(refusal["status"], "error");
        assert_eq!(refusal["code"], "malformed");
        assert!(refusal["error"].as_str().is_some_and(|error| !error.contains('\n')));
    }
    assert!(executor.attempts().await.is_empty());
}

#[tokio::test]
async fn any_content_type_will_do() {
    let executor = trial().await;
    let body = json!({"task_id": "a", "type": "greet", "params": {"name": "you"}}).to_string();

    for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded"] {
        let sent = executor.request(Method::POST, "execute").header("content-type", kind);
        let sent = sent.body(body.clone()).send().await.unwrap();

        assert_eq!(sent.status(), 200, "{kind}");
    }
    assert_eq!(post(&executor, body).await.0, 200);
}

#[tokio::test]
async fn a_missing_or_wrong_token_is_401_before_anything_is_read() {
    let executor = Harness::with(Trial::default()).token("s3cret").start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = |path: &str| executor.url().join(path).unwrap();

    for path in ["status", "attempts", "metrics", "attempts/x/log", "nowhere"] {
        let answer = client.get(url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
        assert!(answer.headers().contains_key("www-authenticate"));
    }
    let answer = client.post(url("execute")).bearer_auth("wrong").body("{").send().await.unwrap();
    assert_eq!(answer.status(), 401);
    let refusal: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(refusal["code"], "unauthorized");

    let by_key = client.get(url("status")).header("x-api-key", "s3cret").send().await.unwrap();
    assert_eq!(by_key.status(), 200);
    assert_eq!(client.get(url("health")).send().await.unwrap().status(), 200);
    assert!(executor.execute("greet", json!({"name": "you"})).await.is_ok());
}

#[tokio::test]
async fn an_unknown_type_is_404_and_names_the_nearest() {
    let executor = trial().await;

    let refusal = executor.execute("gret", json!({})).await.unwrap_err();

    is(&refusal, RefusalCode::UnknownTask, "`gret`");
    assert!(refusal.hint.unwrap().starts_with("known here, the nearest first: `greet`"));
    assert_eq!(refusal.task_id.as_deref(), Some("test-1"));
}

#[tokio::test]
async fn wrong_params_are_422_with_the_path() {
    let executor = trial().await;
    let refused = async |params| executor.execute("look", params).await.unwrap_err();

    let unknown = refused(json!({"hosts": [{"name": "a", "port": 1, "prot": 2}]})).await;
    let wrong = refused(json!({"hosts": [{"name": "a", "port": "x"}]})).await;
    let missing = refused(json!({})).await;

    is(&unknown, RefusalCode::InvalidParams, "`hosts[0].prot` is unknown");
    assert!(unknown.hint.unwrap().contains("did you mean `port`?"));
    is(
        &wrong,
        RefusalCode::InvalidParams,
        "`hosts[0].port`: invalid type: string \"x\", expected u16",
    );
    is(&missing, RefusalCode::InvalidParams, "`hosts` is missing, expected an array");
    assert!(executor.attempts().await.is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let executor = trial().await;
    let body = json!({"task_id": "a", "type": "greet", "params": {"name": "x".repeat(1_100_000)}});
    let chunked = reqwest::Body::wrap_stream(futures::stream::iter(
        (0..80).map(|_| Ok::<_, std::io::Error>(vec![b' '; 16 * 1024])),
    ));

    let (status, refusal) = post(&executor, body.to_string()).await;
    let (status_of_chunked, _) = post(&executor, chunked).await;

    assert_eq!(status, 413);
    assert_eq!(refusal["code"], "too_large");
    assert_eq!(status_of_chunked, 413);
}

#[tokio::test]
async fn a_known_attempt_with_another_body_is_409() {
    let executor = trial().await;
    let order = Harness::new_order("greet", json!({"name": "you"}));
    executor.order(&order).await.unwrap();

    for other in [
        Harness::new_order("greet", json!({"name": "me"})),
        Harness::new_order("greet", json!({"nonsense": 1})),
        Harness::new_order("nowhere", json!({})),
    ] {
        let other = executor_sdk::harness::ExecuteRequest { attempt: order.attempt, ..other };
        let refusal = executor.order(&other).await.unwrap_err();

        is(&refusal, RefusalCode::Stale, "another body");
    }
    assert_eq!(executor.attempts().await.len(), 1);
}

#[tokio::test]
async fn an_older_epoch_is_409_within_its_ledger_only() {
    let state = tempfile::tempdir().unwrap();
    let start = || Harness::with(Trial::default()).state_dir(state.path()).start();
    let executor = start().await;
    let (ours, theirs) = (Uuid::new_v4(), Uuid::new_v4());
    let ordered = |ledger, epoch| {
        let mut order = Harness::new_order("greet", json!({"name": "you"}));
        (order.ledger, order.epoch) = (Some(ledger), Some(epoch));
        order
    };
    let first = ordered(ours, 7);
    executor.order(&first).await.unwrap();

    let refused = executor.order(&ordered(ours, 6)).await.unwrap_err();
    let mut joined_by_newer = first.clone();
    joined_by_newer.epoch = Some(8);
    let mut joined_by_older = first;
    joined_by_older.epoch = Some(7);

    is(&refused, RefusalCode::Stale, "epoch 6 is older than 7");
    assert!(executor.order(&ordered(theirs, 1)).await.is_ok());
    assert!(executor.order(&joined_by_newer).await.is_ok());
    is(&executor.order(&joined_by_older).await.unwrap_err(), RefusalCode::Stale, "older than 8");
    executor.stop().await;
    let next = start().await;
    is(&next.order(&ordered(ours, 7)).await.unwrap_err(), RefusalCode::Stale, "older than 8");
}

#[tokio::test]
async fn an_attempt_older_than_the_retention_is_409() {
    let executor = Harness::with(Trial::default()).keep(Duration::from_mins(1)).start().await;
    let long_ago = uuid::Timestamp::from_unix(uuid::NoContext, 1_600_000_000, 0);
    let mut order = Harness::new_order("greet", json!({"name": "you"}));
    order.attempt = Some(Uuid::new_v7(long_ago));

    let refusal = executor.order(&order).await.unwrap_err();

    is(&refusal, RefusalCode::Stale, "it may have run");
    order.attempt = Some(Uuid::new_v4());
    assert!(executor.order(&order).await.is_ok());
}

#[tokio::test]
async fn a_full_executor_is_429_and_says_when_to_come_back() {
    let executor = Harness::with(Trial::default()).capacity(1).start().await;
    let running = Harness::new_order("forever", json!({}));
    let started = executor.order_async(&running).await.unwrap();

    let sent = executor
        .request(Method::POST, "execute")
        .json(&json!({"task_id": "a", "type": "greet", "params": {"name": "you"}}))
        .send()
        .await
        .unwrap();

    assert_eq!(sent.status(), 429);
    assert!(sent.headers().contains_key("retry-after"));
    assert_eq!(sent.json::<serde_json::Value>().await.unwrap()["code"], "busy");
    // Joining takes no room.
    assert!(executor.order_async(&running).await.is_ok());
    executor.cancel(started.attempt).await.unwrap();
    executor.outcome(started.attempt).await;
    let after = executor.execute("greet", json!({"name": "you"})).await.unwrap();
    assert_eq!(after.status, Ending::Completed);
}

#[tokio::test]
async fn a_draining_executor_is_503_and_says_when_to_come_back() {
    let executor = trial().await;
    let started = executor.execute_async("forever", json!({})).await.unwrap();
    executor.drain();

    let sent =
        executor.request(Method::POST, "execute").body("not even JSON").send().await.unwrap();

    assert_eq!(sent.status(), 503);
    assert_eq!(sent.headers()["retry-after"], "10");
    assert_eq!(sent.json::<serde_json::Value>().await.unwrap()["code"], "draining");
    executor.cancel(started.attempt).await.unwrap();
}

#[tokio::test]
async fn unknown_paths_and_methods_are_json_too() {
    let executor = trial().await;
    let answer = async |method, path| {
        let sent = executor.request(method, path).send().await.unwrap();
        let status = sent.status().as_u16();
        (status, sent.json::<serde_json::Value>().await.unwrap()["code"].clone())
    };

    assert_eq!(answer(Method::GET, "nowhere").await, (404, json!("not_found")));
    assert_eq!(answer(Method::GET, "execute").await, (405, json!("method_not_allowed")));
    assert_eq!(answer(Method::DELETE, "health").await, (405, json!("method_not_allowed")));
    assert_eq!(answer(Method::GET, "attempts/nonsense").await, (404, json!("not_found")));
    let unknown = format!("attempts/{}", Uuid::now_v7());
    assert_eq!(answer(Method::GET, &unknown).await, (404, json!("not_found")));
    assert_eq!(answer(Method::DELETE, &unknown).await, (404, json!("not_found")));
    assert_eq!(answer(Method::GET, "attempts/%ff").await, (404, json!("not_found")));
    assert_eq!(answer(Method::GET, "attempts?limit=x").await, (400, json!("malformed")));
}
