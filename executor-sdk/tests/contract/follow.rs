//! Logs by offset.

use executor_sdk::harness::{Harness, tokio};
use reqwest::{Method, Response};
use serde_json::json;
use uuid::Uuid;

use crate::trial;
use crate::trial::Trial;

async fn log(executor: &Harness, attempt: Uuid, query: &str) -> Response {
    executor.request(Method::GET, &format!("attempts/{attempt}/log{query}")).send().await.unwrap()
}

fn header(response: &Response, name: &str) -> Option<String> {
    Some(response.headers().get(name)?.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_log_is_read_from_an_offset() {
    let executor = trial().await;
    let outcome = executor.execute("greet", json!({"name": "you"})).await.unwrap();

    let part = log(&executor, outcome.attempt, "?offset=6").await;

    assert_eq!(part.status(), 200);
    assert_eq!(header(&part, "x-log-size").as_deref(), Some("10"));
    assert_eq!(header(&part, "x-log-offset").as_deref(), Some("6"));
    assert_eq!(header(&part, "x-log-next").as_deref(), Some("10"));
    assert_eq!(header(&part, "x-log-ended").as_deref(), Some("true"));
    assert_eq!(header(&part, "x-log-dropped"), None);
    assert_eq!(header(&part, "content-length").as_deref(), Some("4"));
    assert_eq!(part.text().await.unwrap(), "you\n");
    assert_eq!(log(&executor, outcome.attempt, "?offset=99").await.text().await.unwrap(), "");
    assert_eq!(log(&executor, outcome.attempt, "?offset=-1").await.status(), 400);
    assert_eq!(log(&executor, outcome.attempt, "?follow=maybe").await.status(), 400);
    assert_eq!(log(&executor, Uuid::now_v7(), "").await.status(), 404);
}

#[tokio::test]
async fn the_range_that_the_cap_dropped_is_known() {
    let executor = Harness::with(Trial::default()).log_cap(100).start().await;
    let outcome = executor.execute("lines", json!({"count": 100})).await.unwrap();
    let printed: String =
        (0..100).map(|n| format!("line {n}\n")).chain(["that was all\n".to_owned()]).collect();
    let size = printed.len();

    let whole = log(&executor, outcome.attempt, "").await;
    let dropped = header(&whole, "x-log-dropped").unwrap();
    let body = whole.text().await.unwrap();
    let inside = log(&executor, outcome.attempt, "?offset=60").await;
    let first_of_inside = header(&inside, "x-log-offset");

    assert_eq!(dropped, format!("50-{}", size - 50));
    assert_eq!(body, format!("{}{}", &printed[..50], &printed[size - 50..]));
    assert_eq!(first_of_inside, Some((size - 50).to_string()));
    assert_eq!(inside.text().await.unwrap(), printed[size - 50..]);
    assert!(outcome.truncated);
}

#[tokio::test]
async fn following_ends_with_the_task() {
    let executor = trial().await;
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let script =
        format!("echo first; while [ ! -e '{}' ]; do sleep 0.02; done; echo last", go.display());
    let started = executor.execute_async("shell", json!({"script": script})).await.unwrap();

    let mut stream = log(&executor, started.attempt, "?offset=2&follow=true").await;
    let first = stream.chunk().await.unwrap().unwrap();
    std::fs::write(go, "").unwrap();
    let mut rest = Vec::new();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        rest.extend_from_slice(&chunk);
    }

    assert_eq!(header(&stream, "x-log-ended").as_deref(), Some("false"));
    assert_eq!(header(&stream, "x-log-next"), None);
    assert_eq!(first.as_ref(), b"rst\n");
    assert_eq!(rest, b"last\n");
}

#[tokio::test]
async fn following_what_has_ended_is_reading_it() {
    let executor = trial().await;
    let outcome = executor.execute("greet", json!({"name": "you"})).await.unwrap();

    let whole = log(&executor, outcome.attempt, "?follow=true").await;

    assert_eq!(header(&whole, "x-log-ended").as_deref(), Some("true"));
    assert_eq!(whole.text().await.unwrap(), "hello you\n");
}

#[tokio::test]
async fn following_a_flood_loses_nothing_that_is_kept() {
    let executor = trial().await;
    let script = "i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i+1)); done";
    let started = executor.execute_async("shell", json!({"script": script})).await.unwrap();

    let followed = log(&executor, started.attempt, "?follow=true").await.text().await.unwrap();

    let numbers: Vec<String> = (0..5000).map(|n| n.to_string()).collect();
    assert_eq!(followed, format!("{}\n", numbers.join("\n")));
}
