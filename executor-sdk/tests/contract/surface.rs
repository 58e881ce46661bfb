//! `/health`, `/status` and `/metrics`.

use executor_sdk::harness::{Health, tokio};
use reqwest::Method;
use serde_json::json;

use crate::trial;

#[tokio::test]
async fn health_says_who_it_is() {
    let executor = trial().await;

    let health = executor.health().await;

    assert_eq!(health.status, Health::Healthy);
    assert_eq!((health.executor.as_str(), health.version.as_str()), ("trial-executor", "1.2.3"));
    assert_eq!(health.reasons, Vec::<String>::new());
}

#[tokio::test]
async fn status_describes_every_task() {
    let executor = trial().await;
    let running = executor.execute_async("forever", json!({})).await.unwrap();

    let status = executor.status().await;

    assert_eq!(status.protocol, 1);
    assert_eq!(status.capacity, 16);
    assert_eq!(status.handlers.first().map(String::as_str), Some("greet"));
    assert!(status.handlers.iter().any(|name| name == "run-command"));
    assert!(status.handlers.iter().any(|name| name == "run-playbook"));
    assert_eq!(status.handlers.len(), status.tasks.len());
    assert_eq!(status.running.len(), 1);
    assert_eq!(status.running[0].attempt, running.attempt);
    assert_eq!(status.running[0].task_type, "forever");
}

#[tokio::test]
async fn a_task_spec_has_its_schema_flags_and_limit() {
    let status = trial().await.status().await;
    let task = |name: &str| status.tasks.iter().find(|task| task.task_type == name).unwrap();

    let greet = task("greet");
    assert_eq!(greet.description, "Greets somebody.");
    assert!(greet.idempotent && !greet.retryable);
    assert_eq!(greet.timeout_seconds, None);
    let schema = &greet.params_schema;
    assert_eq!(schema["additionalProperties"], json!(false));
    assert_eq!(schema["required"], json!(["name"]));
    assert_eq!(schema["properties"]["name"]["description"], json!("Who is greeted."));
    assert_eq!(schema["properties"]["times"]["default"], json!(1));
    assert_eq!(task("look").params_schema["$defs"]["Host"]["additionalProperties"], json!(false));
    assert_eq!(task("brief").timeout_seconds, Some(0.3));
    assert!(task("shell").retryable);
    assert_eq!(task("run-command").timeout_seconds, Some(300.0));
    assert_eq!(task("run-playbook").timeout_seconds, Some(600.0));
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let executor = trial().await;
    executor.execute("greet", json!({"name": "you"})).await.unwrap();
    executor.execute("nowhere", json!({})).await.unwrap_err();

    let sent = executor.request(Method::GET, "metrics").send().await.unwrap();

    assert_eq!(sent.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let page = sent.text().await.unwrap();
    for line in [
        "yggdrasil_executor_tasks_ended_total{type=\"greet\",status=\"completed\"} 1",
        "yggdrasil_executor_refusals_total{code=\"unknown_task\"} 1",
        "yggdrasil_executor_running 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
}

#[tokio::test]
async fn health_answers_while_every_place_is_taken() {
    let executor = trial().await;
    for _ in 0..16 {
        executor.execute_async("forever", json!({})).await.unwrap();
    }

    let begun = std::time::Instant::now();
    let health = executor.health().await;

    assert_eq!(health.status, Health::Healthy);
    assert!(begun.elapsed() < std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
}
