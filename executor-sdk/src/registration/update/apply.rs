//! Applying an update: whose command, when, and what became of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemon::process::{Command, Ended, ExitKind, Why};

use super::{Registration, Status, Update};
use crate::presence::Hold;
use crate::result::chain;
use crate::tail::Tail;

use super::super::count;

/// How long the coordinator may take to hear of a step before the next one.
const HEARD: Duration = Duration::from_secs(5);

/// What the command finds the wanted version in.
const VARIABLE: &str = "YGGDRASIL_UPDATE_VERSION";

impl Registration {
    /// Applies updates as they are asked for, until the process drains.
    pub(in crate::registration) async fn update_when_asked(self: Arc<Self>) {
        let draining = &self.shutdown.draining;
        let mut step = self.updates.step.subscribe();
        loop {
            step.mark_unchanged();
            let pending = self.updates.state().current.clone();
            if let Some(update) = pending.filter(|update| update.status == Status::Pending) {
                self.update(update).await;
            }
            let changed = draining.run_until_cancelled(step.changed()).await;
            if !matches!(changed, Some(Ok(()))) {
                return;
            }
        }
    }

    /// One update from `pending` to its end, or until another one takes its place.
    async fn update(&self, update: Update) {
        let version = &update.version;
        let text = match self.command_for(&update) {
            Ok(text) => text,
            Err(why) => return self.update_failed(&why).await,
        };
        let reason = format!("this executor is about to be brought to version {version}");
        let hold = Hold::new(&self.runner.node.presence, uuid::Uuid::new_v4(), reason);
        let others = hold.others().len();
        if others > 0 {
            let tasks = count(others, "running task");
            self.updates.change(|update| update.note(&format!("waiting for {tasks}"))).await;
        }
        if !self.nothing_runs(&hold, &update).await {
            return;
        }
        tracing::info!("bringing this executor to version {version} by its update command");
        self.updates
            .change(|update| {
                update.status = Status::Applying;
                update.note("running the update command");
            })
            .await;
        self.step_heard().await;
        let ended = self.run_update(&text, version).await;
        match ended {
            Ok(()) => {
                self.updates
                    .change(|update| {
                        update.status = Status::Applied;
                        update
                            .note("the command ended well; the executor ends, to be started anew");
                    })
                    .await;
                self.step_heard().await;
                tracing::info!("updated to {version}: ending, so that the new version is started");
                self.shutdown.draining.cancel();
            }
            Err(why) => self.update_failed(&why).await,
        }
    }

    /// Returns the owner's command; without one that of the request, if the owner allows it.
    fn command_for(&self, update: &Update) -> Result<String, String> {
        let version = &update.version;
        if !is_version(version) {
            // It goes into the environment of a shell.
            return Err("the version asked for is not made of letters, digits and `.+-_~`".into());
        }
        if let Some(own) = &self.updates.command {
            return Ok(own.clone());
        }
        match &update.command {
            Some(text) if self.runner.policy.allows_update(text) => Ok(text.clone()),
            Some(_) => Err(
                "the command that came with the request is not run: `allow.update_commands` of \
                 the policy of this node does not list it, and the node has no update command of \
                 its own (--update-command, UPDATE_COMMAND)"
                    .into(),
            ),
            None => Err(format!(
                "this node has no update command (--update-command, UPDATE_COMMAND); bring it to \
                 {version} by hand"
            )),
        }
    }

    /// Waits until nothing runs. False: another update is wanted meanwhile, or the process drains;
    /// then the update is taken up by the next life.
    async fn nothing_runs(&self, hold: &Hold, update: &Update) -> bool {
        let mut step = self.updates.step.subscribe();
        let replaced = async {
            while self.updates.still_wants(update) {
                if step.changed().await.is_err() {
                    return;
                }
            }
        };
        let idle = async {
            loop {
                self.runner.idle().await;
                if hold.others().is_empty() {
                    return;
                }
                // One that entered just before the hold is counted in a moment.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            biased;
            () = self.shutdown.draining.cancelled() => false,
            () = replaced => false,
            () = idle => true,
        }
    }

    async fn run_update(&self, text: &str, version: &str) -> Result<(), String> {
        let output = Arc::new(Mutex::new(Tail::default()));
        self.updates.state().output = Some(Arc::clone(&output));
        let node = &self.runner.node;
        let mut command = Command::new("sh")
            .arg("-c")
            .arg(text)
            .cwd("/")
            .limit(self.updates.limit)
            .mark(format!("{}update", node.mark_of_this_life()));
        command.env = node.environment.for_commands();
        command.env.insert(VARIABLE.into(), version.into());
        let sink = {
            let output = Arc::clone(&output);
            move |_, bytes: &[u8]| {
                output.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
            }
        };
        let ended = daemon::process::run(command, sink, &self.updates.stop).await;
        let printed = output.lock().unwrap_or_else(PoisonError::into_inner).text();
        {
            let mut state = self.updates.state();
            state.output = None;
            if let Some(update) = &mut state.current {
                update.log.push_str(printed.trim_end());
                update.log.push('\n');
            }
        }
        match ended {
            Ok(ended) => verdict(&ended, self.updates.limit),
            Err(error) => Err(format!("the command was not started: {}", chain(&error))),
        }
    }

    async fn update_failed(&self, why: &str) {
        tracing::warn!("the update failed: {why}");
        self.updates
            .change(|update| {
                update.status = Status::Failed;
                update.note(&format!("failed: {why}"));
                // No more is ever told, and the state is written whole.
                update.log = super::end_of(&update.log) + "\n";
            })
            .await;
        self.nudge.notify_one();
    }

    /// Waits until the coordinator knows how far we are, if it answers at all.
    async fn step_heard(&self) {
        let step = *self.updates.step.borrow();
        let mut reported = self.updates.reported.subscribe();
        self.nudge.notify_one();
        let heard = reported.wait_for(|reported| *reported >= step);
        let is_late = tokio::time::timeout(HEARD, heard).await.is_err();
        if is_late {
            tracing::debug!("the coordinator did not hear of this step of the update in time");
        }
    }
}

fn verdict(ended: &Ended, limit: Duration) -> Result<(), String> {
    match (ended.why, ended.exit) {
        (Why::Exited, ExitKind::Code(0)) => Ok(()),
        (Why::Exited, ExitKind::Code(code)) => Err(format!("the command exited with {code}")),
        (Why::Exited, ExitKind::Signal(signal)) => {
            Err(format!("the command was killed by signal {signal}"))
        }
        (Why::Limit, _) => {
            let limit = daemon::duration::show(limit);
            Err(format!("the command was ended: its limit of {limit} was reached"))
        }
        (Why::Cancelled, _) => Err("the executor was stopped while the command ran".to_owned()),
    }
}

fn is_version(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".+-_~".contains(&byte);
    (1..=128).contains(&text.len())
        && text.bytes().all(fits)
        && text.as_bytes()[0].is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_mislead_a_shell_is_no_version() {
        for good in ["0.2.0", "v1", "2.0.0-rc.1+build_7", "1:2".replace(':', "~").as_str()] {
            assert!(is_version(good), "{good}");
        }
        for bad in ["", "-1", "1 2", "$(id)", "1;id", "../x", "1/2", "1\n2", "*", &"1".repeat(129)]
        {
            assert!(!is_version(bad), "{bad:?}");
        }
    }
}
