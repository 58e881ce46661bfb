//! Inference, chat and embedding: answers, and what is none.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use executor_sdk::harness::{Ending, Harness, Outcome, until};
use executor_sdk::prelude::*;

use crate::common::{closed, completed, failed, start, surtr_at};
use crate::real::Real;

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
    let body = ollama.last_body("/api/generate");
    assert_eq!(body["system"], json!("Be brief"));
    assert_eq!(body["options"], json!({"temperature": 0}));
    assert_eq!((&body["stream"], &body["format"]), (&json!(true), &json!(null)));
}

#[tokio::test]
async fn a_conversation_reaches_ollama_as_it_was_given() {
    let (ollama, surtr) = start().await;
    let messages = json!([
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Who are you?"},
    ]);

    let params = json!({"model": "tiny", "messages": messages});
    let outcome = surtr.execute("llm-chat", params).await.unwrap();

    assert_eq!(completed(&outcome)["response"], json!("Hello"));
    assert_eq!(ollama.last_body("/api/chat")["messages"], messages);
}

#[tokio::test]
async fn an_answer_is_read_however_it_is_cut_into_pieces() {
    let (_ollama, surtr) = start().await;

    for task in ["llm-inference", "llm-chat"] {
        let pieces = ask(&surtr, task, "in-pieces").await;
        let no_newline = ask(&surtr, task, "no-newline").await;
        let thinks = ask(&surtr, task, "thinks").await;

        assert_eq!(completed(&pieces)["response"], json!("Grüße"));
        assert_eq!(completed(&no_newline)["response"], json!("Hel"));
        assert_eq!(completed(&thinks)["response"], json!("Hel"));
        assert_eq!(thinks.data["thinking"], json!("hm"));
    }
}

#[tokio::test]
async fn an_answer_that_is_not_whole_is_a_failure_with_what_there_is() {
    let (_ollama, surtr) = start().await;

    let cases = [
        ("breaks", "in mid-stream: CUDA error: out of memory", "Hel"),
        ("ends-early", "before it was whole", "Hello"),
        ("is-cut-off", "broke off", "Hel"),
        ("empty", "answered nothing", ""),
        ("talks-nonsense", "not Ollama as it should be", ""),
    ];
    for task in ["llm-inference", "llm-chat"] {
        for (model, why, response) in cases {
            let outcome = ask(&surtr, task, model).await;
            assert!(failed(&outcome).contains(why), "{task} {model}: {outcome:?}");
            assert_eq!(outcome.data["response"], json!(response), "{task} {model}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_ollamas_words_or_in_those_of_what_else_answers() {
    let (_ollama, surtr) = start().await;

    let busy = ask(&surtr, "llm-inference", "busy").await;
    let proxy = ask(&surtr, "llm-chat", "a-proxy").await;

    assert_eq!(failed(&busy), "Ollama answered 503: server busy, please try again");
    assert!(failed(&proxy).contains("502, `<html><body>Bad Gateway"), "{proxy:?}");
}

#[tokio::test]
async fn nothing_to_say_is_refused_before_ollama_is_asked() {
    let (ollama, surtr) = start().await;

    for (task, params, why) in [
        ("llm-inference", json!({"model": "tiny", "prompt": " \n"}), "`prompt` is empty"),
        ("llm-chat", json!({"model": "tiny", "messages": []}), "`messages` is empty"),
        (
            "llm-chat",
            json!({"model": "tiny", "messages": [{"role": "user", "content": " "}]}),
            "the last of `messages` is empty",
        ),
        ("llm-embed", json!({"model": "tiny", "input": []}), "`input` is empty"),
        ("llm-embed", json!({"model": "tiny", "input": ["a", ""]}), "`input[1]` is empty"),
    ] {
        let outcome = surtr.execute(task, params).await.unwrap();
        assert_eq!(failed(&outcome), why);
    }
    assert_eq!(ollama.state().orders, []);
}

#[tokio::test]
async fn vectors_that_are_not_one_for_each_text_are_a_failure() {
    let (_ollama, surtr) = start().await;

    let params = json!({"model": "empty", "input": ["a", "b"]});
    let outcome = surtr.execute("llm-embed", params).await.unwrap();

    assert_eq!(failed(&outcome), "Ollama answered 2 texts with 0 vectors");
}

#[tokio::test]
async fn a_format_that_the_answer_does_not_have_is_a_failure() {
    let (ollama, surtr) = start().await;
    let schema =
        json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}});
    let other = json!({"type": "object", "required": ["b"]});
    let order =
        |model: &str, format: &Value| json!({"model": model, "prompt": "x", "format": format});

    let good = surtr.execute("llm-inference", order("json", &schema)).await.unwrap();
    let sent = ollama.last_body("/api/generate");
    let wrong = surtr.execute("llm-inference", order("json", &other)).await.unwrap();
    let prose = surtr.execute("llm-inference", order("tiny", &schema)).await.unwrap();
    let no_schema =
        surtr.execute("llm-inference", order("tiny", &json!({"type": 7}))).await.unwrap();

    assert_eq!(completed(&good)["json"], json!({"a": 1}));
    assert_eq!(sent["format"], schema);
    let error = failed(&wrong);
    assert!(error.contains("is not of the format: \"b\" is a required property"), "{error}");
    assert_eq!(wrong.data["response"], json!("{\"a\":1}"));
    assert!(failed(&prose).contains("is not of the format: no JSON"), "{prose:?}");
    assert!(failed(&no_schema).contains("is no JSON Schema"), "{no_schema:?}");
}

