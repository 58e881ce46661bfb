//! Bead to order: what a bead asks for, wherever it says so.
//!
//! Three places are read, and a later one only fills what an earlier one lacks:
//!
//! 1. metadata: `task_type`, `params`, `timeout_seconds`, `executor`;
//! 2. labels: `task:TYPE` and `NAME-executor`;
//! 3. the description: a line `Handler: TYPE on EXECUTOR`, and the first fenced block tagged `json`
//!    or `task`, which holds the params or `{"task_type": …, "params": …}`.
//!
//! A bead without a task type in any of them is a person's. Two places that contradict each other
//! make the bead broken: nobody guesses which one was meant.

mod reference;
mod sources;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::beads::{ATTEMPT_LABEL, Bead, BeadId};

pub use reference::{Reference, references, substitute};

/// What a bead turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    /// It has no task type: a person's, never touched.
    NotOurs,
    /// It can be planned.
    Order(Order),
    /// It has a task type, and something in it that cannot be meant.
    Broken {
        /// The bead.
        bead: BeadId,
        /// The bead's title.
        title: String,
        /// 0 is the most urgent.
        priority: u8,
        /// When the bead was written.
        created_at: Option<Timestamp>,
        /// Bytes of its JSON.
        size: usize,
        /// One clear line.
        problem: String,
    },
}

/// What a bead asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// The bead.
    pub bead: BeadId,
    /// The bead's title.
    pub title: String,
    /// The task type, such as `git-clone`.
    pub task_type: String,
    /// The params as written, references included.
    pub params: Map<String, Value>,
    /// The time limit that the bead names.
    pub timeout: Option<Duration>,
    /// The executor that the bead names; it overrides the route.
    pub executor: Option<String>,
    /// The bead's labels, without the marks of our own attempts.
    pub labels: Vec<String>,
    /// 0 is the most urgent.
    pub priority: u8,
    /// When it should be done.
    pub due_at: Option<Timestamp>,
    /// When the bead was written.
    pub created_at: Option<Timestamp>,
    /// Whether the bead depends on others.
    pub has_dependencies: bool,
    /// Whether others depend on it; true where the store does not say.
    pub has_dependents: bool,
    /// Bytes of its JSON.
    pub size: usize,
}

/// Reads what a bead asks for.
pub fn read(bead: &Bead) -> Read {
    let mut asked = Asked::default();
    sources::metadata(&mut asked, &bead.metadata);
    sources::labels(&mut asked, &bead.labels);
    sources::description(&mut asked, &bead.description);
    if !asked.is_ours() {
        return Read::NotOurs;
    }
    match asked.settle() {
        Ok(wanted) => Read::Order(Order {
            bead: bead.id.clone(),
            title: bead.title.clone(),
            task_type: wanted.task_type,
            params: wanted.params,
            timeout: wanted.timeout,
            executor: wanted.executor,
            labels: asked_labels(bead),
            priority: bead.priority,
            due_at: bead.due_at,
            created_at: bead.created_at,
            has_dependencies: !bead.dependencies.is_empty()
                || bead.dependency_count.is_some_and(|count| count > 0),
            has_dependents: bead.dependent_count.is_none_or(|count| count > 0),
            size: bead.size,
        }),
        Err(problem) => Read::Broken {
            bead: bead.id.clone(),
            title: bead.title.clone(),
            priority: bead.priority,
            created_at: bead.created_at,
            size: bead.size,
            problem,
        },
    }
}

/// What the coordinator itself put on a bead is no part of what it asks for.
fn asked_labels(bead: &Bead) -> Vec<String> {
    bead.labels.iter().filter(|label| !label.starts_with(ATTEMPT_LABEL)).cloned().collect()
}

/// Something that a place says, and the words for that place.
#[derive(Debug)]
struct Said<T> {
    what: T,
    place: &'static str,
}

/// Everything that the places say, the earliest first.
#[derive(Debug, Default)]
struct Asked {
    task_types: Vec<Said<String>>,
    executors: Vec<Said<String>>,
    params: Vec<Said<Map<String, Value>>>,
    timeout: Option<Duration>,
    problems: Vec<String>,
    /// A task type was meant, even where none can be read.
    means_a_type: bool,
}

#[derive(Debug)]
struct Wanted {
    task_type: String,
    params: Map<String, Value>,
    timeout: Option<Duration>,
    executor: Option<String>,
}

impl Asked {
    fn is_ours(&self) -> bool {
        self.means_a_type || !self.task_types.is_empty()
    }

    fn task_type(&mut self, what: &str, place: &'static str) {
        self.task_types.push(Said { what: what.to_owned(), place });
    }

    fn executor(&mut self, what: &str, place: &'static str) {
        self.executors.push(Said { what: what.to_owned(), place });
    }

    fn params(&mut self, what: Map<String, Value>, place: &'static str) {
        self.params.push(Said { what, place });
    }

    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    fn settle(mut self) -> Result<Wanted, String> {
        let base = crate::routing::base_name;
        self.contradiction("task types", |asked| &asked.task_types, |a, b| a == b);
        self.contradiction("executors", |asked| &asked.executors, |a, b| base(a) == base(b));
        if let [first, rest @ ..] = self.params.as_slice()
            && let Some(other) = rest.iter().find(|other| other.what != first.what)
        {
            let text = format!("different params in {} and in {}", first.place, other.place);
            self.problem(text);
        }
        let task_type = self.task_types.into_iter().next().map(|said| said.what);
        let executor = self.executors.into_iter().next().map(|said| said.what);
        let params = self.params.into_iter().next().map(|said| said.what).unwrap_or_default();
        for (what, name) in [("a task type", &task_type), ("an executor", &executor)] {
            if let Some(name) = name
                && !is_name(name)
            {
                self.problems.push(format!("{} is no name of {what}", quoted(name)));
            }
        }
        self.problems.extend(reference::problems(&params));
        match task_type {
            Some(task_type) if self.problems.is_empty() => {
                Ok(Wanted { task_type, params, timeout: self.timeout, executor })
            }
            _ => Err(one_line(&self.problems)),
        }
    }

    fn contradiction(
        &mut self,
        what: &str,
        said: impl Fn(&Self) -> &Vec<Said<String>>,
        same: impl Fn(&str, &str) -> bool,
    ) {
        let text = match said(self).as_slice() {
            [first, rest @ ..] => {
                rest.iter().find(|other| !same(&first.what, &other.what)).map(|other| {
                    let (a, b) = (quoted(&first.what), quoted(&other.what));
                    format!("two {what}: {a} in {}, {b} in {}", first.place, other.place)
                })
            }
            [] => None,
        };
        self.problems.extend(text);
    }
}

/// Returns the first problems in one line, and how many there are beyond them.
fn one_line(problems: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = problems.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("; ");
    match problems.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

/// Whether the text can be a task type's or an executor's name.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 200
        && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '`')
}

/// Returns the text in one line, in backticks, shortened when it is long.
fn quoted(text: &str) -> String {
    let short: String =
        text.chars().take(60).flat_map(char::escape_debug).filter(|c| *c != '`').collect();
    let more = if text.chars().nth(60).is_some() { "…" } else { "" };
    format!("`{}{more}`", short.replace("\\\"", "\"").replace("\\'", "'"))
}
