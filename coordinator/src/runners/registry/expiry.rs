//! Leases that run out, good-byes, and runners that are forgotten.

use protocol::runner::{RunnerOffline, RunnerStatus};

use super::{Changes, Lost, Moment, Registry, Runner, RunnersError, tasks};

impl Registry {
    /// A runner says good-bye. Its tasks have the rest of its lease to be reported, or to be gone
    /// on with by a runner of the same id.
    pub fn offline(
        &mut self,
        body: RunnerOffline,
        changes: &mut Changes,
    ) -> Result<(), RunnersError> {
        let id = body.runner_id.unwrap_or_default();
        let next = self.next;
        let runner = self.get_mut(&id)?;
        let was_online = runner.is_online();
        runner.status = RunnerStatus::Offline;
        runner.away_from.get_or_insert(next);
        runner.offers_realms = false;
        changes.runners.push(id);
        changes.presence = true;
        if was_online {
            let running = runner.tasks.values().filter(|task| !task.is_over());
            let ids = running.map(|task| task.wire.task_id.clone()).collect();
            changes.lost.push(lost(runner, "offline_requested", ids));
            self.comings.left += 1;
        }
        Ok(())
    }

    /// Finds the runners whose lease is over: they are offline, and what ran on them failed. What
    /// they were given since they are away stays for when they are back.
    pub fn sweep(&mut self, now: Moment, changes: &mut Changes) {
        let mut heirless = Vec::new();
        let (default, next) = (self.limits.lease, self.next);
        for runner in self.runners.values_mut() {
            if runner.lease_ends.is_none_or(|ends| ends > now.mono) {
                continue;
            }
            runner.lease_ends = None;
            if runner.is_online() {
                runner.away_from = Some(next);
                runner.status = RunnerStatus::Offline;
                changes.runners.push(runner.id.clone());
                changes.presence = true;
                let ttl = runner
                    .lease_ttl_ms
                    .map_or(default, std::time::Duration::from_millis)
                    .as_secs_f64();
                let why = format!("the runner was lost: nothing heard of it for {ttl} s");
                let ids = tasks::lose_all(runner, &why, now, changes);
                self.ended.failed += ids.len() as u64;
                changes.lost.push(lost(runner, "lease_expired", ids));
                self.comings.lost += 1;
            } else {
                let why = "the runner was stopped and did not report it";
                self.ended.failed += tasks::lose_all(runner, why, now, changes).len() as u64;
            }
            if runner.update.is_some() {
                heirless.push(runner.id.clone());
            }
        }
        for id in heirless {
            self.hand_down(&id, changes);
        }
    }

    /// Forgets the runners that have been offline for long.
    pub fn forget(&mut self, now: Moment, changes: &mut Changes) {
        let keep = self.limits.keep_offline;
        let is_old = |runner: &Runner| {
            !runner.is_online()
                && now.at.duration_since(runner.last_heartbeat).unsigned_abs() > keep
        };
        let old: Vec<String> =
            self.runners.values().filter(|r| is_old(r)).map(|r| r.id.clone()).collect();
        for id in old {
            self.remove(&id, changes);
        }
    }

    /// Takes a runner off the books, with its tasks.
    pub fn remove(&mut self, id: &str, changes: &mut Changes) {
        let Some(runner) = self.runners.shift_remove(id) else { return };
        let tasks = runner.tasks.keys().map(|task| (id.to_owned(), task.clone()));
        changes.gone_tasks.extend(tasks);
        changes.gone_runners.push(id.to_owned());
        changes.presence = true;
        changes.work = true;
    }
}

fn lost(runner: &Runner, cause: &'static str, tasks: Vec<String>) -> Lost {
    Lost {
        runner: runner.id.clone(),
        name: runner.name.clone(),
        endpoint: runner.endpoint.clone(),
        last_heartbeat: runner.last_heartbeat,
        cause,
        tasks,
    }
}
