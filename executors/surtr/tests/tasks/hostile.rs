//! A table of hostile values over every string param of every task of Surtr.
//!
//! Each value would make a file, were a shell ever to read it. It is refused, or it arrives where
//! it was meant to go, as it is.

use std::collections::BTreeSet;

use executor_sdk::harness::{Ending, Harness};
use executor_sdk::prelude::*;

use crate::common::{ONE_CARD, surtr_at};
use crate::stand_in::StandIn;

/// Every string param, with params in which `HERE` stands in its place.
fn places() -> Vec<(&'static str, &'static str, Value)> {
    let message = json!({"role": "user", "content": "HERE"});
    let said = json!({"role": "user", "content": "x"});
    let any = json!({"stop": ["HERE"]});
    let role = json!({"role": "HERE", "content": "x"});
    vec![
        ("llm-health-check", "models", json!({"models": ["HERE"]})),
        ("llm-health-check", "min_free_vram", json!({"min_free_vram": "HERE"})),
        ("ollama-deploy", "compose_file", json!({"compose_file": "HERE"})),
        ("ollama-deploy", "service", json!({"compose_file": "FILE", "service": "HERE"})),
        ("ollama-deploy", "models", json!({"compose_file": "FILE", "models": ["HERE"]})),
        ("ollama-pull-model", "model", json!({"model": "HERE"})),
        ("ollama-delete-model", "model", json!({"model": "HERE"})),
        ("ollama-unload", "model", json!({"model": "HERE"})),
        ("llm-inference", "model", json!({"model": "HERE", "prompt": "x"})),
        ("llm-inference", "prompt", json!({"model": "tiny", "prompt": "HERE"})),
        ("llm-inference", "system", json!({"model": "tiny", "prompt": "x", "system": "HERE"})),
        ("llm-inference", "format", json!({"model": "tiny", "prompt": "x", "format": "HERE"})),
        ("llm-inference", "options", json!({"model": "tiny", "prompt": "x", "options": any})),
        ("llm-chat", "format", json!({"model": "tiny", "messages": [said], "format": "HERE"})),
        ("llm-chat", "options", json!({"model": "tiny", "messages": [said], "options": any})),
        ("llm-chat", "model", json!({"model": "HERE", "messages": [message]})),
        ("llm-chat", "messages.role", json!({"model": "tiny", "messages": [role]})),
        ("llm-chat", "messages.content", json!({"model": "tiny", "messages": [message]})),
        ("llm-embed", "model", json!({"model": "HERE", "input": ["x"]})),
        ("llm-embed", "input", json!({"model": "tiny", "input": ["HERE"]})),
        ("gpu-verify", "min_vram", json!({"min_vram": "HERE"})),
        ("gpu-verify", "model", json!({"model": "HERE"})),
    ]
}

/// The params that go on to Ollama as plain text, whatever they are.
const PLAIN: [&str; 5] = ["prompt", "system", "messages.content", "input", "options"];

#[tokio::test]
async fn hostile_values_are_refused_or_stay_values() {
    let ollama = StandIn::start();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("compose.yaml");
    std::fs::write(&file, "").unwrap();
    let canary = home.path().join("canary");
    let docker = format!("printf '%s\\n' \"$@\" >> {}", home.path().join("calls").display());
    let surtr = Harness::with(surtr_at(ollama.url.clone()))
        .program("docker", docker)
        .program("nvidia-smi", ONE_CARD)
        .start()
        .await;
    let mut tried = 0;

    for (task, param, params) in places() {
        for value in values(&canary) {
            let params = put(&params, "FILE", file.to_str().unwrap());
            let before = ollama.state().orders.len();
            let ended = surtr.execute(task, put(&params, "HERE", &value)).await;

            let orders = ollama.state().orders.split_off(before);
            if PLAIN.contains(&param) {
                let outcome = ended.unwrap_or_else(|refusal| panic!("{param}: {refusal:?}"));
                assert_eq!(outcome.status, Ending::Completed, "{task} {param} {value:?}");
                let body = orders[0].1.to_string();
                assert!(body.contains(&Value::from(value.as_str()).to_string()), "{body}");
            } else {
                if let Ok(outcome) = ended {
                    assert_eq!(outcome.status, Ending::Failed, "{task} {param} {value:?}");
                }
                assert_eq!(orders, [], "{task} {param} {value:?}");
            }
            tried += 1;
        }
    }

    assert_eq!(tried, places().len() * values(&canary).len());
    assert!(!canary.exists());
    let left: BTreeSet<_> = std::fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left, BTreeSet::from(["compose.yaml".to_owned()]), "no program was run");
}

#[tokio::test]
async fn the_table_names_every_string_param() {
    let surtr = Harness::start(surtr_at("http://127.0.0.1:1".parse().unwrap())).await;
    let mut strings = BTreeSet::new();

    for spec in surtr.status().await.tasks {
        if !["run-command", "run-playbook"].contains(&spec.task_type.as_str()) {
            find(&spec.task_type, "", &spec.params_schema, &mut strings);
        }
    }

    let named: BTreeSet<_> =
        places().into_iter().map(|(task, param, _)| (task.to_owned(), param.to_owned())).collect();
    assert_eq!(strings, named);
}

fn values(canary: &Path) -> Vec<String> {
    let touch = format!("touch {}", canary.display());
    vec![
        format!("$({touch})"),
        format!("`{touch}`"),
        format!("; {touch}"),
        format!("'; {touch}; '"),
        format!("\"; {touch}; \""),
        format!("x\n{touch}"),
        format!("| {touch}"),
        format!("&& {touch} #"),
        format!("-o {touch}"),
        "--help".to_owned(),
        "-".to_owned(),
        "../../api/delete".to_owned(),
        "/etc/../etc/passwd\n".to_owned(),
        "x\0y".to_owned(),
        "\",\"stream\":false,\"x\":\"".to_owned(),
    ]
}

/// Replaces a text wherever it is the whole value.
fn put(params: &Value, place: &str, by: &str) -> Value {
    match params {
        Value::String(text) if text == place => json!(by),
        Value::Array(items) => items.iter().map(|item| put(item, place, by)).collect(),
        Value::Object(members) => {
            let members = members.iter().map(|(key, item)| (key.clone(), put(item, place, by)));
            Value::Object(members.collect())
        }
        other => other.clone(),
    }
}

/// Finds each place of a schema where a string may stand.
fn find(task: &str, at: &str, schema: &Value, found: &mut BTreeSet<(String, String)>) {
    let is_string = match &schema["type"] {
        Value::String(kind) => kind == "string",
        Value::Array(kinds) => kinds.contains(&json!("string")),
        _ => false,
    };
    let is_anything = ["type", "anyOf", "oneOf"].iter().all(|word| schema.get(word).is_none())
        || schema["additionalProperties"] == json!(true);
    if is_string || is_anything || schema.get("enum").is_some() {
        found.insert((task.to_owned(), at.to_owned()));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        find(task, &at, field, found);
    }
    let inner = schema["anyOf"].as_array().into_iter().chain(schema["oneOf"].as_array()).flatten();
    inner.chain(schema.get("items")).for_each(|inner| find(task, at, inner, found));
}
