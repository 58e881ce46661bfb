//! Tasks that were put on this executor's list at the coordinator, by a person or a program.
//!
//! The list is the queue: what runs on it and is not known here is taken like an order of
//! `POST /execute`, and a task that cannot be taken now stays there. The attempt's id follows from
//! the task's, so the same task never becomes two attempts, not even after a restart. Attempts that
//! came by `POST /execute` are on the list as well, told by our own heartbeats; they are left alone.

use std::sync::Arc;
use std::time::Duration;

use protocol::execute::{Ending, ExecuteRequest, Outcome};
use protocol::refusal::{Refusal, RefusalCode};
use protocol::runner::{COMPLETED, FAILED, PatchRunnerTask, RunnerTask, RunnerTasks};
use reqwest::Method;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::link::{Asked, LinkError};
use super::{Registration, wait_after};
use crate::runner::{Found, Live, Taken};

/// How long a list or a result may take on its way.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a report may take when the process ends.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// How often a task may be unknown to the coordinator before its report is given up.
const UNKNOWN: u32 = 3;

/// How much of the output goes along when the coordinator finds a report too large.
const SHORT_OUTPUT: usize = 8 * 1024;

/// What became of a task that was just looked at.
enum Looked {
    /// It is in hand, or none of ours.
    Done,
    /// There is no room for new ones now.
    Full,
}

impl Registration {
    /// Takes tasks from the list until the process drains, and reports how they ended.
    pub(super) async fn work_off_the_list(self: Arc<Self>) {
        self.report_what_is_left().await;
        let Some(every) = self.every.poll else { return };
        let mut trouble = false;
        let rounds = async {
            while self.is_known().await {
                match self.list().await {
                    Ok(tasks) => {
                        trouble = false;
                        self.look_through(tasks).await;
                    }
                    // The next heartbeat finds out why.
                    Err(LinkError::NotFound) => self.nudge.notify_one(),
                    Err(error) => {
                        if !std::mem::replace(&mut trouble, true) {
                            tracing::warn!("cannot read the list of tasks: {error}; trying on");
                        }
                    }
                }
                tokio::time::sleep(every).await;
            }
        };
        self.shutdown.draining.run_until_cancelled(rounds).await;
    }

