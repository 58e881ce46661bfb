//! From an exit status and two texts to one error: the only place that reads error texts.

use serde_json::Value;

use super::bead::BeadId;
use super::error::BeadsError;
use super::{clean, parse};

/// Room for what a program said, in an error.
const SAID_BYTES: usize = 600;

/// One command that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended<'a> {
    /// The program's name and version.
    pub(super) program: &'a str,
    /// The sub-command, for people.
    pub(super) command: &'a str,
    /// The bead it was about.
    pub(super) bead: Option<&'a BeadId>,
    /// Whether JSON was asked for; a listing in text may be empty.
    pub(super) json: bool,
    /// The exit code; `None` after a signal.
    pub(super) code: Option<i32>,
    /// What it printed.
    pub(super) stdout: &'a [u8],
    /// What it complained about.
    pub(super) stderr: &'a str,
}

/// The error in an answer, if there is one; exit 0 alone proves nothing.
pub(super) fn trouble(ended: Ended<'_>) -> Option<BeadsError> {
    let stderr = ended.stderr.to_lowercase();
    if ended.code == Some(0) {
        return trouble_at_exit_0(ended, &stderr);
    }
    let text = said(ended);
    Some(known(ended, &text).unwrap_or_else(|| {
        let exit = ended.code.map_or_else(|| "a signal".to_owned(), |code| format!("exit {code}"));
        BeadsError::Failed { command: ended.command.to_owned(), exit, text }
    }))
}

/// A wrong empty answer, or an old program on a new store, looks like success.
fn trouble_at_exit_0(ended: Ended<'_>, stderr: &str) -> Option<BeadsError> {
    let text = || clean(ended.stderr.trim(), SAID_BYTES);
    if stderr.contains("auto-import: failed to check issue count") {
        return Some(BeadsError::NewerStore { text: text() });
    }
    if stderr.contains("no beads configuration found")
        || stderr.contains("failed to load beads config")
    {
        return Some(BeadsError::BrokenStore { why: text() });
    }
    let silent = ended.stdout.iter().all(u8::is_ascii_whitespace);
    if silent && !stderr.trim().is_empty() {
        let text = said(ended);
        return known(ended, &text).or_else(|| {
            let (command, exit) = (ended.command.to_owned(), "exit 0 and no answer".to_owned());
            ended.json.then_some(BeadsError::Failed { command, exit, text })
        });
    }
    None
}

/// What the program said went wrong: JSON on stdout, then on stderr, else the plain text.
fn said(ended: Ended<'_>) -> String {
    let from_stdout = error_text(&String::from_utf8_lossy(ended.stdout));
    let text = from_stdout
        .or_else(|| error_text(ended.stderr).map(|error| with_warnings(ended.stderr, &error)))
        .unwrap_or_else(|| {
            let plain = ended.stderr.trim();
            if plain.is_empty() {
                String::from_utf8_lossy(ended.stdout).trim().to_owned()
            } else {
                plain.to_owned()
            }
        });
    clean(&text, SAID_BYTES)
}

/// Some causes stand only in the warnings before the error.
fn with_warnings(stderr: &str, error: &str) -> String {
    if stderr.contains("failed to load database configuration") {
        return format!("{error} (failed to load database configuration)");
    }
    error.to_owned()
}

/// The `error` of the last JSON object in a text.
fn error_text(text: &str) -> Option<String> {
    let starts = text.match_indices('{').map(|(at, _)| at);
    let at_line_start =
        starts.filter(|&at| text[..at].chars().next_back().is_none_or(|before| before == '\n'));
    let objects = at_line_start.filter_map(|at| parse::first_value(&text[at..]));
    let mut errors = objects.filter_map(|object| {
        let inner = object.get("data").unwrap_or(&object);
        inner.get("error").and_then(Value::as_str).map(str::to_owned)
    });
    errors.next_back()
}

