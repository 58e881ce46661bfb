//! What the person in front of the demo sees.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::rows::{Row, State};

/// A table that is drawn again in place on a terminal, else one line for each change.
#[derive(Debug)]
pub(crate) struct Screen {
    began: Instant,
    /// The width of the terminal; `None` where there is none.
    width: Option<usize>,
    drawn: usize,
    told: Vec<(String, String)>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let is_terminal = io::stdout().is_terminal()
            && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let width = is_terminal.then(|| comfy_table::Table::new().width().map_or(80, usize::from));
        Self { began: Instant::now(), width, drawn: 0, told: Vec::new() }
    }

    /// Returns whether somebody looks at a terminal.
    pub(crate) fn is_live(&self) -> bool {
        self.width.is_some()
    }

    /// Writes one line.
    pub(crate) fn say(&mut self, text: &str) {
        self.drawn = 0;
        // A closed stdout changes nothing about how the beads end.
        drop(writeln!(io::stdout(), "{text}"));
    }

    /// Shows where the beads stand.
    pub(crate) fn show(&mut self, rows: &[Row]) {
        match self.width {
            Some(width) => self.draw(rows, width),
            None => self.tell(rows),
        }
    }

    fn draw(&mut self, rows: &[Row], width: usize) {
        let up = if self.drawn > 0 { format!("\x1b[{}A", self.drawn) } else { String::new() };
        let mut text = up;
        let head = format!("{:<9} {:<16} {:<13} {}", "BEAD", "TASK", "STATE", "TITLE");
        text.push_str(&line(&head, width));
        for row in rows {
            let (state, why) = row.shown();
            let task = if row.step.task.is_empty() { "-" } else { row.step.task };
            let shown =
                format!("{:<9} {task:<16} {state:<13} {}  {why}", row.id, row.step.bead.title());
            text.push_str(&line(&shown, width));
        }
        let elapsed = self.began.elapsed().as_secs_f64();
        text.push_str(&line(&format!("{elapsed:.1} s"), width));
        self.drawn = rows.len() + 2;
        let mut out = io::stdout();
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }

    fn tell(&mut self, rows: &[Row]) {
        self.told.resize(rows.len(), (String::new(), String::new()));
        let elapsed = self.began.elapsed();
        let mut lines = Vec::new();
        for (row, told) in rows.iter().zip(&mut self.told) {
            let now = row.shown();
            if row.state != State::Unknown && now != *told {
                lines.push(change(elapsed, row, &now));
                *told = now;
            }
        }
        for line in lines {
            self.say(&line);
        }
    }
}

fn change(elapsed: Duration, row: &Row, (state, why): &(String, String)) -> String {
    let elapsed = elapsed.as_secs_f64();
    format!("{elapsed:6.1} s  {:<9} {:<16} {state:<11} {why}", row.id, row.step.task)
        .trim_end()
        .to_owned()
}

/// One line that fills no more than the width, and clears what was there.
fn line(text: &str, width: usize) -> String {
    let one = text.split('\n').next().unwrap_or_default();
    let cut: String = one.chars().take(width.saturating_sub(1)).collect();
    format!("{cut}\x1b[K\n")
}
