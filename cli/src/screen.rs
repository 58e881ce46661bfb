//! Tables, colours, and text that cannot play tricks on a terminal.

mod clean;
mod table;

use std::io::{self, IsTerminal};

use comfy_table::{Color, Table as Width};
use jiff::Timestamp;

pub(crate) use clean::{Cleaner, decode, line};
pub(crate) use table::Table;

/// What the answer is shown on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// A person looks at it.
    pub(crate) is_terminal: bool,
    pub(crate) colour: bool,
    /// Columns; absent: lines may be as long as they like.
    pub(crate) width: Option<u16>,
    /// What "ago" counts from.
    pub(crate) now: Timestamp,
}

impl Screen {
    pub(crate) fn of_this_terminal() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let width = Width::new().width().filter(|_| is_terminal);
        Self { is_terminal, colour: is_terminal, width, now: Timestamp::now() }
    }

    pub(crate) fn without_colour(self) -> Self {
        Self { colour: false, ..self }
    }

    /// Returns how long ago that was, in one or two units.
    pub(crate) fn ago(&self, then: Timestamp) -> String {
        let seconds = self.now.duration_since(then).as_secs_f64();
        if seconds < 1.0 { "just now".to_owned() } else { format!("{} ago", span(seconds)) }
    }
}

/// Returns a span such as `0.4s`, `45s`, `3m12s`, `5h07m` or `12d03h`.
pub(crate) fn span(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".to_owned();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    let whole = format!("{seconds:.0}").parse::<u64>().unwrap_or(u64::MAX);
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// What a word is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    Busy,
    Odd,
    Bad,
    Dim,
}

impl Mood {
    pub(crate) fn colour(self) -> Color {
        match self {
            Self::Good => Color::Green,
            Self::Busy => Color::Cyan,
            Self::Odd => Color::Yellow,
            Self::Bad => Color::Red,
            Self::Dim => Color::DarkGrey,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Good => 32,
            Self::Busy => 36,
            Self::Odd => 33,
            Self::Bad => 31,
            Self::Dim => 90,
        }
    }
}

impl Screen {
    /// Returns the text in the colour of the mood, where there are colours.
    pub(crate) fn paint(&self, text: &str, mood: Mood) -> String {
        let text = line(text);
        if self.colour { format!("\u{1b}[{}m{text}\u{1b}[0m", mood.code()) } else { text }
    }
}
