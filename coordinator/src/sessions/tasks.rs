//! What sessions have to do with the tasks on runners' lists.

use protocol::runner::RunnerTask;
use tracing::warn;

use super::registry::CREATE;
use super::{Changes, Moment, Sessions, SessionsError};
use crate::keeper::NotKept;
use crate::runners::RunnersError;

impl Sessions {
    /// Takes what became of a task, before whoever reported it is answered.
    pub fn hear_of(&self, task: &RunnerTask) {
        if !task.is_over() || task.kind.as_deref() != Some(CREATE) {
            return;
        }
        let mut registry = self.read();
        let mut changes = Changes::default();
        registry.follow(&self.runners.read(), Moment::now(), &mut changes);
        // After a crash the task says it again, so nobody waits for this.
        self.commit(&registry, changes);
    }

    /// Takes a realm off the books; the runner that created it, or may have begun to, is told
    /// to take it away.
    pub async fn destroy_realm(&self, id: &str) -> Result<(), SessionsError> {
        let (create, farewell) = {
            let registry = self.read();
            registry.realm(id)?;
            (registry.task_of(id), registry.farewell_for(id))
        };
        // First the runner: a crash in between leaves the realm here, to be destroyed again.
        let was_unread = match create {
            Some((runner, task)) => self.take_back(&runner, &task).await?,
            None => false,
        };
        if let Some((runner, task)) = farewell
            && !was_unread
        {
            // A runner that is forgotten has nothing to take away any more, and one that was told
            // before need not be told again.
            let told = self.runners.create_task(&runner, task).await;
            if let Err(RunnersError::NotKept(problem)) = told {
                return Err(problem.into());
            }
        }
        self.change(|registry, now, changes| registry.destroy_realm(id, now, changes)).await
    }

    /// Asks the runner of a realm to create it; a failure that may pass is tried again.
    pub(super) async fn ask(&self, realm_id: &str) {
        let Some((runner, task)) = self.read().request_for(realm_id) else { return };
        let asked = self.runners.create_task(&runner, task).await;
        let mut registry = self.read();
        let mut changes = Changes::default();
        match asked {
            Ok(_) | Err(RunnersError::DuplicateTask { .. }) => {
                registry.handed(realm_id, &mut changes);
            }
            Err(RunnersError::NotKept(_)) => return,
            Err(problem) => {
                let why = format!("the runner {runner} cannot be asked: {problem}");
                registry.start_failed(realm_id, &why, Moment::now(), &mut changes);
            }
        }
        // Asking again after a crash does no harm, so nobody waits for this.
        self.commit(&registry, changes);
    }

    /// Takes the task of a realm that did not start off its runner's list.
    pub(super) async fn give_up(&self, realm_id: &str) {
        let Some((runner, task)) = self.read().task_of(realm_id) else { return };
        if matches!(self.runners.withdraw(&runner, &task).await, Ok(true)) {
            // Nobody has read it, so the realm surely does not come.
            let mut registry = self.read();
            let mut changes = Changes::default();
            registry.start_failed(realm_id, "nobody started it", Moment::now(), &mut changes);
            self.commit(&registry, changes);
            return;
        }
        let why = "the realm did not start in time";
        if let Err(problem) = self.runners.give_up(&runner, &task, why).await {
            warn!(realm = realm_id, "the task {task} cannot be ended: {problem}");
        }
    }

    /// Takes a task that nobody has read off the list of its runner; says whether it was there and
    /// is off.
    async fn take_back(&self, runner: &str, task: &str) -> Result<bool, NotKept> {
        if self.runners.read().task(runner, task).is_err() {
            return Ok(false);
        }
        match self.runners.withdraw(runner, task).await {
            Ok(is_off) => Ok(is_off),
            Err(RunnersError::NotKept(problem)) => Err(problem),
            Err(_) => Ok(false),
        }
    }
}
