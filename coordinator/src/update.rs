//! The update of the coordinator itself: which version is the latest, and the one command that
//! its owner has configured for it.
//!
//! The command runs in the background with a time limit, and nothing of a request gets into it.
//! How it went is in the ledger, because it usually ends with a restart of the coordinator.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon::process::{self, Command, ExitKind, Why};
use daemon::shutdown::Shutdown;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::keeper::{self, Keeper, NotKept, Ticket};
use crate::ledger::{Kind, Record};

pub mod latest;
#[cfg(test)]
mod tests;

/// The version that runs.
pub const CURRENT: &str = env!("CARGO_PKG_VERSION");
/// How long the command may take.
pub const LIMIT: Duration = Duration::from_mins(2);
/// Between two looks for the latest version.
const ASK_EVERY: Duration = Duration::from_mins(30);
/// The most of the command's output that is kept.
const LOG_BYTES: usize = 8 * 1024;
/// The row's id among the settings.
const ID: &str = "self_update";

/// What the settings say of it.
#[derive(Debug, Clone)]
pub struct UpdateSettings {
    /// What brings the next version, by `sh -c`.
    pub command: Option<String>,
    /// The whole environment of the command.
    pub env: BTreeMap<OsString, OsString>,
    /// How long the command may take.
    pub limit: Duration,
}

/// How the last update went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub state: RunState,
    /// The version that ran when it was started.
    pub from: String,
    /// The latest version then, where it was known.
    pub to: Option<String>,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    pub exit_code: Option<i32>,
    /// The end of what it printed.
    pub log: String,
}

/// How far an update has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Running,
    /// The command ended with 0.
    Succeeded,
    Failed,
    TimedOut,
    /// The coordinator was stopped before the command had ended.
    Interrupted,
}

impl RunState {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Interrupted => "interrupted",
        }
    }
}

/// The answer to a request for an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The command runs now.
    Started { command: String, latest: Option<String> },
    /// It runs since then.
    Running { since: Timestamp },
    /// There is nothing newer.
    UpToDate,
    /// The latest version is not known.
    Unknown,
    /// There is no command to run.
    NoCommand { latest: Option<String> },
}

#[derive(Debug, Default)]
struct State {
    latest: Option<String>,
    run: Option<Run>,
    /// Whether the last look at the URL was in vain.
    is_silent: bool,
}

/// The update of the coordinator itself.
#[derive(Debug)]
pub struct SelfUpdate {
    settings: UpdateSettings,
    door: Option<latest::Door>,
    state: Mutex<State>,
    keeper: Arc<Keeper>,
}

impl SelfUpdate {
    /// Takes over how the last update went.
    pub fn restore(
        settings: UpdateSettings,
        door: Option<latest::Door>,
        records: &[Record],
        keeper: Arc<Keeper>,
    ) -> Self {
        // Other settings are other shapes.
        let own = records.iter().filter(|record| record.kind == Kind::Setting && record.id == ID);
        let own: Vec<Record> = own.cloned().collect();
        let rows = keeper::read::<Run>(&own, Kind::Setting);
        let mut run = rows.into_iter().map(|(_, run)| run).next();
        if let Some(run) = &mut run
            && run.state == RunState::Running
        {
            // A command that updates the coordinator is cut off by the restart that it causes.
            run.state =
                if run.from == CURRENT { RunState::Interrupted } else { RunState::Succeeded };
        }
        let state = Mutex::new(State { run, ..State::default() });
        Self { settings, door, state, keeper }
    }

    /// Returns the latest version, where it is known.
    pub fn latest(&self) -> Option<String> {
        self.lock().latest.clone()
    }

    /// Returns how the last update went.
    pub fn last_run(&self) -> Option<Run> {
        self.lock().run.clone()
    }

    /// Whether the latest version is asked for at all.
    pub fn asks(&self) -> bool {
        self.door.is_some()
    }

