//! Taking beads, and every way in which that can go wrong half-way.

use serde_json::{Value, json};
use std::time::Duration;
use yggdrasil_coordinator::beads::{Adoption, BeadsError, BeadsTrouble, ClaimAnswer};

use super::fake::{ATTEMPT, CLAIM, Fake, ME, OTHER, Reply, bead, claim, id, ours, taken};

fn lost(answer: ClaimAnswer) -> String {
    match answer {
        ClaimAnswer::Lost { by } => by,
        ClaimAnswer::Won(claim, _) => panic!("won: {claim:?}"),
    }
}

fn won(answer: ClaimAnswer) {
    if let ClaimAnswer::Lost { by } = answer {
        panic!("lost to {by}");
    }
}

#[tokio::test]
async fn the_recorded_claim_is_won_with_one_command() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&CLAIM, Reply::recorded("bd-1.0.5/claim-ok"));
    let beads = fake.open().await;

    let answer = beads.claim(&id("hl-150"), ATTEMPT).await.unwrap();

    let ClaimAnswer::Won(claim, bead) = answer else { panic!("{answer:?}") };
    assert_eq!((claim.bead(), claim.attempt()), (&id("hl-150"), ATTEMPT));
    assert_eq!(bead.metadata["task_type"], "run-tests");
    assert_eq!(
        fake.lines(),
        [format!("update hl-150 --claim --set-metadata=ygg_attempt={ATTEMPT} --actor={ME} --json")]
    );
}

#[tokio::test]
async fn a_bead_is_not_claimed_twice_by_one_coordinator() {
    let Some(mut fake) = Fake::now() else { return };
    // A program lets the same actor claim again, and stamps again.
    fake.on(&CLAIM, Reply::json(&json!([taken("hl-1", ATTEMPT)])));
    let beads = fake.open().await;

    let first = claim(&beads).await;
    let by = lost(beads.claim(&id("hl-1"), OTHER).await.unwrap());
    let asked_twice = fake.lines().len();
    drop(first);
    claim(&beads).await;

    assert_eq!(by, ME);
    assert_eq!(asked_twice, 1);
    assert_eq!(fake.lines().len(), 2);
}

#[tokio::test]
async fn a_refused_claim_says_who_has_it() {
    let cases = [
        ("claim-lost", ME),
        ("claim-closed", ME),
        ("claim-closed-same-actor", "status closed"),
        ("claim-deferred", "status deferred"),
        ("claim-status-blocked", "status blocked"),
    ];
    for (case, expected) in cases {
        let Some(mut fake) = Fake::now() else { return };
        fake.on(&CLAIM, Reply::recorded(&format!("bd-1.0.5/{case}")));
        let beads = fake.open().await;

        let by = lost(beads.claim(&id("hl-150"), OTHER).await.unwrap());

        assert!(by.contains(expected), "{case}: {by}");
        assert_eq!(fake.lines().len(), 1);
    }
}

#[tokio::test]
async fn exit_0_proves_nothing() {
    let cases = [
        (bead("hl-1", &json!({})), "set it to open"),
        (taken("hl-1", OTHER), "our own attempt"),
        (ours("hl-1", &json!({"assignee": "mallory"})), "mallory"),
        (ours("hl-1", &json!({"status": "closed"})), "closed"),
    ];
    for (printed, expected) in cases {
        let Some(mut fake) = Fake::now() else { return };
        fake.on(&CLAIM, Reply::json(&json!([printed])));
        let beads = fake.open().await;

        let by = lost(beads.claim(&id("hl-1"), ATTEMPT).await.unwrap());

        assert!(by.contains(expected), "{by}");
    }
}

#[tokio::test]
async fn a_claim_on_nothing_is_not_found() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&CLAIM, Reply::recorded("bd-1.0.5/claim-not-found"));
    let beads = fake.open().await;

    let error = beads.claim(&id("hl-zzzz"), ATTEMPT).await.unwrap_err();

    assert_eq!(error.class(), BeadsTrouble::NotFound);
}

#[tokio::test]
async fn an_id_cut_short_takes_nobody_elses_bead() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&CLAIM, Reply::json(&json!([taken("hl-150", ATTEMPT)])));
    fake.on(&["update", "--status=open"], Reply::json(&json!([bead("hl-150", &json!({}))])));
    let beads = fake.open().await;

    let error = beads.claim(&id("hl-15"), ATTEMPT).await.unwrap_err();

    assert_eq!(error.class(), BeadsTrouble::NotFound);
    assert!(fake.lines()[1].starts_with("update hl-150 --status=open --assignee="));
}

