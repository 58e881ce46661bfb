//! Params: JSON in, a typed task or a refusal out that names the field.

use std::cell::RefCell;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

pub(crate) mod schema;

#[cfg(test)]
mod tests;

/// Why params do not fit their task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParamsError {
    /// One line that names each field path and what was expected.
    pub(crate) error: String,
    /// The known names, the nearest first.
    pub(crate) hint: Option<String>,
}

/// One step from a value into what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// Returns the schema that `/status` shows: closed at every object that is a struct.
pub(crate) fn schema<T: JsonSchema>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    schema::close(&mut schema);
    schema
}

/// Parses params. Unknown fields are found at any depth; `schema` supplies the names for the hint.
pub(crate) fn parse<T: DeserializeOwned>(
    raw: Map<String, Value>,
    schema: &Value,
) -> Result<T, ParamsError> {
    let unknown = RefCell::new(Vec::new());
    let mut note = |path: serde_ignored::Path<'_>| unknown.borrow_mut().push(steps(&path));
    let parsed = serde_path_to_error::deserialize::<_, T>(serde_ignored::Deserializer::new(
        Value::Object(raw),
        &mut note,
    ));
    let unknown = unknown.into_inner();

    match parsed {
        Ok(task) if unknown.is_empty() => Ok(task),
        Ok(_) => Err(refusal(Vec::new(), &unknown, schema)),
        Err(error) => Err(refusal(vec![wrong(&error, schema)], &unknown, schema)),
    }
}

/// Says what is wrong with a known field.
fn wrong(error: &serde_path_to_error::Error<serde_json::Error>, schema: &Value) -> String {
    let mut path: Vec<Step> = error.path().iter().filter_map(step).collect();
    let text = error.inner().to_string();
    let missing = text
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split_once('`'))
        .map(|(field, _)| field.to_owned());
    if let Some(field) = missing {
        path.push(Step::Key(field));
        let expected = schema::expected(schema, &path)
            .map_or_else(String::new, |expected| format!(", expected {expected}"));
        return format!("`{}` is missing{expected}", show(&path));
    }
    if path.is_empty() { text } else { format!("`{}`: {text}", show(&path)) }
}

fn refusal(mut errors: Vec<String>, unknown: &[Vec<Step>], schema: &Value) -> ParamsError {
    let mut hints = Vec::new();
    for path in unknown {
        errors.push(format!("`{}` is unknown", show(path)));
        let Some((Step::Key(name), parent)) = path.split_last() else { continue };
        hints.push(nearest(name, parent, schema));
    }
    hints.dedup();
    let hint = if hints.is_empty() { None } else { Some(hints.join("; ")) };
    ParamsError { error: errors.join("; "), hint }
}

/// Lists the names that are known where `name` was found, the most similar first.
fn nearest(name: &str, parent: &[Step], schema: &Value) -> String {
    let mut known = schema::fields(schema, parent);
    known.sort_by_key(|field| strsim::damerau_levenshtein(field, name));
    let place =
        if parent.is_empty() { "here".to_owned() } else { format!("in `{}`", show(parent)) };
    let Some(first) = known.first() else {
        return format!("no fields are known {place}");
    };
    let similar = strsim::damerau_levenshtein(first, name) <= 1 + name.chars().count() / 3;
    let all = known.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
    if similar {
        format!("did you mean `{first}`? known {place}: {all}")
    } else {
        format!("known {place}: {all}")
    }
}

/// Returns the path as people write it: `hosts[0].port`.
pub(crate) fn show(path: &[Step]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for step in path {
        let _: Result<(), _> = match step {
            Step::Key(key) if text.is_empty() => write!(text, "{key}"),
            Step::Key(key) => write!(text, ".{key}"),
            Step::Index(index) => write!(text, "[{index}]"),
        };
    }
    text
}

fn step(segment: &Segment) -> Option<Step> {
    match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } | Segment::Enum { variant: key } => Some(Step::Key(key.clone())),
        Segment::Unknown => None,
    }
}

fn steps(path: &serde_ignored::Path<'_>) -> Vec<Step> {
    use serde_ignored::Path;
    match path {
        Path::Root => Vec::new(),
        Path::Seq { parent, index } => {
            let mut path = steps(parent);
            path.push(Step::Index(*index));
            path
        }
        Path::Map { parent, key } => {
            let mut path = steps(parent);
            path.push(Step::Key(key.clone()));
            path
        }
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => steps(parent),
    }
}
