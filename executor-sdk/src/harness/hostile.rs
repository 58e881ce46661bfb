//! Values that would do harm if a shell, an option parser or a path join ever took them at more
//! than their word, tried in every text param of every task.
//!
//! An executor's test lists its text params, each with an order in which [`HERE`] stands in its
//! place; [`Table::try_all`] fails when the list is not exactly what `/status` tells.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{ExecutorStatus, Harness, Outcome, Refusal};

/// What stands in an order where the value goes.
pub const HERE: &str = "THE VALUE GOES HERE";

/// One text param of one task, with an order that needs nothing but the value.
#[derive(Debug, Clone)]
pub struct Row {
    /// The type of the task.
    pub task: &'static str,
    /// The param, as `param`, or `param.member` where it lies deeper.
    pub param: &'static str,
    /// The params, with [`HERE`] as a text or as the name of a member.
    pub params: Value,
}

impl Row {
    /// Returns a row.
    pub fn new(task: &'static str, param: &'static str, params: Value) -> Self {
        Self { task, param, params }
    }
}

/// Returns the rows of the tasks that every executor has; `playbook` lies below the folder of the
/// policy.
pub fn builtin(playbook: &str) -> Vec<Row> {
    let of = |with: Value| {
        let mut params = json!({"playbook": playbook, "inventory": "thor,"});
        let members = with.as_object().into_iter().flatten();
        members.for_each(|(name, value)| params[name] = value.clone());
        params
    };
    vec![
        Row::new("run-command", "program", json!({"program": HERE})),
        Row::new("run-command", "args", json!({"program": "true", "args": [HERE]})),
        Row::new("run-command", "cwd", json!({"program": "true", "cwd": HERE})),
        Row::new("run-command", "stdin", json!({"program": "cat", "stdin": HERE})),
        Row::new("run-playbook", "playbook", of(json!({"playbook": HERE}))),
        Row::new("run-playbook", "inventory", of(json!({"inventory": HERE}))),
        Row::new("run-playbook", "limit", of(json!({"limit": HERE}))),
        Row::new("run-playbook", "tags", of(json!({"tags": [HERE]}))),
        Row::new("run-playbook", "extra_vars", of(json!({"extra_vars": {"word": HERE}}))),
        Row::new("run-playbook", "extra_vars", of(json!({"extra_vars": {HERE: "x"}}))),
    ]
}

/// A folder that nothing may touch, and the values that would.
#[derive(Debug)]
pub struct Table {
    outside: TempDir,
    values: Vec<String>,
}

/// What came of all orders.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Whose tasks were tried.
    pub executor: String,
    /// How many params.
    pub params: usize,
    /// How many values.
    pub values: usize,
    /// How many orders were sent.
    pub orders: usize,
    /// How many were not taken.
    pub refused: usize,
    /// How many ended as something else than completed.
    pub failed: usize,
    /// How many completed: with the value as a plain value.
    pub completed: usize,
    /// How many values were executed by somebody.
    pub canaries: usize,
    /// How many files were made or changed where nothing may be written.
    pub outside: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { executor, params, values, orders, refused, failed, completed, .. } = self;
        write!(
            f,
            "hostile values: {executor}: {params} params x {values} values, {orders} orders \
             ({refused} refused, {failed} failed, {completed} completed), canaries tripped {}, \
             files written outside {}",
            self.canaries, self.outside
        )
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// Makes the folder, with a file in it that is somebody's.
    pub fn new() -> Self {
        let outside = tempfile::tempdir().expect("a temporary folder can be made");
        std::fs::write(outside.path().join("mine"), "mine\n").expect("a file can be written");
        let values = values(outside.path());
        Self { outside, values }
    }

    /// Leaves out the other values, for what takes long with each.
    #[must_use]
    pub fn only(mut self, wanted: impl Fn(&str) -> bool) -> Self {
        self.values.retain(|value| wanted(value));
        self
    }

    /// Returns the folder that nothing may touch.
    pub fn outside(&self) -> &Path {
        self.outside.path()
    }

    /// Returns the file that each value would make, were it executed.
    pub fn canary(&self) -> PathBuf {
        canary(self.outside())
    }

    /// Returns the values.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Orders every task with every value in every text param, and prints what came of it.
    ///
    /// `rows` gives the orders for the value of this number; `judge` looks at each end. Fails when
    /// a text param of `/status` has no row, when a canary is tripped, and when anything changes
    /// in [`Table::outside`].
    #[expect(clippy::print_stderr, reason = "the figures are for who runs the tests")]
    pub async fn try_all(
        &self,
        harness: &Harness,
        mut rows: impl FnMut(usize) -> Vec<Row>,
        mut judge: impl FnMut(&Row, &str, &Result<Outcome, Refusal>),
    ) -> Figures {
        let status = harness.status().await;
        let known = text_params(&status);
        let values = &self.values;
        let mut figures = Figures {
            executor: status.executor.clone(),
            params: known.len(),
            values: values.len(),
            ..Figures::default()
        };
        let before = self.found();
        let mut troubles = Vec::new();
        for (number, value) in values.iter().enumerate() {
            let rows = rows(number);
            let named: BTreeSet<_> =
                rows.iter().map(|row| (row.task.to_owned(), row.param.to_owned())).collect();
            assert_eq!(named, known, "the rows are not the text params of {}", status.executor);
            for row in &rows {
                let params = put(&row.params, value);
                let shown: String = params.to_string().chars().take(300).collect();
                let ended = harness.execute(row.task, params).await;
                figures.orders += 1;
                match &ended {
                    Err(_) => figures.refused += 1,
                    Ok(outcome) if outcome.status == super::Ending::Completed => {
                        figures.completed += 1;
                    }
                    Ok(_) => figures.failed += 1,
                }
                let now = self.found();
                if now != before {
                    let tripped = usize::from(self.canary().exists());
                    figures.canaries += tripped;
                    figures.outside += 1 - tripped;
                    troubles.push(format!("{} {shown}", row.task));
                    self.restore();
                }
                judge(row, value, &ended);
            }
        }
        eprintln!("{figures}");
        assert!(troubles.is_empty(), "{figures}\n{}", troubles.join("\n"));
        figures
    }

    /// Returns what lies outside: names and contents.
    fn found(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let entries = std::fs::read_dir(self.outside()).expect("the folder is there");
        entries
            .map(|entry| entry.expect("the folder can be read").path())
            .map(|path| (path.clone(), std::fs::read(&path).ok()))
            .collect()
    }

    fn restore(&self) {
        for path in self.found().into_keys() {
            drop(std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path)));
        }
        std::fs::write(self.outside().join("mine"), "mine\n").expect("a file can be written");
    }
}

