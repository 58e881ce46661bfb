//! How a program of ours ends when it cannot go on: one clear line, a hint, a code of `sysexits.h`.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Why a program stops, in words for a person, with the code that systemd and scripts see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    pub code: u8,
    pub error: String,
    pub hint: Option<String>,
}

impl Exit {
    /// The command line is wrong (64).
    pub fn usage(error: impl fmt::Display) -> Self {
        Self::new(64, &error)
    }

    /// Something this program needs is not there or taken (69).
    pub fn unavailable(error: impl fmt::Display) -> Self {
        Self::new(69, &error)
    }

    /// Our own mistake, or the system refuses what it always grants (70).
    pub fn software(error: impl fmt::Display) -> Self {
        Self::new(70, &error)
    }

    /// A file or folder cannot be made or written (73).
    pub fn cannot_create(error: impl fmt::Display) -> Self {
        Self::new(73, &error)
    }

    /// Trying again later may help (75).
    pub fn temporary(error: impl fmt::Display) -> Self {
        Self::new(75, &error)
    }

    /// A setting or a file that the user wrote is wrong (78).
    pub fn config(error: impl fmt::Display) -> Self {
        Self::new(78, &error)
    }

    /// Adds the way out.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    // The alternate form prints the chain of an `anyhow::Error` and changes nothing else.
    fn new(code: u8, error: &dyn fmt::Display) -> Self {
        Self { code, error: format!("{error:#}"), hint: None }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl std::error::Error for Exit {}

/// Ends `main`: prints `program: error` and the hint on stderr, and gives the exit code.
pub fn report(program: &str, result: Result<(), Exit>) -> ExitCode {
    let Err(exit) = result else { return ExitCode::SUCCESS };
    // Nothing can be done about a closed stderr; the code still tells.
    drop(io::stderr().write_all(lines(program, &exit).as_bytes()));
    ExitCode::from(exit.code)
}

/// Ends `main` where the command line gave nothing to run: prints what clap has to say. The code is
/// 64, or 0 for whoever asked for the help or the version; clap's own would be 2.
pub fn unparsed(answer: &clap::Error) -> ExitCode {
    // A closed terminal is no reason to say more.
    drop(answer.print());
    if answer.use_stderr() { ExitCode::from(Exit::usage("").code) } else { ExitCode::SUCCESS }
}

/// Writes an error and what caused it in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.join(": ")
}

fn lines(program: &str, exit: &Exit) -> String {
    match &exit.hint {
        Some(hint) => format!("{program}: {}\n  hint: {hint}\n", exit.error),
        None => format!("{program}: {}\n", exit.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_reads_as_one_line_and_a_hint() {
        let exit = Exit::config("no such route `x`").hinted("known routes are `a` and `b`");

        assert_eq!(
            lines("ygg", &exit),
            "ygg: no such route `x`\n  hint: known routes are `a` and `b`\n"
        );
        assert_eq!(exit.code, 78);
    }

    #[test]
    fn a_chain_names_every_cause_once() {
        let inner = std::io::Error::other("disk full");
        let outer = crate::process::SpawnError::Io { program: "git".into(), source: inner };

        assert_eq!(chain(&outer), "cannot start `git`: disk full");
    }

    #[test]
    fn each_kind_has_its_own_code() {
        let codes = [
            Exit::usage("").code,
            Exit::unavailable("").code,
            Exit::software("").code,
            Exit::cannot_create("").code,
            Exit::temporary("").code,
            Exit::config("").code,
        ];

        assert_eq!(codes, [64, 69, 70, 73, 75, 78]);
    }
}
