//! The coordinator is killed while a hundred Ratatoskrs work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::http::Asked;
use e2e::ratatoskr::{Journal, Settings, Supervised};
use e2e::world::{COORDINATOR, LONG};
use e2e::{World, until, until_seldom};
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::{coordinator, insist, online, runners, target};

const RATATOSKRS: usize = 100;
/// How many tasks they get at a time, three each.
const TASKS: usize = 3 * RATATOSKRS;
/// How much faster than real ones they are.
const SPEED: f64 = 10.0;
/// How many requests are on their way at a time.
const AT_ONCE: usize = 8;
/// How often it is killed while results are told.
const KILLS: usize = 5;

/// A hundred of them, all online.
async fn hundred(world: &World, journal: &Arc<Journal>) -> Vec<Supervised> {
    let target = target(world);
    let start = |number| {
        let settings = Settings::named(format!("ratatoskr-{number}")).at_speed(SPEED);
        Supervised::start(settings, &target, journal)
    };
    let all = (0..RATATOSKRS).map(start).collect();
    online(world, RATATOSKRS).await;
    all
}

/// Sends all requests, and kills the coordinator each time so many were taken.
async fn send_and_kill(world: &mut World, requests: Vec<(String, Value)>, kills: &[usize]) {
    let asked = world.ygg();
    let taken = AtomicUsize::new(0);
    let send = futures::stream::iter(&requests).for_each_concurrent(AT_ONCE, async |request| {
        insist(&asked, &request.0, &request.1).await;
        taken.fetch_add(1, Ordering::Relaxed);
    });
    let kill = async {
        for count in kills {
            until(&format!("{count} requests are taken"), LONG, async || {
                (taken.load(Ordering::Relaxed) >= *count).then_some(())
            })
            .await;
            world.kill(COORDINATOR);
            world.start(COORDINATOR).await.unwrap();
        }
    };
    tokio::join!(send, kill);
}

/// Returns every task of every runner, with the runner that has it.
async fn all_tasks(asked: &Asked) -> anyhow::Result<BTreeMap<String, (String, Value)>> {
    let mut all = BTreeMap::new();
    for (id, runner) in runners(asked).await? {
        for task in runner["tasks"].as_array().cloned().unwrap_or_default() {
            let task_id = task["taskId"].as_str().unwrap_or_default().to_owned();
            assert!(all.insert(task_id, (id.clone(), task)).is_none(), "an id on two runners");
        }
    }
    Ok(all)
}

