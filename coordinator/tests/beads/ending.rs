//! Writing how an attempt ended, and every way in which that can go wrong half-way.

use std::time::Duration;

use serde_json::{Value, json};
use yggdrasil_coordinator::beads::{
    Adoption, Beads, BeadsError, BeadsTrouble, Block, Claim, Later,
};

use super::fake::{ATTEMPT, CLAIM, Fake, ME, OTHER, Reply, bead, claim, id, ours, taken};

fn failed(note: &str) -> Block<'static> {
    let metadata = vec![("attempts".to_owned(), "2".to_owned())];
    Block { label: "task-failed", note: note.to_owned(), metadata }
}

pub(super) fn closed(changes: &Value) -> Value {
    let mut closed = ours("hl-1", &json!({"status": "closed", "close_reason": "ok: exit 0"}));
    for (key, value) in changes.as_object().into_iter().flatten() {
        closed[key] = value.clone();
    }
    closed
}

fn blocked() -> Value {
    ours("hl-1", &json!({"status": "blocked", "assignee": "", "labels": ["task-failed"]}))
}

pub(super) async fn claimed(fake: &mut Fake) -> (Beads, Claim) {
    fake.on(&CLAIM, Reply::json(&json!([taken("hl-1", ATTEMPT)])));
    let beads = fake.open().await;
    let claim = claim(&beads).await;
    (beads, claim)
}

/// The commands after the claim.
pub(super) fn after_claim(fake: &Fake) -> Vec<String> {
    fake.lines().into_iter().skip_while(|line| !line.contains("--claim")).skip(1).collect()
}

#[tokio::test]
async fn a_success_is_closed_with_one_command() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["close"], Reply::json(&json!([closed(&json!({}))])));
    let (beads, claim) = claimed(&mut fake).await;

    beads.close(claim, "ok: exit 0\u{1b}[0m\nlog: http://x\u{0}\n").await.unwrap();

    let entry = fake.started().pop().unwrap();
    assert_eq!(entry.line(), format!("close hl-1 --reason-file=- --actor={ME} --json"));
    assert_eq!(entry.stdin, "ok: exit 0\nlog: http://x");
    assert_eq!(fake.lines().len(), 2, "claim and close");
}

#[tokio::test]
async fn a_reason_is_never_empty_and_never_long() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["close"], Reply::json(&json!([closed(&json!({}))])));
    let (beads, first) = claimed(&mut fake).await;

    beads.close(first, " \u{7}\n").await.unwrap();
    let second = claim(&beads).await;
    beads.close(second, &"ü".repeat(4000)).await.unwrap();

    let closes: Vec<_> =
        fake.started().into_iter().filter(|entry| entry.argv[0] == "close").collect();
    assert_eq!(closes[0].stdin, "completed");
    assert!(closes[1].stdin.len() <= 4096 && closes[1].stdin.ends_with('…'));
}

#[tokio::test]
async fn a_close_refused_by_a_blocker_gives_the_claim_back() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["close"], Reply::recorded("bd-1.0.5/close-blocked").times(1));
    fake.on(&["show"], Reply::json(&json!([taken("hl-1", ATTEMPT)])));
    fake.on(&["close"], Reply::json(&json!([closed(&json!({}))])));
    let (beads, claim) = claimed(&mut fake).await;

    let unsettled = beads.close(claim, "ok: exit 0").await.unwrap_err();
    let class = unsettled.error.class();
    let again = beads.close(unsettled.claim.unwrap(), "ok: exit 0").await;

    assert_eq!(class, BeadsTrouble::Refused);
    assert!(unsettled.error.to_string().contains("hl-5wl"), "{}", unsettled.error);
    again.unwrap();
}

#[tokio::test]
async fn a_failed_close_is_decided_by_what_the_bead_says() {
    // What `show` says afterwards, and whether the close counts, or the claim comes back.
    let cases: [(Reply, Result<(), bool>); 6] = [
        (Reply::json(&json!([closed(&json!({}))])), Ok(())),
        (Reply::json(&json!([closed(&json!({"close_reason": "by ann"}))])), Err(false)),
        (Reply::json(&json!([taken("hl-1", ATTEMPT)])), Err(true)),
        (Reply::json(&json!([taken("hl-1", OTHER)])), Err(false)),
        (Reply::recorded("bd-1.0.5/show-not-found"), Err(false)),
        (Reply::error(1, "Error: database is locked"), Err(true)),
    ];
    for (shown, expected) in cases {
        let Some(mut fake) = Fake::now() else { return };
        fake.on(&["close"], Reply::error(1, "Error: connection reset by peer"));
        fake.on(&["show"], shown.clone());
        let (beads, claim) = claimed(&mut fake).await;

        let answer = beads.close(claim, "ok: exit 0").await;

        let answer = answer.map_err(|unsettled| unsettled.claim.is_some());
        assert_eq!(answer, expected, "{shown:?}");
    }
}

