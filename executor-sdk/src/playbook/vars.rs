//! Extra variables as a file that Ansible does not template.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Writes the variables as JSON in which every string value carries the tag `!unsafe`.
///
/// Without the tag Ansible would run what it finds between `{{` and `}}` in them (a `lookup` can
/// start programs), and an order could so widen what the node's policy allows. The text is a
/// YAML flow mapping; Ansible reads both.
pub(super) fn text(vars: &Map<String, Value>) -> String {
    let mut text = String::new();
    mapping(&mut text, vars);
    text.push('\n');
    text
}

fn mapping(text: &mut String, members: &Map<String, Value>) {
    text.push('{');
    for (at, (name, member)) in members.iter().enumerate() {
        if at > 0 {
            text.push_str(", ");
        }
        quoted(text, name);
        text.push_str(": ");
        value(text, member);
    }
    text.push('}');
}

fn value(text: &mut String, member: &Value) {
    match member {
        Value::Null => text.push_str("null"),
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) if number.is_f64() => {
            // YAML 1.1 takes `1e100` for a string.
            text.push_str("!!float ");
            quoted(text, &number.to_string());
        }
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::String(string) => {
            text.push_str("!unsafe ");
            quoted(text, string);
        }
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push_str(", ");
                }
                value(text, item);
            }
            text.push(']');
        }
        Value::Object(members) => mapping(text, members),
    }
}

/// Quotes in plain ASCII: YAML takes no control character and not every other one as it is.
fn quoted(text: &mut String, string: &str) {
    text.push('"');
    for character in string.chars() {
        let _: Result<(), _> = match character {
            '"' => write!(text, "\\\""),
            '\\' => write!(text, "\\\\"),
            ' '..='~' => write!(text, "{character}"),
            _ if u32::from(character) <= 0xffff => write!(text, "\\u{:04x}", u32::from(character)),
            _ => write!(text, "\\U{:08x}", u32::from(character)),
        };
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_string_is_tagged_and_plain_ascii() {
        let Value::Object(vars) = json!({
            "a": "{{ lookup('pipe', 'id') }}", "b": [1, -2.5, true, null, "ä\u{7f}😀\n\"\\"], "c": {"d": "e"}
        }) else {
            panic!("not an object")
        };

        assert_eq!(
            text(&vars),
            concat!(
                r#"{"a": !unsafe "{{ lookup('pipe', 'id') }}", "#,
                r#""b": [1, !!float "-2.5", true, null, !unsafe "\u00e4\u007f\U0001f600\u000a\"\\"], "#,
                r#""c": {"d": !unsafe "e"}}"#,
                "\n"
            )
        );
    }
}
