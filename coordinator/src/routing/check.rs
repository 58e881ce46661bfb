//! Taking values out of the tree, and writing down everything that does not fit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::problem::{Problem, nearest, quoted};
use super::yaml::{Node, Step, locate};

/// So many problems are told with their places; each place costs one more reading of the file.
const SHOWN: usize = 100;

/// A value and how it was reached.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    pub(super) node: &'a Node,
    path: String,
    steps: Vec<Step>,
}

impl<'a> At<'a> {
    pub(super) fn root(node: &'a Node) -> Self {
        Self { node, path: String::new(), steps: Vec::new() }
    }

    fn down(&self, node: &'a Node, step: Step, label: &str) -> Self {
        let mut steps = self.steps.clone();
        steps.push(step);
        Self { node, path: format!("{}{label}", self.path), steps }
    }

    fn entry(&self, node: &'a Node, step: Step, name: &str) -> Self {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*');
        let dot = if self.path.is_empty() { "" } else { "." };
        if !name.is_empty() && name.len() <= 60 && name.chars().all(plain) {
            self.down(node, step, &format!("{dot}{name}"))
        } else {
            let shown = quoted(name).replace('`', "\"");
            self.down(node, step, &format!("{dot}{shown}"))
        }
    }
}

/// One entry of a mapping whose keys the user chooses.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    /// To point at the name.
    pub(super) key: At<'a>,
    pub(super) value: At<'a>,
}

/// The members of a mapping whose keys are known.
#[derive(Debug, Default)]
pub(super) struct Fields<'a>(BTreeMap<&'static str, At<'a>>);

impl<'a> Fields<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&At<'a>> {
        self.0.get(name)
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Checker(Vec<Found>);

#[derive(Debug)]
struct Found {
    steps: Vec<Step>,
    path: String,
    text: String,
    nearest: Option<String>,
}

impl Checker {
    pub(super) fn is_clean(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn problem(&mut self, at: &At<'_>, text: impl Into<String>) {
        self.problem_near(at, text, None);
    }

    pub(super) fn problem_near(
        &mut self,
        at: &At<'_>,
        text: impl Into<String>,
        nearest: Option<&str>,
    ) {
        self.0.push(Found {
            steps: at.steps.clone(),
            path: at.path.clone(),
            text: text.into(),
            nearest: nearest.map(str::to_owned),
        });
    }

    /// Returns the problems with their places, in the order of the file.
    pub(super) fn problems(self, text: &str, file: &str) -> Vec<Problem> {
        let more = self.0.len().saturating_sub(SHOWN);
        let mut problems: Vec<Problem> = self
            .0
            .into_iter()
            .take(SHOWN)
            .map(|found| {
                let place = locate(text, &found.steps);
                Problem {
                    file: file.to_owned(),
                    line: place.map_or(0, |place| place.line),
                    column: place.map_or(0, |place| place.column),
                    path: found.path,
                    text: found.text,
                    nearest: found.nearest,
                }
            })
            .collect();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        if more > 0 {
            problems.push(Problem {
                file: file.to_owned(),
                line: 0,
                column: 0,
                path: String::new(),
                text: format!("{more} more problems like these"),
                nearest: None,
            });
        }
        problems
    }

    fn expected(&mut self, at: &At<'_>, what: &str) {
        let found = match at.node {
            Node::Text(text) => quoted(text),
            Node::Whole(number) => format!("`{number}`"),
            Node::Number(number) => format!("`{number}`"),
            Node::Bool(value) => format!("`{value}`"),
            Node::Tagged(tag) => format!("the tag {}", quoted(&format!("!{tag}"))),
            other => other.kind().to_owned(),
        };
        self.problem(at, format!("expected {what}, found {found}"));
    }

    /// Returns the entries of a mapping whose keys the user chooses, each name once.
    pub(super) fn entries<'a>(&mut self, at: &At<'a>, what: &str) -> Vec<Entry<'a>> {
        let Node::Map(pairs) = at.node else {
            self.expected(at, what);
            return Vec::new();
        };
        let mut seen = BTreeSet::new();
        let mut entries = Vec::new();
        for (index, (key, value)) in pairs.iter().enumerate() {
            let Node::Text(name) = key else {
                let at_key = at.down(key, Step::Key(index), "");
                self.problem(&at_key, format!("expected a name, found {}; quote it", key.kind()));
                continue;
            };
            let at_key = at.entry(key, Step::Key(index), name);
            if !seen.insert(name.as_str()) {
                self.problem(&at_key, "is there twice; keep one of them");
                continue;
            }
            let value = at.entry(value, Step::Value(index), name);
            entries.push(Entry { name, key: at_key, value });
        }
        entries
    }

