//! How tasks end, and what takes them along.

use super::*;

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
