//! `ygg why`: why is this bead where it is?

use std::io::Write;

use protocol::coordinator::{AttemptSummary, BeadView};
use protocol::execute::Ending;

use crate::args::Why;
use crate::client::Client;
use crate::plan::stage_mood;
use crate::screen::{Mood, Screen, Table, line, span};
use crate::trouble::Trouble;

pub(crate) async fn answer(
    client: &Client,
    asked: &Why,
    json: bool,
    screen: Screen,
    out: &mut dyn Write,
) -> Result<(), Trouble> {
    let path = ["api", "beads", &asked.bead];
    if json {
        writeln!(out, "{:#}", client.value(&path).await?)?;
        return Ok(());
    }
    let bead: BeadView = client.get(&path).await?;
    out.write_all(text(&bead, screen).as_bytes())?;
    Ok(())
}

fn text(bead: &BeadView, screen: Screen) -> String {
    let mut lines = vec![match &bead.title {
        Some(title) => format!("{}  {}", line(&bead.bead), line(title)),
        None => line(&bead.bead),
    }];
    let why = format!("{} ({})", bead.reason.text, bead.reason.code);
    let members = [
        ("status", bead.status.as_deref()),
        ("task", bead.task_type.as_deref()),
        ("executor", bead.executor.as_deref()),
        ("why", Some(why.as_str())),
        ("do", bead.reason.hint.as_deref()),
    ];
    for (name, value) in members {
        let value = value.filter(|value| !value.is_empty());
        lines.extend(value.map(|value| format!("  {name:<9} {}", line(value))));
    }
    let mut text = lines.join("\n");
    text.push('\n');
    if !bead.attempts.is_empty() {
        text.push('\n');
        text += &attempts(&bead.attempts, screen);
    }
    text
}

fn attempts(attempts: &[AttemptSummary], screen: Screen) -> String {
    let header = ["ATTEMPT", "STAGE", "ENDING", "EXECUTOR", "EXIT", "TOOK", "WHEN"];
    let mut table = Table::new(screen, &header);
    for attempt in attempts {
        let ending = attempt.ending.map_or("-", Ending::as_str);
        let exit = attempt.exit_code.map_or_else(|| "-".to_owned(), |code| code.to_string());
        let took = attempt.duration_seconds.map_or_else(|| "-".to_owned(), span);
        table.row(&[
            (&attempt.attempt.to_string(), None),
            (attempt.stage.as_str(), Some(stage_mood(attempt.stage))),
            (ending, attempt.ending.map(ending_mood)),
            (attempt.executor.as_deref().unwrap_or("-"), None),
            (&exit, None),
            (&took, None),
            (&screen.ago(attempt.created), None),
        ]);
    }
    table.hide_when_narrow(&[1]);
    let errors = attempts.iter().filter_map(|attempt| {
        let mood = attempt.ending.map_or(Mood::Bad, ending_mood);
        let (mark, id) = (screen.paint("!", mood), attempt.attempt);
        attempt.error.as_ref().map(|error| format!("{mark} {id}: {}\n", line(error)))
    });
    format!("{}{}", table.text(), errors.collect::<String>())
}

fn ending_mood(ending: Ending) -> Mood {
    match ending {
        Ending::Completed => Mood::Good,
        Ending::Cancelled => Mood::Odd,
        Ending::Failed | Ending::TimedOut | Ending::Interrupted => Mood::Bad,
    }
}
