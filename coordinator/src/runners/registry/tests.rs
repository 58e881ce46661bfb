use protocol::runner::RequestUpdate;
use serde_json::json;

use super::*;
use crate::runners::Limits;
use protocol::runner::RunnerOffline;

mod ends;
mod updates;

fn registry() -> Registry {
    Registry::new(Limits::default())
}

fn at(seconds: u64) -> Moment {
    use std::sync::OnceLock;
    static START: OnceLock<Moment> = OnceLock::new();
    let start = *START.get_or_init(Moment::now);
    let passed = Duration::from_secs(seconds);
    Moment { at: start.at + passed, mono: start.mono + passed }
}

fn runner(id: &str) -> RegisterRunner {
    RegisterRunner {
        runner_id: Some(id.to_owned()),
        name: Some("one".to_owned()),
        version: Some("1.0.0".to_owned()),
        ..RegisterRunner::default()
    }
}

fn beat(id: &str) -> Heartbeat {
    Heartbeat { runner_id: Some(id.to_owned()), ..Heartbeat::default() }
}

fn task(id: &str) -> NewRunnerTask {
    NewRunnerTask { task_id: Some(id.to_owned()), ..NewRunnerTask::default() }
}

fn done(status: &str) -> PatchRunnerTask {
    PatchRunnerTask { status: Some(status.to_owned()), metadata: None }
}

/// Runs one call and returns what it changed.
fn with<T>(call: impl FnOnce(&mut Changes) -> Result<T, RunnersError>) -> (T, Changes) {
    let mut changes = Changes::default();
    let answer = call(&mut changes).unwrap();
    (answer, changes)
}

fn run<T>(call: impl FnOnce(&mut Changes) -> Result<T, RunnersError>) -> Changes {
    with(call).1
}

fn registered(id: &str) -> Registry {
    let mut registry = registry();
    run(|c| registry.register(runner(id), String::new, at(0), c));
    registry
}

#[test]
fn a_registration_again_keeps_the_tasks_and_costs_no_durable_write() {
    let mut registry = registered("r1");
    run(|c| registry.create_task("r1", task("t1"), String::new, at(1), c));

    let (again, changes) = with(|c| registry.register(runner("r1"), String::new, at(45), c));

    assert_eq!(again.status, "re-registered");
    assert_eq!(registry.get("r1").unwrap().tasks.len(), 1);
    assert_eq!((changes.runners, changes.beats), (vec![], vec!["r1".to_owned()]));
    assert!(!changes.presence);
}

#[test]
fn nothing_but_an_id_makes_a_runner_with_defaults() {
    let mut registry = registry();

    let (made, _) =
        with(|c| registry.register(RegisterRunner::default(), || "new".to_owned(), at(0), c));

    let made = registry.get(&made.runner_id).unwrap();
    assert_eq!(
        (made.id.as_str(), made.name.as_str(), made.endpoint.as_str(), made.version.as_str()),
        ("new", "unknown", "unknown", "0.1.0")
    );
}

#[test]
fn a_lease_ends_to_the_second_and_takes_the_tasks_with_it() {
    let mut registry = registered("r1");
    run(|c| registry.create_task("r1", task("t1"), String::new, at(0), c));
    run(|c| registry.heartbeat(beat("r1"), at(10), c));

    let mut early = Changes::default();
    registry.sweep(at(69), &mut early);
    let mut late = Changes::default();
    registry.sweep(at(70), &mut late);

    assert!(early.lost.is_empty() && early.runners.is_empty());
    assert_eq!(late.lost[0].tasks, ["t1"]);
    assert_eq!(late.lost[0].cause, "lease_expired");
    let lost = registry.get("r1").unwrap();
    assert_eq!((lost.status, lost.running), (RunnerStatus::Offline, 0));
    assert_eq!(lost.tasks["t1"].wire.status, FAILED);
    assert_eq!(registry.ended.failed, 1);
}

#[test]
fn a_lease_of_its_own_beats_the_general_one() {
    let mut registry = registry();
    let body = RegisterRunner { lease_ttl_ms: Some(5000), ..runner("r1") };
    run(|c| registry.register(body, String::new, at(0), c));

    let mut changes = Changes::default();
    registry.sweep(at(5), &mut changes);

    assert_eq!(changes.lost.len(), 1);
    let refused = RegisterRunner { lease_ttl_ms: Some(10), ..runner("r2") };
    let mut changes = Changes::default();
    let refused = registry.register(refused, String::new, at(0), &mut changes);
    assert!(matches!(refused, Err(RunnersError::Invalid(_))), "{refused:?}");
}

#[test]
fn a_list_that_was_waiting_to_be_sent_leaves_out_what_has_ended_meanwhile() {
    let mut registry = registered("r1");
    for id in ["t1", "t2"] {
        run(|c| registry.create_task("r1", task(id), String::new, at(0), c));
    }

    let (listed, _) = with(|c| registry.list_tasks("r1", Some(RUNNING), Look::OfTheRunner, c));
    run(|c| registry.patch_task("r1", "t1", done(COMPLETED), at(1), c));
    run(|c| registry.create_task("r1", task("t3"), String::new, at(1), c));
    let sent = registry.still_listed("r1", Some(RUNNING), listed, at(1));

    // The third was not on the list when it was read, so it was not delivered with it.
    assert_eq!(sent.iter().map(|task| task.task_id.as_str()).collect::<Vec<_>>(), ["t2"]);
}

