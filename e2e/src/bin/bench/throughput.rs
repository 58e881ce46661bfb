//! Beads per minute through the whole loop, and the coordinator's memory.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use e2e::cli::{BeadsCli, Kind};
use e2e::world::COORDINATOR;
use e2e::{NewBead, World, until};
use jiff::Timestamp;
use serde_json::json;

use crate::{Line, mb, memory_of};

/// Beads older than ten seconds need no second look after the claim.
const OLD: Duration = Duration::from_secs(11);

/// How many beads a minute go through the loop, against as many claims and closes by hand: half
/// of those before the loop and half after, since a store gets slower as it grows.
pub(crate) async fn beads_per_minute(cli: &BeadsCli, beads: usize) -> anyhow::Result<Vec<Line>> {
    let mut world = World::on(cli).await?;
    let (mut ids, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..beads {
        let bead = NewBead::task("echo", json!({"text": "hi"})).named(format!("bead {number}"));
        ids.push(world.beads.create(&bead).await?);
        let half = if number % 2 == 0 { &mut before } else { &mut after };
        half.push(world.beads.create(&NewBead::titled(format!("by hand {number}"))).await?);
    }
    world.executor("one", "test-executor", &[]).await?;
    world.routing.default_to("one");
    tokio::time::sleep(OLD).await;

    let mut by_hand = by_hand(&world, &before).await?;
    world.coordinator(&[]).await?;
    until("every bead is settled", Duration::from_mins(20), async || {
        let health = world.ygg().plan().await.ok()?;
        let done = health.listed.is_some() && health.beads.is_empty() && health.attempts.is_empty();
        done.then_some(())
    })
    .await;
    let commands = commands(&world).await?;
    let by_loop = from_first_to_last(&world, &ids).await?;
    world.daemon(COORDINATOR).terminate();
    world.daemon(COORDINATOR).ends(Duration::from_secs(30)).await;
    by_hand += self::by_hand(&world, &after).await?;
    let all = world.beads.all().await?;
    let closed = all.values().filter(|bead| bead.status == "closed").count();
    ensure!(closed == 2 * beads, "{closed} of {} beads are closed", 2 * beads);

    let count = f64::from(u32::try_from(beads)?);
    let (raw, ours) = (count * 60.0 / by_hand.as_secs_f64(), count * 60.0 / by_loop.as_secs_f64());
    let share = ours / raw * 100.0;
    let name = &cli.name;
    Ok(vec![
        Line::new(format!("{name}: claim + close by hand"), format!("{raw:.0} beads/min")),
        Line::new(
            format!("{name}: through the loop"),
            format!("{ours:.0} beads/min, {share:.0} %"),
        )
        .goal(">= 90 %", share >= 90.0),
        Line::new(format!("{name}: commands of the loop"), commands),
    ])
}

/// What the coordinator asked of the Beads CLI, and how long that took in all.
async fn commands(world: &World) -> anyhow::Result<String> {
    const FAMILY: &str = "yggdrasil_beads_command_seconds";
    let page = world.ygg().get("/metrics").await?.text().await?;
    let each = |what: &str| {
        let start = format!("{FAMILY}_{what}{{command=\"");
        let found = page.lines().filter_map(move |line| {
            let (command, value) = line.strip_prefix(&start)?.split_once("\"} ")?;
            Some((command.to_owned(), value.parse::<f64>().ok()?))
        });
        found.collect::<Vec<_>>()
    };
    let seconds = each("sum");
    let texts = each("count")
        .into_iter()
        .zip(seconds)
        .map(|((command, count), (_, took))| format!("{count:.0} {command} ({took:.1} s)"));
    Ok(texts.collect::<Vec<_>>().join(", "))
}

/// From the first attempt's record to the last one's settling, by the ledger: without the
/// coordinator's start.
async fn from_first_to_last(world: &World, ids: &[String]) -> anyhow::Result<Duration> {
    let (mut first, mut last) = (Timestamp::MAX, Timestamp::MIN);
    for id in ids {
        for attempt in world.ygg().why(id).await?.attempts {
            first = first.min(attempt.created);
            last = last.max(attempt.settled.context("it is settled")?);
        }
    }
    Ok(Duration::try_from(last.duration_since(first))?)
}

/// Claims and closes beads, one after the other.
async fn by_hand(world: &World, ids: &[String]) -> anyhow::Result<Duration> {
    let metadata = ["--set-metadata", "ygg_attempt=01890000-0000-7000-8000-000000000000"];
    let more: &[&str] = if world.beads.cli.kind == Kind::Bd { &metadata } else { &[] };
    let start = Instant::now();
    for id in ids {
        let args = ["--claim", "--json"].into_iter().chain(more.iter().copied());
        world.beads.update(id, &args.collect::<Vec<_>>()).await?;
        world.beads.run(&["close", id, "--reason", "by hand", "--json"]).await?.done()?;
    }
    Ok(start.elapsed())
}

/// The coordinator's memory while many beads of people lie around.
pub(crate) async fn memory_of_the_coordinator(
    cli: &BeadsCli,
    around: usize,
) -> anyhow::Result<Line> {
    let mut world = World::on(cli).await?;
    for number in 0..around {
        world.beads.create(&NewBead::titled(format!("chore {number}"))).await?;
    }
    world.routing.executor_at("one", "http://127.0.0.1:9");
    world.routing.default_to("one");
    world.coordinator(&[]).await?;
    until("the beads are listed", Duration::from_mins(5), async || {
        let plan = world.ygg().plan().await.ok()?;
        (plan.without_task_type >= u64::try_from(around).unwrap_or_default()).then_some(())
    })
    .await;
    let pid = world.daemon(COORDINATOR).pid().context("it runs")?;
    let (now, _) = memory_of(pid)?;
    let line = Line::new(format!("memory, idle: coordinator with {around} beads"), mb(now));
    Ok(line.goal("< 50 MB", now < 50_000_000))
}
