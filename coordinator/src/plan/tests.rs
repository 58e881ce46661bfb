use std::sync::Arc;

use std::collections::BTreeMap;

use serde_json::Map;

use super::*;
use crate::fleet::Condition;
use crate::fleet::TaskFacts;
use crate::routing::parse;

mod any;
mod registered;

const TWO: &str = "
executors:
  fenrir: http://fenrir:5000
  surtr: { url: 'http://surtr:5000', limit: 2 }
routes:
  run-tests: [fenrir, surtr]
  git-*: fenrir
  llm-*: surtr
limits: { total: 4, per_type: { llm-chat: 1 }, per_label: { gpu: 1 }, exclusive: [git-gc] }
retry: { grace: 2m }
hosts:
  fenrir: { address: fenrir.lan, limit: 3 }
";

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn routing(text: &str) -> Routing {
    parse(text, "routing.yaml").unwrap()
}

fn order(bead: &str, task_type: &str) -> Order {
    Order {
        bead: bead.parse().unwrap(),
        title: bead.to_owned(),
        task_type: task_type.to_owned(),
        params: Map::new(),
        timeout: None,
        executor: None,
        labels: Vec::new(),
        priority: 2,
        due_at: None,
        created_at: Some(now()),
        has_dependencies: false,
        has_dependents: false,
        size: 100,
    }
}

fn listed(order: Order) -> Listed {
    Listed { order: Ok(order), first_seen: now() }
}

fn state(condition: Condition, types: &[&str], capacity: u32) -> ExecutorState {
    let facts = TaskFacts { limit: None, idempotent: false, retryable: false, able: true };
    ExecutorState {
        condition,
        since: now(),
        tasks: Arc::new(types.iter().map(|name| ((*name).to_owned(), facts)).collect()),
        capacity: Some(capacity),
        ..ExecutorState::new(now())
    }
}

/// The task types of an executor, to be changed.
fn tasks<'a>(world: &'a mut World, name: &str) -> &'a mut BTreeMap<String, TaskFacts> {
    Arc::make_mut(&mut world.fleet.get_mut(name).unwrap().tasks)
}

struct World {
    routing: Routing,
    fleet: BTreeMap<ExecutorName, ExecutorState>,
    active: Vec<Active>,
    left_alone: BTreeMap<ExecutorName, Timestamp>,
    now: Timestamp,
    recent: u32,
}

impl World {
    fn new() -> Self {
        let types = ["run-tests", "git-clone", "git-gc", "llm-chat", "llm-embed"];
        Self {
            routing: routing(TWO),
            fleet: BTreeMap::from([
                ("fenrir".into(), state(Condition::Up, &types, 8)),
                ("surtr".into(), state(Condition::Up, &types, 8)),
            ]),
            active: Vec::new(),
            left_alone: BTreeMap::new(),
            now: now(),
            recent: 0,
        }
    }

    fn condition(mut self, name: &str, condition: Condition) -> Self {
        self.fleet.get_mut(name).unwrap().condition = condition;
        self
    }

    fn plan(&self, listed: &[Listed]) -> Plan {
        plan(&Snapshot {
            now: self.now,
            intake: Intake::Open,
            listed,
            active: &self.active,
            fleet: &self.fleet,
            left_alone: &self.left_alone,
            routing: &self.routing,
            recent_starts: self.recent,
            size_limit: Some(1000),
        })
    }

    fn one(&self, order: Order) -> Decision {
        self.plan(&[listed(order)]).decisions.remove(0)
    }
}

fn away() -> Condition {
    Condition::Away { error: "connection refused".to_owned() }
}

fn start(name: &str) -> Decision {
    Decision::Start { executor: name.into() }
}

fn active(bead: &str, task_type: &str, executor: &str) -> Active {
    Active {
        bead: bead.parse().unwrap(),
        executor: Some(executor.into()),
        task_type: task_type.to_owned(),
        labels: Vec::new(),
    }
}

fn code(decision: &Decision) -> &'static str {
    match decision {
        Decision::Wait(wait) => wait.code(),
        Decision::Start { .. } => "start",
        Decision::Park { .. } => "park",
        Decision::Block { .. } => "block",
        Decision::Active => "active",
    }
}

