//! Killed and started again, on every Beads CLI: nothing lost, nothing twice, nothing left behind.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use std::time::Duration;

use e2e::sweep::is_alive;
use e2e::world::{COORDINATOR, LONG};
use e2e::{NewBead, World, until};
use nix::unistd::Pid;
use protocol::execute::Ending;
use serde_json::{Value, json};

e2e::on_every_beads_cli!(
    a_killed_coordinator_goes_on_with_what_ran,
    a_coordinator_killed_before_the_start_loses_no_bead,
    a_killed_executor_says_interrupted_and_leaves_no_child,
    an_idempotent_task_runs_again_after_its_executor_was_lost,
    a_task_that_takes_the_executor_down_is_told_truthfully,
    an_executor_that_stays_away_blocks_the_bead_it_had,
    an_executor_that_drains_ends_the_task_as_interrupted,
    a_coordinator_that_stops_leaves_the_task_running,
    a_second_coordinator_on_one_state_folder_does_not_start,
);

async fn homelab(mut world: World) -> World {
    world.executor("one", "test-executor", &["--drain-timeout", "1s"]).await.unwrap();
    world
        .routing
        .default_to("one")
        .retry("grace: 3s")
        .retry("backoff: { first: 1s, factor: 1, max: 1s }");
    world.coordinator(&[]).await.unwrap();
    world
}

fn hold(world: &World, task: &str) -> NewBead {
    NewBead::task(task, order(world))
}

fn order(world: &World) -> Value {
    json!({"started": world.text_path("started"), "until": world.text_path("go")})
}

/// Returns the process ids that the task has written, one for each start.
fn starts(world: &World) -> Vec<Pid> {
    let text = std::fs::read_to_string(world.path("started")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).map(Pid::from_raw).collect()
}

async fn a_killed_coordinator_goes_on_with_what_ran(world: World) {
    let mut world = homelab(world).await;
    let id = world.create(hold(&world, "hold")).await;
    world.file("started").await;
    let before = world.running(&id).await;

    world.kill(COORDINATOR);
    world.write("go", "");
    world.start(COORDINATOR).await.unwrap();
    let bead = world.settled(&id).await;

    assert_eq!(bead.status, "closed", "{}", bead.told());
    assert_eq!(starts(&world).len(), 1);
    let attempts = world.why(&id).await.attempts;
    assert_eq!(attempts.iter().map(|one| one.attempt).collect::<Vec<_>>(), [before.attempt]);
}

async fn a_coordinator_killed_before_the_start_loses_no_bead(world: World) {
    let mut world = homelab(world).await;
    let file = world.text_path("lines");
    let count =
        |number: usize| NewBead::task("count", json!({"file": file, "line": number.to_string()}));

    // Killed at another moment of the straight line each time: right after the first sign of each
    // bead.
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(world.create(count(number)).await);
        let id = ids[number].clone();
        until("the coordinator has seen the bead", LONG, async || {
            let plan = world.ygg().plan().await.ok()?;
            let seen = plan.attempts.iter().any(|attempt| attempt.bead == id);
            let planned = plan.beads.iter().any(|bead| bead.bead == id);
            let done = plan.listed.is_some() && !world.why(&id).await.attempts.is_empty();
            (seen || planned || done).then_some(())
        })
        .await;
        world.kill(COORDINATOR);
        world.start(COORDINATOR).await.unwrap();
    }
    for id in &ids {
        let bead = world.reaches(id, "closed").await;
        assert_eq!(bead.status, "closed", "{}", bead.told());
    }

    let text = std::fs::read_to_string(world.path("lines")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0", "1", "2", "3"]);
}

async fn a_killed_executor_says_interrupted_and_leaves_no_child(world: World) {
    let mut world = homelab(world).await;
    let id = world.create(hold(&world, "hold")).await;
    world.file("started").await;
    world.running(&id).await;
    let child = starts(&world)[0];
    assert!(is_alive(child));

    world.kill("one");
    assert!(is_alive(child), "the test is pointless: the kernel ended the child");
    world.start("one").await.unwrap();
    let alive_after_start = is_alive(child);
    let bead = world.settled(&id).await;

    assert!(!alive_after_start, "the old executor's child lives");
    assert_eq!((bead.status.as_str(), bead.assignee.as_str()), ("blocked", ""));
    assert!(bead.has("task-lost"), "{:?}", bead.labels);
    let attempts = world.why(&id).await.attempts;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].ending, Some(Ending::Interrupted));
    assert_eq!(starts(&world).len(), 1);
}

