//! `make bench`: speed and memory, printed as a table.
//!
//! Numbers of one machine at one moment, for comparing versions with each other; no test. What
//! misses its goal is marked.

mod executor;
mod gateway;
mod latency;
mod load;
mod plan;
mod plot;
mod runners;
mod throughput;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Parser;
use daemon::exit::{Exit, report};
use daemon::shutdown::runtime;
use e2e::cli::{BeadsCli, Kind};

/// Measures speed and memory, and prints a table.
#[derive(Debug, Parser)]
struct Bench {
    /// How many beads the measurements on a Beads CLI use.
    #[arg(long, default_value_t = 30)]
    beads: usize,
    /// How many beads lie around while the coordinator's memory is measured.
    #[arg(long, default_value_t = 10_000)]
    around: usize,
    /// Measure only what has this in its name.
    #[arg(long, default_value = "")]
    only: String,
}

/// One line of the table.
#[derive(Debug)]
struct Line {
    what: String,
    value: String,
    goal: String,
    /// Whether the goal is reached; `None` where there is none.
    is_good: Option<bool>,
}

impl Line {
    fn new(what: impl Into<String>, value: String) -> Self {
        Self { what: what.into(), value, goal: String::new(), is_good: None }
    }

    fn goal(mut self, goal: &str, is_good: bool) -> Self {
        goal.clone_into(&mut self.goal);
        self.is_good = Some(is_good);
        self
    }
}

fn main() -> ExitCode {
    let bench = Bench::parse();
    let result = runtime(2).and_then(|runtime| {
        runtime.block_on(bench.run()).map_err(|error| Exit::software(format!("{error:#}")))
    });
    report("bench", result)
}

impl Bench {
    async fn run(&self) -> anyhow::Result<()> {
        let mut clis = Vec::new();
        for cli in BeadsCli::all().await {
            match cli {
                Ok(cli) if !clis.iter().any(|other: &BeadsCli| other.kind == cli.kind) => {
                    clis.push(cli);
                }
                Ok(_) => {}
                Err(why) => say(&format!("skipped: {why}")),
            }
        }
        let Some(first) = clis.first() else { bail!("no Beads CLI was found") };
        let quick = clis.iter().find(|cli| cli.kind == Kind::Mb).unwrap_or(first);

        let mut lines = Vec::new();
        if self.wants("plan") {
            lines.push(plan::ten_thousand());
        }
        if self.wants("start") {
            lines.extend(executor::starts(quick).await?);
        }
        if self.wants("execute") {
            lines.push(executor::no_ops(quick).await?);
        }
        if self.wants("memory") {
            lines.extend(executor::memory(quick).await?);
            lines.push(throughput::memory_of_the_coordinator(quick, self.around).await?);
        }
        if self.wants("runners-compared") {
            lines.extend(runners::compared(quick).await?);
        }
        if self.wants("runners-beside-beads") {
            lines.push(runners::beside_beads(quick, 10 * self.beads).await?);
        }
        if self.wants("runners-many") {
            lines.extend(runners::many(quick).await?);
        }
        if self.wants("gateway") {
            lines.push(gateway::no_ops(quick).await?);
        }
        for cli in &clis {
            if self.wants("latency") {
                lines.extend(latency::create_to_start(cli, self.beads).await?);
            }
            if self.wants("throughput") {
                lines.extend(throughput::beads_per_minute(cli, self.beads).await?);
            }
        }
        print(&lines);
        Ok(())
    }

    fn wants(&self, name: &str) -> bool {
        let wanted = name.contains(self.only.as_str());
        if wanted {
            say(&format!("measuring {name}"));
        }
        wanted
    }
}

fn print(lines: &[Line]) {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["what", "measured", "goal", ""]);
    for line in lines {
        let mark = match line.is_good {
            Some(true) => "ok",
            Some(false) => "MISSED",
            None => "",
        };
        table.add_row([line.what.as_str(), &line.value, &line.goal, mark]);
    }
    say(&table.to_string());
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn say(text: &str) {
    println!("{text}");
}

/// Returns the median and the 99th percentile.
fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    let at =
        |percent: usize| times.get((last * percent).div_ceil(100)).copied().unwrap_or_default();
    (at(50), at(99))
}

/// Writes a duration in milliseconds.
fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

/// Returns the resident memory of a process, and its highest, in bytes.
fn memory_of(pid: nix::unistd::Pid) -> anyhow::Result<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or_default() * 1024
    };
    Ok((field("VmRSS:"), field("VmHWM:")))
}

/// Returns the processor time that a process has used.
fn cpu_of(pid: nix::unistd::Pid) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name is in brackets and may hold anything; the state follows the last of them.
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |at: usize| rest.split_whitespace().nth(at).and_then(|text| text.parse().ok());
    let ticks: u64 = ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0);
    // A tick is a hundredth of a second on every Linux that we run on.
    Ok(Duration::from_millis(ticks * 10))
}

/// Writes bytes in MB.
fn mb(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred_are_the_fiftieth_and_the_last_but_one() {
        let times = (1..=101).rev().map(Duration::from_millis).collect();

        assert_eq!(percentiles(times), (Duration::from_millis(51), Duration::from_millis(100)));
    }
}
