//! Beads on whatever has registered, on every Beads CLI: executors that routing.yaml does not name,
//! and runners that read a list.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use std::time::Duration;

use e2e::{NewBead, World, until};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// Long enough for a busy machine, for what takes a second.
const SOON: Duration = Duration::from_mins(1);

e2e::on_every_beads_cli!(
    a_bead_waits_for_an_executor_to_register_and_runs_there,
    labels_choose_between_executors,
    an_order_may_name_what_only_registered,
    a_list_gets_the_task_and_its_result_closes_the_bead,
    a_result_on_a_list_survives_a_crash_of_the_coordinator,
    a_failure_on_a_list_blocks_the_bead_with_the_runners_words,
    at_its_limit_a_task_on_a_list_is_given_up,
    a_bead_of_a_runner_that_died_waits_for_a_person,
    a_late_result_of_a_runner_that_was_lost_closes_the_bead,
    what_may_run_again_goes_to_another_runner,
    what_its_runner_never_read_goes_to_another_one,
    what_its_runner_leaves_unread_goes_to_one_that_reads,
    a_runner_that_failed_is_left_alone_and_then_tried_with_one_bead,
);

async fn post(world: &World, path: &str, body: &Value) -> Value {
    let (status, answer) = world.ygg().post(path, body).await.unwrap();
    assert!(status.is_success(), "{path}: {status} {answer}");
    answer
}

/// Registers one of the world's executors as it would itself.
async fn register_executor(world: &World, name: &str, labels: &Value) {
    let body = json!({"runnerId": format!("{name}-1"), "name": name,
        "endpoint": format!("http://127.0.0.1:{}", world.port(name)), "version": "0.1.0",
        "capabilities": ["echo", "hold"], "labels": labels, "metadata": {"protocol": 1}});
    post(world, "/runners/register", &body).await;
}

/// Registers a runner that reads a list.
async fn register(world: &World, id: &str, lease_ms: u64) {
    let body = json!({"runnerId": id, "name": id, "endpoint": "", "version": "0.3.8",
        "capabilities": ["http", "health"], "leaseTtlMs": lease_ms});
    post(world, "/runners/register", &body).await;
}

/// Reads a runner's list until there is something to do on it.
async fn read_list(world: &World, id: &str) -> Value {
    until("there is a task on the list", SOON, async || {
        let path = format!("/runners/{id}/tasks?status=running");
        let listed: Value = world.ygg().json(&path).await.ok()?;
        listed["tasks"].as_array()?.first().cloned()
    })
    .await
}

async fn report(world: &World, id: &str, task: &Value, body: &Value) -> StatusCode {
    let url =
        format!("{}/runners/{id}/tasks/{}", world.ygg().url(), task["taskId"].as_str().unwrap());
    world.client().patch(url).json(body).send().await.unwrap().status()
}

fn echo() -> NewBead {
    NewBead::task("echo", json!({"text": "at last"}))
}

async fn with_lists(world: &mut World) {
    world.routing.route("echo: { capability: http }").retry("grace: 2s");
    world.coordinator(&[]).await.unwrap();
}

async fn executor_of(world: &World, id: &str) -> Option<String> {
    world.why(id).await.attempts.last()?.executor.clone()
}

async fn a_bead_waits_for_an_executor_to_register_and_runs_there(mut world: World) {
    world.executor("one", "test-executor", &[]).await.unwrap();
    world.routing.forget("one").route("echo: { capability: echo }");
    world.coordinator(&[]).await.unwrap();

    let id = world.create(echo()).await;
    let view = world.reason(&id, "no_runner").await;
    assert!(view.reason.text.contains("a runner with capability `echo`"), "{:?}", view.reason);

    register_executor(&world, "one", &json!({})).await;
    assert_eq!(world.settled(&id).await.status, "closed");
    assert_eq!(executor_of(&world, &id).await.as_deref(), Some("one-1"));
}

async fn labels_choose_between_executors(mut world: World) {
    world.executor("one", "test-executor", &[]).await.unwrap();
    world.executor("two", "test-executor", &[]).await.unwrap();
    world.routing.route("echo: { labels: { gpu: amd } }");
    world.coordinator(&[]).await.unwrap();
    register_executor(&world, "one", &json!({"gpu": "none"})).await;
    register_executor(&world, "two", &json!({"gpu": "amd"})).await;

    let id = world.create(echo()).await;

    assert_eq!(world.settled(&id).await.status, "closed");
    assert_eq!(executor_of(&world, &id).await.as_deref(), Some("two"));
}

