//! The API key: the configured one, one that the coordinator sends, and none that is seen.

use executor_sdk::harness::{tokio, until};
use serde_json::json;

use crate::coordinator::Coordinator;
use crate::trial;

const FLAGS: [&str; 2] = ["--api-key", "configured"];

fn last_key(coordinator: &Coordinator) -> Option<String> {
    coordinator.beats().last().and_then(|beat| beat.key.clone())
}

#[tokio::test]
async fn a_key_that_was_sent_is_used_from_then_on_and_after_a_restart() {
    let coordinator = Coordinator::start().await;
    coordinator.accept_keys(&["configured"]);
    let state = tempfile::tempdir().unwrap();
    let executor = trial(&coordinator, &FLAGS).state_dir(state.path()).start().await;
    until("it comes with its key", async || last_key(&coordinator).is_some()).await;
    let first = last_key(&coordinator);

    coordinator.accept_keys(&["configured", "sent"]);
    coordinator.ask_update(json!({"version": "1.2.3", "apiKey": "sent"}));
    until("the new key is used", async || last_key(&coordinator).as_deref() == Some("sent")).await;
    coordinator.drop_update();
    coordinator.accept_keys(&["sent"]);
    executor.stop().await;
    let before = coordinator.registrations().len();
    let _second = trial(&coordinator, &FLAGS).state_dir(state.path()).start().await;
    coordinator.more_beats(2).await;

    assert_eq!(first.as_deref(), Some("configured"));
    assert_eq!(coordinator.registrations()[before].key.as_deref(), Some("sent"));
    // A key alone is no update.
    assert!(coordinator.beats().iter().all(|beat| beat.body.get("updateStatus").is_none()));
}

#[tokio::test]
async fn a_key_that_was_taken_back_gives_way_to_the_configured_one() {
    let coordinator = Coordinator::start().await;
    let state = tempfile::tempdir().unwrap();
    coordinator.ask_update(json!({"version": "1.2.3", "apiKey": "sent"}));
    let executor = trial(&coordinator, &FLAGS).state_dir(state.path()).start().await;
    until("the new key is used", async || last_key(&coordinator).as_deref() == Some("sent")).await;
    coordinator.drop_update();

    coordinator.accept_keys(&["configured"]);
    let is_back = async || last_key(&coordinator).as_deref() == Some("configured");
    until("the configured key is used", is_back).await;
    coordinator.more_beats(2).await;

    let refused = coordinator.beats().iter().filter(|b| b.key.as_deref() == Some("sent")).count();
    coordinator.more_beats(2).await;
    let later = coordinator.beats().iter().filter(|b| b.key.as_deref() == Some("sent")).count();
    assert_eq!(refused, later, "the refused key is not tried again");
    executor.stop().await;
    let kept = std::fs::read_to_string(state.path().join("registration.json")).unwrap();
    assert!(!kept.contains("sent"), "{kept}");
}

#[tokio::test]
async fn a_throttled_address_is_no_reason_to_stay_out_with_a_stale_key() {
    let coordinator = Coordinator::start().await;
    coordinator.accept_keys(&["configured"]);
    coordinator.throttle();
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("registration.json");
    std::fs::write(&file, r#"{"api_key":"stale"}"#).unwrap();

    let executor = trial(&coordinator, &FLAGS).state_dir(state.path()).start().await;
    coordinator.more_beats(3).await;

    let keys: Vec<_> = coordinator.registrations().into_iter().filter_map(|r| r.key).collect();
    assert_eq!(keys, ["stale", "configured"]);
    assert!(coordinator.beats().iter().all(|beat| beat.key.as_deref() == Some("configured")));
    executor.stop().await;
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept.contains("stale"), "a 429 does not say that it is taken back: {kept}");
}

#[tokio::test]
async fn without_the_right_key_it_tries_on_and_works() {
    let coordinator = Coordinator::start().await;
    coordinator.accept_keys(&["right"]);
    let executor = trial(&coordinator, &FLAGS).start().await;
    until("it was refused", async || !coordinator.registrations().is_empty()).await;

    let outcome = executor.execute("greet", json!({"name": "you"})).await.unwrap();
    coordinator.accept_keys(&["configured"]);
    coordinator.more_beats(1).await;

    assert_eq!(outcome.output, "hello you\n");
}