#[test]
fn an_order_goes_where_its_route_says() {
    let world = World::new();

    assert_eq!(world.one(order("a", "git-clone")), start("fenrir"));
    assert_eq!(world.one(order("b", "llm-embed")), start("surtr"));
    let named = Order { executor: Some("surtr-executor".to_owned()), ..order("c", "git-clone") };
    assert_eq!(world.one(named), start("surtr"));
}

#[test]
fn a_list_of_executors_is_filled_by_load() {
    let world = World::new();
    let orders: Vec<_> = (0..4).map(|n| listed(order(&format!("b{n}"), "run-tests"))).collect();

    let plan = world.plan(&orders);

    // surtr takes two at a time, fenrir eight by its own word, and three by its host's limit.
    assert_eq!(
        plan.decisions,
        vec![start("fenrir"), start("surtr"), start("fenrir"), start("fenrir")]
    );
}

#[test]
fn every_limit_holds_and_is_named() {
    let mut world = World::new();
    world.active = vec![active("x", "llm-chat", "surtr")];
    let labelled = Order { labels: vec!["gpu".to_owned()], ..order("l", "git-clone") };
    let both = world.plan(&[
        listed(labelled.clone()),
        listed(Order { bead: "m".parse().unwrap(), ..labelled }),
    ]);

    assert_eq!(code(&world.one(order("a", "llm-chat"))), "limit_type");
    assert_eq!(both.decisions.iter().map(code).collect::<Vec<_>>(), ["start", "limit_label"]);
    world.active = vec![active("x", "llm-embed", "surtr"), active("y", "llm-embed", "surtr")];
    assert_eq!(code(&world.one(order("a", "llm-embed"))), "limit_executor");
    world.active = (0..3).map(|n| active(&format!("x{n}"), "git-clone", "fenrir")).collect();
    assert_eq!(code(&world.one(order("a", "git-clone"))), "limit_host");
    world.active.push(active("x9", "llm-embed", "surtr"));
    assert_eq!(code(&world.one(order("a", "llm-embed"))), "limit_total");
    world.active.clear();
    world.recent = 6000;
    assert_eq!(code(&world.one(order("a", "llm-embed"))), "brake");
}

#[test]
fn an_exclusive_task_runs_alone_on_its_host() {
    let mut world = World::new();
    world.active = vec![active("x", "git-clone", "fenrir")];
    assert_eq!(code(&world.one(order("a", "git-gc"))), "exclusive");

    world.active = vec![active("x", "git-gc", "fenrir")];

    assert_eq!(code(&world.one(order("a", "git-clone"))), "exclusive");
    assert_eq!(world.one(order("b", "llm-embed")), start("surtr"));
}

#[test]
fn an_absent_executor_is_waited_for_and_then_parked() {
    let mut world = World::new().condition("surtr", away());

    assert_eq!(code(&world.one(order("a", "llm-embed"))), "executor_away");
    let plan = world.plan(&[listed(order("a", "llm-embed"))]);
    assert_eq!(plan.wake_at, Some(now() + Duration::from_mins(2)));
    world.now = now() + Duration::from_mins(2);
    let Decision::Park { candidates, reason } = world.one(order("a", "llm-embed")) else {
        panic!("not parked")
    };
    assert_eq!((candidates, reason.code()), (vec!["surtr".into()], "executor_away"));
}

#[test]
fn the_grace_begins_when_the_bead_is_first_seen() {
    let mut world = World::new().condition("surtr", away());
    world.now = now() + Duration::from_hours(1);
    let young = Listed { order: Ok(order("a", "llm-embed")), first_seen: world.now };

    let plan = world.plan(&[young]);

    assert_eq!(code(&plan.decisions[0]), "executor_away");
}

#[test]
fn another_executor_of_the_route_takes_the_place_of_an_absent_one() {
    let world = World::new().condition("fenrir", away());

    assert_eq!(world.one(order("a", "run-tests")), start("surtr"));
}

#[test]
fn a_busy_executor_that_can_do_it_beats_an_idle_one_that_cannot() {
    let mut world = World::new();
    world.active = vec![active("x", "git-clone", "fenrir")];
    tasks(&mut world, "surtr").get_mut("run-tests").unwrap().able = false;

    assert_eq!(world.one(order("a", "run-tests")), start("fenrir"));
    tasks(&mut world, "fenrir").get_mut("run-tests").unwrap().able = false;
    assert_eq!(world.one(order("a", "run-tests")), start("surtr"));
}

