//! Tasks that misbehave, and what their beads say in the end, on every Beads CLI.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use std::path::Path;

use e2e::sweep::{self, is_alive};
use e2e::world::LONG;
use e2e::{NewBead, World, until};
use nix::unistd::Pid;
use protocol::execute::Ending;
use reqwest::StatusCode;
use serde_json::json;

e2e::on_every_beads_cli!(
    a_task_over_its_limit_is_ended_and_its_output_kept,
    what_a_task_leaves_behind_is_ended,
    a_flood_of_output_is_cut_and_told_in_short,
    a_panic_is_a_failed_outcome_and_the_executor_lives,
    a_failure_worth_a_retry_is_tried_again,
    a_failure_worth_a_retry_stops_the_bead_in_the_end,
    a_cancelled_task_blocks_its_bead,
);

async fn homelab(mut world: World) -> World {
    world.executor("one", "test-executor", &["--log-cap", "100000"]).await.unwrap();
    world.routing.default_to("one").retry("backoff: { first: 1s, factor: 1, max: 1s }");
    world.coordinator(&[]).await.unwrap();
    world
}

fn pids(path: &Path) -> Vec<Pid> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).map(Pid::from_raw).collect()
}

async fn a_task_over_its_limit_is_ended_and_its_output_kept(world: World) {
    let world = homelab(world).await;

    let order = json!({"started": world.text_path("started")});
    let id = world.create(NewBead::task("ignore-sigterm", order).timeout(1.0)).await;
    let bead = world.settled(&id).await;

    assert_eq!((bead.status.as_str(), bead.assignee.as_str()), ("blocked", ""));
    assert!(bead.has("task-failed"), "{:?}", bead.labels);
    assert!(bead.notes.contains("before"), "{}", bead.notes);
    assert_eq!(world.why(&id).await.attempts[0].ending, Some(Ending::TimedOut));
    let started = pids(&world.path("started"));
    assert!(started.len() == 1 && !is_alive(started[0]), "{started:?}");
}

async fn what_a_task_leaves_behind_is_ended(world: World) {
    let world = homelab(world).await;

    let id = world.create(NewBead::task("fork", json!({"pids": world.text_path("pids")}))).await;
    let bead = world.settled(&id).await;

    let left = pids(&world.path("pids"));
    assert_eq!(left.len(), 2);
    assert!(!left.iter().any(|pid| is_alive(*pid)), "{left:?} live; the bead: {}", bead.told());
    assert_eq!(sweep::commands_of(world.folder()), []);
}

async fn a_flood_of_output_is_cut_and_told_in_short(world: World) {
    let world = homelab(world).await;

    let id = world.create(NewBead::task("flood", json!({"bytes": 5_000_000}))).await;
    let bead = world.settled(&id).await;

    assert_eq!(bead.status, "closed", "{}", bead.told());
    assert!(bead.told().len() < 10_000, "{} bytes in the bead", bead.told().len());
    let attempt = world.why(&id).await.attempts[0].attempt;
    let detail = world.ygg().attempt(&attempt.to_string()).await.unwrap();
    let outcome = detail.outcome.unwrap();
    assert_eq!((outcome.log_bytes, outcome.truncated), (5_000_000, true));
}

async fn a_panic_is_a_failed_outcome_and_the_executor_lives(world: World) {
    let mut world = homelab(world).await;

    let id = world.create(NewBead::task("panic", json!({}))).await;
    let bead = world.settled(&id).await;

    assert!(bead.has("task-failed"), "{:?}", bead.labels);
    assert_eq!(world.why(&id).await.attempts[0].ending, Some(Ending::Failed));
    assert!(world.daemon("one").is_running());
}

async fn a_failure_worth_a_retry_is_tried_again(world: World) {
    let world = homelab(world).await;

    let order = json!({"file": world.text_path("tries"), "lines": 3});
    let id = world.create(NewBead::task("flaky", order)).await;
    let bead = world.reaches(&id, "closed").await;

    assert!(!bead.has("task-failed"), "{:?}", bead.labels);
    let endings = world.why(&id).await.attempts.iter().map(|one| one.ending).collect::<Vec<_>>();
    assert_eq!(endings, [Some(Ending::Failed), Some(Ending::Failed), Some(Ending::Completed)]);
}

async fn a_failure_worth_a_retry_stops_the_bead_in_the_end(world: World) {
    let world = homelab(world).await;

    let order = json!({"file": world.text_path("tries"), "lines": 100});
    let id = world.create(NewBead::task("flaky", order)).await;
    let bead = until("the bead is blocked for good", LONG, async || {
        let bead = world.show(&id).await;
        (bead.status == "blocked"
            && bead.has("task-failed")
            && world.why(&id).await.attempts.len() == 3)
            .then_some(bead)
    })
    .await;

    assert_eq!(bead.assignee, "");
    assert_eq!(std::fs::read_to_string(world.path("tries")).unwrap().lines().count(), 3);
}

async fn a_cancelled_task_blocks_its_bead(world: World) {
    let world = homelab(world).await;
    let order = json!({"started": world.text_path("started"), "until": world.text_path("never")});
    let id = world.create(NewBead::task("hold", order)).await;
    world.file("started").await;
    let attempt = world.running(&id).await.attempt;

    let url = format!("{}/attempts/{attempt}", world.ask("one").url());
    let answer = world.client().delete(&url).send().await.unwrap();
    let bead = world.settled(&id).await;

    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert_eq!((bead.status.as_str(), bead.assignee.as_str()), ("blocked", ""));
    assert!(bead.has("task-cancelled"), "{:?}", bead.labels);
    let started = pids(&world.path("started"));
    assert!(!is_alive(started[0]));
}
