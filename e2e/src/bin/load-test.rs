//! Drives `/agent/{id}/process` as hard as it can, and says whether the figures are reached that
//! the orchestration system promises: 1,000 requests per second, 95 of 100 within 200 ms, no error.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Parser;
use daemon::exit::{Exit, report};
use daemon::shutdown::runtime;
use e2e::http::Asked;
use e2e::{World, until};
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

/// Requests per second that the gateway is to manage.
const GOAL_RATE: f64 = 1000.0;
/// Within this time 95 of 100 are to be answered.
const GOAL_P95: Duration = Duration::from_millis(200);
/// Before anything is counted.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measures the gateway: a coordinator, an executor that does nothing, and many clients.
#[derive(Debug, Parser)]
struct LoadTest {
    /// How many clients ask, each one question after the other.
    #[arg(long, default_value_t = 50)]
    clients: u32,
    /// For how many seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many agents share the work.
    #[arg(long, default_value_t = 1)]
    agents: u32,
}

/// What the clients saw.
#[derive(Debug, Default)]
struct Seen {
    times: Vec<Duration>,
    errors: Vec<String>,
    took: Duration,
}

fn main() -> ExitCode {
    let test = LoadTest::parse();
    let result = runtime(2).and_then(|runtime| {
        runtime.block_on(test.run()).map_err(|error| Exit::software(format!("{error:#}")))
    });
    report("load-test", result)
}

impl LoadTest {
    async fn run(&self) -> anyhow::Result<()> {
        let mut world = World::any().await.map_err(anyhow::Error::msg)?;
        let places = self.clients.max(1).to_string();
        let names: Vec<String> = (1..=self.agents).map(|at| format!("agent-{at}")).collect();
        for name in &names {
            world.executor(name, "test-executor", &["--capacity", &places]).await?;
        }
        world.coordinator(&[]).await?;
        let ygg = world.ygg();
        for name in &names {
            let body = json!({
                "runnerId": name,
                "name": name,
                "endpoint": world.ask(name).url(),
                "capabilities": ["echo"],
                "metadata": {"protocol": 1, "capacity": self.clients},
                "leaseTtlMs": 3_600_000,
            });
            let (status, answer) = ygg.post("/runners/register", &body).await?;
            ensure!(status.is_success(), "POST /runners/register: {status}: {answer}");
        }
        until("the agents can be asked", e2e::world::LONG, async || {
            let answer = ygg.get("/agent/capability:echo/health").await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;

        say(&format!("{} clients, {} s, {} agents", self.clients, self.seconds, self.agents));
        let direct = self.drive(&world.ask(&names[0]), "/execute").await?;
        let through = self.drive(&ygg, "/agent/capability:echo/process").await?;
        let is_good = print(&direct, &through);
        ensure!(is_good, "a goal was missed");
        Ok(())
    }

    /// Has all clients ask until the time is over.
    async fn drive(&self, asked: &Asked, path: &str) -> anyhow::Result<Seen> {
        let order = json!({"task_id": "load", "type": "echo", "params": {"text": "hi"}});
        let start = Instant::now();
        let last = WARM_UP + Duration::from_secs(self.seconds);
        let clients = (0..self.clients).map(|_| async {
            let mut seen = Seen::default();
            while start.elapsed() < last {
                let begun = Instant::now();
                let problem = match asked.post(path, &order).await {
                    Ok((StatusCode::OK, outcome)) if outcome["status"] == "completed" => None,
                    Ok((status, body)) => Some(format!("{status}: {body}")),
                    Err(error) => Some(format!("{error:#}")),
                };
                if begun.duration_since(start) < WARM_UP {
                    continue;
                }
                match problem {
                    None => seen.times.push(begun.elapsed()),
                    Some(problem) => seen.errors.push(problem),
                }
            }
            seen
        });
        let mut all = Seen::default();
        for seen in join_all(clients).await {
            all.times.extend(seen.times);
            all.errors.extend(seen.errors);
        }
        all.took = start.elapsed().saturating_sub(WARM_UP);
        all.times.sort_unstable();
        ensure!(
            !all.times.is_empty(),
            "no answer at all; the first problem: {:?}",
            all.errors.first()
        );
        Ok(all)
    }
}

impl Seen {
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    fn rate(&self) -> f64 {
        self.times.len() as f64 / self.took.as_secs_f64()
    }

    /// Returns the time within which so many of a hundred were answered.
    fn within(&self, percent: usize) -> Duration {
        let last = self.times.len().saturating_sub(1);
        self.times.get((last * percent).div_ceil(100)).copied().unwrap_or_default()
    }
}

/// Prints the table; returns whether every goal is reached.
fn print(direct: &Seen, through: &Seen) -> bool {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["what", "through the gateway", "without it", "goal", ""]);
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    let rows = [
        (
            "requests per second",
            [through, direct].map(|seen| format!("{:.0}", seen.rate())),
            ">= 1000",
            Some(through.rate() >= GOAL_RATE),
        ),
        ("half within", [through, direct].map(|seen| ms(seen.within(50))), "", None),
        (
            "95 of 100 within",
            [through, direct].map(|seen| ms(seen.within(95))),
            "< 200 ms",
            Some(through.within(95) < GOAL_P95),
        ),
        ("99 of 100 within", [through, direct].map(|seen| ms(seen.within(99))), "", None),
        (
            "errors",
            [through, direct].map(|seen| seen.errors.len().to_string()),
            "0",
            Some(through.errors.is_empty()),
        ),
    ];
    let mut all_good = true;
    for (what, [through, direct], goal, is_good) in rows {
        all_good &= is_good.unwrap_or(true);
        let mark = match is_good {
            Some(true) => "ok",
            Some(false) => "MISSED",
            None => "",
        };
        table.add_row([what, &through, &direct, goal, mark]);
    }
    say(&table.to_string());
    if let Some(first) = through.errors.first() {
        say(&format!("the first error: {first}"));
    }
    all_good
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn say(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_and_the_times_are_those_of_the_answers() {
        let times = (1..=101).map(Duration::from_millis).collect();
        let seen = Seen { times, errors: Vec::new(), took: Duration::from_secs(2) };

        assert!((seen.rate() - 50.5).abs() < 1e-9);
        assert_eq!(seen.within(95), Duration::from_millis(96));
    }
}
