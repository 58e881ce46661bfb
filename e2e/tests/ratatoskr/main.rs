//! Ratatoskrs, simulated with their habits, against the coordinator: one, a hundred while the
//! coordinator is killed, a thousand, an hour, and beads that end up on them.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

mod fleet;
mod hour;
mod kills;
mod lives;
mod thousand;

use std::collections::BTreeMap;

use e2e::cli::BeadsCli;
use e2e::http::Asked;
use e2e::ratatoskr::Target;
use e2e::world::LONG;
use e2e::{World, suite, until};
use serde_json::Value;

/// Makes a homelab with a coordinator on whichever Beads CLI is there, or says why it cannot.
async fn coordinator(test: &str, args: &[&str]) -> Option<World> {
    let (found, missing): (Vec<_>, Vec<_>) =
        BeadsCli::all().await.into_iter().partition(Result::is_ok);
    // The last is the quickest; nothing here depends on which it is.
    let Some(cli) = found.into_iter().filter_map(Result::ok).next_back() else {
        let why: Vec<String> = missing.into_iter().filter_map(Result::err).collect();
        suite::skipped(test, &format!("no Beads CLI was found {}", why.join("; ")));
        return None;
    };
    let mut world = World::on(&cli).await.unwrap();
    world.coordinator(args).await.unwrap();
    Some(world)
}

/// Where the coordinator of a homelab is.
fn target(world: &World) -> Target {
    Target::Url(world.ygg().url().to_owned())
}

/// Returns all runners, by id.
async fn runners(asked: &Asked) -> anyhow::Result<BTreeMap<String, Value>> {
    let list: Value = asked.json("/api/runners").await?;
    let runners = list["runners"].as_array().cloned().unwrap_or_default();
    assert_eq!(list["count"], runners.len());
    let id = |runner: &Value| runner["runnerId"].as_str().unwrap_or_default().to_owned();
    Ok(runners.into_iter().map(|runner| (id(&runner), runner)).collect())
}

/// Waits until this many runners are online.
async fn online(world: &World, count: usize) {
    let asked = world.ygg();
    until(&format!("{count} runners are online"), LONG, async || {
        let runners = runners(&asked).await.ok()?;
        let online = runners.values().filter(|runner| runner["status"] == "online").count();
        (online == count).then_some(())
    })
    .await;
}

/// Sends a request until the coordinator has answered it: 2xx, or 409 for what it has already.
///
/// It may be killed at any moment; whoever gives tasks tries again then.
async fn insist(asked: &Asked, path: &str, body: &Value) {
    let mut last = String::new();
    let what = format!("POST {path} is taken");
    let taken = until(&what, LONG, async || match asked.post(path, body).await {
        Ok((status, _)) if status.is_success() || status == 409 => Some(()),
        Ok((status, answer)) => {
            last = format!("{status}: {answer}");
            // Refused for good: waiting longer would only hide it.
            assert!(status.is_server_error() || status == 429, "POST {path}: {last}");
            None
        }
        Err(_) => None,
    });
    taken.await;
}

/// Returns a runner's tasks by id.
async fn tasks(asked: &Asked, runner: &str) -> BTreeMap<String, Value> {
    let list: Value = asked.json(&format!("/runners/{runner}/tasks")).await.unwrap();
    assert_eq!(list["runnerId"], runner);
    let tasks = list["tasks"].as_array().cloned().unwrap_or_default();
    let id = |task: &Value| task["taskId"].as_str().unwrap_or_default().to_owned();
    tasks.into_iter().map(|task| (id(&task), task)).collect()
}

/// Waits until a task is over, and returns it.
async fn over(asked: &Asked, runner: &str, task: &str) -> Value {
    until(&format!("{task} is over"), LONG, async || {
        let mut tasks = tasks(asked, runner).await;
        tasks.remove(task).filter(|task| task["status"] != "running")
    })
    .await
}

/// Says a figure that is worth knowing and proves nothing.
#[expect(clippy::print_stderr, reason = "`--show-output` shows it")]
fn note(text: &str) {
    eprintln!("noted: {text}");
}

/// Returns the resident memory of a process, in bytes.
fn memory(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}