/// Returns requests that give each of them so many tasks; `round` makes the ids new.
fn orders(
    ratatoskrs: &[Supervised],
    round: usize,
    metadata: impl Fn(usize) -> Value,
) -> Vec<(String, Value)> {
    let order = |number: usize| {
        let runner = ratatoskrs[number % RATATOSKRS].id();
        let id = format!("t-{round}-{number}");
        let body = json!({"taskId": id, "type": "sleep", "metadata": metadata(number)});
        (format!("/runners/{runner}/tasks"), body)
    };
    (0..TASKS).map(order).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_task_is_lost_none_doubled_and_every_update_arrives() {
    let test = "no_task_is_lost_none_doubled_and_every_update_arrives";
    let Some(mut world) = coordinator(test, &["--lease-ttl-ms", "20000"]).await else { return };
    let journal = Arc::<Journal>::default();
    let ratatoskrs = hundred(&world, &journal).await;
    let gate = world.text_path("go");

    // Killed while tasks are given and read from the lists, while updates are asked for that wait
    // for the tasks, and while everything runs.
    let given = orders(&ratatoskrs, 0, |_| json!({"until": gate}));
    send_and_kill(&mut world, given, &[20, 130, 280]).await;
    until("every task is started", LONG, async || {
        (journal.book().started.len() == TASKS).then_some(())
    })
    .await;
    let update = json!({"version": "9.9.9", "command": "true"});
    let path = |one: &Supervised| format!("/runners/{}/request-update", one.id());
    let updates = ratatoskrs.iter().map(|one| (path(one), update.clone())).collect();
    send_and_kill(&mut world, updates, &[10, 60]).await;
    world.kill(COORDINATOR);
    world.start(COORDINATOR).await.unwrap();
    assert_eq!(journal.book().reported.len(), 0, "nothing may end before the gate is open");

    world.write("go", "");
    until("every result is told", LONG, async || {
        (journal.book().reported.len() == TASKS).then_some(())
    })
    .await;
    // Killed again while the updates are applied and the new versions register.
    world.kill(COORDINATOR);
    world.start(COORDINATOR).await.unwrap();
    let asked = world.ygg();
    until_seldom("each has its update, and nothing is pending", LONG, async || {
        let runners = runners(&asked).await.ok()?;
        let is_new = |one: &Supervised| {
            runners.get(&one.id()).is_some_and(|runner| runner["version"] == "9.9.9")
        };
        if !ratatoskrs.iter().all(is_new) {
            return None;
        }
        for id in runners.keys() {
            let shown: Value = asked.json(&format!("/api/runners/{id}")).await.ok()?;
            if shown.get("pendingUpdate").is_some() {
                return None;
            }
        }
        Some(())
    })
    .await;

    let tasks = all_tasks(&asked).await.unwrap();
    let book = journal.read();
    assert_eq!((tasks.len(), book.started.len()), (TASKS, TASKS));
    assert!(book.doubled().is_empty(), "done twice: {:?}", book.doubled());
    let unfinished = tasks.iter().find(|(_, (_, task))| task["status"] != "completed");
    assert!(unfinished.is_none(), "{unfinished:?}");
    assert!(book.crashed.is_empty(), "{:?}", book.crashed);
    let lives: Vec<usize> = ratatoskrs.iter().map(|one| one.ids().len()).collect();
    assert!(lives.iter().all(|lives| *lives == 2), "updated more than once: {lives:?}");
}

/// Waits until each is online; one that died is back under another id.
async fn all_are_back(world: &World, ratatoskrs: &[Supervised]) {
    let asked = world.ygg();
    until("each is online", LONG, async || {
        let runners = runners(&asked).await.ok()?;
        let is_back = |one: &Supervised| {
            runners.get(&one.id()).is_some_and(|runner| runner["status"] == "online")
        };
        ratatoskrs.iter().all(is_back).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_while_the_coordinator_is_dead_is_told_truthfully() {
    let test = "what_ends_while_the_coordinator_is_dead_is_told_truthfully";
    let Some(mut world) = coordinator(test, &["--lease-ttl-ms", "6000"]).await else { return };
    let journal = Arc::<Journal>::default();
    let ratatoskrs = hundred(&world, &journal).await;

    for round in 0..KILLS {
        all_are_back(&world, &ratatoskrs).await;
        let told = journal.book().reported.len();
        let given = orders(&ratatoskrs, round, |number| json!({"ms": 500 + number * 37 % 2000}));
        send_and_kill(&mut world, given, &[]).await;
        until("some results are told", LONG, async || {
            (journal.book().reported.len() >= told + 20).then_some(())
        })
        .await;
        let dead = journal.book().crashed.len();
        world.kill(COORDINATOR);
        // One that cannot tell a result twice in a row dies of it.
        until("a Ratatoskr has died", LONG, async || {
            (journal.book().crashed.len() > dead).then_some(())
        })
        .await;
        world.start(COORDINATOR).await.unwrap();
    }
    all_are_back(&world, &ratatoskrs).await;
    let asked = world.ygg();
    let tasks = until_seldom("every task is over", LONG, async || {
        let tasks = all_tasks(&asked).await.ok()?;
        let is_over = |(_, task): &(String, Value)| task["status"] != "running";
        tasks.values().all(is_over).then_some(tasks)
    })
    .await;

    let book = journal.read();
    assert_eq!(tasks.len(), KILLS * TASKS, "a task that was taken is gone");
    assert!(book.doubled().is_empty(), "done twice: {:?}", book.doubled());
    assert!(book.crashed.len() >= KILLS, "{:?}", book.crashed);
    let mut lost = 0;
    for (id, (runner, task)) in &tasks {
        match task["status"].as_str() {
            Some("completed") => assert_eq!(book.started[id], std::slice::from_ref(runner)),
            Some("failed") => {
                let error = task["metadata"]["error"].as_str().unwrap_or_default();
                let was_told = book.reported.get(id).is_some_and(|status| status == "failed");
                let died = book.crashed.contains_key(runner);
                assert!(was_told || died && error.starts_with("the runner was"), "{task}");
                lost += 1;
            }
            other => panic!("{id} is {other:?}"),
        }
        if book.reported.get(id).is_some_and(|status| status == "completed") {
            assert_eq!(task["status"], "completed", "a result that was taken is gone: {task}");
        }
    }
    crate::note(&format!(
        "{} of them died, {lost} of {} tasks have failed",
        book.crashed.len(),
        tasks.len()
    ));
}
