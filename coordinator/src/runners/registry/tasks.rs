//! The task lists.

use std::collections::HashSet;

use super::{
    COMPLETED, Changes, FAILED, Map, Moment, NewRunnerTask, PatchRunnerTask, RUNNING, Registry,
    Runner, RunnerTask, RunnersError, Task, Value,
};

/// Whose look at a list it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The runner's, as far as can be told: whoever may also report on its tasks.
    OfTheRunner,
    /// Somebody's who may only read, or who does not want the body.
    FromOutside,
}

/// The member of the metadata that says why a task failed.
const ERROR: &str = "error";

impl Registry {
    /// Puts a task on a runner's list, whatever the runner can do and whether it is there.
    pub fn create_task(
        &mut self,
        id: &str,
        body: NewRunnerTask,
        new_id: impl FnOnce() -> String,
        now: Moment,
        changes: &mut Changes,
    ) -> Result<RunnerTask, RunnersError> {
        let (id_bytes, running_tasks) = (self.limits.id_bytes, self.limits.running_tasks);
        let seq = self.next();
        let runner = self.get_mut(id)?;
        let task_id = body.task_id.filter(|id| !id.is_empty()).unwrap_or_else(new_id);
        if task_id.len() > id_bytes || task_id.chars().any(char::is_control) {
            return Err(RunnersError::Invalid(format!(
                "`taskId` must have at most {id_bytes} bytes and no control characters"
            )));
        }
        if runner.tasks.contains_key(&task_id) {
            return Err(RunnersError::DuplicateTask { task: task_id });
        }
        if runner.running >= running_tasks {
            return Err(RunnersError::TooManyTasks { limit: running_tasks });
        }
        let status = body.status.filter(|s| !s.is_empty()).unwrap_or_else(|| RUNNING.to_owned());
        let wire = RunnerTask {
            task_id: task_id.clone(),
            kind: body.kind,
            status,
            started_at: now.millis(),
            completed_at: None,
            correlation_id: body.correlation_id,
            metadata: body.metadata,
        };
        let task = Task { wire: wire.clone(), seq, delivered: false, lost: None, told: false };
        runner.running += usize::from(task.is_running());
        runner.tasks.insert(task_id.clone(), task);
        self.dispatched += 1;
        changes.tasks.push((id.to_owned(), task_id));
        changes.work = true;
        self.forget_old_tasks(id, changes);
        Ok(wire)
    }

    /// Returns a runner's tasks; `status`, when not empty, by equality.
    ///
    /// A list that shows running tasks has delivered them, where it is the runner's own look.
    pub fn list_tasks(
        &mut self,
        id: &str,
        status: Option<&str>,
        look: Look,
        changes: &mut Changes,
    ) -> Result<Vec<RunnerTask>, RunnersError> {
        let runner = self.get_mut(id)?;
        let status = status.filter(|status| !status.is_empty());
        let mut listed = Vec::new();
        for (task_id, task) in &mut runner.tasks {
            if status.is_some_and(|status| status != task.wire.status) {
                continue;
            }
            if look == Look::OfTheRunner && !task.is_over() && !task.delivered {
                task.delivered = true;
                changes.tasks.push((id.to_owned(), task_id.clone()));
                changes.work = true;
            }
            listed.push(task.wire.clone());
        }
        Ok(listed)
    }

    /// Returns what of an earlier list belongs on it now, as it is now; the list is answered with
    /// it.
    pub fn still_listed(
        &mut self,
        id: &str,
        status: Option<&str>,
        listed: Vec<RunnerTask>,
        now: Moment,
    ) -> Vec<RunnerTask> {
        let Ok(runner) = self.get_mut(id) else { return listed };
        runner.listed = Some(now.mono);
        let status = status.filter(|status| !status.is_empty());
        let now = |task: RunnerTask| {
            let now = &runner.tasks.get(&task.task_id)?.wire;
            status.is_none_or(|status| status == now.status).then(|| now.clone())
        };
        listed.into_iter().filter_map(now).collect()
    }

    /// Returns one task.
    pub fn task(&self, id: &str, task_id: &str) -> Result<&Task, RunnersError> {
        self.get(id)?.tasks.get(task_id).ok_or(RunnersError::UnknownTask)
    }

