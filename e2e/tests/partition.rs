//! The network between the coordinator and an executor is cut, on every Beads CLI.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use e2e::proxy::{Proxy, Weather};
use e2e::world::LONG;
use e2e::{NewBead, World, until};
use serde_json::json;

e2e::on_every_beads_cli!(
    a_cut_connection_keeps_the_claim,
    a_black_hole_keeps_the_claim,
    a_partition_beyond_the_grace_blocks_and_the_late_result_is_taken,
    work_waits_out_a_partition_and_starts_by_itself,
    a_slow_network_changes_nothing,
);

async fn homelab(mut world: World, grace: &str) -> (World, Proxy) {
    world.executor("one", "test-executor", &[]).await.unwrap();
    let proxy = Proxy::start(world.port("one")).await.unwrap();
    world.routing.executor_at("one", &proxy.url()).default_to("one");
    world.routing.retry(&format!("grace: {grace}"));
    world.coordinator(&[]).await.unwrap();
    (world, proxy)
}

fn hold(world: &World) -> NewBead {
    let order = json!({"started": world.text_path("started"), "until": world.text_path("go")});
    NewBead::task("hold", order)
}

async fn condition(world: &World, state: &str) {
    let what = format!("the executor is {state}");
    until(&what, LONG, async || {
        let health = world.ygg().health().await.ok()?;
        (health.executors.get("one")?.state == state).then_some(())
    })
    .await;
}

fn starts(world: &World) -> usize {
    std::fs::read_to_string(world.path("started")).unwrap_or_default().lines().count()
}

async fn ends_on_the_executor(world: &World) {
    world.write("go", "");
    until("the task has ended on its executor", LONG, async || {
        world.ask("one").status().await.ok()?.running.is_empty().then_some(())
    })
    .await;
}

async fn a_cut_connection_keeps_the_claim(world: World) {
    survives(world, Weather::Cut).await;
}

async fn a_black_hole_keeps_the_claim(world: World) {
    survives(world, Weather::BlackHole).await;
}

async fn survives(world: World, weather: Weather) {
    let (world, proxy) = homelab(world, "5m").await;
    let id = world.create(hold(&world)).await;
    world.file("started").await;
    world.running(&id).await;

    proxy.set(weather);
    condition(&world, "away").await;
    let meanwhile = world.show(&id).await;
    ends_on_the_executor(&world).await;
    proxy.set(Weather::Fine);
    let bead = world.settled(&id).await;

    assert_eq!(meanwhile.status, "in_progress");
    assert_eq!(bead.status, "closed", "{}", bead.told());
    assert_eq!((starts(&world), world.why(&id).await.attempts.len()), (1, 1));
}

async fn a_partition_beyond_the_grace_blocks_and_the_late_result_is_taken(world: World) {
    let (world, proxy) = homelab(world, "2s").await;
    let id = world.create(hold(&world)).await;
    world.file("started").await;
    world.running(&id).await;

    proxy.set(Weather::Cut);
    world.blocked(&id, "task-lost").await;
    ends_on_the_executor(&world).await;
    proxy.set(Weather::Fine);
    world.closed_without(&id, "task-lost").await;

    assert_eq!((starts(&world), world.why(&id).await.attempts.len()), (1, 1));
}

async fn work_waits_out_a_partition_and_starts_by_itself(world: World) {
    let (world, proxy) = homelab(world, "2s").await;
    proxy.set(Weather::Cut);
    condition(&world, "away").await;

    let id = world.create(NewBead::task("echo", json!({"text": "at last"}))).await;
    world.blocked(&id, "task-waiting").await;
    proxy.set(Weather::Fine);
    world.closed_without(&id, "task-waiting").await;

    let attempts = world.why(&id).await.attempts;
    let ran = attempts.iter().filter(|attempt| attempt.started.is_some());
    assert_eq!(ran.count(), 1);
}

async fn a_slow_network_changes_nothing(world: World) {
    let (world, proxy) = homelab(world, "2m").await;
    proxy.set(Weather::Slow(std::time::Duration::from_millis(300)));

    let id = world.create(NewBead::task("echo", json!({"text": "slowly"}))).await;
    let bead = world.settled(&id).await;

    assert_eq!(bead.status, "closed", "{}", bead.told());
    assert_eq!(world.why(&id).await.attempts.len(), 1);
}
