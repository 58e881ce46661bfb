//! A runner that reads its tasks from a list and reports by changing them there: every runner
//! that is no executor of ours.
//!
//! An offer is a task on the list. It counts as taken once the runner has read its list since; one
//! that nobody has read is taken off again, so that it can go elsewhere without running twice.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use protocol::execute::{Ending, ExecuteRequest, Outcome};
use protocol::executor::{AttemptStatus, AttemptView};
use protocol::refusal::{Refusal, RefusalCode};
use protocol::runner::{COMPLETED, FAILED, NewRunnerTask};
use reqwest::header;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{ClientError, Log, Offer};
use crate::runners::{Runners, RunnersError, Task};

mod outcome;
#[cfg(test)]
mod tests;

/// How long a runner may leave its list unread; a Ratatoskr reads it every ten seconds.
const UNREAD: Duration = Duration::from_secs(45);

/// The way to one runner by its list.
#[derive(Debug, Clone)]
pub struct TaskList {
    runners: Arc<Runners>,
    runner: String,
    /// The coordinator is stopping: no offer waits any longer.
    stop: CancellationToken,
}

/// How a task on a list stands.
enum Stands {
    /// On the list, and nobody has read it.
    Unread,
    /// The runner has it.
    Read,
    Ended,
    /// We wrote that it failed with its runner; what became of it is not known.
    Lost(String),
    /// The runner is away, and its lease is not over.
    Gone,
}

impl TaskList {
    /// Makes the way to one runner.
    pub fn new(runners: Arc<Runners>, runner: String, stop: CancellationToken) -> Self {
        Self { runners, runner, stop }
    }

    /// Returns the runner's id.
    pub fn runner(&self) -> &str {
        &self.runner
    }

    /// Puts the order on the list and waits until the runner has read it.
    pub async fn offer(&self, request: &ExecuteRequest) -> Result<Offer, ClientError> {
        let id = request.attempt.map(|id| id.to_string()).unwrap_or_default();
        let mut work = self.runners.work();
        let mut presence = self.runners.presence();
        if !self.is_online() && self.task(&id).is_err() {
            return Err(self.not_taken("it is offline"));
        }
        self.put(&id, request).await?;
        let unread_until = Instant::now() + UNREAD;
        loop {
            match self.stands(&id)? {
                Stands::Unread => {}
                Stands::Read | Stands::Ended | Stands::Gone => return Ok(Offer::Accepted),
                Stands::Lost(why) => return Err(self.silent(why)),
            }
            let why = if !self.is_online() {
                "it went offline"
            } else if self.stop.is_cancelled() {
                "the coordinator stops"
            } else {
                tokio::select! {
                    _ = work.changed() => continue,
                    _ = presence.changed() => continue,
                    () = self.stop.cancelled() => continue,
                    () = tokio::time::sleep_until(unread_until) => "it does not read its list",
                }
            };
            if self.runners.withdraw(&self.runner, &id).await.map_err(|e| self.trouble(&e))? {
                return Err(self.not_taken(why));
            }
        }
    }

    async fn put(&self, id: &str, request: &ExecuteRequest) -> Result<(), ClientError> {
        let new = NewRunnerTask {
            task_id: Some(id.to_owned()),
            kind: Some(request.task_type.clone()),
            status: None,
            correlation_id: Some(request.task_id.clone()),
            metadata: Some(request.params.clone()),
        };
        match self.runners.create_task(&self.runner, new).await {
            // The same attempt again joins the first.
            Ok(_) | Err(RunnersError::DuplicateTask { .. }) => Ok(()),
            Err(RunnersError::UnknownRunner) => Err(self.not_taken("nobody knows it any more")),
            Err(error) => Err(self.trouble(&error)),
        }
    }

    /// Asks how an attempt is; the answer comes at its end, or after `wait`.
    pub async fn attempt(&self, id: Uuid, wait: Duration) -> Result<AttemptView, ClientError> {
        let task_id = id.to_string();
        let mut work = self.runners.work();
        let until = Instant::now() + wait;
        loop {
            match self.stands(&task_id)? {
                Stands::Lost(why) => return Err(self.silent(why)),
                Stands::Gone => return Err(self.silent("it is offline".to_owned())),
                Stands::Ended => return self.view(id),
                Stands::Unread | Stands::Read => {}
            }
            tokio::select! {
                _ = work.changed() => {}
                () = tokio::time::sleep_until(until) => return self.view(id),
            }
        }
    }

