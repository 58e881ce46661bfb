//! What the end of an attempt means for its bead: what to write, whether to try again, and when.
//!
//! Pure: an [`End`] and what is known of the attempt go in, a [`Verdict`] comes out.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use protocol::execute::{Ending, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::beads::clean;
use crate::routing::{ExecutorName, Retry};

#[cfg(test)]
mod tests;

/// The way out of every failure that waits for a person.
const REOPEN: &str = "To try again: set the status to open and clear the assignee.";
/// The most that is written into a bead, in bytes.
const NOTE_BYTES: usize = 4096;
/// The most output that travels in a bead's `result`, in bytes.
const RESULT_OUTPUT_BYTES: usize = 4096;
/// The most structured data that travels in a bead's `result`, in bytes.
const RESULT_DATA_BYTES: usize = 32 * 1024;

/// The classes of architecture §7: what went wrong, and so who has to do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// An executor was away before the claim, for longer than the grace.
    Waiting,
    /// Refused or unreachable after the claim, for longer than the grace.
    Infrastructure,
    /// The executor was lost in mid-task.
    Lost,
    /// The executor was stopped or killed in mid-task.
    Interrupted,
    TimedOut,
    Failed,
    Cancelled,
    /// The order can never work as it stands.
    Permanent,
    /// The executor's answer shows a mistake in the set-up.
    Misconfigured,
}

impl Class {
    /// Returns the word used in the ledger, in metadata and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Infrastructure => "infrastructure",
            Self::Lost => "lost",
            Self::Interrupted => "interrupted",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Permanent => "permanent",
            Self::Misconfigured => "misconfigured",
        }
    }

    /// Returns the label that a bead blocked for this class carries.
    pub fn label(self) -> &'static str {
        match self {
            Self::Waiting | Self::Infrastructure | Self::Misconfigured => "task-waiting",
            Self::Lost | Self::Interrupted => "task-lost",
            Self::TimedOut | Self::Failed | Self::Permanent => "task-failed",
            Self::Cancelled => "task-cancelled",
        }
    }

    /// Whether an attempt of this class had started, so that it counts against `retry.attempts`.
    pub fn started(self) -> bool {
        match self {
            Self::Lost | Self::Interrupted | Self::TimedOut | Self::Failed => true,
            Self::Waiting
            | Self::Infrastructure
            | Self::Cancelled
            | Self::Permanent
            | Self::Misconfigured => false,
        }
    }
}

/// How an attempt came to its end, as far as the coordinator knows.
#[derive(Debug, Clone)]
pub enum End {
    /// The executor told the outcome.
    Outcome(Box<Outcome>),
    /// The executor does not answer any more, and may still run the task.
    Lost { since: Timestamp, error: String },
    /// Nothing started, and trying again may help.
    NotStarted { class: Class, error: String },
    /// Nothing started, and nothing will until somebody changes the order or the set-up.
    Permanent { error: String, hint: Option<String> },
}

/// What went before an attempt, since the bead's last success and the last time a person was
/// asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streak {
    /// Attempts in a row that started and failed.
    pub failures: u32,
    /// Attempts in a row of which nothing started.
    pub not_started: u32,
}

impl Streak {
    /// Reads the streak out of a bead's verdicts, oldest first.
    pub fn of<'a>(verdicts: impl Iterator<Item = &'a Verdict>) -> Self {
        verdicts.fold(Self::default(), |streak, verdict| match verdict {
            Verdict::Close { .. } | Verdict::Block { hold: None, .. } => Self::default(),
            Verdict::Retry { failures, .. } | Verdict::GiveBack { failures, .. } => {
                Self { failures: *failures, not_started: 0 }
            }
            Verdict::Block { failures, hold: Some(_), .. } => {
                Self { failures: *failures, not_started: streak.not_started + 1 }
            }
        })
    }
}

/// What is known of a task when an attempt is written down.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TaskFacts {
    /// Whether it may run again after its executor was lost.
    pub idempotent: bool,
    /// Whether a failure is worth another attempt.
    pub retryable: bool,
    /// The time limit, in seconds.
    pub limit_seconds: f64,
}

/// What is known of the attempt.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    pub attempt: Uuid,
    pub executor: Option<&'a ExecutorName>,
    pub task: TaskFacts,
    pub has_dependents: bool,
    pub before: Streak,
    /// The executors that could do it instead.
    pub candidates: Vec<ExecutorName>,
    /// Where the log can be read.
    pub log_url: Option<String>,
}

