//! The runner API with very many runners, beside an Express app that answers the same from memory.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use e2e::child::{Daemon, Spec};
use e2e::cli::BeadsCli;
use e2e::world::{COORDINATOR, LONG};
use e2e::{NewBead, World, ports, programs, until};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::load::{Measured, Ready, flat_out, once, paced, request};
use crate::{Line, cpu_of, mb, memory_of, ms, plot};

const CONNECTIONS: usize = 32;
const RUNNERS: usize = 1000;
/// How long each round of a comparison lasts, and how many there are of each side.
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;
/// How much faster than the yardstick the coordinator is to be.
const TIMES: f64 = 5.0;

/// A coordinator that logs as it does by default.
async fn coordinator(cli: &BeadsCli) -> anyhow::Result<World> {
    let mut world = World::on(cli).await?;
    world.prepare_coordinator(&[])?;
    quiet(&mut world);
    world.start(COORDINATOR).await?;
    Ok(world)
}

fn quiet(world: &mut World) {
    world.daemon(COORDINATOR).spec_mut().env.insert("LOG_LEVEL".into(), "info".into());
}

fn resources(number: usize) -> Value {
    json!({
        "cpu": {"load1": 1.74, "load5": 3.22, "load15": 2.93, "cpus": 2, "percent": number % 100},
        "memory": {"total": 25_276_502_016_u64, "used": 615_378_944, "free": 24_661_123_072_u64, "percent": 2.43},
        "uptime": 2740 + number,
    })
}

fn registration(number: usize) -> Ready {
    let body = json!({
        "runnerId": format!("runner-{number:08}"),
        "name": format!("peer-runner-{number}"),
        "endpoint": "http://192.0.2.2:8080",
        "version": "0.3.8",
        "capabilities": ["http", "health"],
        "resources": resources(number),
    });
    request("POST", "/runners/register", Some(&body))
}

fn heartbeats(count: usize) -> Vec<Ready> {
    let beat = |number: usize| {
        let body = json!({
            "runnerId": format!("runner-{number:08}"),
            "timestamp": 1_795_221_695,
            "status": "healthy",
            "resources": resources(number),
        });
        request("POST", "/runners/heartbeat", Some(&body))
    };
    (0..count).map(beat).collect()
}

async fn register(port: u16, from: usize, to: usize) -> anyhow::Result<()> {
    send(port, (from..to).map(registration).collect()).await
}

async fn send(port: u16, requests: Vec<Ready>) -> anyhow::Result<()> {
    let measured = once(port, CONNECTIONS, requests).await?;
    ensure!(measured.refused == 0, "{} requests were refused", measured.refused);
    Ok(())
}

/// The yardstick, running; or why it cannot.
async fn yardstick(world: &World) -> anyhow::Result<Result<Daemon, String>> {
    let Some(node) = programs::find("node") else { return Ok(Err("no node on PATH".to_owned())) };
    let app = programs::tool("yardstick/server.js");
    let (Some(app), Some(_)) = (app, programs::tool("yardstick/node_modules/express")) else {
        return Ok(Err("scripts/get-yardstick.sh has not installed it".to_owned()));
    };
    let port = ports::free();
    let env = [
        ("PATH".into(), programs::path()),
        ("PORT".into(), port.to_string().into()),
        ("NODE_ENV".into(), "production".into()),
    ];
    let spec = Spec {
        program: node,
        args: vec![app.into()],
        env: env.into(),
        cwd: world.folder().to_owned(),
        output: world.path("logs/yardstick.out"),
    };
    let mut daemon = Daemon::new("yardstick", port, spec);
    daemon.spawn()?;
    let asked = e2e::http::Asked::new(world.client(), daemon.url());
    until("the yardstick answers", LONG, async || asked.is_up().await.then_some(())).await;
    Ok(Ok(daemon))
}

