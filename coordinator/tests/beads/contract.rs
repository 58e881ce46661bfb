//! One suite for every real program: what the coordinator counts on.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;
use yggdrasil_coordinator::beads::{
    Adoption, BeadId, Beads, BeadsTrouble, Block, ClaimAnswer, Dependency, Later, Status,
};

use super::cli::{World, adopt, claim, ready};
use super::fake::id;

mod store;

use store::{
    a_broken_store_is_never_an_empty_one,
    a_command_that_is_ended_half_way_leaves_nothing_undecided, a_poisoned_store_still_lists,
    a_store_is_found_from_everywhere, many_beads_go_through, one_of_many_claimers_wins,
    the_signal_moves_on_writes_and_not_on_reads,
};

macro_rules! on_every_program {
    ($($test:ident)*) => {
        mod bd { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::super::cli::on_each("bd", stringify!($test), super::$test).await;
            }
        )* }
        mod mb { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::super::cli::on_each("mb", stringify!($test), super::$test).await;
            }
        )* }
    };
}

on_every_program! {
    a_bead_is_ready_claimed_and_closed
    a_claimed_bead_is_lost_to_others
    a_bead_of_a_person_is_not_taken
    a_dependant_is_ready_when_its_blocker_is_closed
    a_failed_bead_stays_blocked_and_releases_nobody
    a_waiting_bead_is_found_and_reopened
    a_lost_bead_goes_on_and_closes
    a_late_result_closes_a_lost_bead
    a_retry_comes_back
    a_release_makes_it_ready_again
    a_bead_that_is_not_there_is_not_found
    a_blocker_added_meanwhile_is_seen
    a_poisoned_store_still_lists
    the_signal_moves_on_writes_and_not_on_reads
    one_of_many_claimers_wins
    many_beads_go_through
    what_we_write_is_clean
    a_result_is_found_by_dependants
    a_store_is_found_from_everywhere
    a_broken_store_is_never_an_empty_one
    a_command_that_is_ended_half_way_leaves_nothing_undecided
}

