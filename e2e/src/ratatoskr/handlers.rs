//! What a daemon does with a task.

use std::time::Duration;

use daemon::process::{self, ExitKind, Why};
use jiff::Timestamp;
use protocol::runner::iso;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::event_loop::EventLoop;
use super::transport::Still;
use crate::{http, programs};

/// How long a command may take unless the task says so.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);
/// How much of a command's output is kept.
const OUTPUT: usize = 1 << 20;
/// How much of a page is kept, in characters.
const PAGE: usize = 100_000;

const COMPLETED: &str = "completed";
const FAILED: &str = "failed";

/// A status, and what to put into the metadata.
pub(super) type Outcome = (&'static str, Map<String, Value>);

/// One task of a list, as far as the daemon reads it.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) id: String,
    kind: String,
    metadata: Map<String, Value>,
}

impl Task {
    pub(super) fn read(task: &Value) -> Option<Self> {
        Some(Self {
            id: task.get("taskId")?.as_str()?.to_owned(),
            kind: task.get("type").and_then(Value::as_str).unwrap_or("undefined").to_owned(),
            metadata: task.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default(),
        })
    }

    /// Whether nothing else happens in the daemon until it is done.
    pub(super) fn is_blocking(&self) -> bool {
        self.kind == "exec" || self.metadata.get("blocking") == Some(&Value::Bool(true))
    }

    /// Does it.
    pub(super) async fn run(&self) -> Outcome {
        match self.kind.as_str() {
            "echo" => (COMPLETED, self.echo()),
            "exec" => self.exec().await,
            "http" => self.http().await,
            "sleep" => self.sleep().await,
            other => (
                FAILED,
                map(json!({"error": format!("No handler registered for task type \"{other}\"")})),
            ),
        }
    }

    fn text(&self, name: &str) -> &str {
        self.metadata.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn echo(&self) -> Map<String, Value> {
        map(json!({"output": {
            "message": "Task executed successfully",
            "taskType": self.kind,
            "taskId": self.id,
            "input": self.metadata,
            "executedAt": iso(Timestamp::now()),
        }}))
    }

    async fn exec(&self) -> Outcome {
        let command = self.text("command");
        let limit = self.metadata.get("timeout").and_then(Value::as_u64);
        let ran = shell(command, limit.map_or(COMMAND_LIMIT, Duration::from_millis)).await;
        let status = if ran.code == 0 { COMPLETED } else { FAILED };
        let (stdout, stderr) = (ran.stdout, ran.stderr);
        let told =
            json!({"command": command, "stdout": stdout, "stderr": stderr, "exitCode": ran.code});
        (status, map(told))
    }

    async fn http(&self) -> Outcome {
        let url = self.text("url");
        let method = Some(self.text("method")).filter(|word| !word.is_empty()).unwrap_or("GET");
        let answer = async {
            let method = method.parse().map_err(|_| "a method is one word".to_owned())?;
            let mut request = http::client().request(method, url);
            if let Some(body) = self.metadata.get("body") {
                request = request.json(body);
            }
            let answer = request.send().await.map_err(|error| error.to_string())?;
            let status = answer.status().as_u16();
            Ok::<_, String>((status, answer.text().await.map_err(|error| error.to_string())?))
        };
        match answer.await {
            Ok((code, body)) => {
                let body: String = body.chars().take(PAGE).collect();
                let told = json!({"url": url, "method": method, "statusCode": code, "body": body});
                (COMPLETED, map(told))
            }
            Err(error) => (FAILED, map(json!({"url": url, "method": method, "error": error}))),
        }
    }

    /// Not a handler of the real one: waits for some milliseconds (`ms`) and, if one is named,
    /// until a file is there (`until`). `blocking` makes it block everything else meanwhile.
    async fn sleep(&self) -> Outcome {
        let ms = self.metadata.get("ms").and_then(Value::as_u64).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(ms)).await;
        let until = self.text("until");
        while !until.is_empty() && !std::path::Path::new(until).exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (COMPLETED, map(json!({"slept": ms})))
    }
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// What came of a line for the shell.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a line in the shell.
pub(super) async fn shell(line: &str, limit: Duration) -> Ran {
    let _still = Still::hold();
    let command = process::Command::new("sh")
        .args(["-c", line])
        .env("PATH", programs::path())
        .grace(Duration::from_millis(100))
        .limit(limit);
    match process::capture(command, OUTPUT, &CancellationToken::new()).await {
        Ok(captured) => Ran {
            code: match (captured.ended.why, captured.ended.exit) {
                (Why::Exited, ExitKind::Code(code)) => code,
                _ => 1,
            },
            stdout: String::from_utf8_lossy(&captured.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&captured.stderr).into_owned(),
        },
        Err(error) => Ran { code: 1, stdout: String::new(), stderr: error.to_string() },
    }
}

/// Runs something while nothing else happens in the daemon.
pub(super) async fn blocking<T>(
    event_loop: &EventLoop,
    work: impl Future<Output = T>,
) -> (T, super::event_loop::Blocked) {
    let blocked = event_loop.block();
    (work.await, blocked)
}
