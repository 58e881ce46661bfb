//! One bead from ready to its end, on every Beads CLI.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use e2e::{NewBead, World};
use serde_json::json;

e2e::on_every_beads_cli!(
    a_bead_is_done_and_says_how,
    a_failing_bead_is_blocked_and_says_why,
    the_dependant_of_a_failing_bead_never_runs,
    beads_run_in_dependency_order,
    a_bead_of_a_person_is_never_touched,
    results_flow_along_dependencies,
    a_missing_result_is_a_failure_that_names_the_path,
);

async fn homelab(mut world: World) -> World {
    world.executor("one", "test-executor", &[]).await.unwrap();
    world.routing.default_to("one");
    world.coordinator(&[]).await.unwrap();
    world
}

async fn a_bead_is_done_and_says_how(world: World) {
    let world = homelab(world).await;

    let id = world.create(NewBead::task("echo", json!({"text": "hello from the shed"}))).await;
    let bead = world.settled(&id).await;

    assert_eq!(bead.status, "closed");
    let attempt = world.why(&id).await.attempts.pop().unwrap();
    let told = bead.told();
    for part in ["one", &attempt.attempt.to_string(), "hello from the shed"] {
        assert!(told.contains(part), "`{part}` is missing in: {told}");
    }
    if bead.metadata != json!({}) {
        assert_eq!(bead.metadata["ygg_attempt"], attempt.attempt.to_string());
    }
}

async fn a_failing_bead_is_blocked_and_says_why(world: World) {
    let world = homelab(world).await;

    let order = json!({"text": "the disk is on fire", "code": 7});
    let id = world.create(NewBead::task("fail", order)).await;
    let bead = world.settled(&id).await;

    assert_eq!(bead.status, "blocked");
    assert_eq!(bead.assignee, "");
    assert!(bead.has("task-failed"), "{:?}", bead.labels);
    assert!(bead.notes.contains("the disk is on fire"), "{}", bead.notes);
    assert!(bead.notes.contains('7'), "the exit code is missing in: {}", bead.notes);
}

async fn the_dependant_of_a_failing_bead_never_runs(world: World) {
    let world = homelab(world).await;
    let ran = world.text_path("ran");

    let failing = world.create(NewBead::task("fail", json!({}))).await;
    let order = json!({"file": ran, "line": "it ran"});
    let dependant = world.create(NewBead::task("count", order).after(&failing)).await;
    world.settled(&failing).await;
    // A bead that came later was seen and done, so the dependant was looked at as well.
    let later = world.create(NewBead::task("echo", json!({"text": "later"}))).await;
    world.settled(&later).await;

    let bead = world.show(&dependant).await;
    assert_eq!((bead.status.as_str(), bead.assignee.as_str()), ("open", ""));
    assert!(!world.path("ran").exists());
    assert_eq!(world.why(&dependant).await.attempts, []);
}

async fn beads_run_in_dependency_order(world: World) {
    let world = homelab(world).await;
    let file = world.text_path("order");
    let count = |line: &str| NewBead::task("count", json!({"file": file, "line": line}));

    // Held back until all are written, so that the order is the coordinator's work.
    let gate = world.create(NewBead::titled("gate")).await;
    let top = world.create(count("top").after(&gate)).await;
    let left = world.create(count("left").after(&top)).await;
    let right = world.create(count("right").after(&top)).await;
    let bottom = world.create(count("bottom").after(&left).after(&right)).await;
    world.beads.close(&gate).await.unwrap();
    world.settled(&bottom).await;

    let order = std::fs::read_to_string(world.path("order")).unwrap();
    let lines: Vec<&str> = order.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[3]), (4, "top", "bottom"), "{lines:?}");
}

async fn a_bead_of_a_person_is_never_touched(world: World) {
    let plants = world.create(NewBead::titled("water the plants")).await;
    let before = world.show(&plants).await;

    let world = homelab(world).await;
    let id = world.create(NewBead::task("echo", json!({"text": "for the machine"}))).await;
    world.settled(&id).await;

    let after = world.show(&plants).await;
    assert_eq!(after.updated_at, before.updated_at);
    assert_eq!(
        (after.status, after.notes, after.labels),
        (before.status, before.notes, before.labels)
    );
}

async fn results_flow_along_dependencies(world: World) {
    let world = homelab(world).await;

    let first = world.create(NewBead::task("echo", json!({"text": "forty-two"}))).await;
    let params = json!({"text": {"$from": first, "path": "data.text"}});
    let second = world.create(NewBead::task("echo", params).after(&first)).await;
    let bead = world.settled(&second).await;

    assert_eq!(bead.status, "closed", "{}", bead.told());
    assert!(bead.told().contains("forty-two"), "{}", bead.told());
}

async fn a_missing_result_is_a_failure_that_names_the_path(world: World) {
    let world = homelab(world).await;

    let first = world.create(NewBead::task("echo", json!({"text": "forty-two"}))).await;
    let params = json!({"text": {"$from": first, "path": "data.answer"}});
    let second = world.create(NewBead::task("echo", params).after(&first)).await;
    let bead = world.settled(&second).await;

    assert_eq!(bead.status, "blocked");
    assert!(bead.has("task-failed"), "{:?}", bead.labels);
    assert!(bead.notes.contains("data.answer"), "{}", bead.notes);
    // It never got as far as an executor.
    let status: serde_json::Value = world.ygg().json("/status").await.unwrap();
    let expected = json!({"running": 0, "dispatched": 1, "completed": 1, "failed": 0});
    assert_eq!(status["tasks"], expected);
}
