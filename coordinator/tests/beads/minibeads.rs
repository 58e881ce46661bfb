//! The traps of `mb`, on the fake.

use std::fs::{self, File};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use uuid::Uuid;
use yggdrasil_coordinator::beads::{
    BeadsError, BeadsTrouble, Block, ClaimAnswer, Dependency, Later,
};

use super::fake::{ATTEMPT, CLAIM, Fake, ME, OTHER, Reply, bead, claim, id, is_alive, until};

/// A bead of `mb` that an attempt of ours has.
fn taken(attempt: Uuid, changes: &Value) -> Value {
    let labels = json!([format!("run:{attempt}"), "task:x"]);
    let mut taken = bead(
        "hl-1",
        &json!({"status": "in_progress", "assignee": ME, "labels": labels, "notes": ""}),
    );
    taken.as_object_mut().unwrap().remove("metadata");
    for (key, value) in changes.as_object().into_iter().flatten() {
        taken[key] = value.clone();
    }
    taken
}

#[tokio::test]
async fn a_claim_is_read_again_before_it_counts() {
    let Some(mut fake) = Fake::mb() else { return };
    let open = bead("hl-1", &json!({"labels": ["run:old", "task:x"]}));
    fake.on(&["show"], Reply::json(&json!([open])).times(1));
    fake.on(&CLAIM, Reply::json(&json!([taken(ATTEMPT, &json!({}))])));
    fake.on(&["show"], Reply::json(&json!([taken(ATTEMPT, &json!({}))])).times(1));
    fake.on(&["show"], Reply::json(&json!([open])).times(1));
    fake.on(&["show"], Reply::json(&json!([taken(OTHER, &json!({"assignee": "box/2"}))])));
    let beads = fake.open().await;

    let won = beads.claim(&id("hl-1"), ATTEMPT).await.unwrap();
    let is_won = matches!(won, ClaimAnswer::Won(..));
    drop(won);
    let lost = beads.claim(&id("hl-1"), ATTEMPT).await.unwrap();

    assert!(is_won);
    assert!(matches!(&lost, ClaimAnswer::Lost { by } if by == "box/2"), "{lost:?}");
    assert_eq!(
        fake.lines()[1],
        format!(
            "update hl-1 --claim --as={ME} --add-label=run:{ATTEMPT} --remove-label=run:old \
             --mb-no-cmd-logging --json"
        )
    );
}

#[tokio::test]
async fn a_blocked_bead_is_not_taken_although_mb_would() {
    let Some(mut fake) = Fake::mb() else { return };
    fake.on(&["show"], Reply::json(&json!([bead("hl-1", &json!({"status": "blocked"}))])));
    let beads = fake.open().await;

    let answer = beads.claim(&id("hl-1"), ATTEMPT).await.unwrap();

    assert!(matches!(answer, ClaimAnswer::Lost { .. }));
    assert_eq!(fake.lines().len(), 1);
}

#[tokio::test]
async fn a_blocker_is_looked_up() {
    let Some(mut fake) = Fake::mb() else { return };
    let waiting = json!({"dependencies": [
        {"id": "hl-2", "type": "blocks"}, {"id": "hl-3", "type": "blocks"},
        {"id": "hl-77", "type": "blocks"},
    ]});
    let targets = json!([bead("hl-2", &json!({"status": "closed"})), bead("hl-3", &json!({}))]);
    fake.on(&["show"], Reply::json(&json!([bead("hl-1", &waiting)])));
    fake.on(&["list", "--id=hl-2,hl-3,hl-77"], Reply::json(&targets));
    let beads = fake.open().await;

    let shown = beads.show(&id("hl-1")).await.unwrap().unwrap();

    let blocks: Vec<_> = shown.dependencies.iter().map(Dependency::blocks).collect();
    assert_eq!(blocks, [false, true, true], "closed, open, unknown");
}

