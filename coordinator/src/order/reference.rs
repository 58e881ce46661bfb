//! References: a param that is taken from the recorded outcome of another bead.
//!
//! `{"$from": "BEAD", "path": "data.response"}` stands for that part of the outcome; without a path,
//! or with an empty one, for the whole outcome. A path is made of names with dots between them, and
//! of `[0]` for an item of a list or `["a name.with dots"]` for a name that is not plain.
//! What is put in is never looked through again: a result cannot ask for more.

use serde_json::{Map, Value};

use super::quoted;
use super::sources::kind;
use crate::beads::BeadId;

/// The member that makes an object a reference.
const FROM: &str = "$from";

/// One reference in the params of an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Where it stands in the params.
    pub at: String,
    /// The bead whose outcome is meant.
    pub bead: String,
    /// The part of the outcome; empty for the whole.
    pub path: String,
}

/// Returns the references in these params, at any depth.
pub fn references(params: &Map<String, Value>) -> Vec<Reference> {
    let mut found = Vec::new();
    visit_members(params, "", &mut |at, reference| {
        if let Ok((bead, path)) = reference {
            let (bead, path) = (bead.to_owned(), path.to_owned());
            found.push(Reference { at: at.to_owned(), bead, path });
        }
    });
    found
}

/// Returns what is wrong with the objects that look like references.
pub(super) fn problems(params: &Map<String, Value>) -> Vec<String> {
    let mut problems = Vec::new();
    visit_members(params, "", &mut |at, reference| match reference {
        Err(why) => problems.push(format!("params.{at}: {why}")),
        Ok((_, path)) => {
            if let Err(why) = steps(path) {
                problems.push(format!("params.{at}: {why}"));
            }
        }
    });
    problems
}

/// Returns the params with every reference replaced by what it stands for.
///
/// `lookup` gives the whole recorded outcome of a bead. An error names the place in the params.
pub fn substitute(
    params: &Map<String, Value>,
    lookup: impl Fn(&str) -> Result<Value, String>,
) -> Result<Map<String, Value>, String> {
    replace_members(params, "", &lookup)
}

fn replace_members(
    members: &Map<String, Value>,
    at: &str,
    lookup: &impl Fn(&str) -> Result<Value, String>,
) -> Result<Map<String, Value>, String> {
    let mut replaced = Map::new();
    for (name, value) in members {
        replaced.insert(name.clone(), replace(value, &member_path(at, name), lookup)?);
    }
    Ok(replaced)
}

fn replace(
    value: &Value,
    at: &str,
    lookup: &impl Fn(&str) -> Result<Value, String>,
) -> Result<Value, String> {
    match value {
        Value::Object(object) => match reference(object) {
            None => Ok(Value::Object(replace_members(object, at, lookup)?)),
            Some(reference) => reference
                .and_then(|(bead, path)| {
                    let steps = steps(path)?;
                    let outcome = lookup(bead)?;
                    resolve(&outcome, &steps)
                        .cloned()
                        .map_err(|why| format!("the outcome of bead {} {why}", quoted(bead)))
                })
                .map_err(|why| format!("params.{at}: {why}")),
        },
        Value::Array(items) => {
            let replaced = |(index, item)| replace(item, &format!("{at}[{index}]"), lookup);
            items.iter().enumerate().map(replaced).collect()
        }
        other => Ok(other.clone()),
    }
}

/// A reference's bead and path, or why it is none.
type Parts<'a> = Result<(&'a str, &'a str), String>;

fn visit_members(members: &Map<String, Value>, at: &str, tell: &mut impl FnMut(&str, Parts<'_>)) {
    for (name, value) in members {
        visit(value, &member_path(at, name), tell);
    }
}

fn visit(value: &Value, at: &str, tell: &mut impl FnMut(&str, Parts<'_>)) {
    match value {
        Value::Object(object) => match reference(object) {
            Some(reference) => tell(at, reference),
            None => visit_members(object, at, tell),
        },
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &format!("{at}[{index}]"), tell);
            }
        }
        _ => {}
    }
}