/// A bead that we blocked, and reopen by ourselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Not before this moment.
    pub not_before: Timestamp,
    /// Not before one of these executors is up; empty: whatever they do.
    pub executors: Vec<ExecutorName>,
    /// The label to take off again; empty: none was put on.
    pub label: String,
}

/// What is to be written into the bead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It succeeded.
    Close {
        reason: String,
        /// For the beads that depend on it.
        result: Option<Value>,
    },
    /// It failed, and its own retry is due later.
    Retry { class: Class, at: Timestamp, failures: u32, error: String },
    /// It goes back at once, for a new attempt.
    GiveBack { class: Class, failures: u32, error: String },
    /// It stops here; with `hold` the coordinator reopens it, without it a person decides.
    Block { class: Class, error: String, note: String, failures: u32, hold: Option<Hold> },
}

impl Verdict {
    /// Returns the class of what went wrong; none after a success.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Close { .. } => None,
            Self::Retry { class, .. }
            | Self::GiveBack { class, .. }
            | Self::Block { class, .. } => Some(*class),
        }
    }

    /// Returns the line on what went wrong; none after a success.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Close { .. } => None,
            Self::Retry { error, .. }
            | Self::GiveBack { error, .. }
            | Self::Block { error, .. } => Some(error),
        }
    }

    /// Returns the text that a person reads in the bead.
    pub fn text(&self) -> &str {
        match self {
            Self::Close { reason, .. } => reason,
            Self::Retry { error, .. } | Self::GiveBack { error, .. } => error,
            Self::Block { note, .. } => note,
        }
    }
}

/// Decides what the end of an attempt means for its bead.
pub fn verdict(facts: &Facts<'_>, end: &End, now: Timestamp, retry: &Retry) -> Verdict {
    match end {
        End::Outcome(outcome) => after_outcome(facts, outcome, now, retry),
        End::Lost { since, error } => {
            let last = facts.before.failures + 1 >= retry.attempts;
            block(facts, Class::Lost, error, &lost_advice(facts, *since, last), None, None)
        }
        End::NotStarted { class, error } => {
            let wait = retry.delay(facts.before.not_started);
            let hold = Hold {
                not_before: if *class == Class::Waiting { now } else { later(now, wait) },
                executors: facts.candidates.clone(),
                label: class.label().to_owned(),
            };
            let advice = "Nothing was started. The coordinator reopens this bead by itself.";
            block(facts, *class, error, advice, None, Some(hold))
        }
        End::Permanent { error, hint } => {
            let advice = match hint {
                Some(hint) => format!("{hint}\n{REOPEN}"),
                None => REOPEN.to_owned(),
            };
            block(facts, Class::Permanent, error, &advice, None, None)
        }
    }
}

fn after_outcome(facts: &Facts<'_>, outcome: &Outcome, now: Timestamp, retry: &Retry) -> Verdict {
    let failures = facts.before.failures + 1;
    let starts_left = failures < retry.attempts;
    let error = outcome.error.clone().unwrap_or_else(|| outcome.status.as_str().to_owned());
    let retry_at = |class| Verdict::Retry {
        class,
        at: later(now, retry.delay(failures)),
        failures,
        error: error.clone(),
    };
    let stop = |class, advice: &str| block(facts, class, &error, advice, Some(outcome), None);
    match outcome.status {
        Ending::Completed => Verdict::Close {
            reason: headed(facts, outcome, "completed"),
            result: facts.has_dependents.then(|| result(outcome)),
        },
        Ending::Failed if facts.task.retryable && starts_left => retry_at(Class::Failed),
        Ending::TimedOut if facts.task.retryable && starts_left => retry_at(Class::TimedOut),
        Ending::Interrupted if facts.task.idempotent && starts_left => {
            Verdict::GiveBack { class: Class::Interrupted, failures, error: error.clone() }
        }
        Ending::Failed => stop(Class::Failed, REOPEN),
        Ending::TimedOut => stop(Class::TimedOut, REOPEN),
        Ending::Cancelled => stop(Class::Cancelled, REOPEN),
        Ending::Interrupted => stop(
            Class::Interrupted,
            &format!(
                "The task was cut off in the middle and is not declared idempotent: look at what \
                 it left behind before it runs again.\n{REOPEN}"
            ),
        ),
    }
}

