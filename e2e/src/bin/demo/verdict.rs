//! Compares how each bead ended with how it ought to, by what stands in Beads.

use e2e::cli::Bead;

use crate::rows::{Row, State};
use crate::story::Expected;

/// What became of one bead.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) is_right: bool,
    /// One line for people.
    pub(crate) line: String,
    /// Why it ended so.
    pub(crate) why: String,
}

/// Judges one bead; `before` is how it looked when it was written.
pub(crate) fn judge(row: &Row, rows: &[Row], bead: &Bead, before: &Bead) -> Verdict {
    let closed = bead.status == "closed";
    let blocked = |label: &str| bead.status == "blocked" && bead.has(label);
    let never_ran = bead.status == "open" && bead.assignee.is_empty() && row.started.is_none();
    let is_right = match row.step.expected {
        Expected::Closed => closed,
        Expected::Failed => blocked("task-failed"),
        Expected::ClosedOrFailed => closed || blocked("task-failed"),
        Expected::Lost => blocked("task-lost"),
        Expected::Waiting => never_ran,
        Expected::Untouched => {
            bead.status == before.status
                && bead.updated_at == before.updated_at
                && bead.labels == before.labels
                && bead.notes == before.notes
        }
    };
    let delay = row.delay(rows).map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2} s"));
    let took = match &row.state {
        State::Ended(attempt, _) => attempt.duration_seconds,
        _ => None,
    };
    let took = took.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s"));
    let task = if row.step.task.is_empty() { "-" } else { row.step.task };
    let mark = if is_right { "as it should" } else { "WRONG" };
    let line = format!(
        "{:<9} {task:<16} {:<9} {delay:>8} {took:>8}  {mark:<12} {}",
        row.id,
        bead.status,
        row.step.bead.title()
    );
    Verdict { is_right, line, why: why(row, bead) }
}

/// The head of the lines.
pub(crate) fn head() -> String {
    format!("{:<9} {:<16} {:<9} {:>8} {:>8}", "BEAD", "TASK", "STATUS", "START", "TOOK")
}

fn why(row: &Row, bead: &Bead) -> String {
    match &row.state {
        State::Ended(_, why) | State::Waits(why) => why.clone(),
        State::Runs(executor) => format!("still runs on {executor}"),
        State::Unknown if row.step.task.is_empty() => {
            format!("{}, and no machine touched it", bead.status)
        }
        State::Unknown => "the coordinator never saw it".to_owned(),
    }
}
