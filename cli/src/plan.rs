//! `ygg plan`: what runs, what starts next, and why does the rest wait?

use std::io::Write;

use protocol::coordinator::{AttemptSummary, PlanView, Stage};

use crate::args::Plan;
use crate::client::Client;
use crate::screen::{Mood, Screen, Table, span};
use crate::trouble::Trouble;

/// A terminal shows so many beads unless told.
const SHOWN: usize = 50;

pub(crate) async fn answer(
    client: &Client,
    asked: &Plan,
    json: bool,
    screen: Screen,
    out: &mut dyn Write,
) -> Result<(), Trouble> {
    if json {
        writeln!(out, "{:#}", client.value(&["api", "plan"]).await?)?;
        return Ok(());
    }
    let plan: PlanView = client.get(&["api", "plan"]).await?;
    let limit = match (asked.all, asked.limit) {
        (false, Some(limit)) => limit,
        (false, None) if screen.is_terminal => SHOWN,
        _ => usize::MAX,
    };
    out.write_all(text(&plan, limit, screen).as_bytes())?;
    Ok(())
}

fn text(plan: &PlanView, limit: usize, screen: Screen) -> String {
    let count = |decision: &str| plan.beads.iter().filter(|bead| bead.decision == decision).count();
    let listed = plan.listed.map_or_else(
        || "the beads were not listed yet".to_owned(),
        |listed| format!("beads listed {}", screen.ago(listed)),
    );
    let mut text = format!(
        "{} under way; {} to start, {} waiting, {} to block; {} without a task type; {listed}\n",
        plan.attempts.len(),
        count("start"),
        count("wait"),
        count("block"),
        plan.without_task_type,
    );
    if !plan.attempts.is_empty() {
        text.push('\n');
        text += &under_way(&plan.attempts, screen);
    }
    if plan.beads.is_empty() {
        return text;
    }
    let header = ["BEAD", "P", "TASK", "DECISION", "WHERE OR WHY", "TITLE"];
    let mut table = Table::new(screen, &header);
    for bead in plan.beads.iter().take(limit) {
        let executor = bead.executor.as_deref().unwrap_or("");
        let why = bead.reason.as_ref().map_or(executor, |reason| &reason.text);
        table.row(&[
            (&bead.bead, None),
            (&bead.priority.to_string(), None),
            (bead.task_type.as_deref().unwrap_or("?"), None),
            (&bead.decision, Some(decision_mood(&bead.decision))),
            (why, None),
            (&bead.title, None),
        ]);
    }
    let more = match plan.beads.len().saturating_sub(limit) {
        0 => String::new(),
        more => format!("… and {more} more: ygg plan --all\n"),
    };
    format!("{text}\n{}{more}", table.text())
}

fn under_way(attempts: &[AttemptSummary], screen: Screen) -> String {
    let mut table = Table::new(screen, &["BEAD", "TASK", "EXECUTOR", "STAGE", "FOR", "ATTEMPT"]);
    for attempt in attempts {
        let since = attempt.started.unwrap_or(attempt.created);
        let span = span(screen.now.duration_since(since).as_secs_f64().max(0.0));
        table.row(&[
            (&attempt.bead, None),
            (&attempt.task_type, None),
            (attempt.executor.as_deref().unwrap_or("-"), None),
            (attempt.stage.as_str(), Some(stage_mood(attempt.stage))),
            (&span, None),
            (&attempt.attempt.to_string(), None),
        ]);
    }
    table.hide_when_narrow(&[5]);
    table.text()
}

fn decision_mood(decision: &str) -> Mood {
    match decision {
        "start" => Mood::Good,
        "active" => Mood::Busy,
        "wait" => Mood::Odd,
        _ => Mood::Bad,
    }
}

pub(crate) fn stage_mood(stage: Stage) -> Mood {
    match stage {
        Stage::Recorded | Stage::Claimed | Stage::Offered | Stage::Running | Stage::Ended => {
            Mood::Busy
        }
        Stage::Lost => Mood::Bad,
        Stage::Settled | Stage::Dropped => Mood::Dim,
    }
}
