//! From the end of `create` to the start of the task.

use std::time::{Duration, Instant};

use anyhow::Context;
use e2e::cli::{BeadsCli, Kind, Workspace};
use e2e::{NewBead, World};
use jiff::Timestamp;
use serde_json::json;

use crate::{Line, ms, percentiles};

/// The time between the end of `create` and the start on the executor, one bead at a time, and
/// what of it is not the Beads CLI's own.
pub(crate) async fn create_to_start(cli: &BeadsCli, beads: usize) -> anyhow::Result<Vec<Line>> {
    let mut world = World::on(cli).await?;
    world.executor("one", "test-executor", &[]).await?;
    world.routing.default_to("one");
    world.coordinator(&[]).await?;
    let own = own_time(&world.beads).await?;

    let mut times = Vec::new();
    for number in 0..beads {
        let bead = NewBead::task("echo", json!({"text": "hi"})).named(format!("bead {number}"));
        let id = world.beads.create(&bead).await?;
        let created = Timestamp::now();
        world.settled(&id).await;
        let attempt = world.why(&id).await.attempts.pop().context("it ran")?;
        let started = attempt.started.context("it started")?;
        times.push(Duration::try_from(started.duration_since(created)).unwrap_or_default());
    }
    let (median, p99) = percentiles(times);
    let name = &cli.name;
    let (median_above, p99_above) = (median.saturating_sub(own), p99.saturating_sub(own));
    Ok(vec![
        Line::new(
            format!("{name}: create to start, median / p99"),
            format!("{} / {}", ms(median), ms(p99)),
        ),
        Line::new(format!("{name}: its own ready + claim + show"), ms(own)),
        Line::new(
            format!("{name}: create to start above that, median / p99"),
            format!("{} / {}", ms(median_above), ms(p99_above)),
        )
        .goal("p99 < 1 s", p99_above < Duration::from_secs(1)),
    ])
}

/// What the CLI itself takes for the commands between a new bead and its start.
async fn own_time(beads: &Workspace) -> anyhow::Result<Duration> {
    let mut times = Vec::new();
    for number in 0..5 {
        let id =
            beads.create(&NewBead::titled(format!("own {number}")).assignee("somebody")).await?;
        let start = Instant::now();
        beads.run(&["ready", "--limit", "0", "--json"]).await?.done()?;
        // The same work as a claim: a person's bead, so that no machine takes it meanwhile.
        beads.update(&id, &["--status", "in_progress", "--json"]).await?;
        beads.run(&["show", &id, "--json"]).await?.done()?;
        if beads.cli.kind == Kind::Mb {
            // After a claim mb is always asked again.
            beads.run(&["show", &id, "--json"]).await?.done()?;
        }
        times.push(start.elapsed());
    }
    Ok(percentiles(times).0)
}