#[tokio::test]
async fn a_close_that_hangs_and_has_landed_counts() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["close"], Reply::hang());
    fake.on(&["show"], Reply::json(&json!([closed(&json!({}))])));
    fake.settings.limit = Duration::from_millis(1500);
    let (beads, claim) = claimed(&mut fake).await;

    beads.close(claim, "ok: exit 0").await.unwrap();

    assert_eq!(after_claim(&fake).len(), 2);
}

#[tokio::test]
async fn a_settling_that_may_have_landed_is_looked_at_before_it_is_repeated() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["close"], Reply::error(1, "Error: connection reset by peer"));
    fake.on(&["show"], Reply::error(1, "Error: connection refused").times(1));
    fake.on(&["show"], Reply::json(&json!([closed(&json!({}))])));
    let (beads, claim) = claimed(&mut fake).await;

    let unsettled = beads.close(claim, "ok: exit 0").await.unwrap_err();
    beads.close(unsettled.claim.unwrap(), "ok: exit 0").await.unwrap();

    let closes = after_claim(&fake).iter().filter(|line| line.starts_with("close")).count();
    assert_eq!(closes, 1, "{:?}", after_claim(&fake));
}

#[tokio::test]
async fn a_failure_is_blocked_with_one_command() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["update", "--status=blocked"], Reply::json(&json!([blocked()])));
    let (beads, claim) = claimed(&mut fake).await;

    beads.block(claim, &failed("exit 1\n\u{1b}[31mboom")).await.unwrap();

    assert_eq!(
        after_claim(&fake),
        [format!(
            "update hl-1 --status=blocked --assignee= --set-metadata=attempts=2 \
             --add-label=task-failed --append-notes=exit 1\nboom --actor={ME} --json"
        )]
    );
}

#[tokio::test]
async fn half_a_block_is_written_again_from_where_it_stands() {
    let Some(mut fake) = Fake::new_with_guards() else { return };
    // Status and notes landed, the label did not.
    let half = ours("hl-1", &json!({"status": "blocked", "assignee": ""}));
    fake.on(&["update", "--if-status=in_progress"], Reply::error(1, "Error: database is locked"));
    fake.on(&["show"], Reply::json(&json!([half])));
    fake.on(&["update", "--if-status=blocked"], Reply::json(&json!([blocked()])));
    let (beads, claim) = claimed(&mut fake).await;

    let unsettled = beads.block(claim, &failed("exit 1")).await.unwrap_err();
    beads.block(unsettled.claim.unwrap(), &failed("exit 1")).await.unwrap();
}

#[tokio::test]
async fn a_bead_that_a_person_took_is_left_to_them() {
    let Some(mut fake) = Fake::new_with_guards() else { return };
    let guard = Reply::error(13, "{\"error\": \"guard mismatch\", \"guard_mismatch\": true}");
    fake.on(&["update", "--if-assignee"], guard);
    fake.on(&["show"], Reply::json(&json!([ours("hl-1", &json!({"assignee": "ann"}))])));
    let (beads, claim) = claimed(&mut fake).await;

    let unsettled = beads.block(claim, &failed("exit 1")).await.unwrap_err();

    assert!(unsettled.claim.is_none());
    assert!(unsettled.error.to_string().contains("ann"), "{}", unsettled.error);
    assert!(
        !after_claim(&fake)
            .iter()
            .any(|line| line.starts_with("update") && !line.contains("--if-"))
    );
}

#[tokio::test]
async fn a_write_that_did_not_stick_is_no_success() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["update", "--status=blocked"], Reply::json(&json!([taken("hl-1", ATTEMPT)])));
    fake.on(&["show"], Reply::json(&json!([taken("hl-1", ATTEMPT)])));
    let (beads, claim) = claimed(&mut fake).await;

    let unsettled = beads.block(claim, &failed("exit 1")).await.unwrap_err();

    assert!(unsettled.claim.is_some());
    assert!(matches!(unsettled.error, BeadsError::Unverified { .. }), "{}", unsettled.error);
}

#[tokio::test]
async fn a_retry_is_left_to_the_store() {
    let Some(mut fake) = Fake::now() else { return };
    let deferred = ours(
        "hl-1",
        &json!({"status": "open", "assignee": "", "defer_until": "2026-11-21T10:05:01Z"}),
    );
    fake.on(&["update", "--defer"], Reply::json(&json!([deferred])));
    let (beads, claim) = claimed(&mut fake).await;

    let at = "2026-11-21T12:05:00.5+02:00".parse().unwrap();
    let later = beads.retry_later(claim, at, 1, &format!("null\n{}", "x".repeat(999))).await;

    assert_eq!(later.unwrap(), Later::BySelf);
    let line = after_claim(&fake).pop().unwrap();
    assert!(
        line.starts_with(
            "update hl-1 --status=open --assignee= --defer=2026-11-21T10:05:01Z \
             --set-metadata=attempts=1 --set-metadata=last_error=E: null x"
        ),
        "{line}"
    );
    assert!(line.len() < 800, "the error is cut: {}", line.len());
}

