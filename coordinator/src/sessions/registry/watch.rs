//! What time does: realms that go silent, starts that come to nothing, and what is forgotten.

use jiff::Timestamp;

use super::super::allocate::is_host_there;
use super::super::record::Loss;
use super::{Changes, Moment, Registry, state};
use crate::runners;

impl Registry {
    /// Finds the realms that are lost, or back, or too late.
    pub fn sweep(&mut self, hosts: &runners::Registry, now: Moment, changes: &mut Changes) {
        self.give_up_late_ones(now, changes);
        let patience = self.limits.silence;
        let mut lost = Vec::new();
        let mut back = Vec::new();
        for realm in self.realms.values_mut() {
            let is_running = realm.wire.state == state::RUNNING;
            let is_unhealthy = realm.wire.state == state::UNHEALTHY && realm.started;
            let id = &realm.wire.id;
            if let Some(heard) = realm.heard {
                if (is_running || is_unhealthy)
                    && realm.lost.is_none()
                    && now.mono - heard > patience
                {
                    lost.push((id.clone(), Loss::Silent));
                }
            } else if is_host_there(realm, hosts) {
                realm.away = None;
                if is_unhealthy && realm.lost == Some(Loss::Runner) {
                    back.push(id.clone());
                }
            } else if is_running {
                let away = *realm.away.get_or_insert(now.mono);
                if now.mono - away > patience {
                    lost.push((id.clone(), Loss::Runner));
                }
            }
        }
        for (id, loss) in lost {
            self.lose(&id, loss, now, changes);
        }
        for id in back {
            if let Some(realm) = self.realms.get_mut(&id) {
                super::realms::arrive(realm, now);
            }
            changes.realms.push(id.clone());
            self.tell_sessions(&id, now, changes);
        }
    }

    fn lose(&mut self, id: &str, loss: Loss, now: Moment, changes: &mut Changes) {
        let Some(realm) = self.realms.get_mut(id) else { return };
        state::UNHEALTHY.clone_into(&mut realm.wire.state);
        realm.wire.updated_at = now.at;
        realm.lost = Some(loss);
        let patience = self.limits.silence.as_secs_f64();
        let why = match loss {
            Loss::Silent => {
                format!("the realm {id} was lost: nothing heard of it for {patience} s")
            }
            Loss::Runner => format!(
                "the realm {id} was lost: its runner {} is away for {patience} s",
                realm.wire.runner_id
            ),
        };
        changes.realms.push(id.to_owned());
        self.fail_sessions(id, &why, now, changes);
    }

    /// Forgets the sessions that ended and the realms that are lost or destroyed, long ago.
    pub fn forget(&mut self, now: Moment, changes: &mut Changes) {
        let keep = self.limits.keep;
        let is_old = |time: Timestamp| now.at.duration_since(time).unsigned_abs() > keep;
        self.sessions.retain(|id, session| {
            let goes = !session.wire.state.is_live() && is_old(session.wire.updated_at);
            if goes {
                changes.gone_sessions.push(id.clone());
            }
            !goes
        });
        let sessions = &self.sessions;
        self.realms.retain(|id, realm| {
            let stays = [state::CREATING, state::RUNNING, state::PAUSED];
            let goes = !stays.contains(&&*realm.wire.state)
                && is_old(realm.wire.updated_at)
                && !sessions.values().any(|session| super::uses(session, id));
            if goes {
                changes.gone_realms.push(id.clone());
            }
            !goes
        });
    }
}
