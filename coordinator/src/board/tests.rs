use super::*;
use crate::ledger::Stage;
use crate::plan::BrokenOrder;
use crate::settle::TaskFacts;

fn bead(name: &str) -> BeadId {
    name.parse().unwrap()
}

fn listed(name: &str) -> Listed {
    let order = BrokenOrder {
        bead: bead(name),
        title: name.to_owned(),
        priority: 2,
        problem: "two task types".to_owned(),
    };
    Listed { order: Err(order), first_seen: Timestamp::now() }
}

fn attempt(name: &str, stage: Stage) -> Attempt {
    Attempt {
        id: Uuid::now_v7(),
        bead: bead(name),
        title: name.to_owned(),
        task_type: "echo".to_owned(),
        executor: Some("fenrir".into()),
        facts: TaskFacts { idempotent: false, retryable: false, limit_seconds: 1.0 },
        has_dependents: false,
        labels: Vec::new(),
        stage,
        revision: 1,
        request: None,
        outcome: None,
        verdict: None,
        hold: None,
        created: Timestamp::now(),
        offered: None,
        started: None,
        ended: None,
        settled: None,
    }
}

fn is_held_back(board: &Board, name: &str) -> bool {
    board.room().0.iter().any(|active| active.bead == bead(name))
}

#[tokio::test(start_paused = true)]
async fn a_listing_older_than_our_own_write_is_asked_for_again() {
    let board = Board::default();
    let begun = Instant::now();
    tokio::time::advance(Duration::from_millis(100)).await;
    let ended = attempt("hl-1", Stage::Settled);
    board.begin(ended.clone());
    board.end(&ended);

    let is_stale = board.list(vec![listed("hl-1"), listed("hl-2")], 0, begun);
    assert!(is_stale && is_held_back(&board, "hl-1") && !is_held_back(&board, "hl-2"));

    tokio::time::advance(Duration::from_millis(100)).await;
    let is_stale = board.list(vec![listed("hl-1")], 0, Instant::now());
    assert!(!is_stale && !is_held_back(&board, "hl-1"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_attempt_holds_its_bead_back_until_it_is_listed_anew() {
    let board = Board::default();
    board.list(vec![listed("hl-1")], 0, Instant::now());
    tokio::time::advance(Duration::from_millis(100)).await;

    board.update(&attempt("hl-1", Stage::Lost));

    assert!(is_held_back(&board, "hl-1"));
}

#[tokio::test(start_paused = true)]
async fn a_bead_that_is_given_back_again_and_again_rests_longer_each_time() {
    let board = Board::default();
    board.rest(&bead("hl-1"));
    assert!(is_held_back(&board, "hl-1"));
    tokio::time::advance(FIRST_REST).await;
    assert!(!is_held_back(&board, "hl-1"));

    board.rest(&bead("hl-1"));
    tokio::time::advance(FIRST_REST).await;
    assert!(is_held_back(&board, "hl-1"));
    board.rested(&bead("hl-1"));
    assert!(!is_held_back(&board, "hl-1"));
}

#[test]
fn only_what_stops_claims_closes_the_intake() {
    let board = Board::default();
    board.trouble(Source::Settle(bead("hl-1")), "refused".to_owned());
    board.trouble(Source::Poisoned(bead("hl-2")), "poison".to_owned());
    assert_eq!(board.intake(), Intake::Open);

    board.trouble(Source::Listing, "hangs".to_owned());
    board.trouble(Source::Beads, "hangs".to_owned());
    board.mended(&Source::Beads);
    assert_eq!(board.intake(), Intake::BeadsTrouble);

    board.trouble(Source::Ledger, "full".to_owned());
    assert_eq!(board.intake(), Intake::LedgerTrouble);
    assert_eq!(board.trouble_of(&bead("hl-1")).as_deref(), Some("refused"));
}

#[test]
fn the_brake_counts_work_and_not_what_is_only_blocked() {
    let board = Board::default();
    board.begin(attempt("hl-1", Stage::Recorded));
    board.begin(Attempt { executor: None, ..attempt("hl-2", Stage::Recorded) });

    assert_eq!(board.room().1, 1);
    assert_eq!(board.blocking(), 1);
}