fn block(
    facts: &Facts<'_>,
    class: Class,
    error: &str,
    advice: &str,
    outcome: Option<&Outcome>,
    hold: Option<Hold>,
) -> Verdict {
    let head = match outcome {
        Some(outcome) => headed(facts, outcome, &format!("{}: {error}", outcome.status.as_str())),
        None => plain_head(facts, class, error),
    };
    let failures = facts.before.failures + u32::from(class.started());
    // The advice stands last, and must not be cut off.
    let note = format!("{}\n{advice}", clean(&head, NOTE_BYTES - advice.len().min(1024) - 1));
    Verdict::Block { class, error: one_line(error), note, failures, hold }
}

/// What every written text begins with, then the last lines of the output.
fn headed(facts: &Facts<'_>, outcome: &Outcome, word: &str) -> String {
    let mut text = String::new();
    let exit = outcome.exit_code.map_or_else(|| "none".to_owned(), |code| code.to_string());
    let executor = facts.executor.map_or("no executor", ExecutorName::as_str);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{}", one_line(word));
    let _ = writeln!(
        text,
        "executor {executor}, exit {exit}, {:.1} s, attempt {}",
        outcome.duration_seconds, facts.attempt
    );
    if let Some(url) = &facts.log_url {
        let _ = writeln!(text, "log {url}");
    }
    let room = NOTE_BYTES.saturating_sub(text.len() + 512);
    let tail = tail(&outcome.output, room);
    if !tail.is_empty() {
        let _ = write!(text, "last output:\n{tail}");
    }
    clean(text.trim_end(), NOTE_BYTES)
}

fn plain_head(facts: &Facts<'_>, class: Class, error: &str) -> String {
    let executor = facts.executor.map_or_else(String::new, |name| format!("executor {name}, "));
    format!("{}: {}\n{executor}attempt {}", class.as_str(), one_line(error), facts.attempt)
}

fn lost_advice(facts: &Facts<'_>, since: Timestamp, last: bool) -> String {
    let executor = facts.executor.map_or("its executor", ExecutorName::as_str);
    let again = if facts.task.idempotent && !last {
        "The task is idempotent: it runs again when an executor for it is there."
    } else {
        "If it comes back, its answer is still taken. To run it again without waiting: make sure \
         that it does not run any more, then set the status to open and clear the assignee."
    };
    format!("{executor} has not answered since {}.\n{again}", seconds(since))
}

/// The recorded outcome as it travels along dependencies: small, and without control characters.
pub fn result(outcome: &Outcome) -> Value {
    let mut value = serde_json::to_value(outcome).unwrap_or_else(|_| json!({}));
    if let Some(map) = value.as_object_mut() {
        map.insert("output".to_owned(), json!(tail(&outcome.output, RESULT_OUTPUT_BYTES)));
        if serde_json::to_vec(&outcome.data).map_or(0, |data| data.len()) > RESULT_DATA_BYTES {
            map.insert("data".to_owned(), json!({"too_large": true}));
        }
    }
    value
}

/// Returns the last whole lines of a text that fit into `room` bytes, cleaned.
pub fn tail(text: &str, room: usize) -> String {
    let text = clean(text, usize::MAX);
    let text = text.trim_end();
    if text.len() <= room {
        return text.to_owned();
    }
    let mut start = text.len() - room;
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let cut = &text[start..];
    cut.split_once('\n')
        .map_or(cut, |(_, rest)| if rest.is_empty() { cut } else { rest })
        .to_owned()
}

/// Returns the last line of an output that is not empty, cleaned, for the log.
pub fn last_line(output: &str) -> String {
    let text = clean(output, usize::MAX);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
    clean(line.trim(), 200)
}

fn one_line(text: &str) -> String {
    clean(&text.split_whitespace().collect::<Vec<_>>().join(" "), 500)
}

/// Whole seconds, as the Beads CLIs store them.
pub fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A whole second at or after `now + wait`: Beads drops fractions, and early is wrong.
fn later(now: Timestamp, wait: Duration) -> Timestamp {
    let at = now + wait;
    Timestamp::from_second(at.as_second() + i64::from(at.subsec_nanosecond() > 0)).unwrap_or(at)
}
