//! Routes to whoever has registered.

use super::*;

fn registered(name: &str, capabilities: &[&str], condition: Condition) -> ExecutorState {
    let facts = crate::fleet::RunnerFacts {
        id: format!("{name}-1"),
        name: name.to_owned(),
        capabilities: capabilities.iter().map(|&word| word.to_owned()).collect(),
        labels: BTreeMap::new(),
        host: name.into(),
        takes_anything: true,
    };
    ExecutorState { runner: Some(Arc::new(facts)), configured: false, ..state(condition, &[], 1) }
}

#[test]
fn a_route_by_capability_takes_whoever_registered_with_it() {
    let mut world = World::new();
    world.routing = crate::routing::parse(
        "executors: {}\nroutes: { echo: { capability: http } }\n",
        "routing.yaml",
    )
    .unwrap();
    world.fleet.clear();

    let nobody = world.one(order("a", "echo"));
    let away = Condition::Away { error: "offline".to_owned() };
    world.fleet.insert("one".into(), registered("one", &["http"], away));
    let offline = world.one(order("a", "echo"));
    world.fleet.insert("two".into(), registered("two", &["http"], Condition::Up));
    let there = world.one(order("a", "echo"));
    world.active = vec![active("x", "echo", "two")];
    let full = world.one(order("b", "echo"));

    assert!(matches!(nobody, Decision::Wait(Wait::NoRunner { .. })), "{nobody:?}");
    assert!(matches!(offline, Decision::Wait(Wait::RunnerOffline { .. })), "{offline:?}");
    assert_eq!(there, start("two"));
    assert!(matches!(full, Decision::Wait(Wait::LimitExecutor { limit: 1, .. })), "{full:?}");
}