async fn an_order_may_name_what_only_registered(mut world: World) {
    world.executor("one", "test-executor", &[]).await.unwrap();
    world.executor("two", "test-executor", &[]).await.unwrap();
    world.routing.forget("two").default_to("one");
    world.coordinator(&[]).await.unwrap();
    register_executor(&world, "two", &json!({})).await;

    let id = world.create(echo().on("two")).await;

    assert_eq!(world.settled(&id).await.status, "closed");
    assert_eq!(executor_of(&world, &id).await.as_deref(), Some("two-1"));
}

async fn a_list_gets_the_task_and_its_result_closes_the_bead(mut world: World) {
    with_lists(&mut world).await;
    register(&world, "pi", 60_000).await;

    let id = world.create(echo()).await;
    let task = read_list(&world, "pi").await;
    assert_eq!(task["type"], "echo");
    assert_eq!(task["metadata"], json!({"text": "at last"}));
    assert_eq!(task["correlationId"], json!(id));
    let body = json!({"status": "completed", "metadata": {"response": "done by a list"}});
    assert_eq!(report(&world, "pi", &task, &body).await, StatusCode::OK);

    let bead = world.settled(&id).await;
    assert_eq!(bead.status, "closed");
    assert!(bead.told().contains("done by a list"), "{}", bead.told());
    assert_eq!(executor_of(&world, &id).await.as_deref(), Some("pi"));
}

async fn a_result_on_a_list_survives_a_crash_of_the_coordinator(mut world: World) {
    with_lists(&mut world).await;
    register(&world, "pi", 60_000).await;
    let id = world.create(echo()).await;
    let task = read_list(&world, "pi").await;
    world.running(&id).await;

    world.kill("coordinator");
    world.start("coordinator").await.unwrap();
    let body = json!({"status": "completed", "metadata": {"response": "over a crash"}});
    assert_eq!(report(&world, "pi", &task, &body).await, StatusCode::OK);

    assert_eq!(world.settled(&id).await.status, "closed");
    assert_eq!(world.why(&id).await.attempts.len(), 1);
}

async fn a_failure_on_a_list_blocks_the_bead_with_the_runners_words(mut world: World) {
    with_lists(&mut world).await;
    register(&world, "pi", 60_000).await;
    let id = world.create(echo()).await;
    let task = read_list(&world, "pi").await;
    let error = "No handler registered for task type \"echo\"";
    let body = json!({"status": "failed", "metadata": {"error": error}});
    report(&world, "pi", &task, &body).await;

    let bead = world.blocked(&id, "task-failed").await;

    assert!(bead.told().contains("No handler registered"), "{}", bead.told());
}

async fn at_its_limit_a_task_on_a_list_is_given_up(mut world: World) {
    with_lists(&mut world).await;
    register(&world, "pi", 60_000).await;
    let id = world.create(echo().timeout(1.0)).await;
    read_list(&world, "pi").await;

    let bead = world.blocked(&id, "task-failed").await;

    assert!(bead.told().contains("the time limit of 1s is over"), "{}", bead.told());
    let failed: Value = world.ygg().json("/runners/pi/tasks?status=failed").await.unwrap();
    assert_eq!(failed["count"], 1);
}

async fn a_bead_of_a_runner_that_died_waits_for_a_person(mut world: World) {
    with_lists(&mut world).await;
    register(&world, "pi", 1500).await;
    register(&world, "other", 60_000).await;
    // The one that is to die gets it: the other has more to do.
    let id = world.create(echo().on("pi")).await;
    read_list(&world, "pi").await;

    let bead = world.blocked(&id, "task-lost").await;

    assert!(bead.told().contains("nothing heard of it for 1.5 s"), "{}", bead.told());
    let listed: Value = world.ygg().json("/runners/other/tasks").await.unwrap();
    assert_eq!(listed["count"], 0);
}

async fn a_late_result_of_a_runner_that_was_lost_closes_the_bead(mut world: World) {
    with_lists(&mut world).await;
    register(&world, "pi", 1500).await;
    let id = world.create(echo()).await;
    let task = read_list(&world, "pi").await;
    world.blocked(&id, "task-lost").await;

    let body = json!({"status": "completed", "metadata": {"response": "late but true"}});
    assert_eq!(report(&world, "pi", &task, &body).await, StatusCode::OK);

    let bead = world.closed_without(&id, "task-lost").await;
    assert!(bead.told().contains("late but true"), "{}", bead.told());
}

