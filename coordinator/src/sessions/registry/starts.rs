//! Realms that runners are asked to create: the task on the runner's list, and what comes of it.
//!
//! The id of the task follows from the id of the realm, so that asking twice, as after a crash
//! in between, is refused as a duplicate and does no harm.

use protocol::runner::{COMPLETED, FAILED, NewRunnerTask, RunnerTask};
use protocol::session::{NewEndpoints, SessionState};
use serde_json::{Map, Value, json};

use super::{Changes, ERROR, Moment, Realm, Registry, Session, realms, state};
use crate::runners;

/// The type of the task that asks a runner for a realm.
pub(in crate::sessions) const CREATE: &str = "realm-create";
/// The type of the task that tells a runner to take one away.
const DESTROY: &str = "realm-destroy";
/// How long an endpoint may be: as long as in a realm's own word.
const MOST: usize = 2048;

impl Registry {
    /// Returns what the runner of a realm is to be asked; none when it was asked.
    pub fn request_for(&self, realm_id: &str) -> Option<(String, NewRunnerTask)> {
        let realm = self.realms.get(realm_id).filter(|r| r.is_awaited() && !r.handed)?;
        let metadata = json!({
            "realmId": realm_id,
            "template": realm.wire.template_id,
            "templateType": realm.kind,
            "sessionId": realm.session,
        });
        Some((realm.wire.runner_id.clone(), task(realm.task.clone(), CREATE, metadata)))
    }

    /// Returns what the runner of a realm is to be told when the realm goes; none for a realm
    /// that was not created on our word.
    pub fn farewell_for(&self, realm_id: &str) -> Option<(String, NewRunnerTask)> {
        let realm = self.realms.get(realm_id).filter(|realm| realm.task.is_some())?;
        let id = Some(format!("task-destroy-{realm_id}"));
        let metadata = json!({"realmId": realm_id});
        Some((realm.wire.runner_id.clone(), task(id, DESTROY, metadata)))
    }

    /// The runner was asked.
    pub fn handed(&mut self, realm_id: &str, changes: &mut Changes) {
        if let Some(realm) = self.realms.get_mut(realm_id)
            && !realm.handed
        {
            realm.handed = true;
            changes.realms.push(realm_id.to_owned());
        }
    }

    /// The realm will not come.
    pub fn start_failed(&mut self, realm_id: &str, why: &str, now: Moment, changes: &mut Changes) {
        if self.realms.get(realm_id).is_some_and(super::Realm::is_awaited) {
            self.remove_realm(realm_id, why, now, changes);
        }
    }

    /// Looks at the tasks of the realms that are awaited, or whose endpoints are.
    pub fn follow(&mut self, hosts: &runners::Registry, now: Moment, changes: &mut Changes) {
        let awaited: Vec<_> = self
            .realms
            .values()
            .filter(|realm| {
                let is_nowhere = realm.wire.state == state::RUNNING && !realm.has_endpoints();
                realm.is_awaited() || is_nowhere
            })
            .filter_map(|realm| {
                let task = realm.task.clone()?;
                let is_asked = realm.handed || realm.started;
                Some((realm.wire.id.clone(), realm.wire.runner_id.clone(), task, is_asked))
            })
            .collect();
        for (realm_id, runner, task, is_asked) in awaited {
            if !is_asked {
                changes.to_ask.push(realm_id);
                continue;
            }
            let Ok(task) = hosts.task(&runner, &task) else { continue };
            match &*task.wire.status {
                COMPLETED => {
                    self.created(&realm_id, &task.wire, now, changes);
                }
                // Our own word, as when the runner was lost: it may still come.
                FAILED if task.lost.is_some() => {}
                FAILED => {
                    let name = hosts.get(&runner).map_or(&*runner, |runner| &*runner.name);
                    let why = error_of(&task.wire).unwrap_or("it did not say why");
                    let why = format!("{name} could not create the realm {realm_id}: {why}");
                    self.start_failed(&realm_id, &why, now, changes);
                }
                _ => {}
            }
        }
    }

    /// The task is done; without endpoints the realm is still to register.
    fn created(&mut self, realm_id: &str, task: &RunnerTask, now: Moment, changes: &mut Changes) {
        let told = match endpoints_of(task) {
            Ok(Some(told)) => told,
            Ok(None) => return,
            Err(what) => return self.created_nowhere(realm_id, &what, now, changes),
        };
        let Some(realm) = self.realms.get_mut(realm_id) else { return };
        realms::take_endpoints(realm, told);
        realms::arrive(realm, now);
        changes.realms.push(realm_id.to_owned());
        self.tell_sessions(realm_id, now, changes);
    }

