//! Reviewing a repository with the linters that fit it.
//!
//! - `scope`: which files are looked at, and which of their lines.
//! - `fit`: which tools fit them.
//! - `linters`: how each is run.
//! - `read`: what each tool prints, as findings.
//! - `sarif`: the findings as SARIF 2.1.0.

use std::fmt;

use executor_sdk::prelude::*;

mod fit;
mod linters;
mod read;
pub(crate) mod sarif;
mod scope;

pub(crate) use fit::wanted;
pub(crate) use linters::Run;
pub(crate) use scope::Scope;

/// How much of a text is kept; some tools print whole programs.
const TEXT: usize = 1000;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Note,
    Warning,
    Error,
}

/// What a linter has to say about one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Finding {
    /// The path below the top of the repository.
    pub(crate) file: String,
    /// The line, where the tool names one.
    pub(crate) line: Option<u64>,
    pub(crate) tool: &'static str,
    /// The tool's name for this kind of finding.
    pub(crate) rule: String,
    pub(crate) severity: Severity,
    pub(crate) text: String,
    /// It kept the tool from reading the rest, so it counts wherever it is.
    #[serde(skip)]
    pub(crate) blocks: bool,
}

impl Finding {
    fn new(tool: &'static str, file: &str, line: Option<u64>) -> Self {
        Self {
            file: file.strip_prefix("./").unwrap_or(file).to_owned(),
            line: line.filter(|line| *line > 0),
            tool,
            rule: String::new(),
            severity: Severity::Warning,
            text: String::new(),
            blocks: false,
        }
    }

    fn says(mut self, severity: Severity, rule: &str, text: &str) -> Self {
        self.severity = severity;
        rule.clone_into(&mut self.rule);
        let end = text.char_indices().nth(TEXT).map_or(text.len(), |(at, _)| at);
        text[..end].trim().clone_into(&mut self.text);
        self
    }

    fn blocking(mut self, blocks: bool) -> Self {
        self.blocks = blocks;
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.map_or(String::new(), |line| format!(":{line}"));
        let text = self.text.lines().next().unwrap_or_default();
        let word = self.severity.word();
        write!(f, "{}{line}: {word}: {text} [{}/{}]", self.file, self.tool, self.rule)
    }
}

impl Severity {
    /// Returns what SARIF and we call it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}