fn canary(outside: &Path) -> PathBuf {
    outside.join("canary")
}

/// Returns all values, for a folder that nothing may touch.
fn values(outside: &Path) -> Vec<String> {
    let canary = canary(outside).display().to_string();
    let touch = format!("touch {canary}");
    let mut values = for_shells(&touch);
    values.extend([
        format!("-o {touch}"),
        format!("-u{touch}"),
        format!("-c core.sshCommand={touch}"),
        format!("--upload-pack={touch}"),
        format!("--config=core.fsmonitor={touch}"),
        format!("--exec={touch}"),
        format!("--output={canary}"),
        format!("--extra-vars=@{canary}"),
        format!("ext::sh -c {}", touch.replace(' ', "% ")),
        format!("ssh://-oProxyCommand={touch}/x"),
        format!("{{{{ lookup('pipe', '{touch}') }}}}"),
        format!("thor,{{{{ lookup('pipe', '{touch}') }}}}"),
        canary.clone(),
        format!("file://{canary}"),
        format!("{}/mine", outside.display()),
        format!("../../../../../../../..{canary}"),
        "../../outside/x".to_owned(),
        "../../etc/hosts".to_owned(),
        "/etc/../etc/passwd\n".to_owned(),
        "../../api/delete".to_owned(),
        "secret:../../etc/hosts".to_owned(),
        "@/etc/passwd".to_owned(),
        format!("x\0{touch}"),
        "\0".to_owned(),
        "-".to_owned(),
        "--".to_owned(),
        "--help".to_owned(),
        "http://127.0.0.1:1/\r\nX-Evil: 1".to_owned(),
        "\",\"stream\":false,\"x\":\"".to_owned(),
        ":(exclude)*".to_owned(),
        ":!x".to_owned(),
        "%s%n".to_owned(),
        "\\065".to_owned(),
        "\u{1b}[2J".to_owned(),
        "\u{202e}x".to_owned(),
        "x".repeat(100_000),
        String::new(),
    ]);
    values
}

/// Returns the values that a shell would execute, read as a word or between quotes.
fn for_shells(touch: &str) -> Vec<String> {
    vec![
        format!("$({touch})"),
        format!("`{touch}`"),
        format!("; {touch}"),
        format!("x; {touch} #"),
        format!("x && {touch}"),
        format!("&& {touch} #"),
        format!("| {touch}"),
        format!("x\n{touch}\n"),
        format!("\"; {touch}; \""),
        format!("'; {touch}; '"),
    ]
}

/// Returns the text params of every task, as `(task, param)`: each place of a schema where a text
/// may stand, one of a few words included.
pub fn text_params(status: &ExecutorStatus) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for spec in &status.tasks {
        let root = &spec.params_schema;
        let mut places = BTreeSet::new();
        walk(root, root, "", 0, &mut places);
        found.extend(places.into_iter().map(|place| (spec.task_type.clone(), place)));
    }
    found
}

