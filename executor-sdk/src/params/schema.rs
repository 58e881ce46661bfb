//! Walking a JSON Schema as schemars makes it.

use serde_json::{Map, Value};

use super::Step;

/// Says at every struct that it takes no other members.
///
/// schemars leaves this open, as serde does by default; the executor refuses unknown members.
pub(crate) fn close(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else { return };
    let is_struct = node.contains_key("properties")
        || node.get("type").and_then(Value::as_str) == Some("object");
    if is_struct && !node.contains_key("additionalProperties") {
        node.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    for (word, value) in node.iter_mut() {
        match word.as_str() {
            "properties" | "$defs" | "definitions" | "patternProperties" => {
                if let Some(schemas) = value.as_object_mut() {
                    schemas.values_mut().for_each(close);
                }
            }
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => {
                if let Some(schemas) = value.as_array_mut() {
                    schemas.iter_mut().for_each(close);
                }
            }
            "items" | "additionalProperties" | "not" => close(value),
            _ => {}
        }
    }
}

/// Returns the names of the fields that are known at a path.
pub(crate) fn fields(root: &Value, path: &[Step]) -> Vec<String> {
    let mut names: Vec<String> = resolve(root, path)
        .into_iter()
        .filter_map(|node| node.get("properties")?.as_object())
        .flat_map(Map::keys)
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Says what is expected at a path, such as `an integer (uint32)`.
pub(crate) fn expected(root: &Value, path: &[Step]) -> Option<String> {
    let nodes = resolve(root, path);
    let mut words: Vec<String> = nodes.into_iter().filter_map(describe).collect();
    words.dedup();
    if words.is_empty() { None } else { Some(words.join(" or ")) }
}

fn describe(node: &Value) -> Option<String> {
    if let Some(values) = node.get("enum").and_then(Value::as_array) {
        let values: Vec<_> = values.iter().map(ToString::to_string).collect();
        return Some(format!("one of {}", values.join(", ")));
    }
    let kind = match node.get("type")? {
        Value::String(kind) => kind.as_str(),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|k| *k != "null")?,
        _ => return None,
    };
    let article = if matches!(kind, "integer" | "array" | "object") { "an" } else { "a" };
    Some(match node.get("format").and_then(Value::as_str) {
        Some(format) => format!("{article} {kind} ({format})"),
        None => format!("{article} {kind}"),
    })
}

fn resolve<'s>(root: &'s Value, path: &[Step]) -> Vec<&'s Value> {
    let mut nodes = alternatives(root, root);
    for step in path {
        nodes = nodes
            .into_iter()
            .filter_map(|node| enter(node, step))
            .flat_map(|next| alternatives(root, next))
            .collect();
    }
    nodes
}

fn enter<'s>(node: &'s Value, step: &Step) -> Option<&'s Value> {
    match step {
        Step::Key(key) => node
            .get("properties")
            .and_then(|properties| properties.get(key))
            .or_else(|| node.get("additionalProperties").filter(|schema| schema.is_object())),
        Step::Index(index) => {
            node.get("prefixItems").and_then(|items| items.get(index)).or_else(|| node.get("items"))
        }
    }
}

/// Returns what a schema may stand for: itself, what it refers to, and each of its choices.
fn alternatives<'s>(root: &'s Value, node: &'s Value) -> Vec<&'s Value> {
    // A recursive type refers to itself only below a property, never in place; the count is a
    // guard against a schema written by hand.
    let mut found = Vec::new();
    let mut open = vec![node];
    let mut steps = 0;
    while let Some(node) = open.pop() {
        steps += 1;
        if steps > 200 {
            break;
        }
        found.push(node);
        if let Some(reference) = node.get("$ref").and_then(Value::as_str) {
            open.extend(reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)));
        }
        for word in ["anyOf", "oneOf", "allOf"] {
            open.extend(node.get(word).and_then(Value::as_array).into_iter().flatten());
        }
    }
    found
}
