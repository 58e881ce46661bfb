//! `llm-health-check`, and what `/status` tells of all tasks.

use executor_sdk::harness::Harness;
use executor_sdk::prelude::*;

use crate::common::{NO_CARDS, ONE_CARD, completed, failed, surtr_at};
use crate::stand_in::StandIn;

#[tokio::test]
async fn health_tells_version_loaded_models_and_where_cards_were_looked_for() {
    let ollama = StandIn::start();
    let surtr = Harness::with(surtr_at(ollama.url.clone()));
    let surtr = surtr.program("nvidia-smi", NO_CARDS).start().await;

    let outcome = surtr.execute("llm-health-check", json!({})).await.unwrap();

    let data = completed(&outcome);
    assert_eq!(data["version"], json!("0.9.6"));
    assert_eq!(data["loaded"][0]["gpu_percent"], json!(75));
    assert_eq!(data["models"], json!(["tiny:latest", "other:7b"]));
    assert_eq!(data["gpu"]["gpus"], json!([]));
    assert_eq!(data["url"], json!(ollama.url.as_str().trim_end_matches('/')));
    assert!(outcome.output.contains("no GPU found; looked at nvidia-smi ("), "{}", outcome.output);
    assert!(outcome.output.contains("no driver"), "{}", outcome.output);
}

#[tokio::test]
async fn each_threshold_that_is_breached_is_told() {
    let ollama = StandIn::start();
    let surtr = Harness::with(surtr_at(ollama.url.clone()));
    let surtr = surtr.program("nvidia-smi", ONE_CARD).start().await;

    let fine = json!({
        "models": ["tiny", "other:7b"], "min_gpu_percent": 75, "min_gpus": 1,
        "min_free_vram": "20G", "max_gpu_celsius": 41, "max_answer_seconds": 60,
    });
    let outcome = surtr.execute("llm-health-check", fine).await.unwrap();
    assert_eq!(completed(&outcome)["breaches"], json!([]));
    assert_eq!(outcome.data["gpu"]["gpus"][0]["temperature_celsius"], json!(41));
    assert!(outcome.output.contains("312 of 24564 MiB used, 3 % busy, 41 °C, driver nvidia 560"));

    for (params, breach) in [
        (json!({"models": ["nope"]}), "the model `nope` is not there"),
        (json!({"min_gpu_percent": 76}), "`tiny:latest` is 75 % on a GPU, 76 % are wanted"),
        (json!({"min_gpus": 2}), "1 usable GPUs, 2 are wanted; looked at nvidia-smi"),
        (json!({"min_free_vram": "24G"}), "24252 MiB of VRAM free, 24576 MiB are wanted"),
        (json!({"max_gpu_celsius": 40}), "has 41 °C, 40 are allowed"),
        (json!({"max_answer_seconds": 0}), "s to answer, 0 are allowed"),
    ] {
        let outcome = surtr.execute("llm-health-check", params).await.unwrap();
        assert!(failed(&outcome).contains(breach), "{outcome:?}");
        assert_eq!(outcome.data["breaches"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn each_task_has_a_description_a_closed_schema_and_true_flags() {
    let surtr = Harness::start(surtr_at("http://127.0.0.1:1".parse().unwrap())).await;

    let status = surtr.status().await;

    for (task, seconds, idempotent, retryable) in [
        ("llm-health-check", 60.0, true, false),
        ("ollama-deploy", 21_600.0, true, true),
        ("ollama-pull-model", 21_600.0, true, true),
        ("ollama-list-models", 30.0, true, true),
        ("ollama-delete-model", 120.0, false, false),
        ("ollama-unload", 600.0, true, true),
        ("llm-inference", 600.0, true, true),
        ("llm-chat", 600.0, true, true),
        ("llm-embed", 600.0, true, true),
        ("gpu-verify", 1800.0, true, true),
    ] {
        let spec = status.tasks.iter().find(|spec| spec.task_type == task).unwrap();
        assert!(spec.description.len() > 20, "{task}: {}", spec.description);
        assert_eq!((spec.idempotent, spec.retryable), (idempotent, retryable), "{task}");
        assert_eq!(json!(spec.timeout_seconds).as_f64(), Some(seconds), "{task}");
        assert_eq!(spec.params_schema["additionalProperties"], json!(false), "{task}");
        let fields = spec.params_schema["properties"].as_object();
        for (name, field) in fields.into_iter().flatten() {
            assert!(field["description"].is_string(), "{task}: {name} is not described");
        }
    }
}
