//! Updates: asked for by the coordinator, applied by the node owner's command, never lost.
//!
//! An update is `pending` while tasks run (new ones are refused then), `applying` while the command
//! runs, and `applied` or `failed` after it. Exit code 0 ends the executor, and systemd starts what
//! the command has put in its place; that life compares versions and tells how it went. The state
//! is on disk at each step.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::runner::PendingUpdate;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Registration;
use super::kept::Kept;
use super::link::Link;
use crate::tail::Tail;

mod apply;
#[cfg(test)]
mod tests;

/// The most of the log that is reported, in characters.
const REPORTED: usize = 2000;

/// An update that is not over, or whose end was not told yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Update {
    version: String,
    /// What came over the network; run only if the policy lists it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    status: Status,
    log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Pending,
    Applying,
    Applied,
    Failed,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Applying => "applying",
            Self::Applied => "applied",
            Self::Failed => "failed",
        }
    }
}

impl Update {
    fn note(&mut self, line: &str) {
        use std::fmt::Write as _;
        // The time makes the same words about another try different ones.
        let _: Result<(), _> =
            writeln!(self.log, "{} {line}", protocol::runner::iso(jiff::Timestamp::now()));
    }

    fn is_asked_by(&self, told: &PendingUpdate) -> bool {
        self.version == told.version && self.command == told.command
    }
}

/// The updates of this executor: one at a time.
pub(super) struct Updates {
    /// The owner's command.
    command: Option<String>,
    limit: Duration,
    version: &'static str,
    kept: Kept,
    // No `.await` while it is held.
    state: Mutex<State>,
    /// Rises with each change of the current update.
    step: watch::Sender<u64>,
    /// The highest step that the coordinator has heard of.
    reported: watch::Sender<u64>,
    /// Ends the command.
    stop: CancellationToken,
}

#[derive(Default)]
struct State {
    current: Option<Update>,
    /// What the command has printed so far.
    output: Option<Arc<Mutex<Tail>>>,
    /// The version asked for is the one that runs; a registration says so.
    wants_registration: bool,
}

/// What a heartbeat says of the update.
pub(super) struct Report {
    pub(super) status: Status,
    pub(super) log: String,
    step: u64,
}

impl Updates {
    pub(super) fn new(
        command: Option<String>,
        limit: Duration,
        kept: &Kept,
        version: &'static str,
    ) -> Self {
        let left = kept.read(|content| content.update.clone());
        let current = left.map(|update| take_up(update, version));
        Self {
            command,
            limit,
            version,
            kept: kept.clone(),
            state: Mutex::new(State { current, ..State::default() }),
            step: watch::Sender::new(1),
            reported: watch::Sender::new(0),
            stop: CancellationToken::new(),
        }
    }

    /// Returns what the next heartbeat is to say.
    pub(super) fn report(&self, link: &Link) -> Option<Report> {
        let state = self.state();
        let update = state.current.as_ref()?;
        let mut log = update.log.clone();
        if let Some(output) = &state.output {
            log.push_str(&output.lock().unwrap_or_else(PoisonError::into_inner).text());
        }
        let step = *self.step.borrow();
        Some(Report { status: update.status, log: end_of(&link.mask(&log)), step })
    }

    pub(super) fn wants_registration(&self) -> bool {
        self.state().wants_registration
    }

    pub(super) fn registered(&self) {
        self.state().wants_registration = false;
    }

    /// Takes the answer to a heartbeat. True: another heartbeat should follow at once.
    async fn heard(&self, report: Option<Report>, told: Option<PendingUpdate>) -> bool {
        let is_new = {
            let mut state = self.state();
            self.note_reported(&mut state, report, told.as_ref());
            told.is_some_and(|told| self.take(&mut state, told))
        };
        self.keep().await;
        is_new
    }

