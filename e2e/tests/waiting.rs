//! Why something does not run, on every Beads CLI: each reason is right, and goes when its cause goes.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use std::time::Duration;

use e2e::{NewBead, World};
use serde_json::{Value, json};

e2e::on_every_beads_cli!(
    a_dependency_is_named_until_it_is_closed,
    a_limit_is_named_until_there_is_room,
    an_absent_executor_is_named_until_it_is_there,
    a_persons_hold_is_named_until_it_ends,
    no_route_blocks_the_bead_and_says_so,
    an_unknown_executor_blocks_the_bead_and_says_so,
);

async fn homelab(mut world: World) -> World {
    world.executor("one", "test-executor", &[]).await.unwrap();
    world.routing.route("echo: one").route("hold: one").route("count: one");
    world.coordinator(&[]).await.unwrap();
    world
}

fn echo() -> NewBead {
    NewBead::task("echo", json!({"text": "at last"}))
}

fn hold(world: &World, name: &str) -> Value {
    json!({"started": world.text_path(&format!("{name}-started")), "until": world.text_path(&format!("{name}-go"))})
}

async fn a_dependency_is_named_until_it_is_closed(world: World) {
    let world = homelab(world).await;
    let gate = world.create(NewBead::titled("the gate")).await;
    let id = world.create(echo().after(&gate)).await;

    let view = world.reason(&id, "dependency").await;
    assert!(view.reason.text.contains(&gate), "{}", view.reason.text);

    world.beads.close(&gate).await.unwrap();
    assert_eq!(world.settled(&id).await.status, "closed");
}

async fn a_limit_is_named_until_there_is_room(mut world: World) {
    world.executor("one", "test-executor", &[]).await.unwrap();
    world.routing.default_to("one").limit("total: 1");
    world.coordinator(&[]).await.unwrap();

    let first = world.create(NewBead::task("hold", hold(&world, "first"))).await;
    world.file("first-started").await;
    let second = world.create(echo()).await;
    let view = world.reason(&second, "limit_total").await;
    assert!(view.attempts.is_empty());
    assert_eq!(world.show(&second).await.status, "open");

    world.write("first-go", "");
    assert_eq!(world.settled(&first).await.status, "closed");
    assert_eq!(world.settled(&second).await.status, "closed");
}

async fn an_absent_executor_is_named_until_it_is_there(mut world: World) {
    world.executor("one", "test-executor", &[]).await.unwrap();
    world.kill("one");
    world.routing.default_to("one").retry("grace: 2s");
    world.coordinator(&[]).await.unwrap();

    let id = world.create(echo()).await;
    world.reason(&id, "executor_away").await;
    // After the grace the bead itself says so, for those who look at Beads only.
    world.blocked(&id, "task-waiting").await;

    world.start("one").await.unwrap();
    world.closed_without(&id, "task-waiting").await;
    let attempts = world.why(&id).await.attempts;
    assert_eq!(attempts.iter().filter(|attempt| attempt.started.is_some()).count(), 1);
}

async fn a_persons_hold_is_named_until_it_ends(world: World) {
    let world = homelab(world).await;
    let id = world.create(echo().assignee("freya")).await;

    let view = world.reason(&id, "held_by_person").await;
    assert!(view.reason.text.contains("freya"), "{}", view.reason.text);
    assert_eq!(world.show(&id).await.assignee, "freya");

    world.beads.update(&id, &["--assignee", ""]).await.unwrap();
    assert_eq!(world.settled(&id).await.status, "closed");
}

async fn no_route_blocks_the_bead_and_says_so(world: World) {
    let world = homelab(world).await;

    let id = world.create(NewBead::task("ech", json!({}))).await;
    let bead = world.settled(&id).await;

    assert_eq!((bead.status.as_str(), bead.assignee.as_str()), ("blocked", ""));
    assert!(bead.has("task-failed"), "{:?}", bead.labels);
    assert!(bead.notes.contains("ech"), "{}", bead.notes);
    assert!(world.why(&id).await.reason.text.contains("ech"));
}

async fn an_unknown_executor_blocks_the_bead_and_says_so(world: World) {
    let world = homelab(world).await;

    let id = world.create(echo().on("onee")).await;
    let bead = world.blocked(&id, "task-failed").await;

    assert!(bead.notes.contains("onee"), "{}", bead.notes);
    // The loop goes on.
    let good = world.create(echo()).await;
    assert_eq!(world.settled(&good).await.status, "closed");
    tokio::time::timeout(Duration::from_secs(20), world.why(&id)).await.unwrap();
}
