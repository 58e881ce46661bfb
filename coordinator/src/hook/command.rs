//! A hook that is a command: run by the shell, with the payload on its standard input.

use std::time::Duration;

use daemon::process::{self, Command, ExitKind, Why};
use protocol::hook::RunnerGone;
use protocol::runner::iso;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Environment;

/// How long the command may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How much of what it prints is read for the log.
const PRINTED: usize = 16 * 1024;
/// How much of that is shown.
const SHOWN: usize = 200;

/// Runs the owner's command.
pub(super) struct Shell {
    text: String,
    environment: Environment,
}

// The text may hold a token.
impl std::fmt::Debug for Shell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shell").finish_non_exhaustive()
    }
}

impl Shell {
    pub(super) fn new(text: String, environment: Environment) -> Self {
        Self { text, environment }
    }

    /// Tells of one loss; anything but exit code 0 is a failure.
    pub(super) async fn tell(&self, gone: &RunnerGone, delivery: Uuid) -> Result<(), String> {
        let command = self.command(gone, delivery);
        // Ended by its own limit only: whoever stops the coordinator waits that long at most.
        let ended = process::capture(command, PRINTED, &CancellationToken::new())
            .await
            .map_err(|error| format!("the command cannot be started: {error}"))?;
        let last = last_line(&ended.stderr).or_else(|| last_line(&ended.stdout));
        let last = last.map(|line| format!(": {line}")).unwrap_or_default();
        match (ended.ended.why, ended.ended.exit) {
            (Why::Limit, _) => Err(format!("the command ran longer than {} s", LIMIT.as_secs())),
            (_, ExitKind::Code(0)) => Ok(()),
            (_, ExitKind::Code(code)) => Err(format!("the command ended with code {code}{last}")),
            (_, ExitKind::Signal(signal)) => {
                Err(format!("the command ended by signal {signal}{last}"))
            }
        }
    }

    /// The shell gets the owner's text and nothing else: whatever a runner calls itself never
    /// becomes part of a command line.
    fn command(&self, gone: &RunnerGone, delivery: Uuid) -> Command {
        let payload = serde_json::to_vec(gone).unwrap_or_default();
        let mut command = Command::new("sh")
            .args(["-c", &self.text])
            .stdin(payload)
            .limit(LIMIT)
            .env("YGGDRASIL_EVENT", &gone.event)
            .env("YGGDRASIL_DELIVERY", delivery.to_string())
            .env("YGGDRASIL_RUNNER_ID", plain(&gone.runner_id))
            .env("YGGDRASIL_RUNNER_NAME", plain(&gone.name))
            .env("YGGDRASIL_RUNNER_ENDPOINT", plain(&gone.endpoint))
            .env("YGGDRASIL_RUNNER_CAUSE", &gone.cause)
            .env("YGGDRASIL_RUNNER_LAST_HEARTBEAT", iso(gone.last_heartbeat))
            // How many: their ids may be more than an environment can hold.
            .env("YGGDRASIL_RUNNER_TASKS", gone.tasks.len().to_string())
            .env("YGGDRASIL_TIMESTAMP", iso(gone.timestamp));
        if let Some(path) = &self.environment.path {
            command = command.env("PATH", path);
        }
        if let Some(home) = &self.environment.home {
            command = command.env("HOME", home);
        }
        command
    }
}

/// A variable of the environment holds no NUL, and other control characters only do harm there.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn last_line(printed: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(printed);
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(crate::beads::clean(line, SHOWN))
}
