//! The places in a bead where an order may stand.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Asked, quoted};

const METADATA: &str = "the metadata";
const LABEL: &str = "a label";
const HANDLER: &str = "the `Handler:` line";
const BLOCK: &str = "the fenced block of the description";

/// Longer than this is a slip of the pen; it is also far below what clocks can add.
const LONGEST: Duration = Duration::from_hours(366 * 24);

pub(super) fn metadata(asked: &mut Asked, metadata: &Map<String, Value>) {
    members(asked, metadata, METADATA);
}

pub(super) fn labels(asked: &mut Asked, labels: &[String]) {
    for label in labels {
        if let Some(task_type) = label.strip_prefix("task:") {
            // A label never makes a bead ours by being empty, but on one of ours it is a slip.
            if task_type.is_empty() {
                asked.problem("the label `task:` names no task type");
            } else {
                asked.task_type(task_type, LABEL);
            }
        } else if crate::routing::base_name(label) != label
            && !crate::routing::base_name(label).is_empty()
        {
            asked.executor(label, LABEL);
        }
    }
}

pub(super) fn description(asked: &mut Asked, description: &str) {
    let text = Text::read(description);
    for (task_type, executor) in text.handlers {
        asked.task_type(task_type, HANDLER);
        asked.executor(executor, HANDLER);
    }
    if let Some(fenced) = text.block {
        block(asked, &fenced);
    }
}

fn block(asked: &mut Asked, block: &Block) {
    // With the params known already, what is no object here is an illustration for people.
    let is_illustration = !asked.params.is_empty();
    match serde_json::from_str::<Value>(&block.text) {
        Ok(Value::Object(object)) if is_order(&object) => {
            let strangers: Vec<String> = object
                .keys()
                .filter(|key| !MEMBERS.contains(&key.as_str()))
                .map(|key| quoted(key))
                .collect();
            members(asked, &object, BLOCK);
            if !strangers.is_empty() {
                let strangers = strangers.join(", ");
                asked.problem(format!(
                    "{BLOCK} has {strangers} beside `task_type`; params belong \
                                       into `params`"
                ));
            }
        }
        Ok(Value::Object(object)) => asked.params(object, BLOCK),
        _ if is_illustration => {}
        Ok(other) => asked.problem(format!("{BLOCK} is {}, expected an object", kind(&other))),
        Err(error) => {
            asked.means_a_type |= block.is_task && block.text.contains("\"task_type\"");
            asked.problem(format!("{BLOCK} is not JSON: {error}"));
        }
    }
}

const MEMBERS: [&str; 4] = ["task_type", "params", "timeout_seconds", "executor"];

/// Whether a block is a whole order, and not just its params.
fn is_order(object: &Map<String, Value>) -> bool {
    object.contains_key("task_type")
        || (object.get("params").is_some_and(|params| params.is_object() || params.is_string())
            && object.keys().all(|key| MEMBERS.contains(&key.as_str())))
}

/// Reads `task_type`, `params`, `timeout_seconds` and `executor`; null and empty text are absent.
fn members(asked: &mut Asked, object: &Map<String, Value>, place: &'static str) {
    let given =
        |name| object.get(name).filter(|value| !value.is_null() && value.as_str() != Some(""));
    match given("task_type") {
        Some(Value::String(task_type)) => asked.task_type(task_type, place),
        Some(other) => {
            asked.means_a_type = true;
            asked.problem(format!("`task_type` in {place} is {}, expected text", kind(other)));
        }
        None => {}
    }
    match given("executor") {
        Some(Value::String(executor)) => asked.executor(executor, place),
        Some(other) => {
            asked.problem(format!("`executor` in {place} is {}, expected text", kind(other)));
        }
        None => {}
    }
    match given("params").map(params) {
        Some(Ok(params)) => asked.params(params, place),
        Some(Err(why)) => asked.problem(format!("`params` in {place} {why}")),
        None => {}
    }
    match given("timeout_seconds").map(timeout) {
        Some(Ok(limit)) => asked.timeout = asked.timeout.or(Some(limit)),
        Some(Err(why)) => asked.problem(format!("`timeout_seconds` in {place} {why}")),
        None => {}
    }
}

