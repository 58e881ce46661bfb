//! Hostile values in every text param of every task.

use executor_sdk::harness::hostile::{HERE, Row, Table, builtin};
use executor_sdk::harness::{Ending, Harness, tokio};
use executor_sdk::prelude::*;
use huginn_executor::Huginn;

const MAC: &str = "02:00:5e:10:20:30";

/// Every text param of Huginn's own tasks.
fn rows() -> Vec<Row> {
    let nobody = "127.0.0.1:1";
    let record = |param: &'static str, with: Value| {
        let mut params = json!({"domain": "a", "address": "10.0.0.5"});
        with.as_object().unwrap().iter().for_each(|(name, it)| params[name] = it.clone());
        ("dns-record", param, params)
    };
    let check = |param: &'static str, with: Value| {
        let mut params = json!({"names": ["a"], "resolvers": [nobody], "transports": ["tcp"]});
        with.as_object().unwrap().iter().for_each(|(name, it)| params[name] = it.clone());
        ("dns-check", param, params)
    };
    let wake = |param: &'static str, with: Value| {
        let mut params = json!({"mac_address": MAC});
        with.as_object().unwrap().iter().for_each(|(name, it)| params[name] = it.clone());
        ("power-wake", param, params)
    };
    let all = [
        ("power-wake", "host", json!({"host": HERE, "wait": 0.1})),
        wake("mac_address", json!({"mac_address": HERE})),
        wake("broadcast", json!({"broadcast": HERE})),
        wake("secure_on", json!({"secure_on": HERE})),
        wake("address", json!({"wait": 0.1, "address": HERE})),
        ("power-status", "hosts", json!({"hosts": [HERE], "expect": "up"})),
        ("power-status", "hosts.host", json!({"hosts": [{"host": HERE}], "expect": "up"})),
        ("power-status", "expect", json!({"hosts": ["127.0.0.1"], "expect": HERE})),
        ("network-check", "hosts", json!({"hosts": [HERE]})),
        ("network-check", "hosts.host", json!({"hosts": [{"host": HERE, "port": 1}]})),
        ("network-check", "dns", json!({"dns": [HERE]})),
        ("network-check", "urls", json!({"urls": [HERE]})),
        check("names", json!({"names": [HERE]})),
        check("resolvers", json!({"resolvers": [HERE]})),
        check("resolvers.host", json!({"resolvers": [{"host": HERE, "port": 1}]})),
        check("record", json!({"record": HERE})),
        check("transports", json!({"transports": [HERE]})),
        check("expect", json!({"expect": [HERE]})),
        record("domain", json!({"domain": HERE})),
        record("address", json!({"address": HERE})),
        record("state", json!({"state": HERE})),
        record("url", json!({"url": HERE})),
        record("password", json!({"password": HERE})),
        record("resolver", json!({"resolver": HERE})),
        record("resolver.host", json!({"resolver": {"host": HERE}})),
        ("monitor-pihole", "url", json!({"url": HERE})),
        ("monitor-pihole", "password", json!({"password": HERE})),
        ("monitor-plex", "url", json!({"url": HERE})),
        ("monitor-plex", "token", json!({"token": HERE})),
        ("service-restart", "unit", json!({"unit": HERE})),
    ];
    all.into_iter().map(|(task, param, params)| Row::new(task, param, params)).collect()
}

#[tokio::test]
async fn no_value_is_taken_at_more_than_its_word() {
    let table = Table::new();
    let home = tempfile::tempdir().unwrap();
    let calls = home.path().join("calls");
    let nobody: Url = "http://127.0.0.1:1".parse().unwrap();
    let huginn = Huginn {
        pihole_url: Some(nobody.clone()),
        plex_url: Some(nobody),
        system_bus: Some("unix:path=/nonexistent/bus".to_owned()),
        ..Huginn::default()
    };
    let inside = tempfile::tempdir().unwrap();
    let huginn = Harness::with(huginn)
        .confined(inside.path(), inside.path())
        .secret("pihole-password", "hunter2x")
        .secret("plex-token", "hunter2x")
        .program("systemctl", format!("printf '%s\\n' \"$*\" >> {}", calls.display()))
        .program("ansible-playbook", "exit 3")
        .start()
        .await;

    table
        .try_all(
            &huginn,
            |_| [rows(), builtin("site.yml")].concat(),
            |row, value, ended| {
                if row.task.starts_with("run-") {
                    return;
                }
                match ended {
                    Ok(outcome) => {
                        assert_eq!(outcome.status, Ending::Failed, "{row:?} {value:.200?}");
                        assert!(!format!("{outcome:?}").contains("hunter2x"), "{row:?}");
                    }
                    Err(refusal) => {
                        let param = row.param.split('.').next().unwrap();
                        let error = &refusal.error;
                        assert!(error.contains(param), "{row:?} {value:.200?}: {error}");
                    }
                }
            },
        )
        .await;

    // One of them may be the name of a unit, and was asked for as such.
    let called = std::fs::read_to_string(&calls).unwrap();
    for call in called.lines() {
        assert!(call.starts_with("show ") && call.ends_with(" -- \\065.service"), "{call}");
    }
    assert_eq!(std::fs::read_dir(inside.path()).unwrap().count(), 0);
}
