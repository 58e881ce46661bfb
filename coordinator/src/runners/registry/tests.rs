use protocol::runner::RequestUpdate;
use serde_json::json;

use super::*;
use crate::runners::Limits;
use protocol::runner::RunnerOffline;

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
fn what_a_runner_is_given_while_it_is_away_waits_for_it() {
    let mut registry = registered("r1");
    run(|c| registry.create_task("r1", task("before"), String::new, at(1), c));
    registry.sweep(at(60), &mut Changes::default());
    run(|c| registry.create_task("r1", task("during"), String::new, at(61), c));
    run(|c| registry.patch_task("r1", "before", done(RUNNING), at(62), c));
    registry.sweep(at(200), &mut Changes::default());

    assert_eq!(registry.task("r1", "before").unwrap().wire.status, RUNNING, "the last word counts");
    assert_eq!(registry.task("r1", "during").unwrap().wire.status, RUNNING);

    // The next lease takes both along.
    run(|c| registry.heartbeat(beat("r1"), at(201), c));
    registry.sweep(at(261), &mut Changes::default());
    let runner = registry.get("r1").unwrap();
    assert!(runner.tasks.values().all(|task| task.wire.status == FAILED));
    assert_eq!(runner.running, 0);
}

#[test]
fn after_a_good_bye_only_what_it_had_before_is_lost() {
    let mut registry = registered("r1");
    run(|c| registry.create_task("r1", task("before"), String::new, at(1), c));
    let bye = RunnerOffline { runner_id: Some("r1".to_owned()) };
    run(|c| registry.offline(bye, c));
    run(|c| registry.create_task("r1", task("after"), String::new, at(2), c));
    registry.sweep(at(60), &mut Changes::default());

    assert_eq!(registry.task("r1", "before").unwrap().wire.status, FAILED);
    assert!(registry.task("r1", "after").unwrap().is_running());
}

#[test]
fn a_status_of_its_own_is_no_end() {
    let limits = Limits { ended_tasks: 2, running_tasks: 20, ..Limits::default() };
    let mut registry = Registry::new(limits);
    run(|c| registry.register(runner("r1"), String::new, at(0), c));
    let queued = NewRunnerTask { status: Some("queued".to_owned()), ..task("queued") };
    run(|c| registry.create_task("r1", queued, String::new, at(0), c));
    for number in 0..10 {
        let id = format!("t{number}");
        run(|c| registry.create_task("r1", task(&id), String::new, at(0), c));
        run(|c| registry.patch_task("r1", &id, done(COMPLETED), at(0), c));
    }
    run(|c| registry.heartbeat(Heartbeat { tasks: Some(vec![]), ..beat("r1") }, at(1), c));

    assert_eq!(registry.task("r1", "queued").unwrap().wire.status, "queued");
    registry.sweep(at(61), &mut Changes::default());
    assert_eq!(registry.task("r1", "queued").unwrap().wire.status, FAILED);

    // Bounded all the same.
    for number in 0..60 {
        let odd = NewRunnerTask { status: Some("odd".to_owned()), ..task(&format!("odd{number}")) };
        run(|c| registry.create_task("r1", odd, String::new, at(62), c));
    }
    assert!(registry.get("r1").unwrap().tasks.len() <= 25);
}

