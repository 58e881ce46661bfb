//! Hostile values in every text param of every task: each is refused, or it arrives where it was
//! meant to go, as it is.

use std::cell::Cell;

use executor_sdk::harness::hostile::{HERE, Row, Table, builtin};
use executor_sdk::harness::{Ending, Harness};
use executor_sdk::prelude::*;

use crate::common::{ONE_CARD, surtr_at};
use crate::stand_in::StandIn;

/// Every text param of Surtr's own tasks.
fn rows(file: &Path) -> Vec<Row> {
    let said = json!([{"role": "user", "content": "x"}]);
    let chat = |param: &'static str, with: Value| {
        let mut params = json!({"model": "tiny", "messages": said});
        with.as_object().unwrap().iter().for_each(|(name, it)| params[name] = it.clone());
        ("llm-chat", param, params)
    };
    let ask = |param: &'static str, with: Value| {
        let mut params = json!({"model": "tiny", "prompt": "x"});
        with.as_object().unwrap().iter().for_each(|(name, it)| params[name] = it.clone());
        ("llm-inference", param, params)
    };
    let all = [
        ("llm-health-check", "models", json!({"models": [HERE]})),
        ("llm-health-check", "min_free_vram", json!({"min_free_vram": HERE})),
        ("ollama-deploy", "compose_file", json!({"compose_file": HERE})),
        ("ollama-deploy", "service", json!({"compose_file": file, "service": HERE})),
        ("ollama-deploy", "models", json!({"compose_file": file, "models": [HERE]})),
        ("ollama-pull-model", "model", json!({"model": HERE})),
        ("ollama-delete-model", "model", json!({"model": HERE})),
        ("ollama-unload", "model", json!({"model": HERE})),
        ask("model", json!({"model": HERE})),
        ask("prompt", json!({"prompt": HERE})),
        ask("system", json!({"system": HERE})),
        ask("format", json!({"format": HERE})),
        ask("options", json!({"options": {"stop": [HERE]}})),
        chat("format", json!({"format": HERE})),
        chat("options", json!({"options": {"stop": [HERE]}})),
        chat("model", json!({"model": HERE})),
        chat("messages.role", json!({"messages": [{"role": HERE, "content": "x"}]})),
        chat("messages.content", json!({"messages": [{"role": "user", "content": HERE}]})),
        ("llm-embed", "model", json!({"model": HERE, "input": ["x"]})),
        ("llm-embed", "input", json!({"model": "tiny", "input": [HERE]})),
        ("gpu-verify", "min_vram", json!({"min_vram": HERE})),
        ("gpu-verify", "model", json!({"model": HERE})),
    ];
    all.into_iter().map(|(task, param, params)| Row::new(task, param, params)).collect()
}

/// The params that go on to Ollama as plain text, whatever they are.
const PLAIN: [&str; 5] = ["prompt", "system", "messages.content", "input", "options"];

#[tokio::test]
async fn hostile_values_are_refused_or_stay_values() {
    let table = Table::new();
    let ollama = StandIn::start();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("compose.yaml");
    std::fs::write(&file, "").unwrap();
    let calls = tempfile::tempdir().unwrap();
    let calls = calls.path().join("calls");
    let surtr = Harness::with(surtr_at(ollama.url.clone()))
        .confined(home.path(), home.path())
        .program("docker", format!("printf '%s\\n' \"$@\" >> {}", calls.display()))
        .program("nvidia-smi", ONE_CARD)
        .program("ansible-playbook", "exit 3")
        .start()
        .await;
    let seen = Cell::new(0);

    table
        .try_all(
            &surtr,
            |_| [rows(&file), builtin("site.yml")].concat(),
            |row, value, ended| {
                let orders = ollama.state().orders.split_off(0);
                if PLAIN.contains(&row.param) && !value.is_empty() {
                    let outcome = ended.as_ref().unwrap_or_else(|it| panic!("{row:?}: {it:?}"));
                    assert_eq!(outcome.status, Ending::Completed, "{row:?} {value:.200?}");
                    let body = orders[0].1.to_string();
                    assert!(
                        body.contains(&Value::from(value).to_string()),
                        "{row:?} {value:.200?}"
                    );
                    seen.set(seen.get() + 1);
                } else if !row.task.starts_with("run-") && !PLAIN.contains(&row.param) {
                    if let Ok(outcome) = ended {
                        assert_eq!(outcome.status, Ending::Failed, "{row:?} {value:.200?}");
                    }
                    assert_eq!(orders, [], "{row:?} {value:.200?}");
                }
            },
        )
        .await;

    assert_eq!(seen.get(), 6 * (table.values().len() - 1));
    assert!(!calls.exists(), "no compose program was run");
    let left = std::fs::read_dir(home.path()).unwrap().count();
    assert_eq!(left, 1, "beside the compose file nothing is there");
}
