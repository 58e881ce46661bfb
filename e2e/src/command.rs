//! Running one short command to its end.

use anyhow::{Context, ensure};
use daemon::process::{self, ExitKind};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// What a command answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
}

impl Answer {
    /// Returns what it printed, if it ended well.
    pub fn done(self) -> anyhow::Result<String> {
        ensure!(
            self.code == Some(0),
            "exit {:?}, stdout `{}`, stderr `{}`",
            self.code,
            self.stdout.trim(),
            self.stderr.trim()
        );
        Ok(self.stdout)
    }

    /// Returns the JSON that it printed, if it ended well.
    pub fn json(self) -> anyhow::Result<Value> {
        let text = self.done()?;
        serde_json::from_str(&text).with_context(|| format!("not JSON: `{text}`"))
    }
}

/// Runs a command to its end and returns what it printed.
pub async fn run(command: process::Command) -> anyhow::Result<Answer> {
    let captured = process::capture(command, 64 << 20, &CancellationToken::new()).await?;
    let code = match captured.ended.exit {
        ExitKind::Code(code) => Some(code),
        ExitKind::Signal(_) => None,
    };
    Ok(Answer {
        code,
        stdout: String::from_utf8_lossy(&captured.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&captured.stderr).into_owned(),
    })
}
