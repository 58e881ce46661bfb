//! Sessions and realms in memory, and what each call does to them. No I/O and no clock: the
//! caller says what time it is, and who is there.

use indexmap::IndexMap;
use protocol::session::{
    NewSession, PatchSession, Realm as WireRealm, RealmEndpoints, SessionDescriptor, SessionState,
};
use serde_json::{Map, Value};

use super::allocate::{Allocation, allocate};
use super::record::{Realm, Session, state};
use super::{Limits, SessionsError};
use crate::runners::{self, Moment};

mod realms;
mod starts;
#[cfg(test)]
mod tests;
mod watch;

pub(super) use starts::CREATE;

/// The member of a session's metadata that says why it failed.
const ERROR: &str = "error";

/// What a call changed, beside its answer.
#[derive(Debug, Default)]
pub struct Changes {
    /// Rows to be written before the call is answered.
    pub sessions: Vec<String>,
    pub realms: Vec<String>,
    pub gone_sessions: Vec<String>,
    pub gone_realms: Vec<String>,
    /// Realms whose rows may be written within a few seconds.
    pub beats: Vec<String>,
    /// Realms whose runner has not been asked yet.
    pub to_ask: Vec<String>,
    /// Realms whose start is not waited for any more.
    pub given_up: Vec<String>,
}

/// Every session and every realm, in the order in which they came.
#[derive(Debug)]
pub struct Registry {
    sessions: IndexMap<String, Session>,
    realms: IndexMap<String, Realm>,
    limits: Limits,
    next: u64,
}

impl Registry {
    /// Makes an empty registry.
    pub fn new(limits: Limits) -> Self {
        Self { sessions: IndexMap::new(), realms: IndexMap::new(), limits, next: 1 }
    }

    /// Takes over what an earlier life wrote; every wait starts anew.
    pub fn restore(&mut self, mut sessions: Vec<Session>, mut realms: Vec<Realm>, now: Moment) {
        sessions.sort_by_key(|session| session.seq);
        realms.sort_by_key(|realm| realm.seq);
        for mut session in sessions {
            self.next = self.next.max(session.seq + 1);
            session.wait_ends = Some(now.mono + self.limits.start);
            self.sessions.insert(session.wire.id.clone(), session);
        }
        for mut realm in realms {
            self.next = self.next.max(realm.seq + 1);
            realm.heard = realm.wire.last_heartbeat.map(|_| now.mono);
            realm.start_ends = Some(now.mono + self.limits.start);
            self.realms.insert(realm.wire.id.clone(), realm);
        }
    }

    /// Returns a session.
    pub fn session(&self, id: &str) -> Result<&Session, SessionsError> {
        self.sessions.get(id).ok_or(SessionsError::UnknownSession)
    }

    /// Returns a realm.
    pub fn realm(&self, id: &str) -> Result<&Realm, SessionsError> {
        self.realms.get(id).ok_or(SessionsError::UnknownRealm)
    }

    /// Returns all sessions, oldest first.
    pub fn sessions(&self) -> impl ExactSizeIterator<Item = &Session> {
        self.sessions.values()
    }

    /// Returns all realms, oldest first.
    pub fn realms(&self) -> impl ExactSizeIterator<Item = &Realm> {
        self.realms.values()
    }

    fn next(&mut self) -> u64 {
        let next = self.next;
        self.next += 1;
        next
    }

