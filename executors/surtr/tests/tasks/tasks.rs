use std::net::TcpListener;

use executor_sdk::harness::{Ending, Harness, Outcome};
use executor_sdk::prelude::*;
use surtr_executor::Surtr;

use crate::stand_in::StandIn;

#[tokio::test]
async fn an_answer_comes_with_its_tokens_and_durations() {
    let (ollama, surtr) = start().await;

    let params = json!({
        "model": "tiny", "prompt": "Say hello", "system": "Be brief", "options": {"temperature": 0},
    });
    let outcome = surtr.execute("llm-inference", params).await.unwrap();

    let data = completed(&outcome);
    assert_eq!(data["response"], json!("Hello"));
    assert_eq!(data["whole"], json!(true));
    assert_eq!((&data["prompt_tokens"], &data["tokens"]), (&json!(5), &json!(2)));
    assert_eq!(data["total_seconds"], json!(3.0));
    assert_eq!(data["tokens_per_second"], json!(4.0));
    assert!(outcome.output.starts_with("Hello\n"), "{:?}", outcome.output);
    let body = ollama.last_body();
    assert_eq!(body["system"], json!("Be brief"));
    assert_eq!(body["options"], json!({"temperature": 0}));
    assert_eq!((&body["stream"], &body["format"]), (&json!(true), &json!(null)));
}

#[tokio::test]
async fn an_answer_is_read_however_it_is_cut_into_pieces() {
    let (_ollama, surtr) = start().await;

    let pieces = ask(&surtr, "in pieces").await;
    let no_newline = ask(&surtr, "no newline").await;
    let thinks = ask(&surtr, "thinks").await;

    assert_eq!(completed(&pieces)["response"], json!("Grüße"));
    assert_eq!(completed(&no_newline)["response"], json!("Hel"));
    assert_eq!(completed(&thinks)["response"], json!("Hel"));
    assert_eq!(thinks.data["thinking"], json!("hm"));
}

#[tokio::test]
async fn an_answer_that_is_not_whole_is_a_failure_with_what_there_is() {
    let (_ollama, surtr) = start().await;

    let cases = [
        ("breaks", "CUDA error: out of memory", "Hel"),
        ("ends early", "before it was whole", "Hello"),
        ("is cut off", "broke off", "Hel"),
        ("empty", "answered nothing", ""),
        ("talks nonsense", "not Ollama as it should be", ""),
    ];
    for (model, why, response) in cases {
        let outcome = ask(&surtr, model).await;
        assert!(failed(&outcome).contains(why), "{model}: {outcome:?}");
        assert_eq!(outcome.data["response"], json!(response), "{model}");
    }
}

#[tokio::test]
async fn a_model_that_is_not_there_is_told_with_those_that_are() {
    let (_ollama, surtr) = start().await;

    let outcome = ask(&surtr, "nope").await;

    assert_eq!(failed(&outcome), "Ollama has no model `nope`; there are: tiny:latest, other:7b");
    assert_eq!(outcome.data["models"], json!(["tiny:latest", "other:7b"]));
}

#[tokio::test]
async fn a_refusal_is_told_in_ollamas_words_or_in_those_of_what_else_answers() {
    let (_ollama, surtr) = start().await;

    let busy = ask(&surtr, "busy").await;
    let proxy = ask(&surtr, "a proxy").await;

    assert_eq!(failed(&busy), "Ollama answered 503: server busy, please try again");
    assert!(failed(&proxy).contains("502, `<html><body>Bad Gateway"), "{proxy:?}");
}

#[tokio::test]
async fn a_format_that_the_answer_does_not_have_is_a_failure() {
    let (ollama, surtr) = start().await;
    let order = |model: &str| json!({"model": model, "prompt": "x", "format": {"type": "object"}});

    let good = surtr.execute("llm-inference", order("json")).await.unwrap();
    let bad = surtr.execute("llm-inference", order("tiny")).await.unwrap();

    assert_eq!(completed(&good)["response"], json!("{\"a\":1}"));
    assert!(failed(&bad).contains("not the JSON"), "{bad:?}");
    assert_eq!(bad.data["response"], json!("Hello"));
    assert_eq!(ollama.last_body()["format"], json!({"type": "object"}));
}

#[tokio::test]
async fn words_are_in_the_log_before_the_end_and_a_cancel_tells_ollama() {
    let (ollama, surtr) = start().await;

    let params = json!({"model": "hangs", "prompt": "x"});
    let started = surtr.execute_async("llm-inference", params).await.unwrap();
    surtr.log_contains(started.attempt, "Hel").await;
    surtr.cancel(started.attempt).await.unwrap();
    let outcome = surtr.outcome(started.attempt).await;

    assert_eq!(outcome.status, Ending::Cancelled, "{outcome:?}");
    until(|| ollama.left() == 1).await;
}

