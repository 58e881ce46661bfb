//! The sections of routing.yaml, one function each.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{At, Checker, Entry};
use super::problem::{Problem, nearest, quoted};
use super::yaml::{self, Malformed, Node};
use super::{Backoff, Destination, ExecutorName, Limits, Retry, Routes, Routing, base_name};

mod executors;
mod hosts;
mod wanted;

/// The sections of the file.
const SECTIONS: [&str; 7] =
    ["executors", "routes", "default", "limits", "retry", "idempotent", "hosts"];

/// Reads routing.yaml; `file` is what the problems call it.
pub fn parse(text: &str, file: &str) -> Result<Routing, Vec<Problem>> {
    // Some editors begin a file with a byte order mark, which the parser counts as a column.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root = yaml::read(text).and_then(|root| match root {
        Node::Null => {
            let text = "the file is empty; the least that is valid is `executors: {}`";
            Err(Malformed { place: None, text: text.to_owned() })
        }
        root => Ok(root),
    });
    let root = root.map_err(|malformed| {
        vec![Problem {
            file: file.to_owned(),
            line: malformed.place.map_or(0, |place| place.line),
            column: malformed.place.map_or(0, |place| place.column),
            path: String::new(),
            text: malformed.text,
            nearest: None,
        }]
    })?;
    let mut checker = Checker::default();
    let routing = whole(&mut checker, &At::root(&root));
    if checker.is_clean() { Ok(routing) } else { Err(checker.problems(text, file)) }
}

fn whole(checker: &mut Checker, root: &At<'_>) -> Routing {
    let what = "the sections of the file (executors, routes, …)";
    let fields = checker.fields(root, what, &SECTIONS);
    if matches!(root.node, Node::Map(_)) && fields.get("executors").is_none() {
        checker.problem(root, "there is no `executors`; without any write `executors: {}`");
    }
    // A section with everything in it commented out is an empty one.
    let section = |name| fields.get(name).filter(|at| *at.node != Node::Null);

    let hosts = section("hosts").map(|at| hosts::read(checker, at));
    let executors = match section("executors") {
        Some(at) => executors::read(checker, at, hosts.as_ref()),
        None => BTreeMap::new(),
    };
    let known = Known::new(executors.keys().map(ExecutorName::as_str));
    let routes = section("routes").map(|at| routes(checker, at, &known)).unwrap_or_default();
    let default = section("default").and_then(|at| destination(checker, at, &known));
    let limits = section("limits").map(|at| limits(checker, at)).unwrap_or_default();
    let retry = section("retry").map(|at| retry(checker, at)).unwrap_or_default();
    let idempotent = section("idempotent").map(|at| types(checker, at)).unwrap_or_default();
    let hosts = hosts.unwrap_or_default();
    let executors = executors.into_iter().filter_map(|(name, entry)| Some((name, entry?)));
    Routing {
        executors: executors.collect(),
        default,
        limits,
        retry,
        idempotent,
        hosts: hosts.into_iter().collect(),
        routes,
    }
}

/// The names of the executors, by what makes them one.
#[derive(Debug)]
struct Known(BTreeMap<String, ExecutorName>);

impl Known {
    fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self(names.map(|name| (base_name(name).to_owned(), ExecutorName::from(name))).collect())
    }

    fn executor(&self, checker: &mut Checker, at: &At<'_>) -> Option<ExecutorName> {
        let name = checker.text(at, "an executor's name")?;
        let known = self.0.get(base_name(name)).cloned();
        if known.is_none() {
            let near = nearest(base_name(name), self.0.keys().map(String::as_str));
            let text = match near {
                Some(_) => format!("no executor is called {}", quoted(name)),
                None => format!("no executor is called {}; {}", quoted(name), self.listed()),
            };
            let near = near.and_then(|base| self.0.get(base)).map(ExecutorName::as_str);
            checker.problem_near(at, text, near);
        }
        known
    }

    fn listed(&self) -> String {
        let names: Vec<&str> = self.0.values().take(10).map(ExecutorName::as_str).collect();
        match (names.is_empty(), self.0.len() > names.len()) {
            (true, _) => "`executors` has none".to_owned(),
            (false, false) => format!("known are {}", names.join(", ")),
            (false, true) => format!("known are {}, …", names.join(", ")),
        }
    }
}

fn routes(checker: &mut Checker, at: &At<'_>, known: &Known) -> Routes {
    let mut routes = Routes::default();
    for Entry { name, key, value } in checker.entries(at, "task types and their executors") {
        let prefix = name.strip_suffix('*');
        let bad = match prefix {
            Some("") => Some("`*` alone takes everything: write it as `default:`"),
            _ if prefix.unwrap_or(name).contains('*') => {
                Some("a `*` may only stand at the end, once")
            }
            _ if !is_type_name(prefix.unwrap_or(name)) => {
                Some("expected a task type such as git-clone, or a prefix such as git-*")
            }
            _ => None,
        };
        if let Some(text) = bad {
            checker.problem(&key, text);
        }
        let executors = destinations(checker, &value, known);
        let place = if prefix.is_some() { &mut routes.prefixes } else { &mut routes.exact };
        place.insert(prefix.unwrap_or(name).to_owned(), executors);
    }
    routes
}

