//! Registering, heartbeats, retries, good-byes.

use std::time::Duration;

use executor_sdk::harness::{tokio, until};
use serde_json::json;

use crate::coordinator::Coordinator;
use crate::trial;

#[tokio::test]
async fn a_registration_says_what_the_executor_is() {
    let coordinator = Coordinator::start().await;
    let flags = ["--labels", "gpu=none,site=attic", "--lease-ttl", "90s"];
    let policy = "allow:\n  commands: []\n  paths: [/tmp]\n";
    let executor = trial(&coordinator, &flags).policy(policy).capacity(3).start().await;

    coordinator.more_beats(2).await;
    let status = executor.status().await;
    let body = coordinator.registrations()[0].body.clone();

    let id = body["runnerId"].as_str().unwrap();
    let (name, hex) = id.rsplit_once('-').unwrap();
    assert_eq!(name, "trial-executor");
    assert!(hex.len() == 8 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(body["name"], "trial-executor");
    assert_eq!(body["version"], "1.2.3");
    assert_eq!(body["endpoint"], executor.url().as_str().trim_end_matches('/'));
    assert_eq!(body["labels"], json!({"gpu": "none", "site": "attic"}));
    assert_eq!(body["leaseTtlMs"], 90_000);
    assert_eq!(body["metadata"]["protocol"], 1);
    assert_eq!(body["metadata"]["capacity"], 3);
    assert_eq!(body["metadata"]["life"], status.life.to_string());
    let can: Vec<_> = body["capabilities"].as_array().unwrap().iter().collect();
    assert!(can.contains(&&json!("greet")) && can.contains(&&json!("touch")), "{can:?}");
    // Its tool is missing; the policy allows no commands and names no playbooks.
    for closed in ["needs-tool", "run-command", "run-playbook"] {
        assert!(!can.contains(&&json!(closed)), "{can:?}");
    }
    for part in [&body["resources"], &coordinator.beats()[1].body["resources"]] {
        assert!(part["cpu"]["cpus"].as_u64().unwrap() > 0, "{part}");
        assert!(part["cpu"]["load15"].is_number() && part["cpu"]["percent"].is_number());
        assert!(part["memory"]["total"].as_u64() > part["memory"]["used"].as_u64());
        assert!(part["memory"]["percent"].as_f64().unwrap() > 0.0 && part["uptime"].is_number());
    }
    assert_eq!(coordinator.registrations().len(), 1);
}

#[tokio::test]
async fn a_heartbeat_says_what_runs() {
    let coordinator = Coordinator::start().await;
    let executor = trial(&coordinator, &[]).start().await;
    let idle = coordinator.beat("nothing runs", |beat| beat["tasks"] == json!([])).await;

    let started = executor.execute_async("forever", json!({})).await.unwrap();
    let busy = coordinator.beat("something runs", |beat| beat["tasks"] != json!([])).await;
    executor.cancel(started.attempt).await.unwrap();
    coordinator.beat("nothing runs", |beat| beat["tasks"] == json!([])).await;

    assert_eq!(idle["status"], "healthy");
    assert!(idle["timestamp"].as_f64().unwrap() > 1.7e9);
    assert!(idle.get("updateStatus").is_none(), "{idle}");
    let task = &busy["tasks"][0];
    assert_eq!(task["taskId"], started.attempt.to_string());
    assert_eq!((&task["type"], &task["status"]), (&json!("forever"), &json!("running")));
    assert!(task["startedAt"].as_i64().unwrap() > 1_700_000_000_000);
}

#[tokio::test]
async fn the_id_outlives_a_restart_and_the_life_does_not() {
    let coordinator = Coordinator::start().await;
    let state = tempfile::tempdir().unwrap();
    for life in 1..=2 {
        let executor = trial(&coordinator, &[]).state_dir(state.path()).start().await;
        until("it has registered", async || coordinator.registrations().len() == life).await;
        executor.stop().await;
    }

    let [first, second] = [0, 1].map(|at| coordinator.registrations()[at].body.clone());
    assert_eq!(first["runnerId"], second["runnerId"]);
    assert_ne!(first["metadata"]["life"], second["metadata"]["life"]);
}

#[tokio::test]
async fn a_coordinator_without_memory_is_told_at_once() {
    let coordinator = Coordinator::start().await;
    let _executor = trial(&coordinator, &["--heartbeat-interval", "300ms"]).start().await;
    coordinator.more_beats(1).await;

    coordinator.forget();
    until("it has registered again", async || coordinator.registrations().len() == 2).await;

    let again = coordinator.registrations()[1].at;
    let refused = coordinator.beats().into_iter().rfind(|beat| beat.at <= again).unwrap();
    assert!(again - refused.at < Duration::from_millis(200), "{:?}", again - refused.at);
    coordinator.more_beats(2).await;
    assert_eq!(coordinator.registrations().len(), 2);
}

#[tokio::test]
async fn failures_are_tried_again_by_one_chain_that_slows_down() {
    let coordinator = Coordinator::start().await;
    coordinator.fail("POST /runners/register", &[500, 503, 502]);
    let executor = trial(&coordinator, &[]).start().await;

    let outcome = executor.execute("greet", json!({"name": "you"})).await.unwrap();
    coordinator.more_beats(1).await;

    assert_eq!(outcome.output, "hello you\n");
    let tries: Vec<_> = coordinator.registrations().iter().map(|asked| asked.at).collect();
    assert_eq!(tries.len(), 4);
    for (pair, least) in tries.windows(2).zip([1, 2, 4]) {
        let waited = pair[1] - pair[0];
        let least = Duration::from_secs(least);
        assert!(waited >= least && waited < least * 2, "{waited:?} instead of {least:?}");
    }
    // Nothing else was asked of a coordinator that does not know us.
    assert!(coordinator.asked("GET").iter().all(|asked| asked.at > tries[3]));
}

#[tokio::test]
async fn another_tool_or_address_is_told_by_registering_again() {
    let coordinator = Coordinator::start().await;
    let tools = tempfile::tempdir().unwrap();
    let executor = trial(&coordinator, &["--endpoint", "https://trial.example:8443/x/"]);
    let _executor = executor.path(tools.path()).start().await;
    coordinator.more_beats(1).await;

    for name in ["nor-that", "surely-nobody-has-this-tool"] {
        let tool = tools.path().join(name);
        std::fs::write(&tool, "").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&tool, mode).unwrap();
    }
    until("it has registered again", async || coordinator.registrations().len() == 2).await;

    let [first, second] = [0, 1].map(|at| coordinator.registrations()[at].body.clone());
    let can = |body: &serde_json::Value| {
        body["capabilities"].as_array().unwrap().contains(&json!("needs-tool"))
    };
    assert!(!can(&first) && can(&second));
    assert_eq!(first["endpoint"], "https://trial.example:8443/x");
}

#[tokio::test]
async fn who_drains_says_good_bye_once() {
    let coordinator = Coordinator::start().await;
    let executor = trial(&coordinator, &[]).start().await;
    coordinator.more_beats(1).await;

    executor.stop().await;

    let said = coordinator.asked("POST /runners/offline");
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].body["runnerId"], coordinator.registrations()[0].body["runnerId"]);
    assert!(coordinator.beats().iter().all(|beat| beat.at < said[0].at));
}
