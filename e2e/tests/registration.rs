//! Executors that register by themselves, at a real coordinator.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use e2e::world::{COORDINATOR, LONG};
use e2e::{NewBead, World, until};
use serde_json::{Value, json};

e2e::on_every_beads_cli!(a_bead_runs_on_an_executor_that_nobody_named);

/// A homelab whose coordinator and whose executor `one` know each other by registration alone.
async fn homelab(world: &mut World, flags: &[&str]) {
    world.routing.route("echo: { capability: echo }");
    world.prepare_coordinator(&[]).unwrap();
    world.start(COORDINATOR).await.unwrap();
    let url = world.ygg().url().to_owned();
    let quick = ["--coordinator", &url, "--heartbeat-interval", "200ms"];
    let quick = quick.into_iter().chain(["--task-poll-interval", "200ms"]);
    let flags: Vec<&str> = quick.chain(flags.iter().copied()).collect();
    world.executor("one", "test-executor", &flags).await.unwrap();
}

async fn any(test: &str) -> Option<World> {
    World::any().await.map_err(|why| e2e::suite::skipped(test, &why)).ok()
}

async fn runners(world: &World) -> Vec<Value> {
    let list: Value = world.ygg().json("/api/runners").await.unwrap_or_default();
    list["runners"].as_array().cloned().unwrap_or_default()
}

/// Waits until there is one runner, and it looks so.
async fn runner(world: &World, what: &str, looks: impl Fn(&Value) -> bool) -> Value {
    until(what, LONG, async || {
        let runners = runners(world).await;
        runners.into_iter().next().filter(&looks)
    })
    .await
}

fn is_online(runner: &Value) -> bool {
    runner["status"] == "online"
}

fn id(runner: &Value) -> String {
    runner["runnerId"].as_str().unwrap().to_owned()
}

async fn order(world: &World, runner: &str, task: &Value) {
    let path = format!("/runners/{runner}/tasks");
    let (status, answer) = world.ygg().post(&path, task).await.unwrap();
    assert_eq!(status, 201, "{answer}");
}

/// Waits until a task of the list has ended.
async fn ended(world: &World, runner: &str, task: &str) -> Value {
    until(&format!("{task} has ended"), LONG, async || {
        let list: Value = world.ygg().json(&format!("/runners/{runner}/tasks")).await.ok()?;
        let tasks = list["tasks"].as_array()?.iter();
        tasks.into_iter().find(|one| one["taskId"] == task && one["status"] != "running").cloned()
    })
    .await
}

