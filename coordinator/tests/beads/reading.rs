//! Listings that fail, lie or carry something bad, and beads read alone.

use std::time::Instant;

use serde_json::{Value, json};
use yggdrasil_coordinator::beads::{BeadsError, BeadsTrouble, Listing};

use super::fake::{Fake, ME, Reply, bead, id};

fn names(listing: &Listing<String>) -> Vec<&str> {
    listing.items.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn the_recorded_listing_gives_its_beads() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["ready"], Reply::recorded("bd-1.0.5/ready-two"));
    let beads = fake.open().await;

    let listing = beads.ready(|bead| Some(bead.id.to_string())).await.unwrap();

    assert_eq!(names(&listing), ["hl-b34.1", "hl-150"]);
    assert_eq!((listing.dropped, listing.unreadable), (0, 0));
    assert_eq!(
        fake.lines(),
        [format!("ready --unassigned --exclude-type=epic --limit=0 --actor={ME} --json")]
    );
}

#[tokio::test]
async fn beads_of_people_are_dropped_before_anybody_sees_them() {
    let Some(mut fake) = Fake::now() else { return };
    let listed = json!([
        bead("hl-1", &json!({})),
        bead("hl-2", &json!({"assignee": "ann"})),
        bead("hl-3", &json!({"issue_type": "epic"})),
        bead("hl-4", &json!({"status": "blocked"})),
        {"id": 5},
        bead("hl-6", &json!({"title": "not kept"})),
    ]);
    fake.on(&["ready"], Reply::json(&listed));
    let beads = fake.open().await;

    let keep = |bead: yggdrasil_coordinator::beads::Bead| {
        assert!(bead.assignee.is_none() && bead.issue_type == "task");
        (bead.title == "a bead").then(|| bead.id.to_string())
    };
    let listing = beads.ready(keep).await.unwrap();

    assert_eq!(names(&listing), ["hl-1"]);
    assert_eq!((listing.dropped, listing.unreadable), (4, 1));
}

#[tokio::test]
async fn text_before_the_json_and_an_envelope_are_no_matter() {
    let Some(mut fake) = Fake::now() else { return };
    let preamble = "warning: two bd in PATH\n[{\"id\":\"hl-1\",\"status\":\"open\"}]\n";
    fake.on(&["ready"], Reply::recorded("bd-1.0.5/envelope-ready").times(1));
    fake.on(&["ready"], Reply::text(preamble));
    let beads = fake.open().await;

    let enveloped = beads.ready(|bead| Some(bead.id.to_string())).await.unwrap();
    let after_text = beads.ready(|bead| Some(bead.id.to_string())).await.unwrap();

    assert!(names(&enveloped).contains(&"hl-z0f"));
    assert_eq!(names(&after_text), ["hl-1"]);
}

#[tokio::test]
async fn what_is_no_listing_is_an_error_and_never_an_empty_one() {
    let cases = [
        (Reply::text(""), BeadsTrouble::Garbage),
        (Reply::text("No updates specified\n"), BeadsTrouble::Garbage),
        (Reply::text("[{\"id\": \"hl-1\""), BeadsTrouble::Garbage),
        (Reply::text("\u{1b}[31m<html>\u{7f}"), BeadsTrouble::Garbage),
        (Reply::error(0, "Error: unknown flag: --exclude-type"), BeadsTrouble::Setup),
        (Reply::error(0, "something odd"), BeadsTrouble::Garbage),
        (Reply::recorded("bd-1.0.5/disk-full"), BeadsTrouble::Setup),
        (Reply::recorded("bd-1.0.5/database-damaged"), BeadsTrouble::Setup),
        (Reply::recorded("bd-1.0.5/home-missing"), BeadsTrouble::Setup),
        (Reply::recorded("bd-1.0.5/no-workspace"), BeadsTrouble::Setup),
        (Reply::error(1, "Error: database is locked"), BeadsTrouble::Busy),
    ];
    for (reply, expected) in cases {
        let Some(mut fake) = Fake::now() else { return };
        fake.on(&["ready"], reply.clone());
        let beads = fake.open().await;

        let error = beads.ready(Some).await.unwrap_err();

        assert_eq!(error.class(), expected, "{error} of {reply:?}");
    }
}

/// A listing of these beads of which one is poison.
fn poisoned_world(ids: &[String], poison: &str) -> Option<Fake> {
    let mut fake = Fake::now()?;
    let poisoned = Reply::recorded("bd-1.0.5/poison-control-char-ready");
    fake.on(&["ready", "--json"], poisoned.clone());
    let lines: Vec<_> = ids.iter().map(|id| format!("○ {id} ● P2 a bead")).collect();
    fake.on(&["ready"], Reply::text(&(lines.join("\n") + "\n\nReady: some issues\n")));
    fake.poison(&["list", "--id="], poison, &poisoned);
    Some(fake)
}

