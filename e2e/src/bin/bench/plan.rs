//! The plan of very many beads, in this process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Map;
use yggdrasil_coordinator::fleet::{Condition, ExecutorState, TaskFacts};
use yggdrasil_coordinator::order::Order;
use yggdrasil_coordinator::plan::{Intake, Listed, Snapshot, plan};
use yggdrasil_coordinator::routing::{self, Routing};

use crate::{Line, ms, percentiles};

const BEADS: usize = 10_000;
const EXECUTORS: usize = 50;
const TYPES: usize = 20;

/// Ten thousand ready beads of twenty types on fifty executors that are all full.
pub(crate) fn ten_thousand() -> Line {
    let now = Timestamp::now();
    let routing = fleet_of_fifty();
    let listed: Vec<Listed> = (0..BEADS)
        .map(|number| Listed { order: Ok(order(number, now)), first_seen: now })
        .collect();
    let states: BTreeMap<_, _> =
        routing.executors.keys().map(|name| (name.clone(), state(now))).collect();
    let snapshot = Snapshot {
        now,
        intake: Intake::Open,
        listed: &listed,
        active: &[],
        fleet: &states,
        left_alone: &BTreeMap::new(),
        routing: &routing,
        recent_starts: 0,
        size_limit: None,
    };
    let mut times = Vec::new();
    for _ in 0..21 {
        let start = Instant::now();
        let decisions = plan(&snapshot).decisions.len();
        times.push(start.elapsed());
        assert_eq!(decisions, BEADS, "each bead has a decision");
    }
    let (median, _) = percentiles(times);
    let is_good = median < Duration::from_millis(10);
    let what = format!("plan of {BEADS} ready beads on {EXECUTORS} executors");
    Line::new(what, ms(median)).goal("< 10 ms", is_good)
}

fn fleet_of_fifty() -> Routing {
    let mut text = "executors:\n".to_owned();
    for number in 0..EXECUTORS {
        writeln!(text, "  e{number}: http://e{number}:5000").expect("a String can be written");
    }
    let all: Vec<String> = (0..EXECUTORS).map(|number| format!("e{number}")).collect();
    writeln!(text, "routes:\n  task-*: [{}]\nlimits: {{ total: 16 }}", all.join(", "))
        .expect("a String can be written");
    routing::parse(&text, "routing.yaml").expect("the routing of the benchmark is good")
}

fn order(number: usize, now: Timestamp) -> Order {
    Order {
        bead: format!("hl-{number}").parse().expect("a good id"),
        title: format!("bead {number}"),
        task_type: format!("task-{}", number % TYPES),
        params: Map::new(),
        timeout: None,
        executor: None,
        labels: Vec::new(),
        priority: 2,
        due_at: None,
        created_at: Some(now),
        has_dependencies: false,
        has_dependents: false,
        size: 200,
    }
}

fn state(now: Timestamp) -> ExecutorState {
    let facts = TaskFacts { limit: None, idempotent: false, retryable: false, able: true };
    let tasks = (0..TYPES).map(|number| (format!("task-{number}"), facts));
    ExecutorState {
        condition: Condition::Up,
        tasks: std::sync::Arc::new(tasks.collect()),
        capacity: Some(4),
        ..ExecutorState::new(now)
    }
}