/// Heartbeats in a second, and lists in a second, with a thousand runners.
pub(crate) async fn compared(cli: &BeadsCli) -> anyhow::Result<Vec<Line>> {
    let world = coordinator(cli).await?;
    let port = world.port(COORDINATOR);
    register(port, 0, RUNNERS).await?;
    let other = yardstick(&world).await?;
    if let Ok(other) = &other {
        register(other.port(), 0, RUNNERS).await?;
    }
    let list = [request("GET", "/api/runners", None)];
    let beats = heartbeats(RUNNERS);
    let mut lines = Vec::new();
    for (what, connections, requests) in [
        (format!("heartbeats, {RUNNERS} runners, {CONNECTIONS} connections"), CONNECTIONS, &*beats),
        (format!("list of {RUNNERS} runners, 4 connections"), 4, &list),
    ] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(round(port, connections, requests).await?);
            if let Ok(other) = &other {
                theirs.push(round(other.port(), connections, requests).await?);
            }
        }
        let (rate, times) = median(&ours);
        let value = format!("{rate:.0} /s, p50 {}, p99 {}", ms(times.0), ms(times.1));
        let line = Line::new(what.clone(), value);
        match &other {
            Ok(_) => {
                let (base, times) = median(&theirs);
                let factor = rate / base;
                let value = format!("{base:.0} /s, p50 {}, p99 {}", ms(times.0), ms(times.1));
                lines.push(
                    line.goal(&format!(">= {TIMES} times Express: {factor:.1}"), factor >= TIMES),
                );
                lines.push(Line::new(format!("{what}: Express 4"), value));
            }
            Err(why) => {
                crate::say(&format!("skipped: the yardstick: {why}"));
                lines.push(line);
            }
        }
    }
    Ok(lines)
}

async fn round(port: u16, connections: usize, requests: &[Ready]) -> anyhow::Result<Measured> {
    let measured = flat_out(port, connections, requests, ROUND).await?;
    ensure!(measured.refused == 0, "{} requests were refused", measured.refused);
    Ok(measured)
}

/// Returns the rate of the middle round, with its median time and its 99th percentile.
fn median(rounds: &[Measured]) -> (f64, (Duration, Duration)) {
    let mut rounds: Vec<&Measured> = rounds.iter().collect();
    rounds.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
    let middle = rounds[rounds.len() / 2];
    (middle.rate(), (middle.within(50.0), middle.within(99.0)))
}

/// How long a heartbeat takes when a thousand runners send four a minute each, while beads are
/// worked through.
pub(crate) async fn beside_beads(cli: &BeadsCli, beads: usize) -> anyhow::Result<Line> {
    let mut world = World::on(cli).await?;
    world.executor("one", "test-executor", &[]).await?;
    world.routing.default_to("one");
    for number in 0..beads {
        let bead = NewBead::task("echo", json!({"text": "hi"})).named(format!("bead {number}"));
        world.beads.create(&bead).await?;
    }
    world.prepare_coordinator(&[])?;
    quiet(&mut world);
    world.start(COORDINATOR).await?;
    let port = world.port(COORDINATOR);
    register(port, 0, RUNNERS).await?;

    let per_second = 4.0 * 1000.0 / 60.0;
    let over = CancellationToken::new();
    let ygg = world.ygg();
    let settled = async {
        until("every bead is settled", Duration::from_mins(20), async || {
            let plan = ygg.plan().await.ok()?;
            (plan.listed.is_some() && plan.beads.is_empty() && plan.attempts.is_empty())
                .then_some(())
        })
        .await;
        over.cancel();
    };
    let requests = heartbeats(RUNNERS);
    let (measured, ()) = tokio::join!(paced(port, 64, &requests, per_second, &over), settled);
    let measured = measured?;
    ensure!(measured.refused == 0, "{} heartbeats were refused", measured.refused);
    let p99 = measured.within(99.0);
    let value = format!(
        "p50 {}, p99 {} of {} in {:.0} s",
        ms(measured.within(50.0)),
        ms(p99),
        measured.times.len(),
        measured.took.as_secs_f64()
    );
    let what = format!("a heartbeat, {RUNNERS} runners x 4 a minute, beside {beads} beads");
    Ok(Line::new(what, value).goal("p99 < 5 ms", p99 < Duration::from_millis(5)))
}