    /// Returns the members of a mapping whose keys are known.
    pub(super) fn fields<'a>(
        &mut self,
        at: &At<'a>,
        what: &str,
        known: &[&'static str],
    ) -> Fields<'a> {
        let mut fields = Fields::default();
        for entry in self.entries(at, what) {
            if let Some(name) = known.iter().find(|name| **name == entry.name) {
                fields.0.insert(name, entry.value);
            } else {
                let list = known.join(", ");
                let near = nearest(entry.name, known.iter().copied());
                self.problem_near(&entry.key, format!("unknown field; known are {list}"), near);
            }
        }
        fields
    }

    /// Returns the items of a list.
    pub(super) fn items<'a>(&mut self, at: &At<'a>, what: &str) -> Vec<At<'a>> {
        let Node::List(items) = at.node else {
            self.expected(at, what);
            return Vec::new();
        };
        let down = |(index, item)| at.down(item, Step::Item(index), &format!("[{index}]"));
        items.iter().enumerate().map(down).collect()
    }

    /// Returns text that is not empty and has no control character in it.
    pub(super) fn text<'a>(&mut self, at: &At<'a>, what: &str) -> Option<&'a str> {
        match at.node {
            Node::Text(text) if text.is_empty() => {
                self.problem(at, format!("expected {what}, found empty text"));
                None
            }
            Node::Text(text) if text.chars().any(char::is_control) => {
                self.expected(at, &format!("{what} without control characters"));
                None
            }
            Node::Text(text) => Some(text),
            Node::Whole(_) | Node::Number(_) | Node::Bool(_) => {
                self.expected(at, &format!("{what} as text (in quotes)"));
                None
            }
            _ => {
                self.expected(at, what);
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, at: &At<'_>) -> Option<bool> {
        if let Node::Bool(value) = at.node {
            return Some(*value);
        }
        self.expected(at, "true or false");
        None
    }

    /// Returns a whole number that is at least one.
    pub(super) fn count(&mut self, at: &At<'_>, what: &str) -> Option<u32> {
        match at.node {
            Node::Whole(0) => {
                self.problem(at, format!("expected {what}, at least 1: 0 would stop everything"));
                None
            }
            Node::Whole(number) => {
                let count = u32::try_from(*number).ok();
                if count.is_none() {
                    self.expected(at, &format!("{what}, from 1 to {}", u32::MAX));
                }
                count
            }
            _ => {
                self.expected(at, &format!("{what}, a whole number"));
                None
            }
        }
    }

    pub(super) fn number(&mut self, at: &At<'_>, what: &str) -> Option<f64> {
        match at.node {
            // A factor is small; what is too big for `i32` is refused for its size just below.
            Node::Whole(number) => Some(f64::from(i32::try_from(*number).unwrap_or(i32::MAX))),
            Node::Number(number) => Some(*number),
            _ => {
                self.expected(at, what);
                None
            }
        }
    }

    /// Returns a duration such as `90s`, `10m`, `1h30m`, or a bare number of seconds.
    pub(super) fn duration(&mut self, at: &At<'_>) -> Option<Duration> {
        let text = match at.node {
            Node::Text(text) => text.clone(),
            Node::Whole(number) => number.to_string(),
            Node::Number(number) => number.to_string(),
            _ => {
                self.expected(at, "a duration such as 90s, 10m or 1h30m");
                return None;
            }
        };
        let duration = daemon::duration::parse(&text).ok();
        if duration.is_none() {
            self.expected(at, "a duration such as 90s, 10m or 1h30m");
        }
        duration
    }

    /// Returns a duration that is longer than nothing.
    pub(super) fn positive_duration(&mut self, at: &At<'_>) -> Option<Duration> {
        let duration = self.duration(at)?;
        if duration.is_zero() {
            self.problem(at, "expected a duration longer than 0");
            return None;
        }
        Some(duration)
    }
}