/// Reads an object that has a `$from`; with anything beside it but `path` it is a slip, which no
/// executor should see as a value.
fn reference(object: &Map<String, Value>) -> Option<Parts<'_>> {
    let from = object.get(FROM)?;
    let Value::String(bead) = from else {
        return Some(Err(format!("`{FROM}` is {}, expected a bead's id", kind(from))));
    };
    if let Some(stranger) = object.keys().find(|key| *key != FROM && *key != "path") {
        let stranger = quoted(stranger);
        return Some(Err(format!("a reference has `{FROM}` and `path`, and not {stranger}")));
    }
    if BeadId::parse(bead).is_err() {
        return Some(Err(format!("`{FROM}` is {}, expected a bead's id", quoted(bead))));
    }
    match object.get("path") {
        None | Some(Value::Null) => Some(Ok((bead, ""))),
        Some(Value::String(path)) => Some(Ok((bead, path))),
        Some(other) => Some(Err(format!("`path` is {}, expected text", kind(other)))),
    }
}

/// Returns the path of a member, as `params.a["b c"][0]` is written.
fn member_path(at: &str, name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$');
    if !name.is_empty() && name.len() <= 60 && name.chars().all(plain) {
        let dot = if at.is_empty() { "" } else { "." };
        format!("{at}{dot}{name}")
    } else {
        format!("{at}[{}]", quoted(name).replace('`', "\""))
    }
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Member(String),
    Item(usize),
}

/// Reads a path; the empty one has no steps.
fn steps(path: &str) -> Result<Vec<Step>, String> {
    let bad = |why: &str| format!("the path {} {why}", quoted(path));
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (step, after) = bracket(inside).ok_or_else(|| {
                bad("has a `[` that is not followed by a number and `]`, or by \"a name\" and `]`")
            })?;
            steps.push(step);
            rest = after;
        } else {
            let name = if steps.is_empty() { Some(rest) } else { rest.strip_prefix('.') };
            let name = name.ok_or_else(|| bad("lacks a `.` after a `]`"))?;
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (name, after) = name.split_at(end);
            if name.is_empty() {
                return Err(bad("has an empty name in it"));
            }
            steps.push(Step::Member(name.to_owned()));
            rest = after;
        }
    }
    Ok(steps)
}

/// Reads what follows a `[`.
fn bracket(inside: &str) -> Option<(Step, &str)> {
    if inside.starts_with('"') {
        let mut names = serde_json::Deserializer::from_str(inside).into_iter::<String>();
        let name = names.next()?.ok()?;
        let after = inside.get(names.byte_offset()..)?.strip_prefix(']')?;
        return Some((Step::Member(name), after));
    }
    let (number, after) = inside.split_once(']')?;
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((Step::Item(number.parse().ok()?), after))
}

fn resolve<'v>(outcome: &'v Value, steps: &[Step]) -> Result<&'v Value, String> {
    let mut value = outcome;
    let mut walked = String::new();
    for step in steps {
        let here = if walked.is_empty() { "it".to_owned() } else { format!("`{walked}`") };
        let (next, path) = match step {
            Step::Member(name) => (value.get(name), member_path(&walked, name)),
            Step::Item(index) => (value.get(index), format!("{walked}[{index}]")),
        };
        let Some(next) = next else {
            let why = match (step, value) {
                (Step::Member(_), Value::Object(object)) => format!("{here} has {}", names(object)),
                (Step::Item(_), Value::Array(items)) => format!("{here} has {} items", items.len()),
                (_, other) => format!("{here} is {}", kind(other)),
            };
            return Err(format!("has no `{path}`: {why}"));
        };
        (value, walked) = (next, path);
    }
    Ok(value)
}

fn names(object: &Map<String, Value>) -> String {
    const SHOWN: usize = 12;
    let mut names: Vec<String> = object.keys().take(SHOWN).map(|name| quoted(name)).collect();
    if object.len() > SHOWN {
        names.push("…".to_owned());
    }
    if names.is_empty() { "no members".to_owned() } else { names.join(", ") }
}
