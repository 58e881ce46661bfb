//! Why there is no answer: one line, a way out, an exit code.

use std::fmt;
use std::io;

/// The bead, the attempt or the log is not there.
pub(crate) const NOTHING: u8 = 1;
/// Something is wrong with the arguments.
pub(crate) const USAGE: u8 = 64;
/// No coordinator there, or it cannot reach what was asked for.
pub(crate) const UNAVAILABLE: u8 = 69;
/// The output cannot be written.
pub(crate) const OUTPUT: u8 = 74;
/// Something answers there, but it is no coordinator.
pub(crate) const FOREIGN: u8 = 76;
/// The coordinator wants a key, or another one.
pub(crate) const KEY: u8 = 77;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Trouble {
    pub(crate) code: u8,
    pub(crate) error: String,
    pub(crate) hint: Option<String>,
    #[source]
    output: Option<io::Error>,
}

impl Trouble {
    pub(crate) fn new(code: u8, error: impl Into<String>) -> Self {
        Self { code, error: error.into(), hint: None, output: None }
    }

    #[must_use]
    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn is_closed_pipe(&self) -> bool {
        self.output.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ygg: {}", crate::screen::line(&self.error))?;
        if let Some(hint) = &self.hint {
            writeln!(f, "  hint: {}", crate::screen::line(hint))?;
        }
        Ok(())
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        let text = format!("cannot write the answer: {error}");
        Self { output: Some(error), ..Self::new(OUTPUT, text) }
    }
}
