//! Results on their way into a bead.

use serde_json::{Value, json};

use super::ending::{after_claim, claimed, closed};
use super::fake::{ATTEMPT, Fake, Reply, bead, ours};

#[tokio::test]
async fn a_result_is_cleaned_written_and_found_again() {
    let Some(mut fake) = Fake::now() else { return };
    let clean = json!({"response": "red text", "n": 12_345_678_901_234_567_890_u64});
    let with_result = |status: &str| {
        ours(
            "hl-1",
            &json!({"status": status, "close_reason": "ok", "metadata": {
                "ygg_attempt": ATTEMPT,
                "result": {"response": "red text", "n": 12_345_678_901_234_567_000.0},
            }}),
        )
    };
    fake.on(&["update", "--metadata=@"], Reply::json(&json!([with_result("in_progress")])));
    fake.on(&["close"], Reply::json(&json!([with_result("closed")])));
    let (beads, claim) = claimed(&mut fake).await;

    let dirty = json!({"response": "\u{1b}[31mred\u{0} text\u{1b}[0m", "n": clean["n"]});
    let written = beads.write_result(&claim, &dirty).await.unwrap();
    beads.close(claim, "ok").await.unwrap();

    assert!(written);
    let entry = fake.started().into_iter().find(|entry| !entry.files.is_empty()).unwrap();
    let body: Value = serde_json::from_str(entry.files.values().next().unwrap()).unwrap();
    assert_eq!(body, json!({"result": clean}));
    assert_eq!(fake.lines().len(), 3, "claim, result, close: {:?}", fake.lines());
    let left = std::fs::read_dir(fake.folder.path().join("state")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["bd-home"], "no result file stays");
}

#[tokio::test]
async fn a_result_that_another_write_took_away_is_written_again() {
    let Some(mut fake) = Fake::now() else { return };
    let result = json!({"ygg_attempt": ATTEMPT, "result": {"x": 1}});
    let written = ours("hl-1", &json!({"metadata": result.clone()}));
    let closed_with = closed(&json!({"metadata": result}));
    fake.on(&["update", "--metadata=@"], Reply::json(&json!([written])).times(1));
    fake.on(&["update", "--metadata=@"], Reply::json(&json!([closed_with])));
    fake.on(&["close"], Reply::json(&json!([closed(&json!({}))])));
    let (beads, claim) = claimed(&mut fake).await;

    beads.write_result(&claim, &json!({"x": 1})).await.unwrap();
    beads.close(claim, "ok: exit 0").await.unwrap();

    let merges = fake.lines().iter().filter(|line| line.contains("--metadata=@")).count();
    assert_eq!(merges, 2);
}

#[tokio::test]
async fn a_result_with_no_room_stays_out() {
    let (Some(mut old), Some(mut now)) = (Fake::old(), Fake::now()) else { return };
    old.on(&["show"], Reply::json(&json!([bead("hl-1", &json!({}))])));
    let (beads, claim) = claimed(&mut old).await;
    let too_big_for_old = beads.write_result(&claim, &json!("x".repeat(60_000))).await.unwrap();
    let (beads, claim) = claimed(&mut now).await;
    let too_big = beads.write_result(&claim, &json!("x".repeat(2_000_000))).await.unwrap();

    assert!(!too_big_for_old && !too_big);
    assert!(after_claim(&old).is_empty() && after_claim(&now).is_empty());
}