/// Returns an object, or what a text that holds an object holds.
fn params(value: &Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(object) => Ok(object.clone()),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(other) => Err(format!("is text that holds {}, expected an object", kind(&other))),
            Err(error) => Err(format!("is text that is not JSON: {error}")),
        },
        other => Err(format!("is {}, expected an object", kind(other))),
    }
}

fn timeout(value: &Value) -> Result<Duration, String> {
    let (limit, shown) = match value {
        Value::Number(number) => {
            let limit = number.as_f64().and_then(|s| Duration::try_from_secs_f64(s).ok());
            (limit, number.to_string())
        }
        Value::String(text) => (daemon::duration::parse(text).ok(), text.clone()),
        other => return Err(format!("is {}, expected seconds", kind(other))),
    };
    match limit {
        Some(limit) if limit > LONGEST => Err(format!("is {}, longer than a year", quoted(&shown))),
        Some(limit) if !limit.is_zero() => Ok(limit),
        _ => Err(format!("is {}, expected seconds or a duration such as 10m", quoted(&shown))),
    }
}

/// Returns what kind of value this is, in the words of a person.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The lines of a description that a program reads.
#[derive(Debug, Default)]
struct Text<'a> {
    /// Task type and executor of each `Handler:` line outside fences.
    handlers: Vec<(&'a str, &'a str)>,
    /// The first fenced block tagged `json` or `task`.
    block: Option<Block>,
}

#[derive(Debug)]
struct Block {
    text: String,
    is_task: bool,
}

impl<'a> Text<'a> {
    fn read(description: &'a str) -> Self {
        let mut text = Text::default();
        let mut lines = description.lines();
        while let Some(line) = lines.next() {
            let Some(fence) = Fence::open(line) else {
                text.handlers.extend(handler(line));
                continue;
            };
            let wanted = text.block.is_none() && (fence.tag == "json" || fence.tag == "task");
            let mut inside = String::new();
            // A fence that nobody closes reaches to the end, as Markdown says.
            for line in lines.by_ref().take_while(|line| !fence.closes(line)) {
                if wanted {
                    inside.push_str(line);
                    inside.push('\n');
                }
            }
            if wanted {
                text.block = Some(Block { text: inside, is_task: fence.tag == "task" });
            }
        }
        text
    }
}

/// Reads `Handler: TYPE on EXECUTOR` when nothing else stands on the line.
///
/// A type begins with a small letter or a digit, so that `Handler: Bob on Friday` stays Bob's.
fn handler(line: &str) -> Option<(&str, &str)> {
    let mut words = line.trim().strip_prefix("Handler:")?.split_whitespace();
    let (task_type, on, executor) = (words.next()?, words.next()?, words.next()?);
    let starts_small =
        task_type.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let plain = |word: &str| {
        word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    let reads = on == "on" && words.next().is_none() && starts_small;
    (reads && plain(task_type) && plain(executor)).then_some((task_type, executor))
}

/// The line that opens a fenced block.
#[derive(Debug)]
struct Fence {
    sign: char,
    length: usize,
    /// The first word after the fence, in small letters.
    tag: String,
}

impl Fence {
    fn open(line: &str) -> Option<Self> {
        let line = line.trim();
        let sign = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
        let rest = line.trim_start_matches(sign);
        let length = line.len() - rest.len();
        // Three backticks around a word in running text are no fence.
        if length < 3 || (sign == '`' && rest.contains('`')) {
            return None;
        }
        let tag = rest.split_whitespace().next().unwrap_or_default().to_lowercase();
        Some(Self { sign, length, tag })
    }

    fn closes(&self, line: &str) -> bool {
        let line = line.trim();
        line.len() >= self.length && line.chars().all(|c| c == self.sign)
    }
}
