//! What realms, and people, say of realms.

use protocol::session::{
    DeregisterRealm, NewEndpoints, PatchRealm, Realm as WireRealm, RealmEndpoints, RealmHeard,
    RealmHeartbeat, RegisterRealm,
};

use super::{Changes, Moment, Realm, Registry, SessionsError, state};

/// Ids that are the names of routes: a realm of such an id could not be shown.
const ROUTES: [&str; 3] = ["register", "heartbeat", "deregister"];

impl Registry {
    /// A realm is there, or is there again.
    pub fn register_realm(
        &mut self,
        body: RegisterRealm,
        now: Moment,
        changes: &mut Changes,
    ) -> Result<WireRealm, SessionsError> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (Some(id), Some(runner), Some(template)) =
            (given(body.realm_id), given(body.runner_id), given(body.template))
        else {
            return Err(SessionsError::Invalid(
                "realmId, runnerId, and template are required".to_owned(),
            ));
        };
        for (what, text) in [("realmId", &id), ("runnerId", &runner), ("template", &template)] {
            self.check_id(what, text)?;
        }
        if ROUTES.contains(&&*id) {
            return Err(SessionsError::Invalid(format!(
                "`realmId` must not be `{id}`: that is the name of a route"
            )));
        }
        let endpoints = body.endpoints.unwrap_or_default();
        self.check_endpoints(&endpoints)?;
        if !self.realms.contains_key(&id) {
            if self.realms.len() >= self.limits.realms {
                return Err(SessionsError::TooManyRealms { limit: self.limits.realms });
            }
            let realm = self.newcomer(&id, runner, template, now);
            self.realms.insert(id.clone(), realm);
        }
        let realm = self.realms.get_mut(&id).ok_or(SessionsError::UnknownRealm)?;
        take_endpoints(realm, endpoints);
        heard(realm, now);
        realm.wire.last_heartbeat = Some(now.at);
        arrive(realm, now);
        let wire = realm.wire.clone();
        changes.realms.push(id.clone());
        self.tell_sessions(&id, now, changes);
        Ok(wire)
    }

    /// Makes a realm that registered by itself: it belongs to nobody.
    fn newcomer(&mut self, id: &str, runner: String, template: String, now: Moment) -> Realm {
        Realm {
            seq: self.next(),
            wire: WireRealm {
                id: id.to_owned(),
                template_id: template.clone(),
                runner_id: runner,
                owner_id: None,
                state: state::RUNNING.to_owned(),
                endpoints: RealmEndpoints::default(),
                created_at: now.at,
                updated_at: now.at,
                last_heartbeat: None,
            },
            kind: template,
            task: None,
            session: None,
            handed: false,
            started: true,
            given_up: false,
            lost: None,
            heard: None,
            away: None,
            start_ends: None,
        }
    }

    /// A realm says that it lives, and whether it is well.
    pub fn realm_heartbeat(
        &mut self,
        body: RealmHeartbeat,
        now: Moment,
        changes: &mut Changes,
    ) -> Result<RealmHeard, SessionsError> {
        let id = required_id(body.realm_id)?;
        let realm = self.realms.get_mut(&id).ok_or(SessionsError::UnknownRealm)?;
        let is_healthy = body.healthy.unwrap_or(true);
        let was_lost = realm.lost.is_some();
        heard(realm, now);
        realm.wire.last_heartbeat = Some(now.at);
        let turned = match (&*realm.wire.state, is_healthy) {
            // One that never came has nothing to be worked at yet.
            (state::UNHEALTHY, true) if !realm.is_awaited() => Some(state::RUNNING),
            (state::RUNNING, false) => Some(state::UNHEALTHY),
            _ => None,
        };
        if let Some(turned) = turned {
            turned.clone_into(&mut realm.wire.state);
        }
        let answer = RealmHeard {
            status: "ok".to_owned(),
            realm_id: id.clone(),
            state: realm.wire.state.clone(),
        };
        if turned.is_some() || was_lost {
            changes.realms.push(id.clone());
            self.tell_sessions(&id, now, changes);
        } else {
            changes.beats.push(id);
        }
        Ok(answer)
    }

    /// Takes what somebody says of a realm.
    pub fn patch_realm(
        &mut self,
        id: &str,
        body: PatchRealm,
        now: Moment,
        changes: &mut Changes,
    ) -> Result<WireRealm, SessionsError> {
        let word = body.state.filter(|word| !word.is_empty());
        if let Some(word) = &word {
            self.check_id("state", word)?;
        }
        let endpoints = body.endpoints.unwrap_or_default();
        self.check_endpoints(&endpoints)?;
        let realm = self.realms.get_mut(id).ok_or(SessionsError::UnknownRealm)?;
        if word.is_none() && endpoints == NewEndpoints::default() {
            return Ok(realm.wire.clone());
        }
        take_endpoints(realm, endpoints);
        realm.wire.updated_at = now.at;
        match word.as_deref() {
            Some(state::RUNNING) => arrive(realm, now),
            Some(word) => word.clone_into(&mut realm.wire.state),
            None => {}
        }
        let wire = realm.wire.clone();
        changes.realms.push(id.to_owned());
        if wire.state == state::DESTROYED {
            self.fail_sessions(id, &format!("the realm {id} was destroyed"), now, changes);
        } else {
            self.tell_sessions(id, now, changes);
        }
        Ok(wire)
    }

    /// A realm says good-bye; one that is not known has said it before.
    pub fn deregister_realm(
        &mut self,
        body: DeregisterRealm,
        now: Moment,
        changes: &mut Changes,
    ) -> Result<String, SessionsError> {
        let id = required_id(body.realm_id)?;
        if self.realms.contains_key(&id) {
            let reason = body.reason.filter(|reason| !reason.is_empty());
            let reason: String =
                reason.as_deref().unwrap_or("shutdown").chars().take(200).collect();
            self.remove_realm(&id, &format!("the realm {id} is gone: {reason}"), now, changes);
        }
        Ok(id)
    }

    /// Takes a realm off the books, because somebody says so.
    pub fn destroy_realm(
        &mut self,
        id: &str,
        now: Moment,
        changes: &mut Changes,
    ) -> Result<(), SessionsError> {
        self.realm(id)?;
        self.remove_realm(id, &format!("the realm {id} was destroyed"), now, changes);
        Ok(())
    }

    /// Takes a realm off the books; its sessions fail for the reason given.
    pub(super) fn remove_realm(&mut self, id: &str, why: &str, now: Moment, changes: &mut Changes) {
        self.fail_sessions(id, why, now, changes);
        self.realms.shift_remove(id);
        changes.gone_realms.push(id.to_owned());
    }

    fn check_id(&self, what: &str, text: &str) -> Result<(), SessionsError> {
        let most = self.limits.id_bytes;
        if text.len() > most || text.chars().any(char::is_control) {
            return Err(SessionsError::Invalid(format!(
                "`{what}` must have at most {most} bytes and no control characters"
            )));
        }
        Ok(())
    }

    fn check_endpoints(&self, endpoints: &NewEndpoints) -> Result<(), SessionsError> {
        let most = self.limits.text_bytes;
        for (what, text) in [("observation", &endpoints.observation), ("input", &endpoints.input)] {
            if text.as_ref().is_some_and(|text| text.len() > most) {
                return Err(SessionsError::Invalid(format!(
                    "`endpoints.{what}` must have at most {most} bytes"
                )));
            }
        }
        Ok(())
    }
}

fn required_id(id: Option<String>) -> Result<String, SessionsError> {
    id.filter(|id| !id.is_empty())
        .ok_or_else(|| SessionsError::Invalid("realmId is required".to_owned()))
}

/// Takes the endpoints that were told; a registration without them takes none away.
pub(super) fn take_endpoints(realm: &mut Realm, told: NewEndpoints) {
    let told_something = |text: Option<String>| text.filter(|text| !text.is_empty());
    let endpoints = &mut realm.wire.endpoints;
    if let Some(observation) = told_something(told.observation) {
        endpoints.observation = observation;
    }
    if let Some(input) = told_something(told.input) {
        endpoints.input = input;
    }
}

fn heard(realm: &mut Realm, now: Moment) {
    realm.heard = Some(now.mono);
    realm.wire.updated_at = now.at;
    realm.lost = None;
}

/// The realm is there.
pub(super) fn arrive(realm: &mut Realm, now: Moment) {
    state::RUNNING.clone_into(&mut realm.wire.state);
    realm.wire.updated_at = now.at;
    realm.started = true;
    realm.given_up = false;
    realm.lost = None;
    realm.away = None;
}
