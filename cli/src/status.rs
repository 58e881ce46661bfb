//! `ygg status`: is the coordinator well, and which executors answer it?

use std::io::Write;

use protocol::coordinator::CoordinatorHealth;
use protocol::executor::Health;

use crate::client::Client;
use crate::screen::{Mood, Screen, Table, line, span};
use crate::trouble::Trouble;

pub(crate) async fn answer(
    client: &Client,
    json: bool,
    screen: Screen,
    out: &mut dyn Write,
) -> Result<(), Trouble> {
    if json {
        writeln!(out, "{:#}", client.value(&["health"]).await?)?;
        return Ok(());
    }
    let health: CoordinatorHealth = client.get(&["health"]).await?;
    out.write_all(text(&health, client.url(), screen).as_bytes())?;
    Ok(())
}

fn text(health: &CoordinatorHealth, url: &str, screen: Screen) -> String {
    let (word, mood) = match health.status {
        Health::Healthy => ("healthy", Mood::Good),
        Health::Degraded => ("degraded", Mood::Bad),
        Health::Draining => ("draining", Mood::Odd),
    };
    let beads = health.beads.as_deref().unwrap_or("no Beads CLI");
    let word = screen.paint(word, mood);
    let (version, up) = (line(&health.version), span(health.uptime));
    let first = format!("coordinator {version} at {url}: {word}, up {up}, {}", line(beads));
    let mark = screen.paint("!", mood);
    let reasons = health.reasons.iter().map(|reason| format!("  {mark} {}", line(reason)));
    let lines: Vec<String> = std::iter::once(first).chain(reasons).collect();
    let text = lines.join("\n") + "\n";
    let others = others(health);
    if health.executors.is_empty() {
        return text + "no executors: routing.yaml names none\n" + &others;
    }
    let header = ["EXECUTOR", "STATE", "SINCE", "TASKS", "VERSION", "URL"];
    let mut table = Table::new(screen, &header);
    for (name, executor) in &health.executors {
        let tasks = match executor.limit {
            Some(limit) => format!("{} of {limit}", executor.running),
            None => executor.running.to_string(),
        };
        table.row(&[
            (name, None),
            (&executor.state, Some(state_mood(&executor.state))),
            (&screen.ago(executor.since), None),
            (&tasks, None),
            (executor.version.as_deref().unwrap_or("-"), None),
            (&executor.url, None),
        ]);
    }
    table.hide_when_narrow(&[4]);
    let errors = health.executors.iter().filter_map(|(name, executor)| {
        let mark = screen.paint("!", state_mood(&executor.state));
        executor.error.as_ref().map(|error| format!("{mark} {}: {}\n", line(name), line(error)))
    });
    format!("{text}\n{}{}{others}", table.text(), errors.collect::<String>())
}

/// Says that there are runners beside the executors of routing.yaml.
fn others(health: &CoordinatorHealth) -> String {
    let runners = &health.runners;
    if runners.total as usize <= health.executors.len() {
        return String::new();
    }
    format!("{} runners in all, {} online: ygg runners\n", runners.total, runners.online)
}

fn state_mood(state: &str) -> Mood {
    match state {
        "up" => Mood::Good,
        "draining" => Mood::Odd,
        "unknown" => Mood::Dim,
        _ => Mood::Bad,
    }
}