#[tokio::test]
async fn a_claim_that_hangs_is_decided_by_what_the_bead_says() {
    let landed = taken("hl-1", ATTEMPT);
    let half = bead("hl-1", &json!({"status": "in_progress", "assignee": ME}));
    let cases: [(Value, Option<Value>, Result<(), BeadsTrouble>); 3] = [
        (landed.clone(), None, Ok(())),
        (half, Some(landed), Ok(())),
        (bead("hl-1", &json!({})), None, Err(BeadsTrouble::Busy)),
    ];
    for (shown, again, expected) in cases {
        let Some(mut fake) = Fake::now() else { return };
        fake.on(&CLAIM, Reply::hang().times(1));
        if let Some(again) = again {
            fake.on(&CLAIM, Reply::json(&json!([again])));
        }
        fake.on(&["show"], Reply::json(&json!([shown])));
        fake.settings.limit = Duration::from_millis(1500);
        let beads = fake.open().await;

        let answer = beads.claim(&id("hl-1"), ATTEMPT).await;

        assert_eq!(answer.map(won).map_err(|e| e.class()), expected, "{:?}", fake.lines());
    }
}

#[tokio::test]
async fn a_claim_by_an_old_program_on_a_new_store_is_given_back() {
    let Some(mut fake) = Fake::now() else { return };
    let warning = "warning: auto-import: failed to check issue count: no column \"depends_on_id\"";
    fake.on(&CLAIM, Reply::json(&json!([taken("hl-1", ATTEMPT)])).stderr(warning));
    fake.on(&["show"], Reply::json(&json!([taken("hl-1", ATTEMPT)])));
    fake.on(&["update"], Reply::json(&json!([bead("hl-1", &json!({}))])).stderr(warning));
    let beads = fake.open().await;

    let error = beads.claim(&id("hl-1"), ATTEMPT).await.unwrap_err();

    assert!(matches!(error, BeadsError::NewerStore { .. }), "{error}");
    assert!(fake.lines()[2].starts_with("update hl-1 --status=open --assignee="));
}

#[tokio::test]
async fn a_claim_of_a_poisoned_bead_is_taken_back_in_text() {
    let Some(mut fake) = Fake::now() else { return };
    let poison =
        "{\"error\": \"metadata edit failed: invalid character '\\\\x1b' in string literal\"}";
    fake.on(&CLAIM, Reply::error(1, poison));
    fake.on(&["list", "--status=in_progress"], Reply::text("◐ hl-1 [● P2] [task] @me - x\n"));
    fake.on(&["update", "--status=open"], Reply::text("✓ Updated issue: hl-1\n"));
    let beads = fake.open().await;

    let error = beads.claim(&id("hl-1"), ATTEMPT).await.unwrap_err();

    assert!(matches!(error, BeadsError::Poisoned { .. }), "{error}");
    let lines = fake.lines();
    assert!(lines[2].starts_with("update hl-1 --status=open --assignee="), "{lines:?}");
    assert!(!lines[2].contains("--json"));
}

#[tokio::test]
async fn an_old_bd_looks_before_it_takes() {
    let cases = [
        (json!({"status": "closed"}), "set it to closed"),
        (json!({"status": "blocked"}), "set it to blocked"),
        (json!({"status": "open", "assignee": "ann"}), "ann"),
    ];
    for (changes, expected) in cases {
        let Some(mut fake) = Fake::old() else { return };
        fake.on(&["show"], Reply::json(&json!([bead("hl-1", &changes)])));
        let beads = fake.open().await;

        let by = lost(beads.claim(&id("hl-1"), ATTEMPT).await.unwrap());

        assert!(by.contains(expected), "{by}");
        assert_eq!(fake.lines().len(), 1, "nothing was written: {:?}", fake.lines());
    }
}

#[tokio::test]
async fn an_old_bd_closes_again_what_was_closed_under_its_hands() {
    let Some(mut fake) = Fake::old() else { return };
    let reopened =
        ours("hl-1", &json!({"closed_at": "2026-11-21T09:40:00Z", "close_reason": "by ann"}));
    let closed = ours("hl-1", &json!({"status": "closed"}));
    fake.on(&["show"], Reply::json(&json!([bead("hl-1", &json!({}))])));
    fake.on(&CLAIM, Reply::json(&json!([reopened])));
    fake.on(&["close"], Reply::json(&json!([closed])));
    let beads = fake.open().await;

    let by = lost(beads.claim(&id("hl-1"), ATTEMPT).await.unwrap());

    assert!(by.contains("closed"), "{by}");
    assert!(fake.lines()[2].starts_with("close hl-1 --reason=by ann"), "{:?}", fake.lines());
}

#[tokio::test]
async fn a_bead_too_big_for_an_old_bd_is_left_alone() {
    let (Some(mut old), Some(mut now)) = (Fake::old(), Fake::now()) else { return };
    let big = bead("hl-1", &json!({"description": "x".repeat(66_000)}));
    let won_big = ours("hl-1", &json!({"description": "x".repeat(66_000)}));
    old.on(&["show"], Reply::json(&json!([big])));
    now.on(&CLAIM, Reply::json(&json!([won_big])));

    let refused = old.open().await.claim(&id("hl-1"), ATTEMPT).await.unwrap_err();
    let taken = now.open().await.claim(&id("hl-1"), ATTEMPT).await.unwrap();

    assert_eq!(refused.class(), BeadsTrouble::TooBig);
    assert_eq!(old.lines().len(), 1, "nothing was written: {:?}", old.lines());
    won(taken);
}

