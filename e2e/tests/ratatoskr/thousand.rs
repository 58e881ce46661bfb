//! A thousand Ratatoskrs at once, at their real pace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::ratatoskr::{Journal, Ratatoskr, Settings};
use e2e::world::{COORDINATOR, LONG};
use e2e::{until, until_seldom};
use futures::StreamExt as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;

use crate::{coordinator, insist, runners, target};

const RATATOSKRS: usize = 1000;
/// Enough for two connections of each, and for everything else.
const FILES: u64 = 4096;
/// Between the starts of two.
const BETWEEN: Duration = Duration::from_millis(10);
/// How long they are watched.
const WATCHED: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_register_beat_and_do_a_task_each() {
    let test = "a_thousand_register_beat_and_do_a_task_each";
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < FILES {
        e2e::suite::skipped(test, &format!("only {hard} files may be open at a time"));
        return;
    }
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(FILES), hard).unwrap();
    let Some(mut world) = coordinator(test, &[]).await else { return };
    // As quiet as it is out there.
    world.daemon(COORDINATOR).spec_mut().env.insert("LOG_LEVEL".into(), "info".into());
    world.kill(COORDINATOR);
    world.start(COORDINATOR).await.unwrap();
    let asked = world.ygg();
    let pid = world.daemon(COORDINATOR).pid().unwrap().as_raw();
    let before = crate::memory(&pid.to_string());
    let journal = Arc::<Journal>::default();
    let target = target(&world);

    let mut all = Vec::new();
    for number in 0..RATATOSKRS {
        all.push(Ratatoskr::start(Settings::named(format!("r{number}")), &target, &journal));
        // A fleet does not beat in step.
        tokio::time::sleep(BETWEEN).await;
    }
    until_seldom("all are registered", LONG, async || {
        (runners(&asked).await.ok()?.len() == RATATOSKRS).then_some(())
    })
    .await;
    futures::stream::iter(&all)
        .for_each_concurrent(16, async |one| {
            let body = json!({"taskId": format!("t-{}", one.id()), "type": "echo"});
            insist(&asked, &format!("/runners/{}/tasks", one.id()), &body).await;
        })
        .await;
    until("each has done its task", LONG, async || {
        (journal.book().reported.len() == RATATOSKRS).then_some(())
    })
    .await;
    let (clock, used) = (Instant::now(), cpu(pid));
    let (beats, failures) = {
        let book = journal.book();
        (book.heartbeats, book.failures)
    };
    crate::note(&format!(
        "{failures} requests of the first rush failed: {}",
        journal.book().last_failure
    ));
    until("they beat for a while", LONG, async || (clock.elapsed() > WATCHED).then_some(())).await;
    let share = cpu(pid).saturating_sub(used).as_secs_f64() / clock.elapsed().as_secs_f64() * 100.0;
    let beats = journal.book().heartbeats - beats;
    let each = (crate::memory(&pid.to_string()) - before) / RATATOSKRS as u64;

    println!(
        "noted: {beats} heartbeats in {WATCHED:?}, {share:.1} % of a processor, {each} bytes of memory per runner"
    );
    let runners = runners(&asked).await.unwrap();
    let online = runners.values().filter(|runner| runner["status"] == "online").count();
    let done =
        runners.values().filter(|runner| runner["tasks"][0]["status"] == "completed").count();
    assert_eq!((online, done), (RATATOSKRS, RATATOSKRS));
    let book = journal.read();
    assert!(book.doubled().is_empty());
    assert_eq!((book.failures - failures, book.crashed.len()), (0, 0), "{}", book.last_failure);
    assert!(beats >= RATATOSKRS as u64, "two heartbeats of each are due: {beats}");
    assert!(each < 50_000, "{each} bytes of memory per runner");
}

/// Returns the processor time that a process has used.
fn cpu(pid: i32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name is in brackets and may hold anything; the state follows the last of them.
    let rest = stat.rsplit_once(')').unwrap().1;
    let ticks = |at: usize| rest.split_whitespace().nth(at).unwrap().parse::<u64>().unwrap();
    // A tick is a hundredth of a second on every Linux that we run on.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