#[test]
fn what_a_runner_tells_of_a_task_again_is_filled_in() {
    let mut registry = registered("r1");
    let new = NewRunnerTask { correlation_id: Some("c".to_owned()), ..task("t1") };
    run(|c| registry.create_task("r1", new, String::new, at(1), c));
    let told = serde_json::from_value(serde_json::json!({"taskId": "t1", "status": COMPLETED}));
    let told = Heartbeat { tasks: Some(vec![told.unwrap()]), ..beat("r1") };
    run(|c| registry.heartbeat(told, at(5), c));

    let wire = &registry.task("r1", "t1").unwrap().wire;
    assert_eq!(wire.correlation_id.as_deref(), Some("c"));
    assert_eq!(wire.completed_at, Some(at(5).millis()));
    assert_eq!(registry.ended.completed, 1);

    let seed = serde_json::from_value(serde_json::json!({"taskId": "s1"})).unwrap();
    let seeded = RegisterRunner { tasks: Some(vec![seed]), ..runner("r2") };
    run(|c| registry.register(seeded, String::new, at(6), c));
    assert_eq!(registry.task("r2", "s1").unwrap().wire.started_at, at(6).millis());
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
fn a_late_result_counts_and_takes_our_word_back() {
    let mut registry = registered("r1");
    let new =
        NewRunnerTask { metadata: json!({"command": "true"}).as_object().cloned(), ..task("t1") };
    run(|c| registry.create_task("r1", new, String::new, at(0), c));
    registry.sweep(at(60), &mut Changes::default());

    let late = PatchRunnerTask {
        status: Some(COMPLETED.to_owned()),
        metadata: json!({"exitCode": 0}).as_object().cloned(),
    };
    let (task, _) = with(|c| registry.patch_task("r1", "t1", late, at(90), c));

    assert_eq!(task.status, COMPLETED);
    assert_eq!(
        serde_json::to_value(task.metadata).unwrap(),
        json!({"command": "true", "exitCode": 0})
    );
    assert!(registry.task("r1", "t1").unwrap().lost.is_none());
    assert_eq!(registry.ended, Ended { completed: 1, failed: 1 });
}

#[test]
fn a_good_bye_leaves_the_tasks_the_rest_of_the_lease() {
    let mut registry = registered("r1");
    run(|c| registry.create_task("r1", task("t1"), String::new, at(0), c));
    let body = protocol::runner::RunnerOffline { runner_id: Some("r1".to_owned()) };
    let changes = run(|c| registry.offline(body, c));

    assert_eq!(changes.lost[0].cause, "offline_requested");
    assert!(registry.task("r1", "t1").unwrap().is_running());
    registry.sweep(at(60), &mut Changes::default());
    assert!(!registry.task("r1", "t1").unwrap().is_running());
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

fn update(version: &str) -> RequestUpdate {
    RequestUpdate { version: Some(version.to_owned()), ..RequestUpdate::default() }
}

#[test]
fn an_update_is_told_until_its_version_registers() {
    let mut registry = registered("r1");
    run(|c| registry.request_update("r1", update("2.0.0"), at(1), c));
    run(|c| registry.register(runner("r1"), String::new, at(2), c));
    for second in 3..6 {
        run(|c| registry.heartbeat(beat("r1"), at(second), c));
        let told = registry.deliver("r1", &mut Changes::default());
        assert_eq!(told.unwrap().0.version, "2.0.0");
    }

    let newer = RegisterRunner { version: Some("2.0.0".to_owned()), ..runner("r1") };
    run(|c| registry.register(newer, String::new, at(7), c));

    assert!(registry.deliver("r1", &mut Changes::default()).is_none());
    assert_eq!(registry.get("r1").unwrap().update_status.as_deref(), Some("applied"));
}

#[test]
fn an_update_that_failed_is_not_told_again_and_its_log_stays() {
    let mut registry = registered("r1");
    let failed = |log: &str| Heartbeat {
        update_status: Some("failed".to_owned()),
        update_log: Some(log.to_owned()),
        ..beat("r1")
    };
    run(|c| registry.heartbeat(failed("an old failure"), at(0), c));
    run(|c| registry.request_update("r1", update("2.0.0"), at(1), c));

    registry.deliver("r1", &mut Changes::default());
    run(|c| registry.heartbeat(failed("an old failure"), at(2), c));
    let still = registry.deliver("r1", &mut Changes::default());
    run(|c| registry.heartbeat(failed("a new failure"), at(3), c));

    assert!(still.is_some(), "the old words say nothing about the new update");
    assert!(registry.deliver("r1", &mut Changes::default()).is_none());
    let runner = registry.get("r1").unwrap();
    assert_eq!(runner.update_log.as_deref(), Some("a new failure"));
}

#[test]
fn the_daemon_that_comes_in_its_place_inherits_the_update() {
    let mut registry = registered("old");
    run(|c| registry.request_update("old", update("2.0.0"), at(1), c));
    registry.deliver("old", &mut Changes::default());
    run(|c| registry.register(runner("new"), String::new, at(20), c));

    registry.sweep(at(60), &mut Changes::default());

    assert!(registry.get("old").unwrap().update.is_none());
    assert_eq!(registry.get("new").unwrap().update.as_ref().unwrap().version, "2.0.0");
}

#[test]
fn an_update_goes_to_nobody_else_unless_that_is_certain() {
    let named = |id: &str, name: &str| RegisterRunner { name: Some(name.to_owned()), ..runner(id) };
    for (name, others) in [
        // Anybody may be called so.
        ("unknown", vec![20]),
        // It was there before the other was gone.
        ("box", vec![5]),
        // Which of them?
        ("box", vec![20, 21]),
    ] {
        let mut registry = registry();
        run(|c| registry.register(named("gone", name), String::new, at(0), c));
        run(|c| registry.heartbeat(beat("gone"), at(10), c));
        run(|c| registry.request_update("gone", update("2.0.0"), at(11), c));
        for second in others {
            let id = format!("r{second}");
            run(|c| registry.register(named(&id, name), String::new, at(second), c));
            run(|c| registry.heartbeat(beat(&id), at(second), c));
        }
        registry.sweep(at(70), &mut Changes::default());

        assert!(registry.get("gone").unwrap().update.is_some(), "{name}");
        assert!(registry.all().filter(|runner| runner.update.is_some()).count() == 1, "{name}");
    }
}

#[test]
fn the_version_ends_an_update_that_was_never_told() {
    let mut registry = registered("r1");
    run(|c| registry.request_update("r1", update("2.0.0"), at(1), c));
    let newer = RegisterRunner { version: Some("2.0.0".to_owned()), ..runner("r1") };
    run(|c| registry.register(newer, String::new, at(2), c));

    assert!(registry.deliver("r1", &mut Changes::default()).is_none());

    // The version that it has already is told all the same.
    run(|c| registry.request_update("r1", update("2.0.0"), at(3), c));
    let same = RegisterRunner { version: Some("2.0.0".to_owned()), ..runner("r1") };
    run(|c| registry.register(same, String::new, at(4), c));
    assert!(registry.deliver("r1", &mut Changes::default()).is_some());
}

#[test]
fn the_same_old_failure_ends_no_new_update() {
    let mut registry = registered("r1");
    let says = |status: &str| Heartbeat {
        update_status: Some(status.to_owned()),
        update_log: Some("l".to_owned()),
        ..beat("r1")
    };
    run(|c| registry.heartbeat(says("failed"), at(0), c));
    run(|c| registry.request_update("r1", update("3.0.0"), at(1), c));
    for second in 2..8 {
        run(|c| registry.heartbeat(says("failed"), at(second), c));
        assert!(registry.deliver("r1", &mut Changes::default()).is_some(), "{second}");
    }
    run(|c| registry.heartbeat(says("pending"), at(8), c));
    run(|c| registry.heartbeat(says("failed"), at(9), c));

    assert!(registry.deliver("r1", &mut Changes::default()).is_none(), "it has tried");
}

#[test]
fn a_key_is_told_until_it_is_used() {
    let mut registry = registered("r1");
    let push = KeyPush { key: "k2".to_owned(), sealed: "…".to_owned(), requested: at(0).at };
    run(|c| registry.push_key("r1", push, c));

    let mut changes = Changes::default();
    registry.note_key("r1", Some("k1"), &mut changes);
    let told = registry.deliver("r1", &mut changes).unwrap();
    registry.note_key("r1", Some("k2"), &mut changes);

    assert_eq!((told.0.version.as_str(), told.0.api_key), ("1.0.0", None));
    assert_eq!(told.1.unwrap().key, "k2");
    assert!(registry.deliver("r1", &mut changes).is_none());
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