#[tokio::test]
async fn the_reason_is_noted_before_the_close_and_once() {
    let Some(mut fake) = Fake::mb() else { return };
    fake.on(&["show"], Reply::json(&json!([bead("hl-1", &json!({}))])).times(1));
    fake.on(&CLAIM, Reply::json(&json!([taken(ATTEMPT, &json!({}))])));
    fake.on(&["show"], Reply::json(&json!([taken(ATTEMPT, &json!({}))])).times(2));
    fake.on(&["update", "--append="], Reply::json(&json!([taken(ATTEMPT, &json!({}))])));
    fake.on(&["close"], Reply::error(1, "Error: disk on fire").times(1));
    let noted = taken(ATTEMPT, &json!({"notes": "earlier\n\nok: exit 0"}));
    fake.on(&["show"], Reply::json(&json!([noted])));
    let closed = taken(ATTEMPT, &json!({"status": "closed"}));
    fake.on(&["close"], Reply::json(&json!([closed])));
    let beads = fake.open().await;
    let claim = claim(&beads).await;

    let unsettled = beads.close(claim, "ok: exit 0").await.unwrap_err();
    let again = beads.close(unsettled.claim.unwrap(), "ok: exit 0").await;

    again.unwrap();
    let appends: Vec<_> = fake.lines().into_iter().filter(|l| l.contains("--append=")).collect();
    assert_eq!(appends.len(), 1, "{appends:?}");
    assert!(appends[0].starts_with("update hl-1 --append=ok: exit 0 --field=notes"));
    let tries = fake.lines().into_iter().filter(|line| line.starts_with("close")).count();
    assert_eq!(tries, 2);
}

#[tokio::test]
async fn a_retry_is_kept_by_the_coordinator() {
    let Some(mut fake) = Fake::mb() else { return };
    fake.on(&["show"], Reply::json(&json!([bead("hl-1", &json!({}))])).times(1));
    fake.on(&CLAIM, Reply::json(&json!([taken(ATTEMPT, &json!({}))])));
    fake.on(&["show"], Reply::json(&json!([taken(ATTEMPT, &json!({}))])));
    fake.on(&["update", "--append="], Reply::json(&json!([taken(ATTEMPT, &json!({}))])));
    let labels = json!([format!("run:{ATTEMPT}"), "task-waiting"]);
    let blocked = taken(ATTEMPT, &json!({"status": "blocked", "assignee": "", "labels": labels}));
    fake.on(&["update", "--status=blocked"], Reply::json(&json!([blocked])));
    let beads = fake.open().await;
    let claim = claim(&beads).await;

    let at = "2026-11-21T10:05:00Z".parse().unwrap();
    let later = beads.retry_later(claim, at, 2, "exit 1\nboom").await.unwrap();

    assert_eq!(later, Later::ByCoordinator);
    let lines = fake.lines();
    let note = lines.iter().find(|line| line.contains("--append=")).unwrap();
    assert!(note.contains("E: exit 1 boom\nattempts: 2\nretry_at: 2026-11-21T10:05:00Z"), "{note}");
    let update = lines.last().unwrap();
    assert!(!update.contains("--defer") && !update.contains("--append"), "{update}");
    assert!(update.contains("--status=blocked --assignee= --add-label=task-waiting"), "{update}");
}

#[tokio::test]
async fn a_result_is_not_written_where_there_is_no_metadata() {
    let Some(mut fake) = Fake::mb() else { return };
    fake.on(&["show"], Reply::json(&json!([bead("hl-1", &json!({}))])).times(1));
    fake.on(&CLAIM, Reply::json(&json!([taken(ATTEMPT, &json!({}))])));
    fake.on(&["show"], Reply::json(&json!([taken(ATTEMPT, &json!({}))])));
    let beads = fake.open().await;
    let claim = claim(&beads).await;
    let before = fake.lines().len();

    let written = beads.write_result(&claim, &json!({"x": 1})).await.unwrap();

    assert!(!written);
    assert_eq!(fake.lines().len(), before);
}

#[tokio::test]
async fn a_hanging_mb_is_never_ended_and_nobody_runs_beside_it() {
    let Some(mut fake) = Fake::mb() else { return };
    let gate = fake.folder.path().join("gate");
    fake.on(&["list", "--limit=0"], Reply::text("[]\n").until(&gate).times(1));
    fake.on(&["list", "--limit=0"], Reply::text("[]\n"));
    fake.settings.limit = Duration::from_millis(400);
    let beads = fake.open().await;

    let hanging = beads.ready(Some).await.unwrap_err();
    let begun = Instant::now();
    let refused = beads.show(&id("hl-1")).await.unwrap_err();
    let waited = begun.elapsed();
    let pid = fake.started()[0].pid;
    let alive = is_alive(pid);
    fs::write(&gate, "").unwrap();
    beads.idle().await;
    let again = beads.ready(Some).await;

    for error in [&hanging, &refused] {
        assert!(matches!(error, BeadsError::TimedOut { ended: false, .. }), "{error}");
        assert_eq!(error.class(), BeadsTrouble::Busy);
        assert!(error.to_string().contains("mb list"), "{error}");
    }
    assert!(waited < Duration::from_millis(400), "told at once: {waited:?}");
    assert!(alive, "it was ended");
    assert!(fake.journal().iter().any(|e| e.event == "end" && e.pid == pid));
    again.unwrap();
    assert_eq!(fake.lines().len(), 2, "{:?}", fake.lines());
}