    /// Takes what the runner, or anybody, says of a task.
    pub fn patch_task(
        &mut self,
        id: &str,
        task_id: &str,
        body: PatchRunnerTask,
        now: Moment,
        changes: &mut Changes,
    ) -> Result<RunnerTask, RunnersError> {
        let runner = self.get_mut(id)?;
        let task = runner.tasks.get_mut(task_id).ok_or(RunnersError::UnknownTask)?;
        let status = body.status.filter(|status| !status.is_empty());
        if status.is_none() && body.metadata.is_none() {
            return Ok(task.wire.clone());
        }
        let was_running = task.is_running();
        let was_lost = task.lost.take().is_some();
        if was_lost && let Some(metadata) = &mut task.wire.metadata {
            // That was our word, and the runner knows better.
            metadata.remove(ERROR);
        }
        if let Some(more) = body.metadata {
            task.wire.metadata.get_or_insert_with(Map::new).extend(more);
        }
        task.delivered = true;
        if let Some(status) = status {
            task.wire.status = status;
            if task.is_over() {
                task.wire.completed_at = Some(now.millis());
            }
        }
        let wire = task.wire.clone();
        runner.running -= usize::from(was_running);
        runner.running += usize::from(wire.status == RUNNING);
        if wire.status == COMPLETED && (was_running || was_lost) {
            self.ended.completed += 1;
        }
        // A lost one was counted when it was lost.
        if wire.status == FAILED && was_running {
            self.ended.failed += 1;
        }
        changes.tasks.push((id.to_owned(), task_id.to_owned()));
        changes.work = true;
        Ok(wire)
    }

    /// Ends a task in our own name, such as at its time limit; a later word of the runner counts
    /// in its list all the same.
    pub fn give_up(
        &mut self,
        id: &str,
        task_id: &str,
        why: &str,
        now: Moment,
        changes: &mut Changes,
    ) -> Result<(), RunnersError> {
        let runner = self.get_mut(id)?;
        let task = runner.tasks.get_mut(task_id).ok_or(RunnersError::UnknownTask)?;
        if !task.is_over() {
            runner.running -= usize::from(task.is_running());
            lose(task, why, now);
            self.ended.failed += 1;
            changes.tasks.push((id.to_owned(), task_id.to_owned()));
            changes.work = true;
        }
        Ok(())
    }

    /// Takes a task off the list that nobody has read: it surely did not start.
    ///
    /// Returns whether it is off.
    pub fn withdraw(&mut self, id: &str, task_id: &str, changes: &mut Changes) -> bool {
        let Some(runner) = self.runners.get_mut(id) else { return true };
        let Some(task) = runner.tasks.get(task_id) else { return true };
        if task.delivered {
            return false;
        }
        runner.running -= usize::from(task.is_running());
        runner.tasks.shift_remove(task_id);
        changes.gone_tasks.push((id.to_owned(), task_id.to_owned()));
        changes.work = true;
        true
    }

    /// Takes a runner's own word on its tasks: they replace those of the same id, those that it
    /// told before and the others that ended; what was put on the list and still runs stays.
    ///
    /// An executor of ours tells what runs there beside its list. What is on the list is reported by
    /// other means, so all of it stays, with its results.
    pub(super) fn replace_tasks(
        &mut self,
        id: &str,
        tasks: Vec<RunnerTask>,
        now: Moment,
        changes: &mut Changes,
    ) -> Result<(), RunnersError> {
        let most = self.limits.running_tasks + self.limits.ended_tasks;
        if tasks.len() > most {
            return Err(RunnersError::Invalid(format!("`tasks` may have at most {most} entries")));
        }
        let mut next = self.next;
        let (mut completed, mut failed) = (0, 0);
        let runner = self.get_mut(id)?;
        let is_executor = runner.executor().is_some();
        let ids: HashSet<&str> = tasks.iter().map(|task| task.task_id.as_str()).collect();
        let stays = |task: &Task| !task.told && (!task.is_over() || is_executor);
        let gone: Vec<String> = runner
            .tasks
            .iter()
            .filter(|(task_id, task)| !ids.contains(task_id.as_str()) && !stays(task))
            .map(|(task_id, _)| task_id.clone())
            .collect();
        for task_id in gone {
            runner.tasks.shift_remove(&task_id);
            changes.gone_tasks.push((id.to_owned(), task_id));
        }
        for mut wire in tasks {
            let known = runner.tasks.get_mut(&wire.task_id);
            let told = known.as_ref().is_none_or(|task| task.told);
            if is_executor && !told {
                continue;
            }
            fill_in(&mut wire, known.as_deref().map(|task| &task.wire), now);
            if known.as_ref().is_some_and(|task| task.wire == wire) {
                continue;
            }
            let task_id = wire.task_id.clone();
            if known.as_ref().is_some_and(|task| !task.is_over()) {
                completed += u64::from(wire.status == COMPLETED);
                failed += u64::from(wire.status == FAILED);
            }
            let seq = known.map_or_else(
                || {
                    next += 1;
                    next - 1
                },
                |task| task.seq,
            );
            let task = Task { wire, seq, delivered: true, lost: None, told };
            runner.tasks.insert(task_id.clone(), task);
            changes.tasks.push((id.to_owned(), task_id));
            changes.work = true;
        }
        runner.running = runner.tasks.values().filter(|task| task.is_running()).count();
        self.next = next;
        self.ended.completed += completed;
        self.ended.failed += failed;
        self.forget_old_tasks(id, changes);
        Ok(())
    }