#[tokio::test]
async fn one_poisoned_bead_hides_no_other() {
    let ids: Vec<_> = (0..60).map(|n| format!("hl-{n:02}")).collect();
    let Some(fake) = poisoned_world(&ids, "hl-37") else { return };
    let beads = fake.open().await;

    let listing = beads.ready(|bead| Some(bead.id.to_string())).await.unwrap();

    let mut found = names(&listing);
    found.sort_unstable();
    let expected: Vec<_> = ids.iter().map(String::as_str).filter(|id| *id != "hl-37").collect();
    assert_eq!(found, expected);
    let poisoned: Vec<_> = listing.poisoned.iter().map(|bead| bead.id.as_str()).collect();
    assert_eq!(poisoned, ["hl-37"]);
    assert!(listing.poisoned[0].error.contains("encoding JSON"));
    // The listing twice, then a group halved until the bad bead is alone.
    assert!(fake.lines().len() <= 2 + 1 + 2 * 6, "{}", fake.lines().len());
}

#[tokio::test]
async fn where_ids_cannot_be_listed_each_bead_is_read_alone() {
    let Some(mut fake) = Fake::now() else { return };
    let poisoned = Reply::recorded("bd-1.0.5/poison-control-char-ready");
    fake.on(&["ready", "--json"], poisoned.clone());
    fake.on(&["ready"], Reply::text("○ hl-1 ● P2 a\n○ hl-2 ● P2 b\n○ hl-3 ● P2 c\n"));
    fake.on(&["list"], Reply::error(1, "Error: unknown flag: --id\nUsage:\n"));
    fake.on(&["show", "hl-1"], Reply::json(&json!([bead("hl-1", &json!({}))])));
    fake.on(&["show", "hl-2"], poisoned);
    fake.on(&["show", "hl-3"], Reply::recorded("bd-1.0.5/show-not-found"));
    let beads = fake.open().await;

    let listing = beads.ready(|bead| Some(bead.id.to_string())).await.unwrap();

    assert_eq!(names(&listing), ["hl-1"]);
    assert_eq!(listing.poisoned[0].id, id("hl-2"));
}

#[tokio::test]
async fn a_poisoned_bead_is_blocked_in_text_and_that_is_verified() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["update"], Reply::text("✓ Updated issue: hl-1 — x\n"));
    fake.on(&["list"], Reply::text("● hl-1 [● P2] [task] - x\n").times(1));
    fake.on(&["list"], Reply::text("No issues found.\n"));
    let beads = fake.open().await;

    let blocked = beads.block_poisoned(&id("hl-1"), "encoding JSON: \u{1b}[31mx").await;
    let not_there = beads.block_poisoned(&id("hl-1"), "x").await.unwrap_err();

    blocked.unwrap();
    assert!(matches!(not_there, BeadsError::Unverified { .. }), "{not_there}");
    let line = &fake.lines()[0];
    assert!(line.starts_with("update hl-1 --status=blocked --append-notes=Set to blocked by"));
    assert!(!line.contains("--json") && !line.contains('\u{1b}') && !line.contains("--assignee"));
}

#[tokio::test]
async fn a_bead_is_shown_by_its_whole_id_only() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["show", "hl-z0f"], Reply::recorded("bd-1.0.5/show-with-dependency"));
    fake.on(&["show", "hl-z0"], Reply::recorded("bd-1.0.5/show-with-dependency"));
    fake.on(&["show"], Reply::recorded("bd-1.0.5/show-not-found"));
    let beads = fake.open().await;

    let whole = beads.show(&id("hl-z0f")).await.unwrap();
    let missing = beads.show(&id("hl-zzzz")).await.unwrap();
    fake.replace(&["show", "hl-z0f"], Reply::recorded("bd-1.0.5/show-not-found"));
    let short = beads.show(&id("hl-z0")).await.unwrap();

    assert!(whole.unwrap().dependencies[0].blocks());
    assert_eq!(missing, None);
    assert_eq!(short, None);
}

#[tokio::test]
async fn what_is_ours_is_checked_again_here() {
    let Some(mut fake) = Fake::now() else { return };
    let mine = bead("hl-1", &json!({"status": "in_progress", "assignee": ME}));
    let other = bead("hl-2", &json!({"status": "in_progress", "assignee": "coord/box/11"}));
    let waiting = bead("hl-3", &json!({"status": "blocked", "labels": ["task-waiting"]}));
    let foreign = bead("hl-4", &json!({"status": "blocked", "labels": ["task-waiting-x"]}));
    fake.on(&["list", "--status=in_progress"], Reply::json(&json!([mine, other])));
    fake.on(&["list", "--status=blocked"], Reply::json(&json!([waiting, foreign])));
    let beads = fake.open().await;

    let mine = beads.mine().await.unwrap();
    let waiting = beads.labelled_blocked("task-waiting").await.unwrap();

    assert_eq!(mine.len(), 1);
    assert_eq!(mine[0].id, id("hl-1"));
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].id, id("hl-3"));
    assert!(fake.lines()[1].contains("--label=task-waiting --limit=0"));
}

#[tokio::test]
async fn ten_thousand_beads_of_others_are_read_in_a_moment() {
    let Some(mut fake) = Fake::now() else { return };
    let others: Vec<Value> = (0..10_000)
        .map(|n| bead(&format!("hl-{n}"), &json!({"description": "x".repeat(400)})))
        .collect();
    fake.on(&["ready"], Reply::json(&Value::from(others)));
    let beads = fake.open().await;

    let start = Instant::now();
    let listing = beads.ready(|_| None::<()>).await.unwrap();

    assert_eq!((listing.items.len(), listing.dropped), (0, 10_000));
    // An unoptimised build on a busy machine; the point is that nothing is quadratic.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