    /// The task is done, but its endpoints are none: nobody waits for the realm any more. It may
    /// still register, so it stays.
    fn created_nowhere(&mut self, realm_id: &str, what: &str, now: Moment, changes: &mut Changes) {
        let Some(realm) = self.realms.get_mut(realm_id) else { return };
        if realm.given_up || realm.started {
            return;
        }
        give_up(realm, now);
        let runner = &realm.wire.runner_id;
        let why = format!("the runner {runner} created the realm {realm_id}, but {what}");
        self.fail_sessions(realm_id, &why, now, changes);
        changes.realms.push(realm_id.to_owned());
    }

    /// Ends the waiting for realms that do not come, or do not say where they are.
    pub(super) fn give_up_late_ones(&mut self, now: Moment, changes: &mut Changes) {
        let late: Vec<_> = self
            .realms
            .values()
            .filter(|realm| {
                realm.is_awaited()
                    && !realm.given_up
                    && realm.start_ends.is_some_and(|ends| ends <= now.mono)
            })
            .map(|realm| (realm.wire.id.clone(), realm.wire.runner_id.clone()))
            .collect();
        let limit = self.limits.start.as_secs_f64();
        for (realm_id, runner) in late {
            if let Some(realm) = self.realms.get_mut(&realm_id) {
                give_up(realm, now);
            }
            let why = format!(
                "the realm {realm_id} did not start on the runner {runner} within {limit} s"
            );
            self.fail_sessions(&realm_id, &why, now, changes);
            changes.realms.push(realm_id.clone());
            changes.given_up.push(realm_id);
        }
        self.give_up_without_endpoints(now, changes);
    }

    /// Ends the sessions that have waited too long for a realm that is there.
    fn give_up_without_endpoints(&mut self, now: Moment, changes: &mut Changes) {
        let realms = &mut self.realms;
        let limit = self.limits.start.as_secs_f64();
        let is_late = |session: &&mut Session| {
            session.wire.state == SessionState::Creating
                && session.wait_ends.is_some_and(|ends| ends <= now.mono)
        };
        for session in self.sessions.values_mut().filter(is_late) {
            let wire = &mut session.wire;
            let Some(realm) = realms.get_mut(&wire.realm_id).filter(|r| !r.is_awaited()) else {
                continue;
            };
            let id = &wire.realm_id;
            let why = if realm.has_endpoints() {
                format!("the realm {id} is `{}`, not running, after {limit} s", realm.wire.state)
            } else {
                realm.given_up = true;
                changes.realms.push(id.clone());
                format!("the realm {id} did not tell its endpoints within {limit} s")
            };
            super::fail(wire, &why, now);
            changes.sessions.push(wire.id.clone());
        }
    }

    /// Returns the runner and the task of a realm that is still awaited.
    pub fn task_of(&self, realm_id: &str) -> Option<(String, String)> {
        let realm = self.realms.get(realm_id).filter(|realm| realm.is_awaited())?;
        Some((realm.wire.runner_id.clone(), realm.task.clone()?))
    }
}

fn give_up(realm: &mut Realm, now: Moment) {
    realm.given_up = true;
    state::UNHEALTHY.clone_into(&mut realm.wire.state);
    realm.wire.updated_at = now.at;
}

fn task(id: Option<String>, kind: &str, metadata: Value) -> NewRunnerTask {
    let metadata = match metadata {
        Value::Object(metadata) => metadata,
        _ => Map::new(),
    };
    let session = metadata.get("sessionId").and_then(Value::as_str).map(str::to_owned);
    NewRunnerTask {
        task_id: id,
        kind: Some(kind.to_owned()),
        status: None,
        correlation_id: session,
        metadata: Some(metadata),
    }
}

/// Reads where a realm is; none when nothing is said of it. The error says what is wrong.
fn endpoints_of(task: &RunnerTask) -> Result<Option<NewEndpoints>, String> {
    let told = task.metadata.as_ref().and_then(|metadata| metadata.get("endpoints"));
    let Some(told) = told.filter(|told| !told.is_null()) else { return Ok(None) };
    let Some(told) = told.as_object() else {
        return Err("its `endpoints` are no object".to_owned());
    };
    let text = |name: &str| match told.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() > MOST => {
            Err(format!("its `endpoints.{name}` has more than {MOST} bytes"))
        }
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(_) => Err(format!("its `endpoints.{name}` is no text")),
    };
    match (text("observation")?, text("input")?) {
        (None, None) => Ok(None),
        (None, _) => Err("its `endpoints` lack `observation`".to_owned()),
        (_, None) => Err("its `endpoints` lack `input`".to_owned()),
        (observation, input) => Ok(Some(NewEndpoints { observation, input })),
    }
}

fn error_of(task: &RunnerTask) -> Option<&str> {
    task.metadata.as_ref()?.get(ERROR)?.as_str().and_then(|text| text.lines().next())
}
