//! Beads that end up on Ratatoskrs, on every Beads CLI.

use std::sync::Arc;
use std::time::Duration;

use e2e::proxy::{Proxy, Weather};
use e2e::ratatoskr::{Journal, Ratatoskr, Settings, Target};
use e2e::world::{COORDINATOR, LONG};
use e2e::{NewBead, World, until, until_seldom};
use protocol::execute::Ending;
use serde_json::json;

use crate::{online, target};

e2e::on_every_beads_cli!(
    a_bead_routed_by_capability_closes_with_a_ratatoskrs_result,
    a_bead_whose_ratatoskr_says_that_it_failed_is_blocked_with_why,
    a_bead_whose_ratatoskr_dies_is_blocked_and_waits_for_a_person,
    a_bead_of_an_idempotent_type_goes_to_another_when_its_ratatoskr_dies,
    a_bead_that_nobody_has_read_goes_to_another_without_a_word,
    the_late_result_of_a_ratatoskr_that_was_cut_off_is_taken,
    a_killed_coordinator_takes_the_result_that_comes_after_it,
);

/// A coordinator that gives everything to whatever can do `homelab`, and is quick to lose hope.
async fn homelab(mut world: World) -> World {
    for kind in ["echo", "exec", "sleep"] {
        world.routing.route(&format!("{kind}: {{ capability: homelab }}"));
    }
    world.routing.retry("grace: 2s").retry("backoff: { first: 1s, factor: 1, max: 1s }");
    world.coordinator(&["--lease-ttl-ms", "3000"]).await.unwrap();
    world
}

fn able(name: &str) -> Settings {
    Settings {
        capabilities: vec!["homelab".to_owned()],
        poll_interval: Duration::from_secs(5),
        ..Settings::named(name)
    }
    .at_speed(10.0)
}

/// Sleeps until the homelab has a file `go`.
fn hold(world: &World) -> NewBead {
    NewBead::task("sleep", json!({"until": world.text_path("go")}))
}

/// Waits until this many tasks were started, over all Ratatoskrs.
async fn starts(journal: &Journal, count: usize) {
    until(&format!("{count} tasks are started"), LONG, async || {
        let starts: usize = journal.book().started.values().map(Vec::len).sum();
        (starts >= count).then_some(())
    })
    .await;
}

async fn a_bead_routed_by_capability_closes_with_a_ratatoskrs_result(world: World) {
    let world = homelab(world).await;
    let journal = Arc::<Journal>::default();
    let _other =
        Ratatoskr::start(Settings::named("other").at_speed(10.0), &target(&world), &journal);
    let one = Ratatoskr::start(able("one"), &target(&world), &journal);
    online(&world, 2).await;

    let id = world.create(NewBead::task("exec", json!({"command": "echo the answer is 42"}))).await;
    let bead = world.settled(&id).await;

    assert_eq!(bead.status, "closed", "{}", bead.told());
    assert!(bead.told().contains("the answer is 42"), "{}", bead.told());
    let attempts = world.why(&id).await.attempts;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].ending, Some(Ending::Completed));
    let started = journal.book().started.clone();
    assert_eq!(started[&attempts[0].attempt.to_string()], [one.id()]);
}

async fn a_bead_whose_ratatoskr_says_that_it_failed_is_blocked_with_why(world: World) {
    let world = homelab(world).await;
    let _one = Ratatoskr::start(able("one"), &target(&world), &Arc::default());
    online(&world, 1).await;

    let command = json!({"command": "echo no such disk >&2; exit 3"});
    let id = world.create(NewBead::task("exec", command)).await;
    let bead = world.blocked(&id, "task-failed").await;

    assert!(bead.told().contains("no such disk"), "{}", bead.told());
    let attempts = world.why(&id).await.attempts;
    assert_eq!((attempts.len(), attempts[0].ending), (1, Some(Ending::Failed)));
}

async fn a_bead_whose_ratatoskr_dies_is_blocked_and_waits_for_a_person(world: World) {
    let world = homelab(world).await;
    let journal = Arc::<Journal>::default();
    let one = Ratatoskr::start(able("one"), &target(&world), &journal);
    online(&world, 1).await;
    let id = world.create(hold(&world)).await;
    starts(&journal, 1).await;

    drop(one);
    world.blocked(&id, "task-lost").await;
    let _two = Ratatoskr::start(able("two"), &target(&world), &journal);
    online(&world, 1).await;
    // The other one works, and does not get it.
    let echo = world.create(NewBead::task("echo", json!({"text": "hi"}))).await;
    let after = world.settled(&echo).await;
    let bead = world.show(&id).await;

    assert_eq!(after.status, "closed", "{}", after.told());
    assert_eq!(bead.status, "blocked", "{}", bead.told());
    assert_eq!(journal.book().started.len(), 2);
    assert_eq!(world.why(&id).await.attempts.len(), 1);
}

