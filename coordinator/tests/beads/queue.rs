//! One command at a time, in the order asked, each with its limit.

use std::fs;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use yggdrasil_coordinator::beads::BeadsError;

use super::fake::{ATTEMPT, CLAIM, Fake, Reply, bead, id, is_alive, taken, until};

#[tokio::test]
async fn commands_never_overlap_and_keep_their_order() {
    let Some(mut fake) = Fake::now() else { return };
    for n in 0..8 {
        let name = format!("hl-{n}");
        let shown = json!([bead(&name, &json!({}))]);
        fake.on(&["show", &name], Reply::json(&shown).sleep(0.02));
    }
    let beads = fake.open().await;

    let ids: Vec<_> = (0..8).map(|n| id(&format!("hl-{n}"))).collect();
    let shown = join_all(ids.iter().map(|id| beads.show(id))).await;

    assert!(shown.iter().all(|answer| matches!(answer, Ok(Some(_)))));
    let asked: Vec<_> = fake.started().iter().map(|entry| entry.argv[1].clone()).collect();
    assert_eq!(asked, ids.iter().map(ToString::to_string).collect::<Vec<_>>());
    let about_store: Vec<_> = fake
        .journal()
        .into_iter()
        .filter(|entry| entry.argv.first().is_some_and(|verb| verb == "show"))
        .collect();
    for pair in about_store.chunks(2) {
        let [start, end] = pair else { panic!("{pair:?}") };
        assert_eq!((start.event.as_str(), end.event.as_str()), ("start", "end"));
        assert_eq!(start.pid, end.pid);
    }
}

#[tokio::test]
async fn a_command_whose_caller_has_gone_is_finished_all_the_same() {
    let Some(mut fake) = Fake::now() else { return };
    let gate = fake.folder.path().join("gate");
    fake.on(&CLAIM, Reply::json(&json!([taken("hl-1", ATTEMPT)])).until(&gate));
    let beads = fake.open().await;
    let (first, never) = (id("hl-1"), id("hl-2"));
    let ended = |fake: &Fake| fake.journal().iter().filter(|e| e.event == "end").count();
    let asked = ended(&fake);

    // The first runs, the second waits for its turn; then both callers go away.
    let claims = async { tokio::join!(beads.claim(&first, ATTEMPT), beads.claim(&never, ATTEMPT)) };
    tokio::select! {
        _ = claims => panic!("the gate is closed"),
        () = until("the claim to run", || !fake.started().is_empty()) => {}
    }
    fs::write(&gate, "").unwrap();
    beads.idle().await;

    assert_eq!(ended(&fake), asked + 1);
    assert_eq!(fake.started().len(), 1, "what had not begun is not begun: {:?}", fake.lines());
}

#[tokio::test]
async fn a_hung_bd_is_ended_with_its_group_and_the_next_command_runs() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["ready"], Reply::hang().times(1));
    fake.on(&["ready"], Reply::text("[]\n"));
    fake.settings.limit = Duration::from_millis(1500);
    let beads = fake.open().await;

    let error = beads.ready(Some).await.unwrap_err();
    let hung = fake.journal().into_iter().find(|entry| entry.event == "hang").unwrap();
    until("the group to be gone", || !is_alive(hung.pid) && !is_alive(hung.child)).await;
    fake.settings.limit = Duration::from_secs(20);
    let again = beads.ready(Some).await;

    assert!(matches!(error, BeadsError::TimedOut { ended: true, .. }), "{error}");
    assert!(error.to_string().contains("bd ready"), "{error}");
    assert!(error.remedy().is_some());
    assert!(again.unwrap().items.is_empty());
}

#[tokio::test]
async fn the_first_command_on_a_store_has_twice_the_time() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["ready"], Reply::text("[]\n").sleep(2.4));
    fake.settings.limit = Duration::from_secs(2);
    let beads = fake.open().await;

    let first = beads.ready(Some).await;
    let second = beads.ready(Some).await;

    assert!(first.is_ok(), "{first:?}");
    assert!(matches!(second, Err(BeadsError::TimedOut { .. })), "{second:?}");
}

#[tokio::test]
async fn a_huge_answer_is_read_to_its_end() {
    let Some(mut fake) = Fake::now() else { return };
    let title = "x".repeat(5_000_000);
    fake.on(&["show"], Reply::json(&json!([bead("hl-1", &json!({"title": title}))])));
    let beads = fake.open().await;

    let shown = beads.show(&id("hl-1")).await.unwrap().unwrap();

    assert_eq!(shown.title.len(), 5_000_000);
}