#[tokio::test]
async fn a_release_gives_the_bead_back() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["update", "--status=open"], Reply::json(&json!([bead("hl-1", &json!({}))])));
    let (beads, claim) = claimed(&mut fake).await;

    beads.release(claim).await.unwrap();

    assert_eq!(
        after_claim(&fake),
        [format!("update hl-1 --status=open --assignee= --actor={ME} --json")]
    );
}

#[tokio::test]
async fn an_unclaim_is_believed_when_the_bead_shows_it() {
    let Some(mut fake) = Fake::new_with_guards() else { return };
    fake.on(&["unclaim"], Reply::text("✓ Released hl-1\n"));
    fake.on(&["show"], Reply::json(&json!([bead("hl-1", &json!({}))])));
    let (beads, claim) = claimed(&mut fake).await;

    beads.release(claim).await.unwrap();
}

#[tokio::test]
async fn a_late_success_closes_a_bead_that_was_given_up() {
    let Some(mut fake) = Fake::now() else { return };
    let lost = ours("hl-1", &json!({"status": "blocked", "assignee": "", "labels": ["task-lost"]}));
    fake.on(&["show"], Reply::json(&json!([lost])));
    fake.on(&["close"], Reply::json(&json!([closed(&json!({"labels": ["task-lost"]}))])));
    fake.on(&["update"], Reply::json(&json!([closed(&json!({}))])));
    let beads = fake.open().await;
    let Ok(Adoption::Ours(claim, _)) = beads.adopt(&id("hl-1"), ATTEMPT).await else {
        panic!("not adopted")
    };

    beads.close(claim, "ok: exit 0").await.unwrap();

    let line = fake.lines().pop().unwrap();
    assert!(line.starts_with("update hl-1 --remove-label=task-lost --actor"), "{line}");
}

#[tokio::test]
async fn a_bead_that_became_poison_is_settled_in_text() {
    let Some(mut fake) = Fake::now() else { return };
    let poisoned = Reply::recorded("bd-1.0.5/poison-control-char-ready");
    fake.on(&["update", "--status=blocked", "--json"], poisoned.clone());
    fake.on(&["update", "--status=blocked"], Reply::text("✓ Updated issue: hl-1\n"));
    fake.on(&["list", "--status=blocked"], Reply::text("No issues found.\n").times(1));
    fake.on(&["list", "--status=blocked"], Reply::text("● hl-1 [● P2] [task] - x\n"));
    // The close lands although nothing can be printed.
    fake.on(&["close"], poisoned);
    fake.on(&["list", "--status=closed"], Reply::text("✓ hl-1 [● P2] [task] - x\n"));
    let (beads, first) = claimed(&mut fake).await;

    beads.block(first, &failed("exit 1")).await.unwrap();
    let second = claim(&beads).await;
    beads.close(second, "ok").await.unwrap();

    let lines = after_claim(&fake);
    let plain =
        lines.iter().find(|l| l.starts_with("update hl-1 --status") && !l.contains("--json"));
    let plain = plain.unwrap_or_else(|| panic!("{lines:?}"));
    assert!(
        !plain.contains("--set-metadata") && plain.contains("--append-notes=exit 1"),
        "{plain}"
    );
    assert_eq!(lines.iter().filter(|line| line.starts_with("close")).count(), 1);
}

#[tokio::test]
async fn only_what_we_blocked_is_reopened() {
    let ours_blocked = ours(
        "hl-1",
        &json!({"status": "blocked", "assignee": "", "labels": ["task-waiting", "ci"]}),
    );
    let change = |changes: &Value| {
        let mut other = ours_blocked.clone();
        for (key, value) in changes.as_object().unwrap() {
            other[key] = value.clone();
        }
        other
    };
    let cases = [
        (ours_blocked.clone(), "task-waiting", true),
        (ours_blocked.clone(), "", true),
        (ours_blocked.clone(), "task-lost", false),
        (change(&json!({"assignee": "ann"})), "task-waiting", false),
        (change(&json!({"status": "open"})), "task-waiting", false),
        (change(&json!({"labels": ["ci"]})), "task-waiting", false),
        (change(&json!({"labels": ["ci"]})), "", false),
        (change(&json!({"metadata": {"ygg_attempt": OTHER}})), "task-waiting", false),
    ];
    for (shown, label, expected) in cases {
        let Some(mut fake) = Fake::now() else { return };
        fake.on(&["show"], Reply::json(&json!([shown])));
        fake.on(&["update"], Reply::json(&json!([bead("hl-1", &json!({}))])));
        let beads = fake.open().await;

        let reopened = beads.reopen(&id("hl-1"), Some(ATTEMPT), label).await.unwrap();

        assert_eq!(reopened, expected, "{shown} {label}");
        assert_eq!(fake.lines().len(), if expected { 2 } else { 1 });
        if expected {
            let line = &fake.lines()[1];
            assert!(
                line.contains("--status=open --assignee= --remove-label=task-waiting"),
                "{line}"
            );
        }
    }
}