#[test]
fn what_can_never_work_is_blocked_with_a_hint() {
    let world = World::new();
    let unknown = Order { executor: Some("fenris".to_owned()), ..order("c", "git-clone") };

    let no_route = world.one(order("a", "make-coffee"));
    let no_task = world.one(order("b", "git-clome"));
    let no_executor = world.one(unknown);

    let Decision::Block { error, hint } = no_route else { panic!() };
    assert!(error.contains("no route for task type `make-coffee`") && hint.is_some());
    let Decision::Block { hint, .. } = no_task else { panic!() };
    assert_eq!(hint.as_deref(), Some("Did you mean `git-clone`?"));
    let Decision::Block { hint, .. } = no_executor else { panic!() };
    assert_eq!(hint.as_deref(), Some("Did you mean `fenrir`?"));
}

#[test]
fn an_unknown_task_waits_while_somebody_who_may_know_it_is_away() {
    let world = World::new().condition("surtr", away());
    let mut world = world;
    tasks(&mut world, "fenrir").remove("run-tests");

    assert_eq!(code(&world.one(order("a", "run-tests"))), "executor_away");
}

#[test]
fn a_bead_with_an_attempt_is_left_alone() {
    let mut world = World::new();
    world.active = vec![Active { executor: None, ..active("a", "", "fenrir") }];

    assert_eq!(world.one(order("a", "git-clone")), Decision::Active);
}

#[test]
fn a_full_executor_is_asked_again_when_it_said() {
    let mut world = World::new();
    let until = now() + Duration::from_secs(7);
    world.fleet.get_mut("surtr").unwrap().busy_until = Some(until);

    let plan = world.plan(&[listed(order("a", "llm-embed"))]);

    assert_eq!(code(&plan.decisions[0]), "executor_busy");
    assert_eq!(plan.wake_at, Some(until));
    assert!(plan.has_backlog());
}

#[test]
fn a_runner_that_is_left_alone_is_asked_again_in_time() {
    let mut world = World::new();
    let until = now() + Duration::from_secs(7);
    world.left_alone.insert("surtr".into(), until);

    let plan = world.plan(&[listed(order("a", "llm-embed"))]);

    assert_eq!(code(&plan.decisions[0]), "runner_left_alone");
    assert_eq!(plan.wake_at, Some(until));
}

#[test]
fn a_bead_too_big_for_bd_is_left_alone() {
    let world = World::new();

    let decision = world.one(Order { size: 1000, ..order("a", "git-clone") });

    assert_eq!(code(&decision), "too_big");
}

#[test]
fn the_most_urgent_then_the_oldest_come_first() {
    let at = |second: i64| Some(Timestamp::from_second(second).unwrap());
    let mut all = vec![
        listed(Order { priority: 2, created_at: at(5), ..order("newer", "x") }),
        listed(Order { priority: 2, created_at: at(1), ..order("older", "x") }),
        listed(Order { priority: 0, created_at: at(9), ..order("urgent", "x") }),
        listed(Order { priority: 2, created_at: at(9), due_at: at(50), ..order("due", "x") }),
    ];

    sort(&mut all);

    let ids: Vec<_> = all.iter().map(|listed| listed.bead().to_string()).collect();
    assert_eq!(ids, ["urgent", "due", "older", "newer"]);
}

#[test]
fn every_reason_has_a_text() {
    let mut names = Names::default();
    let executor = names.executor(&"fenrir".into());
    let text = names.text("gpu");
    for wait in [
        Wait::BeadsTrouble,
        Wait::LedgerTrouble,
        Wait::CoordinatorDraining,
        Wait::TooBig,
        Wait::NoExecutor,
        Wait::Brake { limit: 1 },
        Wait::LimitTotal { limit: 1 },
        Wait::LimitType { task_type: text, limit: 1 },
        Wait::LimitLabel { label: text, limit: 1 },
        Wait::LimitExecutor { executor, limit: 1 },
        Wait::LimitHost { host: text, limit: 1 },
        Wait::Exclusive { host: text },
        Wait::ExecutorBusy { executor },
        Wait::ExecutorUnknown { executor },
        Wait::ExecutorDraining { executor },
        Wait::ExecutorAway { executor },
        Wait::ExecutorMisconfigured { executor },
    ] {
        let view = Reason { wait, names: &names }.view();
        assert!(!view.text.is_empty() && !view.text.contains('?'), "{view:?}");
        assert_eq!(view.code, wait.code());
    }
}