#[tokio::test]
async fn a_store_that_goes_away_is_not_made_anew() {
    let Some(mut fake) = Fake::mb() else { return };
    fake.on(&["list", "--limit=0"], Reply::text("[]\n"));
    let beads = fake.open().await;

    fs::remove_dir(fake.store().join("issues")).unwrap();
    let error = beads.ready(Some).await.unwrap_err();

    assert!(matches!(error, BeadsError::NoStore { .. }), "{error}");
    assert!(fake.lines().is_empty());
}

#[tokio::test]
async fn an_empty_issue_file_is_moved_aside_and_reported() {
    let Some(mut fake) = Fake::mb() else { return };
    let file = fake.store().join("issues/hl-3.md");
    fs::write(&file, "").unwrap();
    fake.on(&["list", "--limit=0"], Reply::recorded("mb-0.25.0/empty-file-breaks-ready").times(2));
    fake.on(&["list", "--limit=0"], Reply::json(&json!([bead("hl-1", &json!({}))])));
    let beads = fake.open().await;

    let young = beads.ready(|bead| Some(bead.id.to_string())).await.unwrap_err();
    let old = SystemTime::now() - Duration::from_secs(11);
    File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
    let listing = beads.ready(|bead| Some(bead.id.to_string())).await.unwrap();

    assert_eq!(young.class(), BeadsTrouble::Busy, "{young}");
    assert_eq!(listing.items, ["hl-1"]);
    assert_eq!(listing.poisoned.len(), 1);
    assert_eq!(listing.poisoned[0].id, id("hl-3"));
    assert!(!file.exists());
    assert!(fake.store().join("empty-issues/hl-3.md").exists());
}

#[tokio::test]
async fn what_is_ready_is_worked_out_here() {
    let Some(mut fake) = Fake::mb() else { return };
    let after = |blocker: &str| json!({"dependencies": [{"id": blocker, "type": "blocks"}]});
    let all = json!([
        bead("hl-1", &json!({"status": "closed"})),
        bead("hl-2", &json!({"status": "in_progress", "assignee": ME})),
        bead("hl-3", &after("hl-1")),
        bead("hl-4", &after("hl-2")),
        bead("hl-5", &after("hl-77")),
        bead("hl-6", &json!({"dependencies": [{"id": "hl-2", "type": "parent-child"}]})),
        bead("hl-7", &json!({"assignee": "ann"})),
        bead("hl-8", &json!({"issue_type": "epic"})),
    ]);
    fake.on(&["list", "--limit=0"], Reply::json(&all));
    let beads = fake.open().await;

    let listing = beads.ready(|bead| Some(bead.id.to_string())).await.unwrap();

    assert_eq!(listing.items, ["hl-3", "hl-6"]);
    assert_eq!(listing.dropped, 2, "what is assigned, and the epic");
}

#[tokio::test]
async fn the_signal_moves_when_an_issue_file_does() {
    let Some(fake) = Fake::mb() else { return };
    let beads = fake.open().await;
    let signal = beads.signal();

    let before = signal.read();
    fs::write(fake.store().join("issues/hl-1.md"), "---\n").unwrap();

    assert!(before.is_some());
    until("the digest to move", || signal.read() != before).await;
}

#[tokio::test]
async fn a_block_takes_off_the_label_of_an_earlier_ending() {
    let Some(mut fake) = Fake::mb() else { return };
    let labels = json!([format!("run:{ATTEMPT}"), "task-waiting", "ci"]);
    let running = taken(ATTEMPT, &json!({"labels": labels}));
    fake.on(&["show"], Reply::json(&json!([bead("hl-1", &json!({}))])).times(1));
    fake.on(&CLAIM, Reply::json(&json!([running.clone()])));
    fake.on(&["show"], Reply::json(&json!([running.clone()])));
    fake.on(&["update", "--append="], Reply::json(&json!([running])));
    let labels = json!([format!("run:{ATTEMPT}"), "task-failed", "ci"]);
    let blocked = taken(ATTEMPT, &json!({"status": "blocked", "assignee": "", "labels": labels}));
    fake.on(&["update", "--status=blocked"], Reply::json(&json!([blocked])));
    let beads = fake.open().await;
    let claim = claim(&beads).await;

    let block = Block { label: "task-failed", note: "exit 1".to_owned(), metadata: vec![] };
    beads.block(claim, &block).await.unwrap();

    let line = fake.lines().pop().unwrap();
    assert!(line.contains("--remove-label=task-waiting --add-label=task-failed"), "{line}");
}