async fn a_bead_of_an_idempotent_type_goes_to_another_when_its_ratatoskr_dies(mut world: World) {
    world.routing.idempotent("sleep");
    let world = homelab(world).await;
    let journal = Arc::<Journal>::default();
    let one = Ratatoskr::start(able("one"), &target(&world), &journal);
    online(&world, 1).await;
    let id = world.create(hold(&world)).await;
    starts(&journal, 1).await;
    let first = one.id().to_owned();

    drop(one);
    let blocked = world.blocked(&id, "task-lost").await;
    let two = Ratatoskr::start(able("two"), &target(&world), &journal);
    starts(&journal, 2).await;
    world.write("go", "");
    let bead = world.closed_without(&id, "task-lost").await;

    assert_eq!(blocked.assignee, "");
    assert_eq!(bead.status, "closed", "{}", bead.told());
    let attempts = world.why(&id).await.attempts;
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[1].ending, Some(Ending::Completed));
    let started = journal.book().started.clone();
    let ran: Vec<&Vec<String>> =
        attempts.iter().map(|attempt| &started[&attempt.attempt.to_string()]).collect();
    assert_eq!(ran, [&vec![first], &vec![two.id().to_owned()]]);
}

async fn a_bead_that_nobody_has_read_goes_to_another_without_a_word(world: World) {
    let world = homelab(world).await;
    let journal = Arc::<Journal>::default();
    // One that never looks at its list.
    let deaf = Settings { poll_interval: Duration::ZERO, ..able("deaf") };
    let deaf = Ratatoskr::start(deaf, &target(&world), &journal);
    online(&world, 1).await;
    let id = world.create(NewBead::task("echo", json!({"text": "hi"}))).await;
    let asked = world.ygg();
    until("the task lies on its list", LONG, async || {
        let runners = crate::runners(&asked).await.ok()?;
        (!runners[deaf.id()]["tasks"].as_array()?.is_empty()).then_some(())
    })
    .await;

    drop(deaf);
    let _two = Ratatoskr::start(able("two"), &target(&world), &journal);
    let bead = world.reaches(&id, "closed").await;

    assert!(!bead.has("task-lost"), "{}", bead.told());
    let book = journal.read();
    assert!(book.started.len() == 1 && book.doubled().is_empty(), "{:?}", book.started);
}

async fn the_late_result_of_a_ratatoskr_that_was_cut_off_is_taken(world: World) {
    let world = homelab(world).await;
    let journal = Arc::<Journal>::default();
    let network = Proxy::start(world.port(COORDINATOR)).await.unwrap();
    let _one = Ratatoskr::start(able("one"), &Target::Url(network.url()), &journal);
    online(&world, 1).await;
    let id = world.create(hold(&world)).await;
    starts(&journal, 1).await;

    network.set(Weather::Cut);
    world.blocked(&id, "task-lost").await;
    network.set(Weather::Fine);
    online(&world, 1).await;
    world.write("go", "");
    let bead = world.closed_without(&id, "task-lost").await;

    assert_eq!(bead.status, "closed", "{}", bead.told());
    assert_eq!(journal.book().started.values().map(Vec::len).sum::<usize>(), 1);
    assert_eq!(world.why(&id).await.attempts.len(), 1);
}

async fn a_killed_coordinator_takes_the_result_that_comes_after_it(world: World) {
    let mut world = homelab(world).await;
    let journal = Arc::<Journal>::default();
    let _one = Ratatoskr::start(able("one"), &target(&world), &journal);
    online(&world, 1).await;
    let id = world.create(hold(&world)).await;
    starts(&journal, 1).await;

    world.kill(COORDINATOR);
    world.start(COORDINATOR).await.unwrap();
    world.write("go", "");
    let bead = world.settled(&id).await;

    assert_eq!(bead.status, "closed", "{}", bead.told());
    assert_eq!(journal.book().started.values().map(Vec::len).sum::<usize>(), 1);
    let attempts = until_seldom("the attempt is known", LONG, async || {
        Some(world.why(&id).await.attempts).filter(|attempts| !attempts.is_empty())
    });
    assert_eq!(attempts.await.len(), 1);
}
