//! A gate that opens at a time, on the Beads CLIs that have gates.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use e2e::{Kind, NewBead, World};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_gate_opens_by_itself() {
    e2e::suite::run(Kind::Bd, "a_timer_gate_opens_by_itself", opens).await;
}

async fn opens(mut world: World) {
    world.executor("one", "test-executor", &[]).await.unwrap();
    world.routing.default_to("one");
    let order = NewBead::task("echo", json!({"text": "the time has come"}));
    let id = world.create(order).await;
    let gate = ["gate", "create", "--type=timer", "--timeout=4s", "--blocks", &id];
    world.beads.run(&gate).await.unwrap().done().unwrap();
    world.coordinator(&["--poll-interval", "2s"]).await.unwrap();

    world.reason(&id, "dependency").await;
    let bead = world.settled(&id).await;

    assert_eq!(bead.status, "closed");
}
