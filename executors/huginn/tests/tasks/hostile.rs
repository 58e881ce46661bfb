//! Values that would do harm if a shell, an option parser or a path join ever took them at more
//! than their word, put into every text param of every task.

use std::collections::BTreeSet;

use executor_sdk::harness::{Ending, Harness, tokio};
use executor_sdk::prelude::*;
use huginn_executor::Huginn;

const MAC: &str = "02:00:5e:10:20:30";

/// Returns the values. Each would make the file `canary` if somebody executed it.
fn values(canary: &str) -> Vec<String> {
    let touch = format!("touch {canary}");
    vec![
        format!("$({touch})"),
        format!("`{touch}`"),
        format!("; {touch}"),
        format!("x; {touch} #"),
        format!("x && {touch}"),
        format!("| {touch}"),
        format!("x\n{touch}\n"),
        format!("\"; {touch}; \""),
        format!("'; {touch}; '"),
        format!("-o {touch}"),
        format!("--exec={touch}"),
        format!("--output={canary}"),
        format!("x\0{touch}"),
        "\0".to_owned(),
        "-".to_owned(),
        "--".to_owned(),
        "--help".to_owned(),
        "../../etc/hosts".to_owned(),
        "secret:../../etc/hosts".to_owned(),
        canary.to_owned(),
        format!("file://{canary}"),
        "http://127.0.0.1:1/\r\nX-Evil: 1".to_owned(),
        "%s%n".to_owned(),
        "\\065".to_owned(),
        "\u{1b}[2J".to_owned(),
        "\u{202e}x".to_owned(),
        "x".repeat(100_000),
        String::new(),
    ]
}

/// Every text param of every task, with a value in it and with what else the task wants.
fn orders(value: &str) -> Vec<(&'static str, &'static str, Value)> {
    let nobody = "127.0.0.1:1";
    vec![
        ("power-wake", "host", json!({"host": value, "wait": 0.1})),
        ("power-wake", "mac_address", json!({"mac_address": value})),
        ("power-wake", "broadcast", json!({"mac_address": MAC, "broadcast": value})),
        ("power-wake", "secure_on", json!({"mac_address": MAC, "secure_on": value})),
        ("power-wake", "address", json!({"mac_address": MAC, "wait": 0.1, "address": value})),
        ("power-status", "hosts", json!({"hosts": [value], "expect": "up"})),
        ("power-status", "hosts", json!({"hosts": [{"host": value}], "expect": "up"})),
        ("power-status", "expect", json!({"hosts": ["127.0.0.1"], "expect": value})),
        ("network-check", "hosts", json!({"hosts": [value]})),
        ("network-check", "hosts", json!({"hosts": [{"host": value, "port": 1}]})),
        ("network-check", "dns", json!({"dns": [value]})),
        ("network-check", "urls", json!({"urls": [value]})),
        ("dns-check", "names", json!({"names": [value], "resolvers": [nobody]})),
        ("dns-check", "resolvers", json!({"names": ["a.home"], "resolvers": [value]})),
        ("dns-check", "record", json!({"names": ["a"], "resolvers": [nobody], "record": value})),
        (
            "dns-check",
            "transports",
            json!({"names": ["a"], "resolvers": [nobody], "transports": [value]}),
        ),
        (
            "dns-check",
            "expect",
            json!({"names": ["a"], "resolvers": [nobody], "transports": ["tcp"], "expect": [value]}),
        ),
        ("dns-record", "domain", json!({"domain": value, "address": "10.0.0.5"})),
        ("dns-record", "address", json!({"domain": "a.home", "address": value})),
        ("dns-record", "state", json!({"domain": "a", "address": "10.0.0.5", "state": value})),
        ("dns-record", "url", json!({"domain": "a", "address": "10.0.0.5", "url": value})),
        (
            "dns-record",
            "password",
            json!({"domain": "a", "address": "10.0.0.5", "password": value}),
        ),
        (
            "dns-record",
            "resolver",
            json!({"domain": "a", "address": "10.0.0.5", "resolver": value}),
        ),
        ("monitor-pihole", "url", json!({"url": value})),
        ("monitor-pihole", "password", json!({"password": value})),
        ("monitor-plex", "url", json!({"url": value})),
        ("monitor-plex", "token", json!({"token": value})),
        ("service-restart", "unit", json!({"unit": value})),
    ]
}

#[tokio::test]
async fn no_value_is_taken_at_more_than_its_word() {
    let home = tempfile::tempdir().unwrap();
    let canary = home.path().join("canary");
    let calls = home.path().join("calls");
    let nobody: Url = "http://127.0.0.1:1".parse().unwrap();
    let huginn = Huginn {
        pihole_url: Some(nobody.clone()),
        plex_url: Some(nobody),
        system_bus: Some("unix:path=/nonexistent/bus".to_owned()),
        ..Huginn::default()
    };
    let huginn = Harness::with(huginn)
        .secret("pihole-password", "hunter2x")
        .secret("plex-token", "hunter2x")
        .program("systemctl", format!("printf '%s\\n' \"$*\" >> {}", calls.display()))
        .start()
        .await;
    let mut count = 0;
    for value in values(canary.to_str().unwrap()) {
        for (task, param, params) in orders(&value) {
            let shown: String = params.to_string().chars().take(200).collect();
            count += 1;
            match huginn.execute(task, params).await {
                Ok(outcome) => {
                    assert_eq!(outcome.status, Ending::Failed, "{task} {shown}: {outcome:?}");
                    assert!(!format!("{outcome:?}").contains("hunter2x"), "{task} {shown}");
                }
                Err(refusal) => {
                    let is_named = refusal.error.contains(param);
                    assert!(is_named, "{task} {shown}: {}", refusal.error);
                }
            }
        }
    }
    // One of them may be the name of a unit, and was asked for as such.
    let called = std::fs::read_to_string(&calls).unwrap();
    for call in called.lines() {
        assert!(call.starts_with("show ") && call.ends_with(" -- \\065.service"), "{call}");
    }
    std::fs::remove_file(&calls).unwrap();
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
    assert!(left.is_empty(), "{count} orders left {left:?}");
    assert!(count > 700, "{count}");
}

#[tokio::test]
async fn the_table_holds_every_text_param() {
    let huginn = Harness::start(Huginn::default()).await;
    let covered: BTreeSet<_> =
        orders("").into_iter().map(|(task, param, _)| (task, param)).collect();

    let status = huginn.status().await;
    let mut found = BTreeSet::new();
    for spec in &status.tasks {
        // Those of every executor are the SDK's to test.
        if matches!(spec.task_type.as_str(), "run-command" | "run-playbook") {
            continue;
        }
        let params = spec.params_schema["properties"].as_object();
        for (param, schema) in params.into_iter().flatten() {
            let text = schema.to_string();
            // What is defined elsewhere is a text in one of its forms, here.
            if text.contains("\"string\"") || text.contains("\"$ref\"") {
                found.insert((spec.task_type.clone(), param.clone()));
            }
        }
    }

    let covered: BTreeSet<_> =
        covered.into_iter().map(|(task, param)| (task.to_owned(), param.to_owned())).collect();
    let missing: Vec<_> = found.difference(&covered).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(found.len() > 20, "{found:?}");
}