fn block(label: &'static str, note: &str) -> Block<'static> {
    let metadata = vec![("attempts".to_owned(), "1".to_owned())];
    Block { label, note: note.to_owned(), metadata }
}

/// A list of one.
fn only(id: &BeadId) -> &[BeadId] {
    std::slice::from_ref(id)
}

async fn status(beads: &Beads, id: &BeadId) -> Status {
    beads.show(id).await.unwrap().unwrap().status
}

async fn a_bead_is_ready_claimed_and_closed(world: World) {
    let beads = world.open().await;
    beads.check_store().await.unwrap();
    let empty = ready(&beads).await;
    let bead = world.create("first", &[]).await;
    let listed = ready(&beads).await;

    let claim = claim(&beads, &bead).await;
    let attempt = claim.attempt();
    let while_claimed = ready(&beads).await;
    let mine: Vec<_> = beads.mine().await.unwrap().into_iter().map(|bead| bead.id).collect();
    beads.close(claim, "ok: exit 0\nlog: http://box/1").await.unwrap();

    assert_eq!((empty.len(), while_claimed.len()), (0, 0));
    assert_eq!(listed, only(&bead));
    assert_eq!(mine, only(&bead));
    let closed = beads.show(&bead).await.unwrap().unwrap();
    assert_eq!(closed.status, Status::Closed);
    assert_eq!(closed.attempt(), Some(attempt));
    let told = if world.is_bd() { closed.close_reason } else { closed.notes };
    assert!(told.contains("log: http://box/1"), "{told}");
    assert!(beads.mine().await.unwrap().is_empty());
    assert!(matches!(beads.adopt(&bead, attempt).await, Ok(Adoption::NotOurs { .. })));
}

async fn a_claimed_bead_is_lost_to_others(world: World) {
    let (beads, other) = (world.open().await, world.open_as("yggdrasil/other/1").await);
    let bead = world.create("wanted", &[]).await;
    let first = claim(&beads, &bead).await;

    let lost = other.claim(&bead, Uuid::now_v7()).await.unwrap();

    assert!(matches!(&lost, ClaimAnswer::Lost { by } if by == "yggdrasil/box/0193"), "{lost:?}");
    let shown = beads.show(&bead).await.unwrap().unwrap();
    assert_eq!(shown.attempt(), Some(first.attempt()), "a lost claim writes nothing");
    let theirs = other.adopt(&bead, first.attempt()).await.unwrap();
    assert!(matches!(theirs, Adoption::NotOurs { .. }), "{theirs:?}");
}

async fn a_bead_of_a_person_is_not_taken(world: World) {
    let beads = world.open().await;
    let theirs = world.create("of ann", &["--assignee", "ann"]).await;
    let held = world.create("held", &[]).await;
    world.person(&["update", held.as_str(), "--status", "blocked"]).await;
    let done = world.create("done", &[]).await;
    world.person(&["close", done.as_str()]).await;

    for bead in [&theirs, &held, &done] {
        let answer = beads.claim(bead, Uuid::now_v7()).await.unwrap();
        assert!(matches!(answer, ClaimAnswer::Lost { .. }), "{answer:?}");
    }

    assert!(ready(&beads).await.is_empty());
    assert_eq!(status(&beads, &held).await, Status::Blocked);
    assert_eq!(status(&beads, &done).await, Status::Closed);
    assert_eq!(beads.show(&theirs).await.unwrap().unwrap().assignee.as_deref(), Some("ann"));
}

async fn a_dependant_is_ready_when_its_blocker_is_closed(world: World) {
    let beads = world.open().await;
    let blocker = world.create("first", &[]).await;
    let waiting = world.create("second", &["--deps", blocker.as_str()]).await;
    let before = ready(&beads).await;
    let shown = beads.show(&waiting).await.unwrap().unwrap();

    let claim = claim(&beads, &blocker).await;
    beads.close(claim, "ok").await.unwrap();

    assert_eq!(before, [blocker]);
    assert!(shown.dependencies.iter().any(Dependency::blocks), "{shown:?}");
    assert_eq!(ready(&beads).await, only(&waiting));
    let shown = beads.show(&waiting).await.unwrap().unwrap();
    assert!(!shown.dependencies.iter().any(Dependency::blocks), "{shown:?}");
}

async fn a_failed_bead_stays_blocked_and_releases_nobody(world: World) {
    let beads = world.open().await;
    let failing = world.create("fails", &[]).await;
    let waiting = world.create("waits", &["--deps", failing.as_str()]).await;
    world.person(&note_of(&world, &failing, "a note of a person")).await;

    let claim = claim(&beads, &failing).await;
    beads.block(claim, &block("task-failed", "exit 1\n-last line")).await.unwrap();

    assert!(ready(&beads).await.is_empty());
    let shown = beads.show(&failing).await.unwrap().unwrap();
    assert_eq!((shown.status.clone(), shown.assignee.clone()), (Status::Blocked, None));
    assert!(shown.has_label("task-failed"), "{shown:?}");
    assert!(shown.notes.contains("a note of a person"), "{}", shown.notes);
    assert!(shown.notes.contains("exit 1\n-last line"), "{}", shown.notes);
    let shown = beads.show(&waiting).await.unwrap().unwrap();
    assert!(shown.dependencies[0].blocks());
    if world.is_bd() {
        let failed = beads.show(&failing).await.unwrap().unwrap();
        assert_eq!(failed.metadata["attempts"], 1);
    }
}

fn note_of<'a>(world: &World, bead: &'a BeadId, note: &'a str) -> Vec<&'a str> {
    if world.is_bd() {
        vec!["note", bead.as_str(), note]
    } else {
        vec!["update", bead.as_str(), "--notes", note]
    }
}

async fn a_waiting_bead_is_found_and_reopened(world: World) {
    let beads = world.open().await;
    let bead = world.create("waits for its executor", &["-l", "ci"]).await;
    let claim = claim(&beads, &bead).await;
    let attempt = claim.attempt();
    beads.block(claim, &block("task-waiting", "fenrir is away")).await.unwrap();

    let next = world.open_as("yggdrasil/next/1").await;
    let found: Vec<_> = next.labelled_blocked("task-waiting").await.unwrap();
    let others: Vec<_> = next.labelled_blocked("task-lost").await.unwrap();
    let by_another_attempt = next.reopen(&bead, Some(Uuid::now_v7()), "task-waiting").await;
    let reopened = next.reopen(&bead, Some(attempt), "task-waiting").await;
    let again = next.reopen(&bead, Some(attempt), "task-waiting").await;

    assert_eq!(found.iter().map(|bead| &bead.id).collect::<Vec<_>>(), [&bead]);
    assert!(others.is_empty());
    assert!(matches!(by_another_attempt, Ok(false)), "{by_another_attempt:?}");
    assert!(matches!(reopened, Ok(true)), "{reopened:?}");
    assert!(matches!(again, Ok(false)), "{again:?}");
    assert_eq!(ready(&next).await, only(&bead));
    let shown = next.show(&bead).await.unwrap().unwrap();
    assert!(shown.has_label("ci") && !shown.has_label("task-waiting"), "{:?}", shown.labels);
}

async fn a_lost_bead_goes_on_and_closes(world: World) {
    let beads = world.open().await;
    let bead = world.create("lost for a while", &[]).await;
    let first = claim(&beads, &bead).await;
    let attempt = first.attempt();
    beads.block(first, &block("task-lost", "fenrir is gone")).await.unwrap();

    let adopted = adopt(&beads, &bead, attempt).await;
    let answer = beads.resume(adopted, attempt).await.unwrap();
    let ClaimAnswer::Won(claim, shown) = answer else { panic!("{answer:?}") };

    assert_eq!(shown.status, Status::InProgress);
    assert!(!shown.has_label("task-lost"));
    beads.close(claim, "ok after all").await.unwrap();
    assert_eq!(status(&beads, &bead).await, Status::Closed);
}

async fn a_late_result_closes_a_lost_bead(world: World) {
    let beads = world.open().await;
    let bead = world.create("given up", &[]).await;
    let first = claim(&beads, &bead).await;
    let attempt = first.attempt();
    beads.block(first, &block("task-lost", "fenrir is gone")).await.unwrap();

    let nobody = beads.adopt(&bead, Uuid::now_v7()).await.unwrap();
    let adopted = adopt(&beads, &bead, attempt).await;
    beads.close(adopted, "ok, late").await.unwrap();

    assert!(matches!(nobody, Adoption::NotOurs { .. }), "{nobody:?}");
    let shown = beads.show(&bead).await.unwrap().unwrap();
    assert_eq!(shown.status, Status::Closed);
    assert!(!shown.has_label("task-lost"), "{:?}", shown.labels);
}

async fn a_retry_comes_back(world: World) {
    let beads = world.open().await;
    let bead = world.create("fails at first", &[]).await;
    let first = claim(&beads, &bead).await;
    let attempt = first.attempt();

    let at = Timestamp::now() + Duration::from_secs(3);
    let later = beads.retry_later(first, at, 1, "exit 1").await.unwrap();

    assert_eq!(later, if world.is_bd() { Later::BySelf } else { Later::ByCoordinator });
    if later == Later::ByCoordinator {
        assert_eq!(status(&beads, &bead).await, Status::Blocked);
        assert!(beads.reopen(&bead, Some(attempt), "").await.unwrap());
    } else {
        let shown = beads.show(&bead).await.unwrap().unwrap();
        assert_eq!(shown.status, Status::Open);
        assert_eq!(shown.metadata["last_error"], "E: exit 1");
        assert!(shown.defer_until.is_some_and(|until| until >= at), "{:?}", shown.defer_until);
    }
    let limit = Duration::from_secs(30);
    let back = async { while ready(&beads).await != only(&bead) {} };
    tokio::time::timeout(limit, back).await.expect("it comes back by itself");
    assert!(later == Later::ByCoordinator || Timestamp::now() >= at);
    let second = claim(&beads, &bead).await;
    assert_ne!(second.attempt(), attempt);
    beads.close(second, "ok").await.unwrap();
}

async fn a_release_makes_it_ready_again(world: World) {
    let beads = world.open().await;
    let bead = world.create("never offered", &[]).await;
    let first = claim(&beads, &bead).await;

    beads.release(first).await.unwrap();

    assert_eq!(ready(&beads).await, only(&bead));
    let other = world.open_as("yggdrasil/other/1").await;
    let second = claim(&other, &bead).await;
    other.close(second, "ok").await.unwrap();
}

async fn a_bead_that_is_not_there_is_not_found(world: World) {
    let beads = world.open().await;
    let bead = world.create("here", &[]).await;
    let missing = id("hl-zzzz9");
    let cut_short = id(&bead.as_str()[3..]);

    for nothing in [&missing, &cut_short] {
        assert_eq!(beads.show(nothing).await.unwrap(), None, "{nothing}");
        assert!(matches!(beads.adopt(nothing, Uuid::now_v7()).await, Ok(Adoption::Gone)));
        let error = beads.claim(nothing, Uuid::now_v7()).await.unwrap_err();
        assert_eq!(error.class(), BeadsTrouble::NotFound, "{nothing}: {error}");
    }

    assert_eq!(ready(&beads).await, [bead], "whatever was taken by mistake is given back");
}

async fn a_blocker_added_meanwhile_is_seen(world: World) {
    let beads = world.open().await;
    let bead = world.create("claimed", &[]).await;
    let claimed = claim(&beads, &bead).await;
    let blocker = world.create("comes later", &[]).await;
    world.person(&["dep", "add", bead.as_str(), blocker.as_str()]).await;

    let shown = beads.show(&bead).await.unwrap().unwrap();
    assert!(shown.dependencies.iter().any(Dependency::blocks), "{shown:?}");
    if !world.is_bd() {
        // mb has no guard on its close.
        return;
    }
    let unsettled = beads.close(claimed, "ok").await.unwrap_err();
    assert_eq!(unsettled.error.class(), BeadsTrouble::Refused, "{}", unsettled.error);
    assert!(unsettled.error.to_string().contains(blocker.as_str()), "{}", unsettled.error);
    world.person(&["close", blocker.as_str()]).await;
    beads.close(unsettled.claim.unwrap(), "ok").await.unwrap();
}

async fn what_we_write_is_clean(world: World) {
    let dirty = "\u{1b}[31mred\u{1b}[0m \u{0}\u{7}\u{1f}tail ✓\n-second \"line\"\ttab";
    let beads = world.open().await;
    let (blocked, closed) = (world.create("a", &[]).await, world.create("b", &[]).await);

    let first = claim(&beads, &blocked).await;
    let second = claim(&beads, &closed).await;
    let metadata = vec![("odd key\u{1b}".to_owned(), dirty.to_owned())];
    let block = Block { label: "task-failed", note: dirty.to_owned(), metadata };
    beads.block(first, &block).await.unwrap();
    beads.write_result(&second, &json!({"out": dirty, "k\u{1b}": [dirty]})).await.unwrap();
    beads.close(second, dirty).await.unwrap();

    let blocked = beads.show(&blocked).await.unwrap().unwrap();
    let closed = beads.show(&closed).await.unwrap().unwrap();
    let clean = "red tail ✓\n-second \"line\"\ttab";
    assert!(blocked.notes.contains(clean), "{:?}", blocked.notes);
    let told = if world.is_bd() { &closed.close_reason } else { &closed.notes };
    assert!(told.contains(clean), "{told:?}");
    if world.is_bd() {
        assert_eq!(closed.metadata["result"]["out"], clean);
        assert_eq!(blocked.metadata["odd_key_"], "red tail ✓ -second \"line\" tab");
    }
    world.person(&["list", "--json"]).await;
}

async fn a_result_is_found_by_dependants(world: World) {
    let beads = world.open().await;
    let bead = world.create("with a result", &[]).await;
    let claimed = claim(&beads, &bead).await;
    let result =
        json!({"outcome": "completed", "data": {"response": "x".repeat(100_000), "n": 1.5}});

    let written = beads.write_result(&claimed, &result).await.unwrap();
    beads.close(claimed, "ok").await.unwrap();

    let shown = beads.show(&bead).await.unwrap().unwrap();
    assert_eq!(written, world.is_bd());
    assert_eq!(shown.metadata.get("result").cloned(), written.then_some(result));
    if written {
        assert_eq!(shown.metadata["params"]["n"], 1, "what was there stays");
    }
}
