//! From what a program printed to beads: tolerant of every shape the contract names.
//!
//! Absent, null and empty mean the same. A list is taken apart before any element is read, so one
//! bad element costs itself alone, and ten thousand beads of others cost one at a time.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::bead::{Bead, BeadId, Dependency, Status};

/// The elements of an answer, unread: a bare array, an enveloped one, `{closed: […]}`, or one
/// object that is itself a bead. `None` when there is no JSON, or JSON of another shape.
pub(super) fn rows(stdout: &str) -> Option<Vec<&RawValue>> {
    rows_of(document(stdout)?, 0)
}

fn rows_of(value: &RawValue, depth: u8) -> Option<Vec<&RawValue>> {
    let json = value.get();
    if json == "null" {
        return Some(Vec::new());
    }
    if json.starts_with('[') {
        return serde_json::from_str(json).ok();
    }
    let fields: HashMap<String, &RawValue> = serde_json::from_str(json).ok()?;
    if fields.contains_key("error") {
        return None;
    }
    if fields.contains_key("id") {
        return Some(vec![value]);
    }
    let inner = fields.get("data").or_else(|| fields.get("closed"))?;
    if depth > 0 { None } else { rows_of(inner, depth + 1) }
}

/// The JSON in an answer: all of it, or what starts at the first line that opens a value, since
/// some versions print text before it.
fn document(stdout: &str) -> Option<&RawValue> {
    if let Ok(value) = serde_json::from_str(stdout) {
        return Some(value);
    }
    let mut start = 0;
    for line in stdout.split_inclusive('\n') {
        if line.starts_with(['[', '{'])
            && let Some(value) = first(&stdout[start..])
        {
            return Some(value);
        }
        start += line.len();
    }
    None
}

/// The value that a text starts with.
fn first<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Option<T> {
    serde_json::Deserializer::from_str(text).into_iter().next()?.ok()
}

/// The same, for callers that want it whole.
pub(super) fn first_value(text: &str) -> Option<Value> {
    first(text)
}

/// One bead, or `None` when the element is none.
pub(super) fn bead(raw: &RawValue) -> Option<Bead> {
    let mut fields: Map<String, Value> = serde_json::from_str(raw.get()).ok()?;
    let id = BeadId::parse(fields.get("id")?.as_str()?).ok()?;
    let foreign = ["dependencies", "dependents", "comments"];
    let size = raw.get().len()
        - foreign.iter().filter_map(|key| fields.get(*key)).map(printed_len).sum::<usize>();
    let (dependencies, dependents) = (fields.remove("dependencies"), fields.remove("dependents"));
    let dependencies = edges(&id, dependencies)?;
    let dependent_count = count(&fields, "dependent_count")
        .or_else(|| dependents.as_ref().and_then(Value::as_array).map(|list| list.len() as u64));

    Some(Bead {
        title: text(&mut fields, "title"),
        description: text(&mut fields, "description"),
        status: Status::from(text(&mut fields, "status")),
        priority: fields
            .get("priority")
            .and_then(Value::as_u64)
            .and_then(|n| u8::try_from(n).ok())
            .unwrap_or(2),
        issue_type: text(&mut fields, "issue_type"),
        assignee: Some(text(&mut fields, "assignee")).filter(|name| !name.is_empty()),
        labels: strings(fields.remove("labels")),
        metadata: object(fields.remove("metadata")),
        created_at: time(&fields, "created_at"),
        due_at: time(&fields, "due_at"),
        defer_until: time(&fields, "defer_until"),
        closed_at: time(&fields, "closed_at"),
        dependency_count: count(&fields, "dependency_count"),
        dependent_count,
        notes: text(&mut fields, "notes"),
        close_reason: text(&mut fields, "close_reason"),
        dependencies,
        size,
        id,
    })
}

/// The id and status of an element, and nothing else of it.
pub(super) fn id_and_status(raw: &RawValue) -> Option<(String, Status)> {
    #[derive(serde::Deserialize)]
    struct Standing {
        id: String,
        status: String,
    }
    let Standing { id, status } = serde_json::from_str(raw.get()).ok()?;
    Some((id, Status::from(status)))
}

/// What a value took in the answer, roughly: without the blanks it was printed with.
fn printed_len(value: &Value) -> usize {
    value.to_string().len()
}

fn text(fields: &mut Map<String, Value>, key: &str) -> String {
    match fields.remove(key) {
        Some(Value::String(text)) => text,
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => String::new(),
    }
}

fn strings(value: Option<Value>) -> Vec<String> {
    let Some(Value::Array(items)) = value else { return Vec::new() };
    items.into_iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// Metadata is an object, or (in plans and old versions) a text that holds one.
fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(map)) => map,
        Some(Value::String(text)) => serde_json::from_str(&text).unwrap_or_default(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | None => {
            Map::new()
        }
    }
}

fn count(fields: &Map<String, Value>, key: &str) -> Option<u64> {
    fields.get(key).and_then(Value::as_u64)
}

/// A time; the zero time of Go stands for none.
fn time(fields: &Map<String, Value>, key: &str) -> Option<Timestamp> {
    let text = fields.get(key)?.as_str()?;
    let at: Timestamp = text.parse().ok()?;
    (!text.starts_with("0001-")).then_some(at)
}

/// What a bead points at, in three shapes: raw edges (`ready`, `list`), whole beads (`show`), and
/// `{id, type}` (`mb`). An edge to something that is no id makes the bead unreadable, since
/// leaving it out could start what must wait.
fn edges(own: &BeadId, value: Option<Value>) -> Option<Vec<Dependency>> {
    let Some(Value::Array(items)) = value else { return Some(Vec::new()) };
    let mut edges = Vec::with_capacity(items.len());
    for item in items {
        let field = |key: &str| item.get(key).and_then(Value::as_str);
        let target = if let Some(target) = field("depends_on_id") {
            if field("issue_id").is_some_and(|from| from != own.as_str()) {
                continue;
            }
            target
        } else {
            field("id")?
        };
        edges.push(Dependency {
            id: BeadId::parse(target).ok()?,
            kind: field("dependency_type").or_else(|| field("type")).unwrap_or("blocks").to_owned(),
            status: field("status").map(Status::from),
        });
    }
    Some(edges)
}

#[cfg(test)]
mod tests;
