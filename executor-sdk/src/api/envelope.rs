//! The body of `POST /execute`, read member by member so that each error names one.

use protocol::execute::ExecuteRequest;
use protocol::refusal::{Refusal, RefusalCode};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Reads an order. Members that are unknown here are ignored, `null` counts as absent.
pub(super) fn read(body: &[u8]) -> Result<ExecuteRequest, Refusal> {
    if body.trim_ascii().is_empty() {
        return Err(malformed("the body is empty".to_owned()).hinted(EXAMPLE));
    }
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("the body is not JSON: {error}")).hinted(EXAMPLE))?;
    let mut members = match value {
        Value::Object(members) => members,
        other => {
            let found = kind(&other);
            let error = format!("the body must be a JSON object, found {found}");
            return Err(malformed(error).hinted(EXAMPLE));
        }
    };
    members.retain(|_, value| !value.is_null());
    let task_id = members.get("task_id").and_then(Value::as_str).map(str::to_owned);
    order(members).map_err(|refusal| match task_id {
        Some(task_id) => refusal.of(task_id),
        None => refusal,
    })
}

const EXAMPLE: &str = r#"for example {"task_id": "try-1", "type": "dev-health-check"}"#;

fn order(mut members: Map<String, Value>) -> Result<ExecuteRequest, Refusal> {
    let mut take = |name: &str| members.remove(name);
    Ok(ExecuteRequest {
        task_id: text(take("task_id"), "task_id")?,
        task_type: text(take("type"), "type")?,
        params: match take("params") {
            None => Map::new(),
            Some(Value::Object(params)) => params,
            Some(other) => return Err(wrong("params", "an object", &other)),
        },
        attempt: id(take("attempt"), "attempt")?,
        timeout_seconds: match take("timeout_seconds") {
            None => None,
            Some(value) => match value.as_f64() {
                Some(seconds) if seconds > 0.0 => Some(seconds),
                _ => return Err(wrong("timeout_seconds", "a number above 0", &value)),
            },
        },
        ledger: id(take("ledger"), "ledger")?,
        epoch: match take("epoch") {
            None => None,
            Some(value) => match value.as_u64() {
                Some(epoch) => Some(epoch),
                None => return Err(wrong("epoch", "a whole number", &value)),
            },
        },
    })
}

fn text(value: Option<Value>, name: &str) -> Result<String, Refusal> {
    match value {
        None => Err(malformed(format!("`{name}` is missing")).hinted(EXAMPLE)),
        Some(Value::String(text)) if text.trim().is_empty() => {
            Err(malformed(format!("`{name}` must not be empty")).hinted(EXAMPLE))
        }
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(wrong(name, "a string", &other)),
    }
}

fn id(value: Option<Value>, name: &str) -> Result<Option<Uuid>, Refusal> {
    let Some(value) = value else { return Ok(None) };
    match value.as_str().and_then(|text| Uuid::parse_str(text).ok()) {
        Some(id) => Ok(Some(id)),
        None => Err(wrong(name, "a UUID", &value)),
    }
}

fn wrong(name: &str, expected: &str, found: &Value) -> Refusal {
    malformed(format!("`{name}` must be {expected}, found {}", kind(found)))
}

fn malformed(error: String) -> Refusal {
    Refusal::new(RefusalCode::Malformed, error)
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => format!("`{flag}`"),
        Value::Number(number) => format!("`{number}`"),
        Value::String(text) => {
            let shown: String = text.chars().take(40).collect();
            format!("the string `{}`", shown.escape_debug())
        }
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> Refusal {
        let refusal = read(body.as_bytes()).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::Malformed);
        refusal
    }

    #[test]
    fn every_wrong_member_is_named() {
        for (body, error) in [
            ("", "the body is empty"),
            ("[1]", "the body must be a JSON object, found an array"),
            (r#"{"type": "t"}"#, "`task_id` is missing"),
            (r#"{"task_id": "a"}"#, "`type` is missing"),
            (r#"{"task_id": null, "type": "t"}"#, "`task_id` is missing"),
            (r#"{"task_id": 1, "type": "t"}"#, "`task_id` must be a string, found `1`"),
            (r#"{"task_id": " ", "type": "t"}"#, "`task_id` must not be empty"),
            (r#"{"task_id": "a", "type": ["t"]}"#, "`type` must be a string, found an array"),
            (
                r#"{"task_id": "a", "type": "t", "params": "x"}"#,
                "`params` must be an object, found the string `x`",
            ),
            (
                r#"{"task_id": "a", "type": "t", "attempt": "x"}"#,
                "`attempt` must be a UUID, found the string `x`",
            ),
            (
                r#"{"task_id": "a", "type": "t", "timeout_seconds": 0}"#,
                "`timeout_seconds` must be a number above 0, found `0`",
            ),
            (
                r#"{"task_id": "a", "type": "t", "epoch": -1}"#,
                "`epoch` must be a whole number, found `-1`",
            ),
        ] {
            assert_eq!(refused(body).error, error, "{body}");
        }
        assert!(refused("{").error.starts_with("the body is not JSON: "));
        assert!(refused("\u{0}").error.starts_with("the body is not JSON: "));
    }

    #[test]
    fn the_order_is_named_as_soon_as_it_can_be() {
        assert_eq!(refused(r#"{"task_id": "a", "type": 1}"#).task_id.as_deref(), Some("a"));
        assert_eq!(refused(r#"{"task_id": 1, "type": "t"}"#).task_id, None);
    }

    #[test]
    fn unknown_members_are_ignored_and_null_is_absent() {
        let order = read(
            br#" {"task_id": "a", "type": "t", "params": null, "attempt": null, "later": {}} "#,
        )
        .unwrap();

        assert_eq!(order.params, Map::new());
        assert_eq!(order.attempt, None);
    }
}