#[tokio::test]
async fn the_real_ollama_answers_in_the_format_that_is_asked_for() {
    let name = "the_real_ollama_answers_in_the_format_that_is_asked_for";
    let Some(real) = Real::with_tiny(name).await else { return };
    let surtr = Harness::start(surtr_at(real.url.clone())).await;
    let schema = json!({
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
    });

    let order = |tokens: u32| {
        json!({"model": "tiny", "prompt": "x", "format": schema,
            "options": {"num_predict": tokens, "seed": 7, "temperature": 0}})
    };
    let whole = surtr.execute("llm-inference", order(200)).await.unwrap();
    let cut = surtr.execute("llm-inference", order(2)).await.unwrap();

    assert!(completed(&whole)["json"]["ok"].is_boolean(), "{whole:?}");
    assert!(failed(&cut).contains("cut off at its limit of tokens: no JSON"), "{cut:?}");
}

#[tokio::test]
async fn the_real_ollama_embeds_no_text_that_is_too_long_unless_it_may_cut_it() {
    let name = "the_real_ollama_embeds_no_text_that_is_too_long_unless_it_may_cut_it";
    let Some(real) = Real::with_tiny(name).await else { return };
    let surtr = Harness::start(surtr_at(real.url.clone())).await;
    let order = |truncate: bool| json!({"model": "tiny", "input": ["word ".repeat(5000)], "truncate": truncate});

    let refused = surtr.execute("llm-embed", order(false)).await.unwrap();
    let cut = surtr.execute("llm-embed", order(true)).await.unwrap();

    assert!(failed(&refused).contains("exceeds maximum context length"), "{refused:?}");
    assert_eq!(completed(&cut)["dimensions"], json!(32));
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
    until("Ollama has seen its client leave", async || ollama.state().left == 1).await;
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_timed_out_with_its_words_in_the_output() {
    let (ollama, surtr) = start().await;
    let mut order = Harness::new_order(
        "llm-chat",
        json!({"model": "hangs", "messages": [
            {"role": "user", "content": "x"}]}),
    );
    order.timeout_seconds = Some(1.0);

    let outcome = surtr.order(&order).await.unwrap();

    assert_eq!(outcome.status, Ending::TimedOut, "{outcome:?}");
    assert!(outcome.output.starts_with("Hel"), "{outcome:?}");
    until("Ollama has seen its client leave", async || ollama.state().left == 1).await;
}

#[tokio::test]
async fn without_an_ollama_every_task_says_where_it_was_looked_for() {
    let free = closed();
    let url: Url = format!("http://{free}").parse().unwrap();
    let surtr =
        Harness::with(surtr_at(url)).program("nvidia-smi", crate::common::ONE_CARD).start().await;

    for (task, params) in [
        ("llm-health-check", json!({})),
        ("ollama-list-models", json!({})),
        ("ollama-pull-model", json!({"model": "tiny"})),
        ("ollama-delete-model", json!({"model": "tiny", "missing_ok": true})),
        ("ollama-unload", json!({})),
        ("llm-inference", json!({"model": "tiny", "prompt": "x"})),
        ("llm-chat", json!({"model": "tiny", "messages": [{"role": "user", "content": "x"}]})),
        ("llm-embed", json!({"model": "tiny", "input": ["x"]})),
        ("gpu-verify", json!({"model": "tiny"})),
    ] {
        let outcome = surtr.execute(task, params).await.unwrap();
        let error = failed(&outcome);
        assert!(error.contains(&format!("does not answer at http://{free}")), "{task}: {error}");
        assert!(error.contains("SURTR_OLLAMA_URL"), "{task}: {error}");
    }
}

#[tokio::test]
async fn what_is_no_ollama_is_told_by_every_task() {
    let page =
        "HTTP/1.1 200 OK\r\nContent-Length: 20\r\nConnection: close\r\n\r\n<html>A page.</html>";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            drop(stream.read(&mut [0; 4096]));
            drop(stream.write_all(page.as_bytes()));
        }
    });
    let surtr =
        Harness::with(surtr_at(url)).program("nvidia-smi", crate::common::ONE_CARD).start().await;

    for (task, params) in [
        ("llm-health-check", json!({})),
        ("ollama-list-models", json!({})),
        ("ollama-pull-model", json!({"model": "tiny"})),
        ("ollama-delete-model", json!({"model": "tiny"})),
        ("ollama-unload", json!({})),
        ("llm-inference", json!({"model": "tiny", "prompt": "x"})),
        ("llm-chat", json!({"model": "tiny", "messages": [{"role": "user", "content": "x"}]})),
        ("llm-embed", json!({"model": "tiny", "input": ["x"]})),
        ("gpu-verify", json!({"model": "tiny"})),
    ] {
        let outcome = surtr.execute(task, params).await.unwrap();
        let error = failed(&outcome);
        assert!(error.contains("not Ollama as it should be"), "{task}: {error}");
    }
}

async fn ask(surtr: &Harness, task: &str, model: &str) -> Outcome {
    let params = match task {
        "llm-chat" => json!({"model": model, "messages": [{"role": "user", "content": "x"}]}),
        _ => json!({"model": model, "prompt": "x"}),
    };
    surtr.execute(task, params).await.unwrap()
}
