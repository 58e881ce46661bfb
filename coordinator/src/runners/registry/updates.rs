//! Updates and keys that a runner is told about until it has them.
//!
//! An answer can be lost, a registration can come in between, either side can restart: so nothing
//! is taken back because it was sent. An update ends when a runner registers with the version, or
//! reports that it failed; a key ends when the runner uses it.

use protocol::runner::{PendingUpdate, RequestUpdate};

use super::{Changes, KeyPush, Moment, Registry, Runner, RunnersError, Update};

/// The states of an update as runners report them.
const IDLE: &str = "idle";
const FAILED: &str = "failed";
const APPLIED: &str = "applied";
/// In so many answers an update is told to a runner that reports the same failure as before.
/// Existing daemons repeat their last report until they have another one.
const SAME_REPORTS: u32 = 20;
/// What runners are called that nobody has named: any number of them may be there.
const NAMES_OF_NOBODY: [&str; 2] = ["unknown", "ratatoskr-unknown"];
/// The most of an update's log that is kept.
const LOG_CHARS: usize = 2000;

impl Registry {
    /// Notes an update that the runner is to be told about; it replaces the one before.
    pub fn request_update(
        &mut self,
        id: &str,
        body: RequestUpdate,
        now: Moment,
        changes: &mut Changes,
    ) -> Result<PendingUpdate, RunnersError> {
        let runner = self.get_mut(id)?;
        let version = body.version.unwrap_or_default();
        if version.trim().is_empty() {
            return Err(RunnersError::Invalid("version is required".to_owned()));
        }
        runner.update = Some(Update {
            version: version.clone(),
            command: body.command.clone(),
            download_url: body.download_url.clone(),
            metadata: body.metadata.clone(),
            requested: now.at,
            delivered: 0,
            log_before: runner.update_log.clone(),
        });
        changes.runners.push(id.to_owned());
        Ok(PendingUpdate {
            version,
            command: body.command,
            download_url: body.download_url,
            api_key: None,
            metadata: body.metadata,
        })
    }

    /// Notes a key that the runner is to use from now on; it replaces the one before.
    pub fn push_key(
        &mut self,
        id: &str,
        push: KeyPush,
        changes: &mut Changes,
    ) -> Result<(), RunnersError> {
        self.get_mut(id)?.key_push = Some(push);
        changes.runners.push(id.to_owned());
        Ok(())
    }

    /// Notes the key that a runner's request came with: a pushed one has arrived.
    pub fn note_key(&mut self, id: &str, key: Option<&str>, changes: &mut Changes) {
        let Some(runner) = self.runners.get_mut(id) else { return };
        if runner.key.as_deref() != key {
            runner.key = key.map(str::to_owned);
            changes.beats.push(id.to_owned());
        }
        if let Some(push) = &runner.key_push
            && key == Some(push.key.as_str())
        {
            runner.key_push = None;
            changes.runners.push(id.to_owned());
        }
    }

    /// Takes back a key that is not to be told any more.
    pub fn drop_push(&mut self, key: &str, changes: &mut Changes) {
        for runner in self.runners.values_mut() {
            if runner.key_push.as_ref().is_some_and(|push| push.key == key) {
                runner.key_push = None;
                changes.runners.push(runner.id.clone());
            }
        }
    }

    /// Returns what the runner is told with this answer, and the sealed key that belongs to it.
    pub fn deliver(
        &mut self,
        id: &str,
        changes: &mut Changes,
    ) -> Option<(PendingUpdate, Option<KeyPush>)> {
        let runner = self.runners.get_mut(id)?;
        let told = runner.pending_update()?;
        if let Some(update) = &mut runner.update {
            update.delivered += 1;
            // The first time must be known after a restart, the others need not.
            if update.delivered == 1 {
                changes.runners.push(id.to_owned());
            }
        }
        Some((told, runner.key_push.clone()))
    }

    /// A runner of the same name has come: it may be the one that was updated or started again.
    pub(super) fn succeed(&mut self, id: &str, changes: &mut Changes) {
        let Some(name) = self.runners.get(id).map(|runner| runner.name.clone()) else { return };
        let before: Vec<String> = self
            .runners
            .values()
            .filter(|other| {
                other.id != id && other.name == name && !other.is_online() && other.update.is_some()
            })
            .map(|other| other.id.clone())
            .collect();
        for other in before {
            self.hand_down(&other, changes);
        }
    }

    /// Hands the update of a runner that is gone to the one that came in its place: a daemon that
    /// starts again comes under a new id and its old name. It does so only where that is certain:
    /// the name was given by somebody, one runner of that name is there, and it came after the one
    /// that is gone was heard for the last time.
    pub(super) fn hand_down(&mut self, id: &str, changes: &mut Changes) {
        let Some(gone) = self.runners.get(id) else { return };
        let mut there = self
            .runners
            .values()
            .filter(|other| other.id != gone.id && other.name == gone.name && other.is_online());
        let (Some(heir), None) = (there.next(), there.next()) else { return };
        if NAMES_OF_NOBODY.contains(&gone.name.as_str())
            || heir.first_registered < gone.last_heartbeat
        {
            return;
        }
        let heir = heir.id.clone();
        let Some(update) = self.runners.get_mut(id).and_then(|gone| gone.update.take()) else {
            return;
        };
        changes.runners.push(id.to_owned());
        let Some(heir) = self.runners.get_mut(&heir) else { return };
        if heir.version == update.version {
            heir.update_status = Some(APPLIED.to_owned());
        } else if heir.update.is_none() {
            // What it reported under its old id is not its log any more.
            heir.update = Some(Update { log_before: None, delivered: 0, ..update });
        }
        changes.runners.push(heir.id.clone());
    }
}

/// A registration with the version that an update was to bring ends it. One that asks for the
/// version that the runner has already must have been told first.
pub(super) fn note_version(before: &Runner, runner: &mut Runner) {
    let is_new = before.version != runner.version;
    let arrived = runner
        .update
        .as_ref()
        .is_some_and(|update| (is_new || update.delivered > 0) && update.version == runner.version);
    if arrived {
        runner.update = None;
        runner.update_status = Some(APPLIED.to_owned());
    }
}

/// Takes what a runner reports of its update; returns whether it is something new.
pub(super) fn note_status(runner: &mut Runner, status: String, log: Option<String>) -> bool {
    let log = tail(log.unwrap_or_default());
    if let Some(update) = &runner.update
        && status == FAILED
        && update.delivered > 0
        // The same words as before it was told may be about an older update.
        && (update.delivered > SAME_REPORTS || update.log_before.as_ref() != Some(&log))
    {
        runner.update = None;
    }
    if let Some(update) = &mut runner.update
        && status != FAILED
    {
        // It has begun with something: the next failure is news, whatever its log says.
        update.log_before = None;
    }
    let status = (status != IDLE).then_some(status).or_else(|| runner.update_status.clone());
    let is_new = runner.update_status != status || runner.update_log.as_ref() != Some(&log);
    runner.update_status = status;
    runner.update_log = Some(log);
    is_new
}

fn tail(log: String) -> String {
    let chars = log.chars().count();
    if chars <= LOG_CHARS { log } else { log.chars().skip(chars - LOG_CHARS).collect() }
}