    async fn list(&self) -> Result<Vec<RunnerTask>, LinkError> {
        let asked: Asked<'_, ()> = Asked {
            method: Method::GET,
            path: &["runners", &self.who.id, "tasks"],
            query: Some("status=running"),
            body: None,
            patience: PATIENCE,
        };
        self.link.ask::<RunnerTasks, _>(asked).await.map(|list| list.tasks)
    }

    async fn look_through(self: &Arc<Self>, tasks: Vec<RunnerTask>) {
        let mut is_full = false;
        for task in tasks {
            if !self.in_hand().contains_key(&task.task_id) {
                is_full |= matches!(self.look_at(task, is_full).await, Looked::Full);
            }
        }
    }

    /// Takes one task, if it is one for us and there is room.
    async fn look_at(self: &Arc<Self>, task: RunnerTask, is_full: bool) -> Looked {
        let attempt = attempt_of(&self.who.id, &task.task_id);
        match self.runner.find(attempt).await {
            Ok(None) if is_full => return Looked::Full,
            Ok(None) => {}
            Ok(Some(found)) => {
                self.go_on_with(task.task_id, attempt, found);
                return Looked::Done;
            }
            // The spool has trouble, which `/health` tells: nothing can be taken now.
            Err(_) => return Looked::Full,
        }
        let Some(kind) = task.kind else {
            let refusal = Refusal::new(RefusalCode::Malformed, "the task has no type");
            self.hand_over(task.task_id, attempt, Ended::Refused(Box::new(refusal)));
            return Looked::Done;
        };
        let order = ExecuteRequest {
            task_id: task.task_id.clone(),
            task_type: kind,
            params: task.metadata.unwrap_or_default(),
            attempt: Some(attempt),
            timeout_seconds: None,
            ledger: None,
            epoch: None,
        };
        // Before it starts, so that no heartbeat tells it as an attempt of its own.
        self.in_hand().insert(task.task_id.clone(), attempt);
        let ended = match self.runner.take(order).await {
            Ok(Taken::Live(live)) => Ended::Later(live),
            Ok(Taken::Ended(outcome)) => Ended::With(outcome),
            Err(refusal) if is_passing(refusal.code) => {
                self.in_hand().remove(&task.task_id);
                return Looked::Full;
            }
            Err(refusal) => Ended::Refused(Box::new(refusal)),
        };
        let task_id = task.task_id.clone();
        self.kept.note_unreported(task_id, attempt).await;
        self.hand_over(task.task_id, attempt, ended);
        Looked::Done
    }

    /// An attempt of this id is known here. Only if it is the task's own is it reported.
    fn go_on_with(self: &Arc<Self>, task_id: String, attempt: Uuid, found: Found) {
        let (of, ended) = match found {
            Found::Live(live) => (live.order.task_id.clone(), Some(Ended::Later(live))),
            Found::Recorded(record) => {
                (record.task_id, record.outcome.map(|outcome| Ended::With(Box::new(outcome))))
            }
        };
        if let Some(ended) = ended.filter(|_| of == task_id) {
            self.hand_over(task_id, attempt, ended);
        }
    }

    /// Reports what an earlier life did not get rid of.
    async fn report_what_is_left(self: &Arc<Self>) {
        let left = self.kept.read(|content| content.unreported.clone());
        for (task_id, attempt) in left {
            match self.runner.find(attempt).await {
                Ok(Some(found)) => self.go_on_with(task_id, attempt, found),
                // The retention was shorter than the coordinator's absence.
                Ok(None) => self.forget(task_id).await,
                Err(_) => {}
            }
        }
    }

    fn hand_over(self: &Arc<Self>, task_id: String, attempt: Uuid, ended: Ended) {
        self.in_hand().insert(task_id.clone(), attempt);
        let registration = Arc::clone(self);
        drop(self.shutdown.spawn(async move {
            let result = match ended {
                // Without an outcome it was refused after all, and the list has it still.
                Ended::Later(live) => live.outcome().await.map(|outcome| of_outcome(&outcome)),
                Ended::With(outcome) => Some(of_outcome(&outcome)),
                Ended::Refused(refusal) => Some(of_refusal(&refusal, attempt)),
            };
            match result {
                Some(result) => registration.report(task_id, result).await,
                None => drop(registration.in_hand().remove(&task_id)),
            }
        }));
    }

    /// Reports until it is taken, cannot be taken, or the process ends; then the next life does.
    async fn report(&self, task_id: String, mut result: PatchRunnerTask) {
        let mut failures = 0;
        let mut unknown = 0;
        loop {
            let is_last = !self.is_known().await || self.closing.is_cancelled();
            let patience = if is_last { LAST_PATIENCE } else { PATIENCE };
            let error = match self.patch(&task_id, &result, patience).await {
                Ok(()) => break,
                Err(error) => error,
            };
            match &error {
                LinkError::NotFound => unknown += 1,
                LinkError::Refused { status: 413, .. } if shorten(&mut result) => continue,
                _ => {}
            }
            if !error.is_passing() && (unknown == 0 || unknown >= UNKNOWN) {
                tracing::warn!(task.id = %task_id, "the end of {task_id} is not reported: {error}");
                // It stays in hand, so that the next look at the list does not begin anew.
                self.kept.note_reported(task_id).await;
                return;
            }
            if is_last {
                return;
            }
            failures += 1;
            if failures == 1 {
                tracing::info!(task.id = %task_id,
                    "the end of {task_id} could not be reported: {error}; trying on");
            }
            // A heartbeat finds out whether it is the coordinator, and registers if need be.
            self.nudge.notify_one();
            self.closing.run_until_cancelled(tokio::time::sleep(wait_after(failures))).await;
        }
        self.forget(task_id).await;
    }

    async fn patch(
        &self,
        task_id: &str,
        result: &PatchRunnerTask,
        patience: Duration,
    ) -> Result<(), LinkError> {
        let path = ["runners", &self.who.id, "tasks", task_id];
        let method = Method::PATCH;
        let asked = Asked { method, path: &path, query: None, body: Some(result), patience };
        self.link.ask::<Value, _>(asked).await.map(drop)
    }

    async fn forget(&self, task_id: String) {
        self.in_hand().remove(&task_id);
        self.kept.note_reported(task_id).await;
    }
}

/// How a task of the list ended, or is to end.
enum Ended {
    Later(Arc<Live>),
    With(Box<Outcome>),
    Refused(Box<Refusal>),
}