fn known(ended: Ended<'_>, text: &str) -> Option<BeadsError> {
    let lower = text.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    let text = || text.to_owned();

    if has(&["encoding json"]) || (has(&["invalid character"]) && has(&["string literal"])) {
        return Some(BeadsError::Poisoned { text: text() });
    }
    if has(&["auto-import: failed to check issue count"]) {
        return Some(BeadsError::NewerStore { text: text() });
    }
    if has(&["no beads database found", "no active beads workspace", "no .minibeads or .beads"]) {
        return Some(BeadsError::NoStore { why: text() });
    }
    if has(&["no space left"]) {
        return Some(BeadsError::DiskFull { text: text() });
    }
    if has(&["failed to load database configuration"]) {
        return Some(BeadsError::Home { why: text() });
    }
    if has(LOCKED) {
        return Some(BeadsError::Locked { text: text() });
    }
    if has(&["read-only file system", "permission denied", "not allowed in read-only mode"]) {
        return Some(BeadsError::Permission { text: text() });
    }
    if ended.code == Some(2) && has(&["panic:", "goroutine "]) {
        let why = format!("{} panicked (a full disk does that too): {}", ended.program, text());
        return Some(BeadsError::BrokenStore { why });
    }
    if has(BROKEN) || ended.code == Some(14) {
        return Some(BeadsError::BrokenStore { why: text() });
    }
    if has(&["missing frontmatter", "failed to parse frontmatter", "invalid markdown format"]) {
        return Some(BeadsError::BrokenFile { text: text() });
    }
    if has(&["unknown flag", "unknown command", "unexpected argument", "unrecognized subcommand"]) {
        let first = text().lines().next().unwrap_or_default().to_owned();
        return Some(BeadsError::UnknownFlag { program: ended.program.to_owned(), text: first });
    }
    if has(&["too large for column", "data too long", "too long for column"]) {
        return Some(BeadsError::TooBig { text: text() });
    }
    about_a_bead(ended, &lower, &text())
}

const LOCKED: &[&str] = &[
    "database is locked",
    "locked by another dolt process",
    "exclusive lock",
    "access lock timeout",
    "cannot update manifest: database is read only",
    "error 1213",
    "error 1205",
    "serialization failure",
    "circuit breaker",
    "failing fast",
    "connection refused",
    "connection reset",
    "bad connection",
    "i/o timeout",
];

const BROKEN: &[&str] = &[
    "failed to open database",
    "failed to load database",
    "database not found",
    "pending schema migrations",
    "migration freeze",
];

/// What a guard of the store says about one bead.
fn about_a_bead(ended: Ended<'_>, lower: &str, text: &str) -> Option<BeadsError> {
    let id = ended.bead?;
    if let Some(at) = lower.find("already claimed by ") {
        let by = after(text, at + "already claimed by ".len());
        return Some(BeadsError::Claimed { id: id.clone(), by });
    }
    let refused = [
        "not claimable",
        "cannot claim",
        "cannot close",
        "blocked by open",
        "open child",
        "guard_mismatch",
        "guard mismatch",
        "is claimed by",
    ];
    if refused.iter().any(|part| lower.contains(part)) || matches!(ended.code, Some(9 | 13)) {
        return Some(BeadsError::Refused { text: text.to_owned() });
    }
    let missing = ["no issue found", "no issues found matching", "issue not found", "ambiguous id"];
    if missing.iter().any(|part| lower.contains(part)) {
        return Some(BeadsError::NotFound { id: id.clone() });
    }
    None
}

/// The name that follows, without quotes and without what `mb` adds.
fn after(text: &str, at: usize) -> String {
    // Lowercasing may move bytes in exotic texts; then there is no name to show.
    let rest = text.get(at..).unwrap_or_default().lines().next().unwrap_or_default();
    let name = match rest.strip_prefix('\'') {
        Some(quoted) => quoted.split('\'').next().unwrap_or_default(),
        None => rest.trim(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests;
