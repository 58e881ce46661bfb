//! The params of a task, read from their JSON Schema.

use serde_json::{Map, Value};

/// One param.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: String,
    /// Its type, in words.
    pub(crate) kind: String,
    /// Its default, or that it is required.
    pub(crate) default: String,
    /// What it means.
    pub(crate) means: String,
}

/// Returns the params of a schema, the required ones first.
pub(crate) fn rows(schema: &Value) -> Vec<Row> {
    let rows = fields(schema).into_iter().map(|(name, field, required)| {
        let row = row(schema, name, field);
        if required { Row { default: "required".to_owned(), ..row } } else { row }
    });
    rows.collect()
}

fn row(root: &Value, name: &str, field: &Value) -> Row {
    let default = match &field["default"] {
        Value::Null => String::new(),
        value => format!("`{value}`"),
    };
    let mut means = words(field);
    if means.is_empty() {
        means = words(resolved(root, field));
    }
    for (part, text) in parts(root, field) {
        if !means.is_empty() {
            means.push_str("<br>");
        }
        means.push_str(&["`", &part, "`: ", &text].concat());
    }
    Row { name: name.to_owned(), kind: kind(root, field), default, means }
}

/// Returns what the words of an enumeration and the fields of an object mean, where that is told.
fn parts(root: &Value, field: &Value) -> Vec<(String, String)> {
    let field = resolved(root, field);
    if field["items"].is_object() {
        return parts(root, &field["items"]);
    }
    let words_of = alternatives(field).filter_map(|one| {
        let word = one["const"].as_str()?;
        Some((word.to_owned(), words(one)))
    });
    let fields = fields(field).into_iter().map(|(name, inner, _)| (name.clone(), words(inner)));
    words_of.chain(fields).filter(|(_, text)| !text.is_empty()).collect()
}

/// Returns a type in words, such as `list of text`.
fn kind(root: &Value, field: &Value) -> String {
    let field = resolved(root, field);
    if let Some(list) = field["enum"].as_array() {
        return either(&list.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>());
    }
    if !field["const"].is_null() {
        return format!("`{}`", field["const"]);
    }
    let choice: Vec<String> = alternatives(field).map(|one| kind(root, one)).collect();
    if !choice.is_empty() {
        return either(&choice);
    }
    let named: Vec<&str> = match &field["type"] {
        Value::String(one) => vec![one],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => return "any JSON".to_owned(),
    };
    let named = named.into_iter().filter(|name| *name != "null");
    either(&named.map(|name| plain(root, name, field)).collect::<Vec<_>>())
}

fn plain(root: &Value, name: &str, field: &Value) -> String {
    match name {
        "string" if field["pattern"].as_str().is_some_and(|it| it.starts_with("^secret:")) => {
            "`secret:NAME`".to_owned()
        }
        "string" => match field["format"].as_str() {
            Some("uri") => "URL".to_owned(),
            Some("ip" | "ipv4" | "ipv6") => "IP address".to_owned(),
            _ => "text".to_owned(),
        },
        "integer" => format!("whole number{}", range(field)),
        "number" => "number".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        "array" => match kind(root, &field["items"]) {
            choice if choice.contains(" or ") => format!("list of ({choice})"),
            one => format!("list of {one}"),
        },
        "object" => object(root, field),
        other => other.to_owned(),
    }
}

/// Returns the bounds that are more than those of the number's size.
fn range(field: &Value) -> String {
    let bound = |name: &str| field[name].as_u64();
    match (
        bound("minimum").filter(|&least| least > 0),
        bound("maximum").filter(|&most| most < 65_535),
    ) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        (None, Some(most)) => format!(", at most {most}"),
        (None, None) => String::new(),
    }
}

fn object(root: &Value, field: &Value) -> String {
    let fields = fields(field).into_iter().map(|(name, inner, required)| {
        let optional = if required { "" } else { ", optional" };
        format!("`{name}` ({}{optional})", kind(root, inner))
    });
    let fields: Vec<String> = fields.collect();
    if fields.is_empty() { "object".to_owned() } else { format!("object of {}", fields.join(", ")) }
}

fn either(choice: &[String]) -> String {
    match choice.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "any JSON".to_owned(),
    }
}

/// Follows references, and looks through a choice between one type and `null`.
fn resolved<'a>(root: &'a Value, field: &'a Value) -> &'a Value {
    if let Some(to) = field["$ref"].as_str().and_then(|to| root.pointer(to.strip_prefix('#')?)) {
        return resolved(root, to);
    }
    let mut choice = alternatives(field);
    match (choice.next(), choice.next()) {
        (Some(only), None) => resolved(root, only),
        _ => field,
    }
}

fn alternatives(field: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["anyOf", "oneOf"].map(|name| field[name].as_array());
    lists.into_iter().flatten().flatten().filter(|one| one["type"] != "null")
}

/// Returns the fields of an object and whether they are required: these first, in their order,
/// and then the others by name.
fn fields(schema: &Value) -> Vec<(&String, &Value, bool)> {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let place = |name: &str| required.iter().position(|one| *one == name).unwrap_or(usize::MAX);
    let fields = schema["properties"].as_object().into_iter().flat_map(Map::iter);
    let mut fields: Vec<_> =
        fields.map(|(name, field)| (name, field, required.contains(&name.as_str()))).collect();
    fields.sort_by_key(|(name, ..)| (place(name), *name));
    fields
}

/// Returns a description on one line.
fn words(field: &Value) -> String {
    let text = field["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_required_come_first_and_defaults_are_json() {
        let schema = json!({"required": ["z"], "properties": {
            "a": {"type": ["integer", "null"], "default": 3, "minimum": 1, "description": "How\nmany."},
            "b": {"type": ["string", "null"], "default": null},
            "z": {"type": "array", "items": {"type": "string"}},
        }});

        let rows: Vec<[String; 4]> = rows(&schema)
            .into_iter()
            .map(|row| [row.name, row.kind, row.default, row.means])
            .collect();

        assert_eq!(
            rows,
            [
                ["z", "list of text", "required", ""],
                ["a", "whole number, at least 1", "`3`", "How many."],
                ["b", "text", "", ""],
            ]
        );
    }

    #[test]
    fn references_enumerations_and_objects_are_told() {
        let schema = json!({
            "$defs": {
                "On": {"oneOf": [{"const": "a", "description": "On a."}, {"const": "b"}]},
                "File": {"type": "object", "required": ["path"], "properties": {
                    "path": {"type": "string", "description": "Where."}, "mode": {"type": "integer"}}},
            },
            "properties": {
                "files": {"type": "array", "items": {"$ref": "#/$defs/File"}, "description": "All."},
                "on": {"anyOf": [{"$ref": "#/$defs/On"}, {"type": "null"}]},
                "role": {"enum": ["x", "y", "z"]},
                "token": {"anyOf": [{"type": "string", "pattern": "^secret:.+$"}, {"type": "null"}]},
            },
        });

        let rows = rows(&schema);

        let kinds: Vec<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
        assert_eq!(
            kinds,
            [
                "list of object of `path` (text), `mode` (whole number, optional)",
                "`\"a\"` or `\"b\"`",
                "`\"x\"`, `\"y\"` or `\"z\"`",
                "`secret:NAME`",
            ]
        );
        assert_eq!(rows[0].means, "All.<br>`path`: Where.");
        assert_eq!(rows[1].means, "`a`: On a.");
    }
}