/// What runners cost, from ten to ten thousand, and how soon the coordinator is there again with
/// all of them.
pub(crate) async fn many(cli: &BeadsCli) -> anyhow::Result<Vec<Line>> {
    let mut world = coordinator(cli).await?;
    let port = world.port(COORDINATOR);
    let pid = world.daemon(COORDINATOR).pid().context("it runs")?;
    let (empty, _) = memory_of(pid)?;
    let mut lines = Vec::new();
    let (mut costs, mut lists, mut memories) = (Vec::new(), Vec::new(), Vec::new());
    let mut known = 0;
    for count in [10, 100, 1000, 10_000] {
        register(port, known, count).await?;
        known = count;
        let before = cpu_of(pid)?;
        let measured = round(port, CONNECTIONS, &heartbeats(count)).await?;
        let used = cpu_of(pid)?.saturating_sub(before);
        let cost = used / u32::try_from(measured.times.len())?;
        let list = [request("GET", "/api/runners", None)];
        let listed = flat_out(port, 1, &list, Duration::from_secs(2)).await?;
        let scrape = [request("GET", "/metrics", None)];
        let scraped = flat_out(port, 1, &scrape, Duration::from_secs(2)).await?;
        let (memory, _) = memory_of(pid)?;
        let line = Line::new(
            format!("{count} runners"),
            format!(
                "{:.0} heartbeats/s at {:.0} µs of processor each, list in {}, /metrics in {}, {}",
                measured.rate(),
                cost.as_secs_f64() * 1e6,
                ms(listed.within(50.0)),
                ms(scraped.within(50.0)),
                mb(memory)
            ),
        );
        lines.push(line);
        costs.push((count, cost.as_secs_f64() * 1e6));
        lists.push((count, listed.within(50.0).as_secs_f64() * 1e3));
        memories.push((count, f64::from(u32::try_from(memory / 1000)?) / 1e3));
        if count == RUNNERS {
            let each = memory.saturating_sub(empty) / RUNNERS as u64;
            let value = format!("{each} bytes");
            lines.push(Line::new(format!("memory per runner, {RUNNERS} of them"), value));
        }
    }
    crate::say(&plot::bars("processor time per heartbeat", "µs", &costs));
    crate::say(&plot::bars("list of all runners", "ms", &lists));
    crate::say(&plot::bars("memory of the coordinator", "MB", &memories));
    lines.push(restart(&mut world, known).await?);
    Ok(lines)
}

/// From `kill -9` with so many runners, each with a task that ended, to a good answer.
async fn restart(world: &mut World, runners: usize) -> anyhow::Result<Line> {
    let port = world.port(COORDINATOR);
    let id = |number: usize| format!("/runners/runner-{number:08}/tasks");
    let task = json!({"taskId": "t-1", "type": "echo", "metadata": {"a": "task"}});
    let given = (0..runners).map(|number| request("POST", &id(number), Some(&task)));
    send(port, given.collect()).await?;
    let done = json!({"status": "completed", "metadata": {"stdout": "done\n", "exitCode": 0}});
    let told =
        (0..runners).map(|number| request("PATCH", &format!("{}/t-1", id(number)), Some(&done)));
    send(port, told.collect()).await?;
    let mut times = Vec::new();
    for _ in 0..5 {
        world.kill(COORDINATOR);
        let asked = world.ygg();
        let start = Instant::now();
        world.daemon(COORDINATOR).spawn()?;
        while !asked.is_up().await {
            ensure!(start.elapsed() < LONG, "the coordinator does not answer");
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        times.push(start.elapsed());
    }
    let health: Value = world.ygg().json("/health").await?;
    ensure!(health["runners"]["total"] == runners, "{}", health["runners"]);
    let (median, _) = crate::percentiles(times);
    let what = format!("restart to healthy with {runners} runners and as many tasks");
    Ok(Line::new(what, ms(median)).goal("< 1 s", median < Duration::from_secs(1)))
}
