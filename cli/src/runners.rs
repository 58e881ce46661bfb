//! `ygg runners`: who has registered, and what they say they can do.

use std::io::Write;

use protocol::runner::{RUNNING, RunnerInfo, RunnerList, RunnerStatus};

use crate::client::Client;
use crate::screen::{Mood, Screen, Table};
use crate::trouble::Trouble;

/// So many capabilities are shown; `--json` has them all.
const CAPABILITIES: usize = 6;

pub(crate) async fn answer(
    client: &Client,
    json: bool,
    screen: Screen,
    out: &mut dyn Write,
) -> Result<(), Trouble> {
    let path = ["api", "runners"];
    if json {
        writeln!(out, "{:#}", client.value(&path).await?)?;
        return Ok(());
    }
    let list: RunnerList = client.get(&path).await?;
    out.write_all(text(&list.runners, screen).as_bytes())?;
    Ok(())
}

fn text(runners: &[RunnerInfo], screen: Screen) -> String {
    if runners.is_empty() {
        return "nobody has registered (POST /runners/register)\n".to_owned();
    }
    let header = ["RUNNER", "NAME", "STATE", "HEARD", "TASKS", "VERSION", "CAN", "LABELS"];
    let mut table = Table::new(screen, &header);
    for runner in runners {
        let (state, mood) = match runner.status {
            RunnerStatus::Online => ("online", Mood::Good),
            RunnerStatus::Offline => ("offline", Mood::Bad),
        };
        let running = runner.tasks.iter().filter(|task| task.status == RUNNING).count();
        table.row(&[
            (&runner.runner_id, None),
            (&runner.name, None),
            (state, Some(mood)),
            (&screen.ago(runner.last_heartbeat), None),
            (&running.to_string(), None),
            (&runner.version, None),
            (&capabilities(&runner.capabilities), None),
            (&labels(runner), None),
        ]);
    }
    table.hide_when_narrow(&[5, 7]);
    table.text()
}

fn capabilities(all: &[String]) -> String {
    let shown = all.iter().take(CAPABILITIES).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(CAPABILITIES) {
        0 if all.is_empty() => "-".to_owned(),
        0 => shown,
        more => format!("{shown}, and {more} more"),
    }
}

fn labels(runner: &RunnerInfo) -> String {
    if runner.labels.is_empty() {
        return "-".to_owned();
    }
    let each = runner.labels.iter().map(|(key, value)| format!("{key}={value}"));
    each.collect::<Vec<_>>().join(", ")
}
