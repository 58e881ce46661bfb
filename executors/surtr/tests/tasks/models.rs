//! Pulling, deleting and unloading: what is proved, and what goes wrong on the way.

use executor_sdk::harness::{Ending, Harness, until};
use executor_sdk::prelude::*;

use crate::common::{completed, failed, start, surtr_at};
use crate::gguf;
use crate::real::Real;
use crate::registry::Registry;

#[tokio::test]
async fn a_pull_tells_percent_and_bytes_and_proves_that_the_model_is_there() {
    let (ollama, surtr) = start().await;

    let outcome = surtr.execute("ollama-pull-model", json!({"model": "new"})).await.unwrap();

    let data = completed(&outcome);
    assert_eq!((&data["model"], &data["changed"]), (&json!("new:latest"), &json!(true)));
    assert_eq!((&data["digest"], &data["size"]), (&json!("digest of new:latest"), &json!(130_000)));
    let lines: Vec<_> = outcome.output.lines().collect();
    assert_eq!(lines[0], "pulling manifest");
    assert!(lines.contains(&"pulling 6f85: 50 % (500000 of 1000000 bytes)"), "{lines:#?}");
    assert!(lines.contains(&"pulling 6f85: 100 % (1000000 of 1000000 bytes)"), "{lines:#?}");
    assert!(lines.len() < 30, "{lines:#?}");
    assert_eq!(ollama.last_body("/api/pull")["insecure"], json!(false));
}

#[tokio::test]
async fn the_real_ollama_pulls_and_tells_percent_and_bytes() {
    let name = "the_real_ollama_pulls_and_tells_percent_and_bytes";
    let Some(real) = Real::with_tiny(name).await else { return };
    let registry = Registry::of(&real.folder.path().join("models"), "tiny");
    let surtr = Harness::start(surtr_at(real.url.clone())).await;
    // What is on the disk already is not fetched.
    let delete = surtr.execute("ollama-delete-model", json!({"model": "tiny"})).await.unwrap();
    completed(&delete);

    let order = json!({"model": registry.model, "insecure": true});
    let first = surtr.execute("ollama-pull-model", order.clone()).await.unwrap();
    let second = surtr.execute("ollama-pull-model", order).await.unwrap();

    let data = completed(&first);
    assert_eq!(data["changed"], json!(true));
    assert_eq!(data["model"], json!(format!("{}:latest", registry.model)));
    assert!(first.output.contains("pulling manifest\n"), "{}", first.output);
    let whole = gguf::tiny().len();
    let line = format!(": 100 % ({whole} of {whole} bytes)\n");
    assert!(first.output.contains(&line), "{}", first.output);
    assert_eq!(completed(&second)["changed"], json!(false));
    let prompt = json!({"model": registry.model, "prompt": "Hello"});
    completed(&surtr.execute("llm-inference", prompt).await.unwrap());
}

#[tokio::test]
async fn a_pull_of_the_newest_changes_nothing() {
    let (_ollama, surtr) = start().await;

    let outcome = surtr.execute("ollama-pull-model", json!({"model": "tiny"})).await.unwrap();

    assert_eq!(completed(&outcome)["changed"], json!(false));
    assert!(outcome.output.contains("was there already"), "{}", outcome.output);
}

#[tokio::test]
async fn a_pull_that_is_not_whole_is_a_failure_that_says_how_far_it_came() {
    let (_ollama, surtr) = start().await;

    for (model, why, percent) in [
        ("breaks", "no space left on device; make room", 40),
        ("ends-early", "without saying that it is done", 40),
        ("is-cut-off", "broke off", 40),
        ("lies", "but does not list it", 0),
        ("unheard-of", "the registry has no such model", 0),
    ] {
        let outcome = surtr.execute("ollama-pull-model", json!({"model": model})).await.unwrap();
        let error = failed(&outcome);
        assert!(error.contains(why) && error.contains(&format!("`{model}`")), "{error}");
        assert_eq!(outcome.data["percent"], json!(percent), "{model}");
    }
}

#[tokio::test]
async fn a_pull_is_in_the_log_before_its_end_and_a_cancel_tells_ollama() {
    let (ollama, surtr) = start().await;

    let pulls = surtr.execute_async("ollama-pull-model", json!({"model": "hangs"})).await.unwrap();
    surtr.log_contains(pulls.attempt, "pulling 6f85: 42 % (420000 of 1000000 bytes)").await;
    surtr.cancel(pulls.attempt).await.unwrap();

    assert_eq!(surtr.outcome(pulls.attempt).await.status, Ending::Cancelled);
    until("Ollama has seen its client leave", async || ollama.state().left == 1).await;
}

#[tokio::test]
async fn a_model_that_stays_although_it_is_deleted_is_a_failure() {
    let (ollama, surtr) = start().await;
    ollama.state().lies = true;

    let outcome = surtr.execute("ollama-delete-model", json!({"model": "tiny"})).await.unwrap();

    assert!(failed(&outcome).contains("but still lists it"), "{outcome:?}");
}

#[tokio::test]
async fn a_model_that_stays_in_memory_is_a_failure_after_the_wait() {
    let (ollama, surtr) = start().await;
    ollama.state().lies = true;

    let outcome = surtr.execute("ollama-unload", json!({"wait_seconds": 1})).await.unwrap();

    let error = failed(&outcome);
    assert!(error.contains("`tiny:latest` is still in memory after 1 s"), "{error}");
    assert!(error.contains("raise `wait_seconds`"), "{error}");
}

#[tokio::test]
async fn unloading_gives_back_what_was_in_vram() {
    let (_ollama, surtr) = start().await;

    let outcome = surtr.execute("ollama-unload", json!({})).await.unwrap();

    assert_eq!(completed(&outcome)["freed_vram_bytes"], json!(150));
}
