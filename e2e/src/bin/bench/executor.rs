//! What one executor does alone, and how quickly each program is there.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use e2e::cli::BeadsCli;
use e2e::world::COORDINATOR;
use e2e::{World, until};
use futures::future::join_all;
use serde_json::json;

use crate::{Line, mb, memory_of, ms, percentiles};

/// How many times each program is started.
const STARTS: usize = 11;

/// From the start of each program to its first good answer.
pub(crate) async fn starts(cli: &BeadsCli) -> anyhow::Result<Vec<Line>> {
    let mut world = World::on(cli).await?;
    for name in ["fenrir", "surtr", "huginn"] {
        world.executor(name, &format!("{name}-executor"), &[]).await?;
    }
    world.routing.default_to("huginn");
    world.coordinator(&[]).await?;

    let mut lines = Vec::new();
    for name in [COORDINATOR, "fenrir", "surtr", "huginn"] {
        let mut times = Vec::new();
        for _ in 0..STARTS {
            world.daemon(name).terminate();
            world.daemon(name).ends(Duration::from_secs(30)).await;
            let asked = world.ask(name);
            let start = Instant::now();
            world.daemon(name).spawn()?;
            while !asked.is_up().await {
                ensure!(start.elapsed() < Duration::from_secs(30), "{name} does not answer");
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
            times.push(start.elapsed());
        }
        let (median, _) = percentiles(times);
        let is_good = median < Duration::from_millis(20);
        lines.push(
            Line::new(format!("start to healthy: {name}"), ms(median)).goal("< 20 ms", is_good),
        );
    }
    Ok(lines)
}

/// Synchronous no-ops per second, with sixteen clients.
pub(crate) async fn no_ops(cli: &BeadsCli) -> anyhow::Result<Line> {
    const CLIENTS: usize = 16;
    const LAST: Duration = Duration::from_secs(4);
    let mut world = World::on(cli).await?;
    world.executor("one", "test-executor", &["--capacity", "64"]).await?;
    let asked = world.ask("one");
    let order = json!({"task_id": "bench", "type": "echo", "params": {"text": "hi"}});
    let start = Instant::now();
    let clients = (0..CLIENTS).map(|_| async {
        let mut count = 0_u32;
        while start.elapsed() < LAST {
            let (status, body) = asked.post("/execute", &order).await?;
            ensure!(status.is_success(), "{status}: {body}");
            count += 1;
        }
        anyhow::Ok(count)
    });
    let mut total = 0;
    for count in join_all(clients).await {
        total += count?;
    }
    let rate = f64::from(total) / start.elapsed().as_secs_f64();
    Ok(Line::new(format!("sync /execute of a no-op, {CLIENTS} clients"), format!("{rate:.0} /s")))
}

/// Memory of an idle executor, and what a task that prints 50 MB adds.
pub(crate) async fn memory(cli: &BeadsCli) -> anyhow::Result<Vec<Line>> {
    let mut world = World::on(cli).await?;
    let mut lines = Vec::new();
    for name in ["fenrir", "surtr", "huginn"] {
        world.executor(name, &format!("{name}-executor"), &[]).await?;
        let pid = world.daemon(name).pid().context("it runs")?;
        let (idle, _) = memory_of(pid)?;
        let line = Line::new(format!("memory, idle: {name}"), mb(idle));
        lines.push(line.goal("< 12 MB", idle < 12_000_000));
    }

    world.executor("one", "test-executor", &[]).await?;
    let asked = world.ask("one");
    let pid = world.daemon("one").pid().context("it runs")?;
    // Once before, so that only the flood is measured and not the first task of a process.
    let small = json!({"task_id": "bench", "type": "flood", "params": {"bytes": 1000}});
    asked.post("/execute", &small).await?;
    let (before, _) = memory_of(pid)?;
    let flood = json!({"task_id": "bench", "type": "flood", "params": {"bytes": 50_000_000}});
    let mut highest = before;
    let done = asked.post("/execute", &flood);
    let watch = until("the end", Duration::from_mins(10), async || {
        highest = memory_of(pid).map_or(highest, |(now, _)| highest.max(now));
        None::<()>
    });
    tokio::select! {
        answer = done => {
            let (status, outcome) = answer?;
            ensure!(status.is_success() && outcome["status"] == "completed", "{outcome}");
        }
        () = watch => {}
    }
    let more = highest.saturating_sub(before);
    lines.push(
        Line::new("memory, more while a task prints 50 MB", mb(more))
            .goal("< 5 MB", more < 5_000_000),
    );
    Ok(lines)
}