async fn an_idempotent_task_runs_again_after_its_executor_was_lost(world: World) {
    let mut world = homelab(world).await;
    let id = world.create(hold(&world, "hold-again")).await;
    world.file("started").await;
    let first = world.running(&id).await;

    world.kill("one");
    world.start("one").await.unwrap();
    world.write("go", "");
    world.closed_without(&id, "task-lost").await;

    assert_eq!(starts(&world).len(), 2);
    let attempts = world.why(&id).await.attempts;
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].attempt, first.attempt);
    assert_eq!(attempts[0].ending, Some(Ending::Interrupted));
    assert_eq!(attempts[1].ending, Some(Ending::Completed));
}

async fn a_task_that_takes_the_executor_down_is_told_truthfully(world: World) {
    let mut world = homelab(world).await;
    let file = world.text_path("crashed");

    let id = world.create(NewBead::task("crash", json!({"file": file}))).await;
    world.daemon("one").ends(LONG).await;
    world.start("one").await.unwrap();
    let bead = world.reaches(&id, "closed").await;

    assert_eq!(bead.status, "closed");
    let attempts = world.why(&id).await.attempts;
    let endings: Vec<_> = attempts.iter().map(|attempt| attempt.ending).collect();
    assert_eq!(endings, [Some(Ending::Interrupted), Some(Ending::Completed)]);
}

async fn an_executor_that_stays_away_blocks_the_bead_it_had(world: World) {
    let mut world = homelab(world).await;
    let id = world.create(hold(&world, "hold")).await;
    world.file("started").await;
    world.running(&id).await;

    world.kill("one");
    world.blocked(&id, "task-lost").await;
    // The late result of the latest attempt is still taken.
    world.start("one").await.unwrap();
    let what = "the outcome of the lost attempt is known";
    let ending = until(what, LONG, async || world.why(&id).await.attempts.last()?.ending).await;

    assert_eq!(ending, Ending::Interrupted);
    assert_eq!(starts(&world).len(), 1);
}

async fn an_executor_that_drains_ends_the_task_as_interrupted(world: World) {
    let mut world = homelab(world).await;
    let id = world.create(hold(&world, "hold")).await;
    world.file("started").await;
    world.running(&id).await;
    let child = starts(&world)[0];

    world.daemon("one").terminate();
    let status = world.daemon("one").ends(Duration::from_secs(20)).await;
    let alive = is_alive(child);
    world.start("one").await.unwrap();
    let bead = world.settled(&id).await;

    assert!(status.success(), "{status}");
    assert!(!alive);
    assert_eq!(bead.status, "blocked");
    assert_eq!(world.why(&id).await.attempts[0].ending, Some(Ending::Interrupted));
}

async fn a_coordinator_that_stops_leaves_the_task_running(world: World) {
    let mut world = homelab(world).await;
    let id = world.create(hold(&world, "hold")).await;
    world.file("started").await;
    world.running(&id).await;

    world.daemon(COORDINATOR).terminate();
    let status = world.daemon(COORDINATOR).ends(Duration::from_secs(20)).await;
    let alive = is_alive(starts(&world)[0]);
    let meanwhile = world.show(&id).await;
    world.write("go", "");
    world.start(COORDINATOR).await.unwrap();
    let bead = world.settled(&id).await;

    assert!(status.success(), "{status}");
    assert!(alive);
    assert_eq!(meanwhile.status, "in_progress");
    assert_eq!(bead.status, "closed", "{}", bead.told());
}

async fn a_second_coordinator_on_one_state_folder_does_not_start(world: World) {
    let mut world = homelab(world).await;
    let first = world.daemon(COORDINATOR).spec().clone();
    let port = e2e::ports::free();

    let mut spec = first;
    spec.args[1] = port.to_string().into();
    spec.output = world.path("logs/second.out");
    let mut second = e2e::child::Daemon::new("second", port, spec);
    second.spawn().unwrap();
    let status = second.ends(Duration::from_secs(20)).await;

    assert_eq!(status.code(), Some(75), "{}", second.output());
    let pid = world.daemon(COORDINATOR).pid().unwrap().to_string();
    assert!(second.output().contains(&pid), "{}", second.output());
    assert!(world.ygg().is_up().await);
}
