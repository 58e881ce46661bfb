//! The time limit and the cancellation of every task, at an Ollama that takes orders and says
//! nothing: a stand-in, and the real one, frozen.

use std::net::TcpListener;

use executor_sdk::harness::{Ending, Harness};
use executor_sdk::prelude::*;

use crate::common::{ONE_CARD, surtr_at};
use crate::real::Real;

#[tokio::test]
async fn every_task_ends_at_its_limit_and_when_it_is_cancelled() {
    // What connects waits in the backlog for ever.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url: Url = format!("http://{}", silent.local_addr().unwrap()).parse().unwrap();

    all_end(&url).await;
}

#[tokio::test]
async fn a_frozen_ollama_holds_up_no_task_beyond_its_limit() {
    let name = "a_frozen_ollama_holds_up_no_task_beyond_its_limit";
    let Some(real) = Real::with_tiny(name).await else { return };
    real.freeze();

    all_end(&real.url).await;
}

async fn all_end(url: &Url) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("compose.yaml");
    std::fs::write(&file, "").unwrap();
    let surtr = Harness::with(surtr_at(url.clone()))
        .program("nvidia-smi", ONE_CARD)
        .program("docker", "echo 4f00")
        .start()
        .await;

    for (task, params) in [
        ("llm-health-check", json!({})),
        ("ollama-deploy", json!({"compose_file": file})),
        ("ollama-pull-model", json!({"model": "tiny"})),
        ("ollama-list-models", json!({})),
        ("ollama-delete-model", json!({"model": "tiny"})),
        ("ollama-unload", json!({})),
        ("llm-inference", json!({"model": "tiny", "prompt": "x"})),
        ("llm-chat", json!({"model": "tiny", "messages": [{"role": "user", "content": "x"}]})),
        ("llm-embed", json!({"model": "tiny", "input": ["x"]})),
        ("gpu-verify", json!({"model": "tiny", "wait_seconds": 60})),
    ] {
        let mut order = Harness::new_order(task, params.clone());
        order.timeout_seconds = Some(0.2);
        let limited = surtr.order(&order).await.unwrap();
        let started = surtr.execute_async(task, params).await.unwrap();
        surtr.cancel(started.attempt).await.unwrap();
        let cancelled = surtr.outcome(started.attempt).await;

        assert_eq!(limited.status, Ending::TimedOut, "{limited:?}");
        assert_eq!(cancelled.status, Ending::Cancelled, "{cancelled:?}");
    }
}
