//! From a task as its runner reported it to an outcome.

use jiff::Timestamp;
use protocol::execute::{Ending, Outcome};
use protocol::runner::COMPLETED;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::runners::Task;

/// The most of a result's text that is kept, in bytes, from its end.
const OUTPUT_BYTES: usize = 64 * 1024;
/// Where the handlers of a Ratatoskr leave what a person would read, the likeliest first.
const TEXTS: [&str; 7] =
    ["response", "final_message", "content", "code", "body", "results", "output"];

/// Returns how a task ended, by its runner's own words.
pub(super) fn of(task: &Task, attempt: Uuid) -> Outcome {
    let result = task.wire.metadata.clone().unwrap_or_default();
    let is_completed = task.wire.status == COMPLETED;
    let output = output(&result);
    let ended = task.wire.completed_at.and_then(|at| Timestamp::from_millisecond(at).ok());
    let started = Timestamp::from_millisecond(task.wire.started_at).unwrap_or_default();
    let ended = ended.unwrap_or_else(Timestamp::now);
    let exit_code = result.get("exitCode").and_then(Value::as_i64);
    let exit_code = exit_code.and_then(|code| i32::try_from(code).ok());
    Outcome {
        task_id: task.wire.correlation_id.clone().unwrap_or_default(),
        task_type: task.wire.kind.clone().unwrap_or_default(),
        attempt,
        status: if is_completed { Ending::Completed } else { Ending::Failed },
        log_bytes: u64::try_from(output.len()).unwrap_or(u64::MAX),
        output,
        duration_seconds: ended.duration_since(started).as_secs_f64().max(0.0),
        exit_code,
        error: (!is_completed).then(|| error(&result, exit_code)),
        data: Value::Object(result),
        truncated: false,
        timestamp: ended,
    }
}

fn error(result: &Map<String, Value>, exit_code: Option<i32>) -> String {
    match (result.get("error").and_then(Value::as_str), exit_code) {
        (Some(error), _) if !error.trim().is_empty() => error.to_owned(),
        (_, Some(code)) => format!("the runner reported that it failed with exit code {code}"),
        (_, None) => "the runner reported that it failed, and not why".to_owned(),
    }
}

fn output(result: &Map<String, Value>) -> String {
    let streams: Vec<&str> = ["stdout", "stderr"]
        .iter()
        .filter_map(|name| result.get(*name).and_then(Value::as_str))
        .filter(|text| !text.is_empty())
        .collect();
    let text = if streams.is_empty() {
        TEXTS.iter().find_map(|name| result.get(*name)).map(as_text).unwrap_or_default()
    } else {
        streams.join("\n")
    };
    let mut from = text.len().saturating_sub(OUTPUT_BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].to_owned()
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(map) => match map.get("message") {
            Some(Value::String(text)) => text.clone(),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ended(status: &str, metadata: &Value) -> Outcome {
        let task = json!({"taskId": "t", "type": "exec", "status": status, "startedAt": 1000,
            "completedAt": 3500, "correlationId": "hl-1", "metadata": metadata,
            "seq": 1, "delivered": true, "lost": null});
        of(&serde_json::from_value(task).unwrap(), Uuid::nil())
    }

    #[test]
    fn a_command_that_failed_tells_its_code_and_what_it_printed() {
        let metadata = json!({"command": "false", "stdout": "out", "stderr": "err", "exitCode": 3});

        let outcome = ended("failed", &metadata);

        assert_eq!((outcome.status, outcome.exit_code), (Ending::Failed, Some(3)));
        assert_eq!(outcome.output, "out\nerr");
        assert_eq!(
            outcome.error.as_deref(),
            Some("the runner reported that it failed with exit code 3")
        );
        assert_eq!((outcome.task_id.as_str(), outcome.duration_seconds), ("hl-1", 2.5));
    }

    #[test]
    fn what_a_person_would_read_is_the_output() {
        for (metadata, expected) in [
            (json!({"prompt": "hi", "response": "hello"}), "hello"),
            (
                json!({"output": {"message": "Task executed successfully", "taskId": "t"}}),
                "Task executed successfully",
            ),
            (json!({"results": [1, 2]}), "[1,2]"),
            (json!({}), ""),
        ] {
            let outcome = ended("completed", &metadata);

            assert_eq!(outcome.output, expected);
            assert_eq!((outcome.status, outcome.error), (Ending::Completed, None));
        }
    }

    #[test]
    fn a_long_text_is_cut_at_its_beginning_between_characters() {
        let outcome = ended("completed", &json!({"response": "ä".repeat(OUTPUT_BYTES)}));

        assert!(outcome.output.len() <= OUTPUT_BYTES && outcome.output.len() > OUTPUT_BYTES - 4);
    }
}