    /// Creates a session: in a realm that is there, or in one that a runner is to create.
    pub fn create(
        &mut self,
        body: NewSession,
        mut new_id: impl FnMut(&str) -> String,
        hosts: &runners::Registry,
        now: Moment,
        changes: &mut Changes,
    ) -> Result<SessionDescriptor, SessionsError> {
        let (kind, realm_kind, usual) = match body.kind.as_deref() {
            Some("computer-use") => {
                ("computer-use", "ubuntu", &["mouse", "keyboard", "scroll", "clipboard"][..])
            }
            Some("phone-use") => ("phone-use", "android", &["touch", "keyboard", "scroll"][..]),
            _ => {
                return Err(SessionsError::Invalid(
                    "Invalid or missing session type. Must be \"computer-use\" or \"phone-use\"."
                        .to_owned(),
                ));
            }
        };
        check_size(&body, self.limits.session_bytes)?;
        let owner = body.owner_id.filter(|owner| !owner.is_empty());
        self.make_room(changes)?;
        let allocation = allocate(
            realm_kind,
            owner.as_deref(),
            self.realms.values(),
            self.sessions.values(),
            hosts,
        )
        .map_err(SessionsError::NoCapacity)?;
        let id = new_id("session-");
        let word = allocation.word();
        let realm_id = match allocation {
            Allocation::Attach { realm } => realm,
            Allocation::Spawn { runner, template } => {
                if self.realms.len() >= self.limits.realms {
                    return Err(SessionsError::NoCapacity(format!(
                        "there are {} realms already, and no more are created",
                        self.limits.realms
                    )));
                }
                let realm = self.await_realm(new_id("realm-"), &id, runner, template, now);
                realm.wire.owner_id.clone_from(&owner);
                let realm_id = realm.wire.id.clone();
                changes.realms.push(realm_id.clone());
                changes.to_ask.push(realm_id.clone());
                realm_id
            }
        };
        let realm = self.realm(&realm_id)?;
        let is_ready = realm.is_ready();
        let mut metadata = body.metadata.unwrap_or_default();
        metadata.insert("runnerId".to_owned(), Value::String(realm.wire.runner_id.clone()));
        metadata.insert("allocationAction".to_owned(), Value::String(word.to_owned()));
        let wire = SessionDescriptor {
            id: id.clone(),
            kind: kind.to_owned(),
            state: if is_ready { SessionState::Active } else { SessionState::Creating },
            observation_endpoint: realm.wire.endpoints.observation.clone(),
            input_endpoint: realm.wire.endpoints.input.clone(),
            capabilities: body
                .capabilities
                .unwrap_or_else(|| usual.iter().map(|&word| word.to_owned()).collect()),
            observation_method: "screenshot".to_owned(),
            realm_id,
            owner_id: owner,
            participant_ids: body.participant_ids,
            created_at: now.at,
            updated_at: now.at,
            metadata,
        };
        let wait_ends = Some(now.mono + self.limits.start);
        let session = Session { seq: self.next(), wire: wire.clone(), wait_ends };
        self.sessions.insert(id.clone(), session);
        changes.sessions.push(id);
        Ok(wire)
    }

    fn await_realm(
        &mut self,
        id: String,
        session: &str,
        runner: String,
        template: protocol::runner::RealmTemplate,
        now: Moment,
    ) -> &mut Realm {
        let seq = self.next();
        let realm = Realm {
            seq,
            wire: WireRealm {
                id: id.clone(),
                template_id: template.id,
                runner_id: runner,
                owner_id: None,
                state: state::CREATING.to_owned(),
                endpoints: RealmEndpoints::default(),
                created_at: now.at,
                updated_at: now.at,
                last_heartbeat: None,
            },
            kind: template.kind,
            task: Some(format!("task-create-{id}")),
            session: Some(session.to_owned()),
            handed: false,
            started: false,
            given_up: false,
            lost: None,
            heard: None,
            away: None,
            start_ends: Some(now.mono + self.limits.start),
        };
        self.realms.entry(id).insert_entry(realm).into_mut()
    }

    /// Makes room for one more session: the oldest that ended goes.
    fn make_room(&mut self, changes: &mut Changes) -> Result<(), SessionsError> {
        if self.sessions.len() < self.limits.sessions {
            return Ok(());
        }
        let Some(oldest) = self.sessions.values().find(|session| !session.wire.state.is_live())
        else {
            return Err(SessionsError::NoCapacity(format!(
                "there are {} sessions already, and no more are created",
                self.limits.sessions
            )));
        };
        let oldest = oldest.wire.id.clone();
        self.sessions.shift_remove(&oldest);
        changes.gone_sessions.push(oldest);
        Ok(())
    }

    /// Takes what somebody says of a session.
    pub fn patch(
        &mut self,
        id: &str,
        body: PatchSession,
        now: Moment,
        changes: &mut Changes,
    ) -> Result<SessionDescriptor, SessionsError> {
        let most = self.limits.session_bytes;
        let session = self.sessions.get_mut(id).ok_or(SessionsError::UnknownSession)?;
        let word = body.state.filter(|word| !word.is_empty());
        let state = match &word {
            Some(word) => Some(next_state(session.wire.state, word)?),
            None => None,
        };
        if state == Some(SessionState::Active) {
            check_endpoints(&session.wire.realm_id, self.realms.get(&session.wire.realm_id))?;
        }
        let metadata = match body.metadata {
            Some(more) => Some(merged(&session.wire.metadata, more, most)?),
            None => None,
        };
        if state.is_none() && metadata.is_none() {
            return Ok(session.wire.clone());
        }
        session.wire.state = state.unwrap_or(session.wire.state);
        if let Some(metadata) = metadata {
            session.wire.metadata = metadata;
        }
        session.wire.updated_at = now.at;
        changes.sessions.push(id.to_owned());
        Ok(session.wire.clone())
    }