    /// What has ended and was told is over, unless the coordinator has not understood it yet.
    fn note_reported(
        &self,
        state: &mut State,
        report: Option<Report>,
        told: Option<&PendingUpdate>,
    ) {
        let Some(report) = report else { return };
        self.reported.send_replace(report.step);
        let Some(update) = state.current.as_ref().filter(|_| report.step == *self.step.borrow())
        else {
            return;
        };
        let is_over = match update.status {
            Status::Failed => !told.is_some_and(|told| update.is_asked_by(told)),
            Status::Applied => update.version == self.version,
            Status::Pending | Status::Applying => false,
        };
        if is_over {
            state.current = None;
            self.step.send_modify(|step| *step += 1);
        }
    }

    /// Takes what the coordinator asks for; says whether that is something new.
    fn take(&self, state: &mut State, told: PendingUpdate) -> bool {
        if let Some(update) = &state.current
            && (update.is_asked_by(&told) || update.status == Status::Applying)
        {
            return false;
        }
        let is_here = told.version == self.version;
        let mut update = Update {
            version: told.version,
            command: told.command,
            status: if is_here { Status::Applied } else { Status::Pending },
            log: String::new(),
        };
        let version = &update.version;
        let line = if is_here {
            state.wants_registration = true;
            format!("version {version} was asked for; it is what runs here")
        } else {
            format!("version {version} was asked for; this is {}", self.version)
        };
        tracing::info!("{line}");
        update.note(&line);
        state.current = Some(update);
        self.step.send_modify(|step| *step += 1);
        true
    }

    /// Changes the update that is under way.
    async fn change(&self, change: impl FnOnce(&mut Update)) {
        {
            let mut state = self.state();
            if let Some(update) = &mut state.current {
                change(update);
                self.step.send_modify(|step| *step += 1);
            }
        }
        self.keep().await;
    }

    async fn keep(&self) {
        let current = self.state().current.clone();
        if self.kept.read(|content| content.update != current) {
            self.kept.change(|content| content.update = current).await;
        }
    }

    /// Waits until no command runs; after `limit` it is ended.
    pub(super) async fn settled(&self, limit: Duration) {
        let mut step = self.step.subscribe();
        let settled = async {
            while self.is_applying() {
                if step.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(limit, settled).await.is_err() {
            self.stop.cancel();
        }
    }

    /// Whether this is the update that waits, and no other one.
    fn still_wants(&self, wanted: &Update) -> bool {
        self.state().current.as_ref().is_some_and(|update| {
            update.status == Status::Pending
                && update.version == wanted.version
                && update.command == wanted.command
        })
    }

    fn is_applying(&self) -> bool {
        self.state().current.as_ref().is_some_and(|update| update.status == Status::Applying)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    /// Takes what came with the answer to a heartbeat: a key, an update.
    pub(super) async fn take_answer(&self, report: Option<Report>, told: Option<PendingUpdate>) {
        let mut told = told;
        let key = told.as_mut().and_then(|told| told.api_key.take());
        if let Some(key) = key {
            let is_new = self.link.take_key(key).await;
            // The coordinator stops telling once it sees the key in use.
            if is_new {
                self.nudge.notify_one();
            }
            // A key alone comes with the version that it has anyway.
            told = told.filter(|told| told.version != self.who.version || told.command.is_some());
        }
        if self.updates.heard(report, told).await {
            self.nudge.notify_one();
        }
    }
}

/// Goes on with what an earlier life left: this one knows which version it is.
fn take_up(mut update: Update, version: &str) -> Update {
    if update.version == version {
        update.note(&format!("this is version {version} now"));
        return Update { status: Status::Applied, ..update };
    }
    let failed = match update.status {
        Status::Pending | Status::Failed => return update,
        Status::Applying => {
            format!("the executor was stopped while the command ran, and is still {version}")
        }
        Status::Applied => format!(
            "the command ended well, and this is still {version}: the new program is not where \
             this one was started from"
        ),
    };
    update.note(&failed);
    tracing::warn!("the update to {} failed: {failed}", update.version);
    Update { status: Status::Failed, ..update }
}

/// Returns the end of a log, as much as is reported.
fn end_of(log: &str) -> String {
    let log = log.trim_end();
    let surplus = log.chars().count().saturating_sub(REPORTED);
    log.chars().skip(surplus).collect()
}