    /// Takes the task off the list, or says on it why nobody waits for it any more.
    pub async fn end(&self, id: Uuid, why: &str) -> Result<(), ClientError> {
        let id = id.to_string();
        let off =
            self.runners.withdraw(&self.runner, &id).await.map_err(|error| self.trouble(&error))?;
        if off {
            return Ok(());
        }
        self.runners.give_up(&self.runner, &id, why).await.map_err(|error| self.trouble(&error))
    }

    /// Ends a task whose time is over: the runner is not told, and may go on with it.
    pub async fn time_out(&self, id: Uuid, limit: Duration) -> Result<Outcome, ClientError> {
        let why = format!("the time limit of {} is over", daemon::duration::show(limit));
        let task = self.task(&id.to_string())?;
        if task.is_over() && task.lost.is_none() {
            return Ok(outcome::of(&task, id));
        }
        self.end(id, &why).await?;
        Ok(Outcome {
            status: Ending::TimedOut,
            error: Some(format!("{why}; the runner was not stopped and may still work on it")),
            ..outcome::of(&task, id)
        })
    }

    /// Returns what the result says as text: a runner keeps no log here.
    pub async fn log(&self, id: Uuid, offset: u64, follow: bool) -> Result<Log, ClientError> {
        let wait = if follow { Duration::from_hours(1) } else { Duration::ZERO };
        let view = self.attempt(id, wait).await?;
        let ended = view.outcome.is_some();
        let output = view.outcome.map(|outcome| outcome.output).unwrap_or_default();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(output.len());
        let rest = bytes::Bytes::copy_from_slice(output.as_bytes().get(from..).unwrap_or_default());
        let mut headers = header::HeaderMap::new();
        for (name, value) in [
            (protocol::log::SIZE, output.len().to_string()),
            (protocol::log::OFFSET, from.to_string()),
            (protocol::log::NEXT, output.len().to_string()),
            (protocol::log::ENDED, ended.to_string()),
        ] {
            if let Ok(value) = header::HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        let bytes = futures::stream::once(async move { Ok(rest) });
        Ok(Log { headers, bytes: Box::pin(bytes) })
    }

    fn view(&self, id: Uuid) -> Result<AttemptView, ClientError> {
        let task = self.task(&id.to_string())?;
        let started = Timestamp::from_millisecond(task.wire.started_at).unwrap_or_default();
        let outcome = task.is_over().then(|| outcome::of(&task, id));
        Ok(AttemptView {
            task_id: task.wire.correlation_id.clone().unwrap_or_default(),
            task_type: task.wire.kind.clone().unwrap_or_default(),
            attempt: id,
            status: outcome
                .as_ref()
                .map_or(AttemptStatus::Running, |outcome| outcome.status.into()),
            started,
            elapsed: Timestamp::now().duration_since(started).as_secs_f64().max(0.0),
            outcome,
        })
    }

    fn stands(&self, id: &str) -> Result<Stands, ClientError> {
        let task = self.task(id)?;
        Ok(match (&task.lost, task.wire.status.as_str()) {
            // Whatever we wrote on it, it surely did not start.
            (_, COMPLETED | FAILED) if !task.delivered => Stands::Unread,
            (Some(why), _) => Stands::Lost(why.clone()),
            (None, COMPLETED | FAILED) => Stands::Ended,
            (None, _) if !task.delivered => Stands::Unread,
            (None, _) if !self.is_online() => Stands::Gone,
            (None, _) => Stands::Read,
        })
    }

    fn task(&self, id: &str) -> Result<Task, ClientError> {
        self.runners.read().task(&self.runner, id).cloned().map_err(|error| {
            let refusal = Refusal::new(RefusalCode::NotFound, error.to_string());
            ClientError::Refused { refusal: Box::new(refusal), retry_after: None }
        })
    }

    fn is_online(&self) -> bool {
        self.runners.read().get(&self.runner).is_ok_and(crate::runners::Runner::is_online)
    }

    fn not_taken(&self, why: &str) -> ClientError {
        ClientError::NotTaken { name: self.runner.clone(), why: why.to_owned() }
    }

    fn silent(&self, why: String) -> ClientError {
        ClientError::Silent { name: self.runner.clone(), why }
    }

    fn trouble(&self, error: &RunnersError) -> ClientError {
        self.silent(error.to_string())
    }
}