    /// Ends a session, whatever its state; its realm stays.
    pub fn terminate(
        &mut self,
        id: &str,
        now: Moment,
        changes: &mut Changes,
    ) -> Result<(), SessionsError> {
        let session = self.sessions.get_mut(id).ok_or(SessionsError::UnknownSession)?;
        if session.wire.state != SessionState::Terminated {
            session.wire.state = SessionState::Terminated;
            session.wire.updated_at = now.at;
            changes.sessions.push(id.to_owned());
        }
        Ok(())
    }

    /// Tells the sessions of a realm where it is, and that it is there.
    fn tell_sessions(&mut self, realm_id: &str, now: Moment, changes: &mut Changes) {
        let Some(realm) = self.realms.get(realm_id) else { return };
        let is_ready = realm.is_ready();
        let endpoints = &realm.wire.endpoints;
        for session in self.sessions.values_mut().filter(|session| uses(session, realm_id)) {
            let wire = &mut session.wire;
            let moves = wire.observation_endpoint != endpoints.observation
                || wire.input_endpoint != endpoints.input;
            let begins = is_ready && wire.state == SessionState::Creating;
            if !moves && !begins {
                continue;
            }
            wire.observation_endpoint.clone_from(&endpoints.observation);
            wire.input_endpoint.clone_from(&endpoints.input);
            if begins {
                wire.state = SessionState::Active;
            }
            wire.updated_at = now.at;
            changes.sessions.push(wire.id.clone());
        }
    }

    /// Ends the sessions of a realm that is lost.
    fn fail_sessions(&mut self, realm_id: &str, why: &str, now: Moment, changes: &mut Changes) {
        for session in self.sessions.values_mut().filter(|session| uses(session, realm_id)) {
            fail(&mut session.wire, why, now);
            changes.sessions.push(session.wire.id.clone());
        }
    }
}

fn fail(wire: &mut SessionDescriptor, why: &str, now: Moment) {
    wire.state = SessionState::Failed;
    wire.metadata.insert(ERROR.to_owned(), Value::String(why.to_owned()));
    wire.updated_at = now.at;
}

fn uses(session: &Session, realm_id: &str) -> bool {
    session.wire.state.is_live() && session.wire.realm_id == realm_id
}

fn next_state(from: SessionState, word: &str) -> Result<SessionState, SessionsError> {
    let to = SessionState::from_word(word).filter(|to| from.next().contains(to));
    to.ok_or_else(|| {
        let allowed: Vec<_> = from.next().iter().map(|state| state.as_str()).collect();
        SessionsError::Invalid(format!(
            "Invalid state transition from \"{}\" to \"{word}\". Allowed: {}",
            from.as_str(),
            allowed.join(", ")
        ))
    })
}

/// A session is not active anywhere.
fn check_endpoints(id: &str, realm: Option<&Realm>) -> Result<(), SessionsError> {
    if realm.is_some_and(Realm::has_endpoints) {
        return Ok(());
    }
    Err(SessionsError::Invalid(format!("the realm {id} has not told its endpoints yet")))
}

fn merged(
    metadata: &Map<String, Value>,
    more: Map<String, Value>,
    most: usize,
) -> Result<Map<String, Value>, SessionsError> {
    let mut all = metadata.clone();
    all.extend(more);
    check_size(&all, most)?;
    Ok(all)
}

/// What anybody may store here, times how many there may be, must fit into the memory.
fn check_size(what: &impl serde::Serialize, most: usize) -> Result<(), SessionsError> {
    let bytes = serde_json::to_vec(what).map_or(usize::MAX, |text| text.len());
    if bytes > most {
        return Err(SessionsError::Invalid(format!(
            "a session may take up {most} bytes at most; this would be {bytes}"
        )));
    }
    Ok(())
}