    /// Asks for the latest version at once and then again and again, until `stop`.
    pub async fn watch(&self, stop: &CancellationToken) {
        if self.door.is_none() {
            return;
        }
        let mut beat = tokio::time::interval(ASK_EVERY);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = beat.tick() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look() => {}
            }
        }
    }

    /// Asks for the latest version; what was known stays known when there is no answer.
    async fn look(&self) {
        let Some(door) = &self.door else { return };
        match door.ask().await {
            Ok(version) => {
                let mut state = self.lock();
                if state.latest.as_ref() != Some(&version) {
                    info!(version, "the latest version is {version}; this is {CURRENT}");
                }
                state.latest = Some(version);
                state.is_silent = false;
            }
            Err(problem) => {
                let was_silent = std::mem::replace(&mut self.lock().is_silent, true);
                if was_silent {
                    debug!("the latest version is not known: {}", problem.line());
                } else {
                    warn!("the latest version is not known: {}", problem.line());
                }
            }
        }
    }

    /// Starts the update, if there is a reason and a command.
    pub async fn request(self: &Arc<Self>, shutdown: &Shutdown) -> Result<Answer, NotKept> {
        if self.door.is_some() && self.latest().is_none() {
            self.look().await;
        }
        let latest = self.latest();
        let Some(command) = &self.settings.command else {
            return Ok(match latest {
                Some(latest) if latest == CURRENT => Answer::UpToDate,
                None if self.door.is_some() => Answer::Unknown,
                latest => Answer::NoCommand { latest },
            });
        };
        if self.door.is_some() && latest.is_none() {
            return Ok(Answer::Unknown);
        }
        let started = Timestamp::now();
        let ticket = {
            let mut state = self.lock();
            if let Some(run) = state.run.as_ref().filter(|run| run.state == RunState::Running) {
                return Ok(Answer::Running { since: run.started });
            }
            let run = Run {
                state: RunState::Running,
                from: CURRENT.to_owned(),
                to: latest.clone(),
                started,
                ended: None,
                exit_code: None,
                log: String::new(),
            };
            self.keep(state.run.insert(run))
        };
        let update = Arc::clone(self);
        let stop = shutdown.draining.clone();
        // Started before the row is on disk: whatever happens to the answer, it is running.
        drop(shutdown.spawn(async move { update.run(&stop).await }));
        self.keeper.until(ticket).await?;
        Ok(Answer::Started { command: command.clone(), latest })
    }

    /// Runs the command to its end.
    async fn run(&self, stop: &CancellationToken) {
        let Some(line) = &self.settings.command else { return };
        let mut command = Command::new("/bin/sh")
            .args([OsString::from("-c"), line.into()])
            .limit(self.settings.limit);
        command.env.clone_from(&self.settings.env);
        command.cwd = Some("/".into());
        info!("the update of the coordinator starts");
        let tail = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&tail);
        let sink = move |_, bytes: &[u8]| {
            keep_tail(&mut kept.lock().unwrap_or_else(PoisonError::into_inner), bytes);
        };
        let ended = process::run(command, sink, stop).await;
        let log = std::mem::take(&mut *tail.lock().unwrap_or_else(PoisonError::into_inner));
        let mut log = crate::beads::clean(&String::from_utf8_lossy(&log), LOG_BYTES * 3);
        let (state, exit_code) = match ended {
            Ok(ended) => {
                let code = match ended.exit {
                    ExitKind::Code(code) => Some(code),
                    ExitKind::Signal(_) => None,
                };
                let state = match ended.why {
                    Why::Limit => RunState::TimedOut,
                    Why::Cancelled => RunState::Interrupted,
                    Why::Exited if code == Some(0) => RunState::Succeeded,
                    Why::Exited => RunState::Failed,
                };
                (state, code)
            }
            Err(problem) => {
                log = daemon::exit::chain(&problem);
                (RunState::Failed, None)
            }
        };
        if state == RunState::Succeeded {
            info!("the update command has ended well");
        } else {
            warn!(exit_code, "the update command has not ended well: {}", state.as_str());
        }
        let mut state_now = self.lock();
        if let Some(run) = &mut state_now.run {
            *run = Run { state, exit_code, log, ended: Some(Timestamp::now()), ..run.clone() };
            let run = run.clone();
            self.keep(&run);
        }
    }

    fn keep(&self, run: &Run) -> Ticket {
        self.keeper.put(Kind::Setting, "", ID, Some(run))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    tail.extend_from_slice(bytes);
    let over = tail.len().saturating_sub(LOG_BYTES);
    tail.drain(..over);
}