async fn what_may_run_again_goes_to_another_runner(mut world: World) {
    world.routing.idempotent("echo");
    with_lists(&mut world).await;
    register(&world, "pi", 1500).await;
    let id = world.create(echo()).await;
    read_list(&world, "pi").await;
    register(&world, "other", 60_000).await;

    let task = read_list(&world, "other").await;
    let body = json!({"status": "completed", "metadata": {"response": "by the other"}});
    report(&world, "other", &task, &body).await;

    assert_eq!(world.settled(&id).await.status, "closed");
    let attempts = world.why(&id).await.attempts;
    let by: Vec<_> = attempts.iter().filter_map(|attempt| attempt.executor.as_deref()).collect();
    assert_eq!(by, ["pi", "other"]);
}

async fn what_its_runner_never_read_goes_to_another_one(mut world: World) {
    with_lists(&mut world).await;
    register(&world, "pi", 1500).await;
    let id = world.create(echo()).await;
    until("it is on the list", SOON, async || {
        let shown: Value = world.ygg().json("/api/runners/pi").await.ok()?;
        shown["tasks"].as_array()?.first().cloned()
    })
    .await;
    register(&world, "other", 60_000).await;

    // Not idempotent: it goes elsewhere because it surely did not start.
    let task = read_list(&world, "other").await;
    let body = json!({"status": "completed", "metadata": {}});
    report(&world, "other", &task, &body).await;

    assert_eq!(world.settled(&id).await.status, "closed");
    let listed: Value = world.ygg().json("/runners/pi/tasks").await.unwrap();
    assert_eq!(listed["count"], 0);
}

async fn a_runner_that_failed_is_left_alone_and_then_tried_with_one_bead(mut world: World) {
    world.routing.route("echo: { capability: http }");
    let args = ["--circuit-failure-threshold", "1", "--circuit-recovery-time", "5s"];
    world.coordinator(&args).await.unwrap();
    register(&world, "r-1", 3_600_000).await;
    let before = post(&world, "/runners/r-1/tasks", &json!({"type": "by-hand"})).await;
    post(&world, "/runners/offline", &json!({"runnerId": "r-1"})).await;
    post(&world, "/runners/heartbeat", &json!({"runnerId": "r-1"})).await;
    report(&world, "r-1", &before, &json!({"status": "failed"})).await;

    let first = world.create(echo()).await;
    let second = world.create(echo()).await;
    world.reason(&first, "runner_left_alone").await;

    // Its time is over: one try, and nothing more until its runner has read it.
    let tried = until("one bead is on the list", SOON, async || {
        let runner: Value = world.ygg().json("/api/runners/r-1").await.ok()?;
        let tasks = runner["tasks"].as_array()?;
        tasks.iter().find_map(|task| task["correlationId"].as_str().map(str::to_owned))
    })
    .await;
    let other = if tried == first { &second } else { &first };
    world.reason(other, "runner_left_alone").await;
    let task = read_list(&world, "r-1").await;
    assert_eq!(task["correlationId"], *tried);
    report(&world, "r-1", &task, &json!({"status": "completed"})).await;
    let task = read_list(&world, "r-1").await;
    assert_eq!(task["correlationId"], **other);
    report(&world, "r-1", &task, &json!({"status": "completed"})).await;
    assert_eq!(world.settled(&first).await.status, "closed");
    assert_eq!(world.settled(&second).await.status, "closed");
}

async fn what_its_runner_leaves_unread_goes_to_one_that_reads(mut world: World) {
    with_lists(&mut world).await;
    register(&world, "deaf", 3_600_000).await;
    let id = world.create(echo()).await;
    until("the bead is on the list of the deaf one", SOON, async || {
        let runner: Value = world.ygg().json("/api/runners/deaf").await.ok()?;
        (!runner["tasks"].as_array()?.is_empty()).then_some(())
    })
    .await;
    register(&world, "reader", 3_600_000).await;

    // A monitor's look is none of the runner's.
    let url = format!("{}/runners/deaf/tasks", world.ygg().url());
    assert!(world.client().head(url).send().await.unwrap().status().is_success());
    let task = read_list(&world, "reader").await;
    report(&world, "reader", &task, &json!({"status": "completed"})).await;

    assert_eq!(world.settled(&id).await.status, "closed");
    assert_eq!(executor_of(&world, &id).await.as_deref(), Some("reader"));
    let deaf: Value = world.ygg().json("/api/runners/deaf").await.unwrap();
    assert_eq!(deaf["tasks"], json!([]));
}
