//! What tells the same order from another one with the same attempt id.

use std::fmt::Write as _;

use protocol::execute::ExecuteRequest;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Returns a hash of what an order asks for. The epoch and the ledger are no part of it: the next
/// life of a coordinator joins the attempts of the last one.
pub(super) fn of(order: &ExecuteRequest) -> String {
    let mut text = String::new();
    string(&mut text, &order.task_id);
    string(&mut text, &order.task_type);
    let _: Result<(), _> = write!(text, "{:?}", order.timeout_seconds);
    members(&mut text, order.params.iter().collect());
    let mut hash = String::with_capacity(64);
    for byte in Sha256::digest(text) {
        let _: Result<(), _> = write!(hash, "{byte:02x}");
    }
    hash
}

fn value(text: &mut String, found: &Value) {
    match found {
        Value::String(found) => string(text, found),
        Value::Array(items) => {
            text.push('[');
            for item in items {
                value(text, item);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(found) => members(text, found.iter().collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let _: Result<(), _> = write!(text, "{found}");
        }
    }
}

/// The order of the members is no part of what is asked for.
fn members(text: &mut String, mut members: Vec<(&String, &Value)>) {
    members.sort_by_key(|(name, _)| *name);
    text.push('{');
    for (name, member) in members {
        string(text, name);
        value(text, member);
        text.push(',');
    }
    text.push('}');
}

/// The length keeps neighbours apart.
fn string(text: &mut String, found: &str) {
    let _: Result<(), _> = write!(text, "{}:{found}", found.len());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fingerprint(order: Value) -> String {
        of(&serde_json::from_value(order).unwrap())
    }

    #[test]
    fn the_same_order_has_the_same_fingerprint_over_epochs() {
        let one = json!({"task_id": "a", "type": "t", "params": {"x": 1, "y": [{"z": "2"}]},
            "ledger": "6f1c0f0e-0000-4000-8000-000000000000", "epoch": 1});
        let two = json!({"epoch": 2, "params": {"y": [{"z": "2"}], "x": 1}, "type": "t",
            "ledger": "6f1c0f0e-0000-4000-8000-000000000000", "task_id": "a"});

        assert_eq!(fingerprint(one), fingerprint(two));
    }

    #[test]
    fn what_is_asked_for_makes_a_difference() {
        let orders = [
            json!({"task_id": "a", "type": "t"}),
            json!({"task_id": "b", "type": "t"}),
            json!({"task_id": "at", "type": ""}),
            json!({"task_id": "a", "type": "t", "timeout_seconds": 1}),
            json!({"task_id": "a", "type": "t", "params": {"x": 1}}),
            json!({"task_id": "a", "type": "t", "params": {"x": "1"}}),
            json!({"task_id": "a", "type": "t", "params": {"x": [1]}}),
            json!({"task_id": "a", "type": "t", "params": {"x": [[1]]}}),
            json!({"task_id": "a", "type": "t", "params": {"x": null}}),
        ];

        let mut found: Vec<_> = orders.into_iter().map(fingerprint).collect();
        found.sort();
        found.dedup();

        assert_eq!(found.len(), 9);
    }
}