async fn a_bead_runs_on_an_executor_that_nobody_named(mut world: World) {
    homelab(&mut world, &["--labels", "site=attic"]).await;
    let runner = runner(&world, "it is online", is_online).await;
    let bead = world.create(NewBead::task("echo", json!({"text": "here"}))).await;

    assert_eq!(world.settled(&bead).await.status, "closed");
    let attempts = world.why(&bead).await.attempts;
    assert_eq!(attempts.last().unwrap().executor, Some(id(&runner)));
    assert_eq!(runner["name"], "test-executor");
    assert_eq!(runner["endpoint"], format!("http://127.0.0.1:{}", world.port("one")));
    assert_eq!(runner["labels"], json!({"site": "attic"}));
    assert!(runner["capabilities"].as_array().unwrap().contains(&json!("echo")), "{runner}");
    assert!(runner["resources"]["memory"]["total"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn it_is_the_same_runner_after_a_crash_of_either_side() {
    let test = "it_is_the_same_runner_after_a_crash_of_either_side";
    let Some(mut world) = any(test).await else { return };
    homelab(&mut world, &[]).await;
    let first = runner(&world, "it is online", is_online).await;
    let heard = |runner: &Value| runner["lastHeartbeat"].as_str().unwrap().to_owned();

    world.kill(COORDINATOR);
    world.start(COORDINATOR).await.unwrap();
    let since = jiff::Timestamp::now().to_string();
    let second = runner(&world, "it is heard again", |runner| heard(runner) > since).await;
    world.kill("one");
    world.start("one").await.unwrap();
    let since = jiff::Timestamp::now().to_string();
    let third = runner(&world, "it is heard again", |runner| heard(runner) > since).await;

    assert_eq!(id(&first), id(&second));
    assert_eq!(id(&first), id(&third));
    assert_eq!(runners(&world).await.len(), 1);
}

#[tokio::test]
async fn its_list_is_worked_off_once_whoever_crashes() {
    let test = "its_list_is_worked_off_once_whoever_crashes";
    let Some(mut world) = any(test).await else { return };
    homelab(&mut world, &[]).await;
    let id = id(&runner(&world, "it is online", is_online).await);
    let hold = |task: &str| {
        let params = json!({"started": world.text_path(task), "until": world.text_path("go")});
        json!({"taskId": task, "type": "hold", "correlationId": "c-1", "metadata": params})
    };
    let [one, two] = ["one-task", "two-task"].map(hold);

    // The coordinator is away when the first one ends.
    order(&world, &id, &one).await;
    world.file("one-task").await;
    world.kill(COORDINATOR);
    world.write("go", "");
    let executor = world.ask("one");
    until("the task has ended", LONG, async || {
        executor.status().await.ok().filter(|status| status.running.is_empty())
    })
    .await;
    world.start(COORDINATOR).await.unwrap();
    let one = ended(&world, &id, "one-task").await;
    std::fs::remove_file(world.path("go")).unwrap();
    // The executor dies in the middle of the second one.
    order(&world, &id, &two).await;
    world.file("two-task").await;
    world.kill("one");
    world.start("one").await.unwrap();
    let two = ended(&world, &id, "two-task").await;
    order(&world, &id, &json!({"taskId": "t-3", "type": "echo", "metadata": {"text": "x"}})).await;
    let three = ended(&world, &id, "t-3").await;

    assert_eq!((&one["status"], &one["correlationId"]), (&json!("completed"), &json!("c-1")));
    assert_eq!(one["metadata"]["output"], "let go\n");
    assert_eq!(
        (&two["status"], &two["metadata"]["ending"]),
        (&json!("failed"), &json!("interrupted"))
    );
    assert_eq!(three["metadata"]["data"], json!({"text": "x"}));
    for task in ["one-task", "two-task"] {
        assert_eq!(world.file(task).await.lines().count(), 1, "{task} ran twice");
    }
    // Heartbeats have come and gone, and the results are still there.
    assert_eq!(ended(&world, &id, "one-task").await, one);
}

#[tokio::test]
async fn a_key_is_rotated_under_its_feet() {
    let Some(mut world) = any("a_key_is_rotated_under_its_feet").await else { return };
    world.prepare_coordinator(&[]).unwrap();
    let env = &mut world.daemon(COORDINATOR).spec_mut().env;
    env.insert("API_KEYS".into(), "configured".into());
    env.insert("ADMIN_API_KEY".into(), "admin".into());
    world.start(COORDINATOR).await.unwrap();
    let url = world.ygg().url().to_owned();
    let flags = ["--coordinator", &url, "--heartbeat-interval", "200ms"];
    world.write("key", "configured\n");
    let file = world.text_path("key");
    let flags = [&flags[..], &["--api-key-file", &file]].concat();
    world.executor("one", "test-executor", &flags).await.unwrap();
    let admin = async |world: &World| -> Option<Value> {
        let url = format!("{}/api/admin/runners", world.ygg().url());
        let asked = world.client().get(url).header("X-Admin-Api-Key", "admin").send().await.ok()?;
        asked.json::<Value>().await.ok()?["runners"].as_array()?.first().cloned()
    };
    let runner = until("it has registered", LONG, async || admin(&world).await).await;

    let body = json!({"newApiKey": "a-new-key-of-some-length", "runnerIds": [id(&runner)]});
    let header = [("X-Admin-Api-Key", "admin")];
    let path = "/api/admin/api-keys/rotate";
    let (status, rotated) = world.ygg().post_with(path, &body, &header).await.unwrap();
    assert!(status.is_success(), "{status} {rotated}");
    let is_there = async || admin(&world).await.filter(|one| one["hasPendingApiKey"] == false);
    let runner = until("it has the key", LONG, is_there).await;

    assert_eq!(runner["status"], "online");
    let kept = std::fs::read_to_string(world.path("state/one/registration.json")).unwrap();
    assert!(kept.contains("a-new-key-of-some-length"));
    let log = std::fs::read_to_string(world.path("logs/one.log")).unwrap();
    assert!(!log.contains("a-new-key") && log.contains("new API key"), "{log}");
}

#[tokio::test]
async fn an_update_ends_it_and_the_next_life_tells_how_it_went() {
    let test = "an_update_ends_it_and_the_next_life_tells_how_it_went";
    let Some(mut world) = any(test).await else { return };
    let note = world.text_path("note");
    let command = format!("echo to $YGGDRASIL_UPDATE_VERSION >> {note}");
    homelab(&mut world, &["--update-command", &command]).await;
    let id = id(&runner(&world, "it is online", is_online).await);
    let path = format!("/runners/{id}/request-update");
    let told = async |world: &World, status: &str| {
        until(&format!("the update is {status}"), LONG, async || {
            let path = format!("/api/runners/{id}");
            let runner: Value = world.ygg().json(&path).await.ok()?;
            (runner["updateStatus"] == status).then_some(runner)
        })
        .await
    };

    let (status, _) = world.ygg().post(&path, &json!({"version": "99.0.0"})).await.unwrap();
    assert_eq!(status, 200);
    let ended = until("it has ended", LONG, async || world.daemon("one").ended()).await;
    let applied = told(&world, "applied").await;
    world.start("one").await.unwrap();
    let failed = told(&world, "failed").await;

    assert!(ended.success(), "{ended}");
    assert!(applied["updateLog"].as_str().unwrap().contains("the command ended well"));
    // The program is the old one after all, and says so instead of trying for ever.
    assert!(failed["updateLog"].as_str().unwrap().contains("this is still"), "{failed}");
    assert!(failed.get("pendingUpdate").is_none(), "{failed}");
    assert_eq!(world.file("note").await, "to 99.0.0\n");
}
