//! A real hour between real processes, at the real pace.

use std::path::Path;
use std::time::{Duration, Instant};

use e2e::child::{Daemon, Spec};
use e2e::world::{COORDINATOR, LONG};
use e2e::{World, programs, suite, sweep, until};
use serde_json::{Value, json};

use crate::{coordinator, insist, online, runners};

const HOUR: Duration = Duration::from_hours(1);
const RATATOSKRS: usize = 5;
/// Between two tasks, in turn for each of them.
const TASK: Duration = Duration::from_secs(20);
/// When the coordinator is killed.
const KILLS: [Duration; 2] = [Duration::from_mins(17), Duration::from_mins(41)];
/// When each is asked to update itself.
const UPDATE: Duration = Duration::from_mins(29);

/// A Ratatoskr as a process; nothing listens on its port.
fn process(world: &World, number: usize, version: &str) -> Daemon {
    let name = format!("ratatoskr-{number}");
    let journal = world.path(&format!("{name}.journal"));
    let env = [
        ("PATH", programs::path()),
        (sweep::MARK, world.folder().into()),
        ("YGGDRASIL_URL", world.ygg().url().into()),
        ("RUNNER_NAME", name.clone().into()),
        ("RATATOSKR_VERSION", version.into()),
        ("RATATOSKR_JOURNAL", journal.into()),
    ];
    let spec = Spec {
        program: programs::ours("ratatoskr"),
        args: Vec::new(),
        env: env.into_iter().map(|(key, value)| (key.into(), value)).collect(),
        cwd: world.folder().to_owned(),
        output: world.path(&format!("logs/{name}.out")),
    };
    Daemon::new(name, 0, spec)
}

/// Returns the id of the runner of this name that is online. After an update the life before is
/// still believed in until its lease is over; the newer one is listed later.
async fn id_of(world: &World, name: &str) -> String {
    let asked = world.ygg();
    until(&format!("{name} is online"), LONG, async || {
        let list: Value = asked.json("/api/runners").await.ok()?;
        let runners = list["runners"].as_array()?;
        let newest = runners
            .iter()
            .rfind(|runner| runner["name"] == name && runner["status"] == "online")?;
        newest["runnerId"].as_str().map(str::to_owned)
    })
    .await
}

fn lines(journal: &Path, start: &str) -> Vec<String> {
    let text = std::fs::read_to_string(journal).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix(start)).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_between_processes_loses_nobody_and_nothing() {
    let test = "an_hour_between_processes_loses_nobody_and_nothing";
    if !programs::full() {
        suite::skipped(test, "it takes an hour; YGG_FULL=1 runs it");
        return;
    }
    let Some(mut world) = coordinator(test, &[]).await else { return };
    let mut all: Vec<Daemon> = (0..RATATOSKRS).map(|n| process(&world, n, "0.3.8")).collect();
    for one in &mut all {
        one.spawn().unwrap();
    }
    online(&world, RATATOSKRS).await;
    let start = Instant::now();
    let (mut kills, mut updated, mut given) = (0, false, 0_usize);
    let mut settled_since = Instant::now();

    while start.elapsed() < HOUR {
        let name = format!("ratatoskr-{}", given % RATATOSKRS);
        let id = id_of(&world, &name).await;
        let body = json!({"taskId": format!("t-{given}"), "type": "exec", "metadata": {"command": "sleep 6; echo done"}});
        insist(&world.ygg(), &format!("/runners/{id}/tasks"), &body).await;
        given += 1;
        let next = Instant::now() + TASK;
        until("the next task is due", TASK * 2, async || (Instant::now() >= next).then_some(()))
            .await;
        if kills < KILLS.len() && start.elapsed() >= KILLS[kills] {
            // Not while a result is about to be told: that would end a Ratatoskr.
            idle(&world, given).await;
            world.kill(COORDINATOR);
            world.start(COORDINATOR).await.unwrap();
            kills += 1;
            settled_since = Instant::now();
        }
        if !updated && start.elapsed() >= UPDATE {
            update(&world, &mut all).await;
            updated = true;
            settled_since = Instant::now();
        }
        if settled_since.elapsed() > Duration::from_secs(90) {
            online(&world, RATATOSKRS).await;
        }
    }
    idle(&world, given).await;

    assert_eq!((kills, updated), (KILLS.len(), true));
    let (mut started, mut ended) = (Vec::new(), Vec::new());
    for one in &mut all {
        assert!(one.is_running(), "{} has died: {}", one.name(), one.output());
        let journal = world.path(&format!("{}.journal", one.name()));
        started.extend(lines(&journal, "start "));
        ended.extend(lines(&journal, "end "));
    }
    let mut once = started.clone();
    once.sort();
    once.dedup();
    assert_eq!((started.len(), once.len(), ended.len()), (given, given, given), "{ended:?}");
    assert!(ended.iter().all(|line| line.ends_with(" completed")), "{ended:?}");
}

/// Waits until every task that was given is over.
async fn idle(world: &World, given: usize) {
    let asked = world.ygg();
    until("every task is over", LONG, async || {
        let runners = runners(&asked).await.ok()?;
        let tasks = runners.values().filter_map(|runner| runner["tasks"].as_array()).flatten();
        let over = tasks.filter(|task| task["status"] != "running").count();
        (over == given).then_some(())
    })
    .await;
}

/// Updates each: its process ends by itself and is started again with the new version.
async fn update(world: &World, all: &mut [Daemon]) {
    let asked = world.ygg();
    for (number, one) in all.iter_mut().enumerate() {
        let id = id_of(world, one.name()).await;
        let body = json!({"version": "0.4.0", "command": "true"});
        insist(&asked, &format!("/runners/{id}/request-update"), &body).await;
        assert!(one.ends(LONG).await.success());
        *one = process(world, number, "0.4.0");
        one.spawn().unwrap();
        until("the new version is there", LONG, async || {
            let runners = runners(&asked).await.ok()?;
            let is_new =
                |runner: &Value| runner["name"] == one.name() && runner["version"] == "0.4.0";
            runners.values().any(is_new).then_some(())
        })
        .await;
    }
}
