//! What runs here, and whether new work is held off.
//!
//! A task that takes the node away (power-off, suspend) holds new work off first, then looks at
//! what runs. Both sides ask the same lock, so nothing starts between the look and the deed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// What every attempt of the process is told apart by, and the reasons to take no more.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    // No `.await` while it is held.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What runs, as people read it.
    running: BTreeMap<Uuid, String>,
    holds: BTreeMap<Uuid, String>,
}

impl Presence {
    /// Notes that an attempt runs. The error is why nothing may start now.
    pub(crate) fn enter(&self, attempt: Uuid, name: String) -> Result<(), String> {
        let mut state = self.state();
        if let Some(reason) = state.holds.values().next() {
            return Err(reason.clone());
        }
        state.running.insert(attempt, name);
        Ok(())
    }

    pub(crate) fn leave(&self, attempt: Uuid) {
        self.state().running.remove(&attempt);
    }

    /// Returns why no new work is taken; nothing when it is.
    pub(crate) fn reasons(&self) -> Vec<String> {
        self.state().holds.values().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// New work is refused, and `/health` says `draining` with the reason, for as long as this lives;
/// see [`crate::Context::hold_new_work`].
#[derive(Debug)]
#[must_use = "new work is taken again when this is dropped"]
pub struct Hold {
    presence: Arc<Presence>,
    attempt: Uuid,
}

impl Hold {
    pub(crate) fn new(presence: &Arc<Presence>, attempt: Uuid, reason: String) -> Self {
        presence.state().holds.insert(attempt, reason);
        Self { presence: Arc::clone(presence), attempt }
    }

    /// Returns what else runs on this executor, as `TYPE of TASK`.
    pub fn others(&self) -> Vec<String> {
        let state = self.presence.state();
        let others = state.running.iter().filter(|(attempt, _)| **attempt != self.attempt);
        others.map(|(_, name)| name.clone()).collect()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.presence.state().holds.remove(&self.attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_starts_while_work_is_held_off() {
        let presence = Arc::new(Presence::default());
        let [power, other, late] = [1, 2, 3].map(Uuid::from_u128);
        presence.enter(power, "power-off of a".to_owned()).unwrap();
        presence.enter(other, "run-tests of b".to_owned()).unwrap();

        let hold = Hold::new(&presence, power, "going to sleep".to_owned());

        assert_eq!(hold.others(), ["run-tests of b"]);
        assert_eq!(presence.enter(late, "x of c".to_owned()).unwrap_err(), "going to sleep");
        presence.leave(other);
        assert!(hold.others().is_empty());
        drop(hold);
        assert!(presence.reasons().is_empty());
        presence.enter(late, "x of c".to_owned()).unwrap();
    }
}