fn destinations(checker: &mut Checker, at: &At<'_>, known: &Known) -> Vec<Destination> {
    let items = match at.node {
        Node::Text(_) | Node::Map(_) => vec![at.clone()],
        _ => checker.items(at, "an executor's name, what a runner must be, or a list of these"),
    };
    if items.is_empty() && matches!(at.node, Node::List(_)) {
        checker.problem(at, "the list is empty; name an executor, or leave the route out");
    }
    let mut destinations = Vec::new();
    for item in items {
        let Some(destination) = destination(checker, &item, known) else { continue };
        if destinations.contains(&destination) {
            let again = match &destination {
                Destination::Executor(name) => quoted(name.as_str()),
                Destination::Runner(wanted) => wanted.to_string(),
            };
            checker.problem(&item, format!("names {again} again"));
        } else {
            destinations.push(destination);
        }
    }
    destinations
}

fn destination(checker: &mut Checker, at: &At<'_>, known: &Known) -> Option<Destination> {
    if matches!(at.node, Node::Map(_)) {
        return wanted::read(checker, at).map(Destination::Runner);
    }
    known.executor(checker, at).map(Destination::Executor)
}

fn limits(checker: &mut Checker, at: &At<'_>) -> Limits {
    let known = ["total", "per_type", "per_label", "exclusive", "attempts_per_minute"];
    let fields = checker.fields(at, "limits", &known);
    let mut limits = Limits::default();
    if let Some(at) = fields.get("total") {
        limits.total = checker.count(at, "how many tasks at a time");
    }
    if let Some(at) = fields.get("per_type") {
        for entry in checker.entries(at, "task types and their limits") {
            check_type(checker, &entry.key, entry.name);
            if let Some(count) = checker.count(&entry.value, "how many tasks at a time") {
                limits.per_type.insert(entry.name.to_owned(), count);
            }
        }
    }
    if let Some(at) = fields.get("per_label") {
        for entry in checker.entries(at, "labels and their limits") {
            checker.text(&entry.key, "a label");
            if let Some(count) = checker.count(&entry.value, "how many tasks at a time") {
                limits.per_label.insert(entry.name.to_owned(), count);
            }
        }
    }
    if let Some(at) = fields.get("exclusive") {
        limits.exclusive = types(checker, at);
    }
    if let Some(at) = fields.get("attempts_per_minute")
        && let Some(count) = checker.count(at, "how many attempts within a minute")
    {
        limits.attempts_per_minute = count;
    }
    limits
}

fn retry(checker: &mut Checker, at: &At<'_>) -> Retry {
    let fields = checker.fields(at, "how to try again", &["attempts", "backoff", "grace"]);
    let mut retry = Retry::default();
    if let Some(at) = fields.get("attempts")
        && let Some(count) = checker.count(at, "how many starts in all")
    {
        retry.attempts = count;
    }
    if let Some(at) = fields.get("grace")
        && let Some(grace) = checker.duration(at)
    {
        retry.grace = grace;
    }
    if let Some(at) = fields.get("backoff") {
        retry.backoff = backoff(checker, at);
    }
    retry
}

fn backoff(checker: &mut Checker, at: &At<'_>) -> Backoff {
    let what = "{ first: 10s, factor: 2, max: 10m }";
    let fields = checker.fields(at, what, &["first", "factor", "max"]);
    let mut backoff = Backoff::default();
    let first = fields.get("first").and_then(|at| checker.positive_duration(at));
    let max = fields.get("max").and_then(|at| checker.positive_duration(at));
    // One that is given alone moves the default of the other, so that `first: 1h` needs no `max`.
    backoff.first = first.or(max.map(|max| max.min(backoff.first))).unwrap_or(backoff.first);
    backoff.max = max.or(first.map(|first| first.max(backoff.max))).unwrap_or(backoff.max);
    if let (Some(at), Some(first), Some(max)) = (fields.get("first"), first, max)
        && first > max
    {
        checker.problem(at, "the first pause is longer than `max`");
    }
    if let Some(at) = fields.get("factor")
        && let Some(factor) = checker.number(at, "a number such as 2")
    {
        if (1.0..=100.0).contains(&factor) {
            backoff.factor = factor;
        } else {
            checker.problem(at, format!("expected a factor from 1 to 100, found `{factor}`"));
        }
    }
    backoff
}

/// Returns a list of task types, each in full.
fn types(checker: &mut Checker, at: &At<'_>) -> BTreeSet<String> {
    let mut types = BTreeSet::new();
    for item in checker.items(at, "a list of task types") {
        let Some(name) = checker.text(&item, "a task type") else { continue };
        check_type(checker, &item, name);
        if !types.insert(name.to_owned()) {
            checker.problem(&item, format!("names {} again", quoted(name)));
        }
    }
    types
}

fn check_type(checker: &mut Checker, at: &At<'_>, name: &str) {
    if name.contains('*') {
        checker.problem(at, "expected a task type in full; a `*` is read in `routes` only");
    } else if !is_type_name(name) {
        checker
            .problem(at, format!("expected a task type such as git-clone, found {}", quoted(name)));
    }
}

fn is_type_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// Whether the name can be told from other words, in a label and in a path.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 200 && name.chars().all(plain) && !name.starts_with('-')
}
