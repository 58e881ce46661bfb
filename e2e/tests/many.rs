//! Many beads at once, among many that are none of a machine's business, on every Beads CLI.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use std::collections::BTreeMap;

use e2e::cli::Kind;
use e2e::{NewBead, World, programs, until};
use serde_json::json;

e2e::on_every_beads_cli!(all_settle_in_dependency_order_and_none_twice,);

/// How many beads with a task, and how many without: the long form with `YGG_FULL=1`.
fn sizes() -> (usize, usize) {
    if programs::full() { (200, 10_000) } else { (24, 40) }
}

async fn all_settle_in_dependency_order_and_none_twice(mut world: World) {
    let (tasks, unrelated) = sizes();
    write_unrelated(&world, unrelated).await;
    let before = world.beads.all().await.unwrap();

    for name in ["one", "two"] {
        world.executor(name, "test-executor", &["--capacity", "4"]).await.unwrap();
    }
    world.routing.route("count: [one, two]").limit("total: 8");
    world.coordinator(&[]).await.unwrap();

    let gate = world.create(NewBead::titled("the gate")).await;
    let mut ids: Vec<String> = Vec::new();
    let mut waits_for: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for number in 0..tasks {
        // A tree of beads, where each also waits for its left neighbour now and then.
        let parent = ids.get(number.saturating_sub(1) / 3).cloned().unwrap_or(gate.clone());
        let neighbour = (number % 5 == 4).then(|| ids[number - 1].clone());
        let blockers: Vec<String> = [parent].into_iter().chain(neighbour).collect();
        let order = json!({"file": world.text_path("order"), "line": number.to_string()});
        let bead = NewBead::task("count", order).named(format!("number {number}"));
        let id = world.create(blockers.iter().fold(bead, NewBead::after)).await;
        waits_for.insert(id.clone(), blockers);
        ids.push(id);
    }
    world.beads.close(&gate).await.unwrap();

    let lines = tasks;
    until("every bead has run", e2e::world::LONG * 10, async || {
        let text = std::fs::read_to_string(world.path("order")).unwrap_or_default();
        (text.lines().count() >= lines).then_some(())
    })
    .await;
    for id in &ids {
        assert_eq!(world.reaches(id, "closed").await.status, "closed");
    }

    let text = std::fs::read_to_string(world.path("order")).unwrap();
    let order: Vec<usize> = text.lines().map(|line| line.parse().unwrap()).collect();
    let place: BTreeMap<&str, usize> =
        order.iter().enumerate().map(|(place, number)| (ids[*number].as_str(), place)).collect();
    assert_eq!((order.len(), place.len()), (tasks, tasks), "something ran twice: {order:?}");
    for (id, blockers) in &waits_for {
        for blocker in blockers.iter().filter(|blocker| **blocker != gate) {
            assert!(place[blocker.as_str()] < place[id.as_str()], "{id} ran before {blocker}");
        }
    }
    assert_eq!(runs_in_spools(&world, &ids).await, tasks);
    assert_untouched(&world, &before).await;
}

async fn write_unrelated(world: &World, count: usize) {
    if world.beads.cli.kind == Kind::Bd && count > 100 {
        let chore = |number| {
            json!({"id": format!("hl-x{number}"), "title": format!("chore {number}"), "status": "open", "priority": 2,
                "issue_type": "task", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"})
        };
        let lines: Vec<String> = (0..count).map(|number| chore(number).to_string()).collect();
        // One import of thousands takes longer than a command may.
        for some in lines.chunks(500) {
            world.write("chores.jsonl", &some.join("\n"));
            let file = world.text_path("chores.jsonl");
            world.beads.run(&["import", &file]).await.unwrap().done().unwrap();
            let gc = world.beads.run(&["gc", "--skip-decay", "--force"]).await.unwrap();
            gc.done().unwrap();
        }
        return;
    }
    for number in 0..count {
        world.create(NewBead::titled(format!("chore {number}"))).await;
    }
}

/// Counts how often each bead stands in a spool; more than once is a failure.
async fn runs_in_spools(world: &World, ids: &[String]) -> usize {
    let mut runs: BTreeMap<String, usize> = BTreeMap::new();
    for name in ["one", "two"] {
        for attempt in world.ask(name).attempts().await.unwrap().attempts {
            *runs.entry(attempt.task_id).or_default() += 1;
        }
    }
    assert!(runs.values().all(|count| *count == 1), "{runs:?}");
    ids.iter().filter(|id| runs.contains_key(*id)).count()
}

async fn assert_untouched(world: &World, before: &BTreeMap<String, e2e::Bead>) {
    let after = world.beads.all().await.unwrap();
    for (id, old) in before {
        let new = &after[id];
        assert_eq!(
            (&new.status, &new.updated_at),
            (&old.status, &old.updated_at),
            "{id} was touched"
        );
    }
}
