//! What the real Ollama and the stand-in have in common: the same tests on both.

use executor_sdk::harness::Harness;
use executor_sdk::prelude::*;

use crate::common::{NO_CARDS, completed, failed, surtr_at};
use crate::real::Real;
use crate::stand_in::StandIn;

#[tokio::test]
async fn the_real_ollama_keeps_the_contract() {
    let Some(real) = Real::with_tiny("the_real_ollama_keeps_the_contract").await else { return };

    contract(&real.url, &["tiny:latest"]).await;

    assert!(real.log().contains("/api/embed"), "{}", real.log());
}

#[tokio::test]
async fn the_stand_in_keeps_the_contract() {
    let stand_in = StandIn::start();
    stand_in.state().loaded.clear();

    contract(&stand_in.url, &["tiny:latest", "other:7b"]).await;
}

/// Tries every task on a server with these models, of which none is loaded.
async fn contract(url: &Url, models: &[&str]) {
    let surtr = Harness::with(surtr_at(url.clone())).program("nvidia-smi", NO_CARDS).start().await;

    listed(&surtr, models).await;
    answered(&surtr).await;
    loaded_and_unloaded(&surtr).await;
    missing(&surtr, models).await;
    not_pulled(&surtr).await;
    deleted(&surtr, models).await;
}

async fn listed(surtr: &Harness, models: &[&str]) {
    let outcome = surtr.execute("ollama-list-models", json!({})).await.unwrap();

    let data = completed(&outcome);
    assert_eq!(data["count"], json!(models.len()));
    let tiny = &data["models"][0];
    assert_eq!((&tiny["name"], &tiny["family"]), (&json!("tiny:latest"), &json!("llama")));
    assert!(tiny["size"].as_u64().unwrap() > 100_000, "{tiny}");
    assert!(tiny["digest"].as_str().unwrap().len() > 8, "{tiny}");
    assert!(outcome.output.contains("tiny:latest ("), "{}", outcome.output);
}

async fn answered(surtr: &Harness) {
    let options = json!({"num_predict": 8, "temperature": 0, "seed": 1});
    let prompt = json!({"model": "tiny", "prompt": "Hello", "system": "x", "options": options});
    let talk = json!({"model": "tiny", "options": options, "messages": [
        {"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hello"},
    ]});
    for (task, params) in [("llm-inference", prompt), ("llm-chat", talk)] {
        let outcome = surtr.execute(task, params).await.unwrap();

        let data = completed(&outcome);
        let response = data["response"].as_str().unwrap();
        assert!(!response.is_empty() && data["whole"] == json!(true), "{task}: {data}");
        assert!((1..=8).contains(&data["tokens"].as_u64().unwrap()), "{task}: {data}");
        assert!(data["prompt_tokens"].as_u64().unwrap() > 0, "{task}: {data}");
        assert!(data["total_seconds"].as_f64().unwrap() > 0.0, "{task}: {data}");
        assert!(outcome.output.starts_with(response), "{task}: {outcome:?}");
        assert!(outcome.output.contains("tiny answered with "), "{task}: {outcome:?}");
    }

    let texts = json!({"model": "tiny", "input": ["one", "another"]});
    let outcome = surtr.execute("llm-embed", texts).await.unwrap();
    let data = completed(&outcome);
    assert_eq!((&data["count"], &data["dimensions"]), (&json!(2), &json!(32)));
    assert_eq!(data["embeddings"].as_array().unwrap().len(), 2);
    assert_eq!(data["embeddings"][1].as_array().unwrap().len(), 32);
}

async fn loaded_and_unloaded(surtr: &Harness) {
    let health = surtr.execute("llm-health-check", json!({"models": ["tiny"]})).await.unwrap();
    let data = completed(&health);
    // A server built by `go install` calls itself 0.0.0.
    assert!(data["version"].as_str().unwrap().contains('.'), "{data}");
    assert_eq!(data["loaded"][0]["name"], json!("tiny:latest"));
    assert!(data["loaded"][0]["size"].as_u64().unwrap() > 0);

    let wanted = json!({"models": ["tiny", "nope"], "min_gpu_percent": 100, "min_gpus": 1});
    let health = surtr.execute("llm-health-check", wanted).await.unwrap();
    let error = failed(&health);
    for breach in ["`nope` is not there", "100 % are wanted", "0 usable GPUs, 1 are wanted"] {
        assert!(error.contains(breach), "{error}");
    }

    let unloaded = surtr.execute("ollama-unload", json!({"model": "tiny"})).await.unwrap();
    assert_eq!(completed(&unloaded)["unloaded"][0]["name"], json!("tiny:latest"));
    let health = surtr.execute("llm-health-check", json!({})).await.unwrap();
    assert_eq!(completed(&health)["loaded"], json!([]));
    let again = surtr.execute("ollama-unload", json!({})).await.unwrap();
    assert_eq!(completed(&again)["unloaded"], json!([]));
}

async fn missing(surtr: &Harness, models: &[&str]) {
    for (task, params) in [
        ("llm-inference", json!({"model": "nope", "prompt": "x"})),
        ("llm-chat", json!({"model": "nope", "messages": [{"role": "user", "content": "x"}]})),
        ("llm-embed", json!({"model": "nope", "input": ["x"]})),
        ("ollama-unload", json!({"model": "nope"})),
        ("ollama-delete-model", json!({"model": "nope"})),
    ] {
        let outcome = surtr.execute(task, params).await.unwrap();

        let there = models.join(", ");
        assert_eq!(failed(&outcome), format!("Ollama has no model `nope`; there are: {there}"));
        assert_eq!(outcome.data["models"], json!(models), "{task}");
    }
}

/// A registry that does not answer is the one failure of a pull that needs no internet.
async fn not_pulled(surtr: &Harness) {
    let params = json!({"model": format!("{}/a/b:c", crate::common::closed()), "insecure": true});

    let outcome = surtr.execute("ollama-pull-model", params).await.unwrap();

    let error = failed(&outcome);
    assert!(error.starts_with("cannot pull `127.0.0.1:"), "{error}");
    assert!(error.contains("in mid-stream: pull model manifest"), "{error}");
    assert!(error.contains("connection refused; Ollama's node does not reach"), "{error}");
}

async fn deleted(surtr: &Harness, models: &[&str]) {
    let order = json!({"model": "tiny"});
    let outcome = surtr.execute("ollama-delete-model", order.clone()).await.unwrap();
    let data = completed(&outcome);
    assert_eq!((&data["model"], &data["deleted"]), (&json!("tiny:latest"), &json!(true)));
    assert!(data["bytes"].as_u64().unwrap() > 100_000, "{data}");

    let list = surtr.execute("ollama-list-models", json!({})).await.unwrap();
    assert_eq!(completed(&list)["count"], json!(models.len() - 1));
    let again = surtr.execute("ollama-delete-model", order).await.unwrap();
    assert!(failed(&again).contains("Ollama has no model `tiny`"), "{again:?}");
    let missing_ok = json!({"model": "tiny", "missing_ok": true});
    let again = surtr.execute("ollama-delete-model", missing_ok).await.unwrap();
    assert_eq!(completed(&again)["deleted"], json!(false));
}