#[tokio::test]
async fn only_what_carries_our_stamp_is_adopted() {
    let cases = [
        (taken("hl-1", ATTEMPT), None),
        (ours("hl-1", &json!({"status": "blocked", "assignee": ""})), None),
        (taken("hl-1", OTHER), Some("our own attempt")),
        (ours("hl-1", &json!({"status": "blocked", "assignee": "ann"})), Some("ann")),
        (ours("hl-1", &json!({"status": "open", "assignee": null})), Some("open")),
        (ours("hl-1", &json!({"status": "closed"})), Some("closed")),
    ];
    for (shown, expected) in cases {
        let Some(mut fake) = Fake::now() else { return };
        fake.on(&["show"], Reply::json(&json!([shown])));
        let beads = fake.open().await;

        let adoption = beads.adopt(&id("hl-1"), ATTEMPT).await.unwrap();

        match (adoption, expected) {
            (Adoption::Ours(..), None) => {}
            (Adoption::NotOurs { why }, Some(part)) => assert!(why.contains(part), "{why}"),
            (other, _) => panic!("{other:?} of {shown}"),
        }
    }
}

#[tokio::test]
async fn a_bead_that_is_gone_is_gone() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["show"], Reply::recorded("bd-1.0.5/show-not-found"));
    let beads = fake.open().await;

    assert!(matches!(beads.adopt(&id("hl-1"), ATTEMPT).await, Ok(Adoption::Gone)));
    assert!(matches!(beads.reopen(&id("hl-1"), None, "task-lost").await, Ok(false)));
}

#[tokio::test]
async fn a_bead_of_ours_that_became_poison_does_not_stay_in_progress() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["show"], Reply::recorded("bd-1.0.5/poison-control-char-ready"));
    fake.on(&["list", "--status=in_progress"], Reply::text("◐ hl-1 [● P2] [task] @me - x\n"));
    fake.on(&["update", "--status=blocked"], Reply::text("✓ Updated issue: hl-1\n"));
    fake.on(&["list", "--status=blocked"], Reply::text("● hl-1 [● P2] [task] - x\n"));
    let beads = fake.open().await;

    let adoption = beads.adopt(&id("hl-1"), ATTEMPT).await.unwrap();

    let Adoption::NotOurs { why } = adoption else { panic!("{adoption:?}") };
    assert!(why.contains("not JSON"), "{why}");
    let update = fake.lines().into_iter().find(|line| line.starts_with("update")).unwrap();
    assert!(update.contains("--assignee= ") && !update.contains("--json"), "{update}");
}

#[tokio::test]
async fn a_lost_attempt_goes_on_with_its_bead() {
    let Some(mut fake) = Fake::now() else { return };
    let blocked =
        ours("hl-1", &json!({"status": "blocked", "assignee": "", "labels": ["task-lost", "ci"]}));
    fake.on(&["show"], Reply::json(&json!([blocked])));
    fake.on(&["update"], Reply::json(&json!([taken("hl-1", OTHER)])));
    let beads = fake.open().await;
    let Adoption::Ours(claim, _) = beads.adopt(&id("hl-1"), ATTEMPT).await.unwrap() else {
        panic!("not adopted")
    };

    let answer = beads.resume(claim, OTHER).await.unwrap();

    let ClaimAnswer::Won(claim, _) = answer else { panic!("{answer:?}") };
    assert_eq!(claim.attempt(), OTHER);
    let line = fake.lines().pop().unwrap();
    assert!(
        line.starts_with(&format!(
            "update hl-1 --status=in_progress --assignee={ME} \
             --set-metadata=ygg_attempt={OTHER} --remove-label=task-lost --actor"
        )),
        "{line}"
    );
}

#[tokio::test]
async fn a_lease_is_renewed_where_a_claim_is_one() {
    let (Some(mut new), Some(mut now)) = (Fake::new_with_guards(), Fake::now()) else { return };
    new.on(&CLAIM, Reply::json(&json!([taken("hl-1", ATTEMPT)])));
    new.on(&["heartbeat"], Reply::text("{}\n"));
    now.on(&CLAIM, Reply::json(&json!([taken("hl-1", ATTEMPT)])));
    let (leasing, plain) = (new.open().await, now.open().await);

    leasing.renew(&claim(&leasing).await).await.unwrap();
    plain.renew(&claim(&plain).await).await.unwrap();

    assert_eq!(new.lines()[1], format!("heartbeat hl-1 --actor={ME} --json"));
    assert_eq!(now.lines().len(), 1);
}

#[tokio::test]
async fn a_person_keeps_a_bead_that_was_taken_before_it_was_resumed() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&CLAIM, Reply::json(&json!([taken("hl-1", ATTEMPT)])));
    fake.on(&["show"], Reply::json(&json!([ours("hl-1", &json!({"assignee": "ann"}))])));
    let beads = fake.open().await;
    let claim = claim(&beads).await;

    let by = lost(beads.resume(claim, OTHER).await.unwrap());

    assert_eq!(by, "ann");
    assert_eq!(fake.lines().len(), 2);
}