#[tokio::test]
async fn without_an_ollama_every_task_says_where_it_was_looked_for() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url: Url = format!("http://{free}").parse().unwrap();
    let surtr = Harness::start(surtr_at(url)).await;

    for (task, params) in [
        ("llm-health-check", json!({})),
        ("ollama-list-models", json!({})),
        ("llm-inference", json!({"model": "tiny", "prompt": "x"})),
    ] {
        let outcome = surtr.execute(task, params).await.unwrap();
        let error = failed(&outcome);
        assert!(error.contains(&format!("does not answer at http://{free}")), "{task}: {error}");
        assert!(error.contains("SURTR_OLLAMA_URL"), "{task}: {error}");
    }
}

#[tokio::test]
async fn the_models_are_listed() {
    let (_ollama, surtr) = start().await;

    let outcome = surtr.execute("ollama-list-models", json!({})).await.unwrap();

    let data = completed(&outcome);
    assert_eq!(data["count"], json!(2));
    assert_eq!(data["models"][0]["name"], json!("tiny:latest"));
    assert_eq!(data["models"][0]["quantization"], json!("F32"));
    assert!(outcome.output.contains("other:7b"), "{}", outcome.output);
}

#[tokio::test]
async fn health_tells_version_loaded_models_and_cards() {
    let (ollama, surtr) = start().await;

    let outcome = surtr.execute("llm-health-check", json!({})).await.unwrap();

    let data = completed(&outcome);
    assert_eq!(data["version"], json!("0.9.6"));
    assert_eq!(data["loaded"][0]["gpu_percent"], json!(75));
    assert_eq!(data["gpu"]["gpus"], json!([]));
    assert_eq!(data["url"], json!(ollama.url.as_str().trim_end_matches('/')));
    assert!(outcome.output.contains("no GPU found; looked at"), "{}", outcome.output);
}

#[tokio::test]
async fn hostile_values_stay_values() {
    let (ollama, surtr) = start().await;
    let home = tempfile::tempdir().unwrap();
    let canary = home.path().join("canary");
    let touch = format!("touch {}", canary.display());
    let values = [
        format!("$({touch})"),
        format!("`{touch}`"),
        format!("; {touch}"),
        format!("'; {touch}; '"),
        format!("\"; {touch}; \""),
        format!("x\n{touch}"),
        format!("-o {touch}"),
        "--help".to_owned(),
        "../../api/delete".to_owned(),
        "x\0y".to_owned(),
        "\",\"stream\":false,\"x\":\"".to_owned(),
    ];

    for value in &values {
        let model = json!({"model": value, "prompt": "x"});
        let outcome = surtr.execute("llm-inference", model).await.unwrap();
        failed(&outcome);
        let prompt = json!({"model": "tiny", "prompt": value, "system": value});
        let outcome = surtr.execute("llm-inference", prompt).await.unwrap();
        completed(&outcome);
        let body = ollama.last_body();
        assert_eq!((&body["prompt"], &body["system"]), (&json!(value), &json!(value)));
        assert_eq!(body["stream"], json!(true));
    }
    assert!(!canary.exists());
}

#[tokio::test]
async fn each_task_has_a_description_and_true_flags() {
    let (_ollama, surtr) = start().await;

    let status = surtr.status().await;

    for (task, retryable) in
        [("llm-health-check", false), ("ollama-list-models", true), ("llm-inference", true)]
    {
        let spec = status.tasks.iter().find(|spec| spec.task_type == task).unwrap();
        assert!(spec.description.len() > 20, "{task}: {}", spec.description);
        assert!(spec.idempotent, "{task}");
        assert_eq!(spec.retryable, retryable, "{task}");
        assert_eq!(spec.params_schema["additionalProperties"], json!(false), "{task}");
    }
}

async fn start() -> (StandIn, Harness) {
    let ollama = StandIn::start();
    let surtr = Harness::start(surtr_at(ollama.url.clone())).await;
    (ollama, surtr)
}

fn surtr_at(ollama_url: Url) -> Surtr {
    Surtr { ollama_url, root: PathBuf::from("/nonexistent") }
}

async fn ask(surtr: &Harness, model: &str) -> Outcome {
    surtr.execute("llm-inference", json!({"model": model, "prompt": "x"})).await.unwrap()
}

#[track_caller]
fn completed(outcome: &Outcome) -> &Value {
    assert_eq!(outcome.status, Ending::Completed, "{outcome:?}");
    &outcome.data
}

#[track_caller]
fn failed(outcome: &Outcome) -> &str {
    assert_eq!(outcome.status, Ending::Failed, "{outcome:?}");
    outcome.error.as_deref().unwrap()
}

async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it comes true in time");
}