#[test]
fn a_task_that_nobody_has_read_can_be_withdrawn() {
    let mut registry = registered("r1");
    for id in ["t1", "t2"] {
        run(|c| registry.create_task("r1", task(id), String::new, at(0), c));
        if id == "t1" {
            let (listed, _) =
                with(|c| registry.list_tasks("r1", Some(RUNNING), Look::OfTheRunner, c));
            assert_eq!(listed.len(), 1);
        }
    }

    let mut changes = Changes::default();
    let read = registry.withdraw("r1", "t1", &mut changes);
    let unread = registry.withdraw("r1", "t2", &mut changes);

    assert_eq!((read, unread), (false, true));
    assert_eq!(changes.gone_tasks, [("r1".to_owned(), "t2".to_owned())]);
    assert_eq!(registry.get("r1").unwrap().running, 1);
}

#[test]
fn a_task_id_is_taken_once() {
    let mut registry = registered("r1");
    run(|c| registry.create_task("r1", task("t1"), String::new, at(0), c));

    let again = registry.create_task("r1", task("t1"), String::new, at(0), &mut Changes::default());

    assert!(matches!(again, Err(RunnersError::DuplicateTask { .. })), "{again:?}");
}

#[test]
fn a_list_stays_bounded() {
    let mut registry = Registry::new(Limits { ended_tasks: 10, ..Limits::default() });
    run(|c| registry.register(runner("r1"), String::new, at(0), c));
    for number in 0..40 {
        let id = format!("t{number}");
        run(|c| registry.create_task("r1", task(&id), String::new, at(0), c));
        if number > 0 {
            run(|c| registry.patch_task("r1", &id, done(COMPLETED), at(0), c));
        }
    }

    let tasks = &registry.get("r1").unwrap().tasks;
    assert!(tasks.len() <= 12 && tasks.contains_key("t0") && tasks.contains_key("t39"));
}

#[test]
fn what_a_heartbeat_says_of_tasks_wipes_nothing_that_waits() {
    let mut registry = registered("r1");
    run(|c| registry.create_task("r1", task("waits"), String::new, at(0), c));
    let own: RunnerTask =
        serde_json::from_value(json!({"taskId": "own", "status": "running"})).unwrap();

    let told = Heartbeat { tasks: Some(vec![own]), ..beat("r1") };
    run(|c| registry.heartbeat(told, at(1), c));
    run(|c| registry.patch_task("r1", "own", done(COMPLETED), at(2), c));
    run(|c| registry.heartbeat(Heartbeat { tasks: Some(vec![]), ..beat("r1") }, at(3), c));

    let runner = registry.get("r1").unwrap();
    assert_eq!(runner.tasks.keys().collect::<Vec<_>>(), ["waits"]);
    assert_eq!(runner.running, 1);
}

#[test]
fn what_an_executor_tells_comes_and_goes_and_its_list_stays_with_the_results() {
    let mut registry = registry();
    let metadata = json!({"protocol": 1}).as_object().cloned();
    run(|c| registry.register(RegisterRunner { metadata, ..runner("r1") }, String::new, at(0), c));
    let list = NewRunnerTask { metadata: json!({"x": 1}).as_object().cloned(), ..task("t-1") };
    run(|c| registry.create_task("r1", list, String::new, at(0), c));
    let told = |ids: &[&str]| {
        let tasks = ids.iter().map(|id| json!({"taskId": id, "status": "running"}));
        let tasks = tasks.map(|task| serde_json::from_value(task).unwrap()).collect();
        Heartbeat { tasks: Some(tasks), ..beat("r1") }
    };

    run(|c| registry.heartbeat(told(&["own", "t-1"]), at(1), c));
    let running = registry.get("r1").unwrap().running;
    run(|c| registry.patch_task("r1", "t-1", done(COMPLETED), at(2), c));
    run(|c| registry.heartbeat(told(&[]), at(3), c));

    assert_eq!(running, 2);
    let runner = registry.get("r1").unwrap();
    assert_eq!(runner.tasks.keys().collect::<Vec<_>>(), ["t-1"]);
    let kept = &runner.tasks["t-1"].wire;
    assert_eq!(kept.status, COMPLETED);
    assert_eq!(kept.metadata.as_ref().unwrap()["x"], 1);
    assert_eq!(runner.running, 0);
}

#[test]
fn a_restart_keeps_everything_and_starts_every_lease_anew() {
    let mut registry = registered("r1");
    run(|c| registry.create_task("r1", task("t1"), String::new, at(0), c));
    let runner_row = serde_json::to_value(registry.get("r1").unwrap()).unwrap();
    let task_row = serde_json::to_value(registry.task("r1", "t1").unwrap()).unwrap();

    let mut again = super::tests::registry();
    again.restore(
        vec![serde_json::from_value(runner_row).unwrap()],
        vec![("r1".to_owned(), serde_json::from_value(task_row).unwrap())],
        at(1000),
    );
    let mut changes = Changes::default();
    again.sweep(at(1059), &mut changes);

    assert!(changes.lost.is_empty());
    assert_eq!(again.get("r1").unwrap().running, 1);
    let refused = again.create_task("r1", task("t1"), String::new, at(1001), &mut changes);
    assert!(matches!(refused, Err(RunnersError::DuplicateTask { .. })));
}

#[test]
fn a_runner_that_is_long_gone_is_forgotten_with_its_tasks() {
    let mut registry = registered("r1");
    run(|c| registry.create_task("r1", task("t1"), String::new, at(0), c));
    let week = 7 * 24 * 3600;
    registry.sweep(at(60), &mut Changes::default());

    let mut early = Changes::default();
    registry.forget(at(week - 1), &mut early);
    let mut late = Changes::default();
    registry.forget(at(week + 1), &mut late);

    assert!(early.gone_runners.is_empty());
    assert_eq!((late.gone_runners.len(), late.gone_tasks.len()), (1, 1));
    assert_eq!(registry.all().len(), 0);
}