/// Whether the same order may be taken later.
fn is_passing(code: RefusalCode) -> bool {
    match code {
        RefusalCode::Busy | RefusalCode::Draining | RefusalCode::Internal => true,
        RefusalCode::Malformed
        | RefusalCode::Unauthorized
        | RefusalCode::Forbidden
        | RefusalCode::UnknownTask
        | RefusalCode::NotFound
        | RefusalCode::MethodNotAllowed
        | RefusalCode::Stale
        | RefusalCode::TooLarge
        | RefusalCode::InvalidParams => false,
    }
}

/// Returns the attempt that a task on the list becomes: its own id when that is a UUID, else one
/// that follows from the runner and the task.
fn attempt_of(runner: &str, task_id: &str) -> Uuid {
    if let Ok(id) = Uuid::parse_str(task_id)
        && id.to_string() == task_id
    {
        return id;
    }
    let mut hash = Sha256::new();
    for part in [runner, task_id] {
        // The length keeps the two apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    // Version 8: made by a rule of our own.
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn of_outcome(outcome: &Outcome) -> PatchRunnerTask {
    let is_completed = outcome.status == Ending::Completed;
    let mut metadata = Map::new();
    metadata.insert("output".to_owned(), outcome.output.clone().into());
    metadata.insert("data".to_owned(), outcome.data.clone());
    metadata.insert("attempt".to_owned(), outcome.attempt.to_string().into());
    // The word of our own protocol: `failed` may also be timed_out, cancelled or interrupted.
    metadata.insert("ending".to_owned(), outcome.status.as_str().into());
    if let Some(code) = outcome.exit_code {
        metadata.insert("exitCode".to_owned(), code.into());
    }
    if let Some(error) = &outcome.error {
        metadata.insert("error".to_owned(), error.clone().into());
    }
    let status = if is_completed { COMPLETED } else { FAILED };
    PatchRunnerTask { status: Some(status.to_owned()), metadata: Some(metadata) }
}

fn of_refusal(refusal: &Refusal, attempt: Uuid) -> PatchRunnerTask {
    let mut metadata = Map::new();
    metadata.insert("error".to_owned(), refusal.error.clone().into());
    metadata.insert("code".to_owned(), json!(refusal.code));
    metadata.insert("attempt".to_owned(), attempt.to_string().into());
    if let Some(hint) = &refusal.hint {
        metadata.insert("hint".to_owned(), hint.clone().into());
    }
    PatchRunnerTask { status: Some(FAILED.to_owned()), metadata: Some(metadata) }
}

/// Leaves out what makes a report large, and says so; false when that was done before.
fn shorten(result: &mut PatchRunnerTask) -> bool {
    let Some(metadata) = &mut result.metadata else { return false };
    if metadata.insert("truncated".to_owned(), true.into()).is_some() {
        return false;
    }
    metadata.remove("data");
    if let Some(Value::String(output)) = metadata.get_mut("output") {
        let surplus = output.len().saturating_sub(SHORT_OUTPUT);
        let from = (surplus..=output.len()).find(|at| output.is_char_boundary(*at)).unwrap_or(0);
        output.drain(..from);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_task_is_the_same_attempt_and_another_is_not() {
        let uuid = "019a0000-0000-7000-8000-000000000001";

        assert_eq!(attempt_of("r", uuid).to_string(), uuid);
        assert_eq!(attempt_of("r", "task-1"), attempt_of("r", "task-1"));
        assert_eq!(attempt_of("r", "task-1").get_version_num(), 8);
        let mut all: Vec<_> = [("r", "task-1"), ("r", "task-2"), ("rt", "ask-1"), ("r", "")]
            .map(|(runner, task)| attempt_of(runner, task))
            .into();
        // Another way to write a UUID is another task.
        all.push(attempt_of("r", &uuid.to_uppercase()));
        all.push(attempt_of("r", &format!("{{{uuid}}}")));
        all.push(attempt_of("r", uuid));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn a_report_that_is_too_large_is_shortened_once() {
        let metadata = json!({"output": format!("{}é{}", "x".repeat(20_000), "y".repeat(SHORT_OUTPUT - 1)),
            "data": {"big": 1}, "error": "kept"});
        let Value::Object(metadata) = metadata else { unreachable!() };
        let mut result = PatchRunnerTask { status: None, metadata: Some(metadata) };

        assert!(shorten(&mut result));
        assert!(!shorten(&mut result));

        let metadata = result.metadata.unwrap();
        assert_eq!(metadata["output"], "y".repeat(SHORT_OUTPUT - 1));
        assert_eq!(metadata["error"], "kept");
        assert!(!metadata.contains_key("data"));
    }
}