    /// Keeps the list bounded: the oldest that ended go first. Of those with a status of their own
    /// there may be as many as of those that run.
    fn forget_old_tasks(&mut self, id: &str, changes: &mut Changes) {
        let Some(runner) = self.runners.get_mut(id) else { return };
        if beyond(runner.tasks.len() - runner.running, self.limits.ended_tasks) == 0 {
            return;
        }
        let over = runner.tasks.values().filter(|task| task.is_over()).count();
        let odd = runner.tasks.len() - over - runner.running;
        let mut over_to_go = beyond(over, self.limits.ended_tasks);
        let mut odd_to_go = beyond(odd, self.limits.running_tasks);
        if over_to_go + odd_to_go == 0 {
            return;
        }
        runner.tasks.retain(|task_id, task| {
            let to_go = match (task.is_over(), task.is_running()) {
                (true, _) => &mut over_to_go,
                (false, false) => &mut odd_to_go,
                (false, true) => return true,
            };
            if *to_go == 0 {
                return true;
            }
            *to_go -= 1;
            changes.gone_tasks.push((id.to_owned(), task_id.clone()));
            false
        });
    }
}

/// Takes over what a runner leaves out when it tells of a task again.
fn fill_in(told: &mut RunnerTask, known: Option<&RunnerTask>, now: Moment) {
    if told.started_at == 0 {
        told.started_at = known.map_or(now.millis(), |known| known.started_at);
    }
    if told.completed_at.is_none() && told.is_over() {
        told.completed_at = known.and_then(|known| known.completed_at).or(Some(now.millis()));
    }
    let Some(known) = known else { return };
    told.kind = told.kind.take().or_else(|| known.kind.clone());
    told.correlation_id = told.correlation_id.take().or_else(|| known.correlation_id.clone());
    let mut metadata = known.metadata.clone().unwrap_or_default();
    metadata.extend(told.metadata.take().unwrap_or_default());
    told.metadata = (!metadata.is_empty()).then_some(metadata);
}

/// How many are too many; many at once, since each costs a move of what lies behind it.
fn beyond(count: usize, most: usize) -> usize {
    if count > most + most / 10 { count - most } else { 0 }
}

/// Writes that a task failed, in our name.
fn lose(task: &mut Task, why: &str, now: Moment) {
    FAILED.clone_into(&mut task.wire.status);
    task.wire.completed_at = Some(now.millis());
    let metadata = task.wire.metadata.get_or_insert_with(Map::new);
    metadata.insert(ERROR.to_owned(), Value::String(why.to_owned()));
    task.lost = Some(why.to_owned());
}

/// Writes that everything failed that a lost runner had when it went away; returns what that was.
pub(super) fn lose_all(
    runner: &mut Runner,
    why: &str,
    now: Moment,
    changes: &mut Changes,
) -> Vec<String> {
    let mut lost = Vec::new();
    let from = runner.away_from.unwrap_or(u64::MAX);
    for (task_id, task) in &mut runner.tasks {
        if !task.is_over() && task.seq < from {
            runner.running -= usize::from(task.is_running());
            lose(task, why, now);
            changes.tasks.push((runner.id.clone(), task_id.clone()));
            lost.push(task_id.clone());
        }
    }
    changes.work |= !lost.is_empty();
    lost
}