/// Walks a schema. A place is named by the members on the way; lists and choices add nothing.
fn walk(root: &Value, schema: &Value, at: &str, depth: usize, found: &mut BTreeSet<String>) {
    assert!(depth < 50, "the schema at `{at}` has no end");
    let inside = |schema: &Value, at: &str, found: &mut BTreeSet<String>| {
        walk(root, schema, at, depth + 1, found);
    };
    if let Some(name) = schema["$ref"].as_str() {
        let target = name.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return inside(target.expect("a reference leads somewhere"), at, found);
    }
    let of_type = |kind: &str| match &schema["type"] {
        Value::String(one) => one == kind,
        Value::Array(kinds) => kinds.contains(&json!(kind)),
        _ => false,
    };
    let choices = ["anyOf", "oneOf", "allOf"].map(|word| schema[word].as_array());
    let choices: Vec<_> = choices.into_iter().flatten().flatten().collect();
    let words = schema["enum"].as_array().is_some_and(|words| words.iter().any(Value::is_string));
    // `true`, `{}` and an open object take any JSON, so texts too.
    let has_shape = ["type", "const", "enum"].iter().any(|word| schema.get(*word).is_some());
    let is_anything = schema == &Value::Bool(true) || (!has_shape && choices.is_empty());
    let is_open = of_type("object") && schema["additionalProperties"] == json!(true);
    if of_type("string") || words || schema["const"].is_string() || is_anything || is_open {
        found.insert(at.to_owned());
    }
    for choice in choices {
        inside(choice, at, found);
    }
    if of_type("array") {
        inside(schema.get("items").unwrap_or(&Value::Bool(true)), at, found);
    }
    let none = Map::new();
    for (name, member) in schema["properties"].as_object().unwrap_or(&none) {
        let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        inside(member, &at, found);
    }
    if schema["additionalProperties"].is_object() {
        inside(&schema["additionalProperties"], at, found);
    }
}

/// Puts the value where [`HERE`] stands.
fn put(params: &Value, value: &str) -> Value {
    match params {
        Value::String(text) if text == HERE => json!(value),
        Value::Array(items) => items.iter().map(|item| put(item, value)).collect(),
        Value::Object(members) => {
            let name = |name: &String| if name == HERE { value.to_owned() } else { name.clone() };
            let members = members.iter().map(|(key, item)| (name(key), put(item, value)));
            Value::Object(members.collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a shell that nobody defends against")]
    fn a_shell_that_reads_them_trips_the_canary() {
        let table = Table::new();
        let touch = format!("touch {}", table.canary().display());
        for value in for_shells(&touch) {
            assert!(table.values().contains(&value));
            let mut trips = 0;
            for script in [format!(": {value}"), format!(": \"{value}\""), format!(": '{value}'")] {
                let mut shell = std::process::Command::new("sh");
                drop(shell.args(["-c", &script]).output().unwrap());
                trips += usize::from(table.canary().exists());
                table.restore();
            }
            assert!(trips > 0, "{value:?} does nothing");
        }
        assert_eq!(table.found().len(), 1);
    }

    #[test]
    fn every_place_where_a_text_may_stand_is_found() {
        let schema = json!({
            "$defs": {
                "File": {"type": "object", "properties": {
                    "path": {"type": "string"}, "mode": {"type": "integer"}}},
                "On": {"oneOf": [{"const": "a"}, {"const": "b"}]},
            },
            "type": "object",
            "properties": {
                "plain": {"type": "string"},
                "maybe": {"type": ["string", "null"]},
                "list": {"type": "array", "items": {"type": "string"}},
                "files": {"type": "array", "items": {"$ref": "#/$defs/File"}},
                "on": {"anyOf": [{"$ref": "#/$defs/On"}, {"type": "null"}]},
                "kind": {"type": "string", "enum": ["x"]},
                "any": {},
                "vars": {"type": "object", "additionalProperties": true},
                "target": {"anyOf": [{"type": "string"}, {"type": "object", "properties": {
                    "host": {"type": "string"}, "port": {"type": "integer"}}}]},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "number": {"type": ["integer", "null"], "minimum": 1},
                "flag": {"type": "boolean"},
            },
        });
        let mut found = BTreeSet::new();

        walk(&schema, &schema, "", 0, &mut found);

        let expected = [
            "any",
            "files.path",
            "kind",
            "list",
            "map",
            "maybe",
            "on",
            "plain",
            "target",
            "target.host",
            "vars",
        ];
        assert_eq!(found, expected.map(str::to_owned).into());
    }

    #[test]
    fn the_value_goes_where_it_should() {
        let params = json!({"a": [HERE, "b"], HERE: {"c": HERE}, "d": 1});
        assert_eq!(put(&params, "v"), json!({"a": ["v", "b"], "v": {"c": "v"}, "d": 1}));
    }
}
