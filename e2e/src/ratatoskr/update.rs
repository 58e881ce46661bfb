//! What a daemon does about an update: wait for its tasks, run the command, say how it went.

use std::collections::VecDeque;

use serde_json::Value;

/// How many lines of its log a daemon keeps, and how many characters of them it tells.
const LINES: usize = 50;
const CHARS: usize = 2000;

/// What a heartbeat's answer asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) version: String,
    pub(super) command: Option<String>,
    pub(super) api_key: Option<String>,
}

impl Request {
    /// Reads it out of a heartbeat's answer.
    pub(super) fn read(answer: &Value) -> Option<Self> {
        let asked = answer.get("pendingUpdate")?.as_object()?;
        let text = |name: &str| asked.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            version: text("version").unwrap_or_default(),
            command: text("command").filter(|command| !command.is_empty()),
            api_key: text("apiKey").filter(|key| !key.is_empty()),
        })
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Pending,
    Applying,
    Failed,
    Applied,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Pending => "pending",
            Self::Applying => "applying",
            Self::Failed => "failed",
            Self::Applied => "applied",
        }
    }
}

/// Where a daemon stands with its update.
#[derive(Debug, Default)]
pub(super) struct Updater {
    state: State,
    waiting: Option<Request>,
    log: VecDeque<String>,
}

impl Updater {
    /// Takes what was asked for; returns whether somebody must look from now on when it can begin.
    pub(super) fn ask(&mut self, request: Request) -> bool {
        if self.state == State::Applied {
            return false;
        }
        let is_new = self.waiting.is_none();
        self.note(format!("asked for version {}", request.version));
        self.waiting = Some(request);
        self.state = State::Pending;
        is_new
    }

    /// Begins, unless tasks run: returns what is to be done now.
    pub(super) fn begin(&mut self, busy: bool) -> Option<Request> {
        if busy {
            return None;
        }
        let request = self.waiting.take()?;
        if let Some(command) = &request.command {
            self.state = State::Applying;
            self.note(format!("$ {command}"));
        } else {
            self.state = State::Idle;
        }
        Some(request)
    }

    /// Takes how the command went.
    pub(super) fn end(&mut self, result: Result<String, String>) {
        let (state, output) = match result {
            Ok(output) => (State::Applied, output),
            Err(output) => (State::Failed, output),
        };
        self.note(output);
        self.note(state.word().to_owned());
        self.state = state;
    }

    /// Whether somebody must look again whether it can begin.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Returns what heartbeats tell of it: the state and the log, unless it is idle.
    pub(super) fn report(&self) -> Option<(&'static str, String)> {
        let log: Vec<&str> = self.log.iter().map(String::as_str).collect();
        let log = log.join("\n");
        let extra = log.chars().count().saturating_sub(CHARS);
        (self.state != State::Idle).then(|| (self.state.word(), log.chars().skip(extra).collect()))
    }

    fn note(&mut self, line: String) {
        self.log.push_back(line);
        while self.log.len() > LINES {
            self.log.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(command: Option<&str>) -> Request {
        let update = json!({"version": "9.9.9", "command": command});
        Request::read(&json!({"status": "ok", "pendingUpdate": update})).unwrap()
    }

    #[test]
    fn it_waits_for_tasks_and_then_begins_once() {
        let mut updater = Updater::default();

        assert!(updater.ask(asked(Some("true"))));
        assert!(!updater.ask(asked(Some("false"))), "a second request only replaces the first");
        assert_eq!(updater.begin(true), None);
        assert_eq!(updater.report().unwrap().0, "pending");

        assert_eq!(updater.begin(false).unwrap().command.as_deref(), Some("false"));
        assert_eq!(updater.begin(false), None);
        updater.end(Err("no".to_owned()));
        let (state, log) = updater.report().unwrap();
        assert_eq!(state, "failed");
        assert!(log.contains("$ false\nno"), "{log}");
    }

    #[test]
    fn without_a_command_it_is_idle_again() {
        let mut updater = Updater::default();
        updater.ask(asked(None));

        assert!(updater.begin(false).is_some());

        assert_eq!(updater.report(), None);
    }

    #[test]
    fn the_log_is_cut_to_its_last_characters() {
        let mut updater = Updater::default();
        updater.ask(asked(Some("x")));
        updater.begin(false);
        updater.end(Err(format!("{}z", "é".repeat(5000))));

        let (_, log) = updater.report().unwrap();

        assert_eq!(log.chars().count(), 2000);
        assert!(log.ends_with("z\nfailed"), "{log}");
    }
}
