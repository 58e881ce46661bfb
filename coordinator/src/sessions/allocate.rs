//! Which realm a session gets.

use std::collections::HashMap;

use protocol::runner::RealmTemplate;

use super::record::{Realm, Session, state};
use crate::runners::{self, Runner};

/// What is to be done for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allocation {
    /// There is a realm.
    Attach { realm: String },
    /// A runner is to create one.
    Spawn { runner: String, template: RealmTemplate },
}

impl Allocation {
    /// Returns the word used in a session's metadata.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Attach { .. } => "attach",
            Self::Spawn { .. } => "spawn",
        }
    }
}

/// Chooses a realm of the type `kind`: one of the owner's own, else one that is free, else a new
/// one on the first runner that offers it. The error says why there is none.
pub(super) fn allocate<'a>(
    kind: &str,
    owner: Option<&str>,
    realms: impl Iterator<Item = &'a Realm> + Clone,
    sessions: impl Iterator<Item = &'a Session>,
    hosts: &runners::Registry,
) -> Result<Allocation, String> {
    let usable = realms.filter(|realm| realm.kind == kind && is_host_there(realm, hosts));
    let own =
        usable.clone().filter(|realm| owner.is_some() && realm.wire.owner_id.as_deref() == owner);
    let attach = |realm: &Realm| Allocation::Attach { realm: realm.wire.id.clone() };
    // One that is being created will do, so that an owner who asks twice at once gets one realm.
    let is_ready = |realm: &&Realm| realm.is_ready();
    let is_coming = |realm: &&Realm| realm.is_coming();
    if let Some(realm) = own.clone().find(is_ready).or_else(|| own.clone().find(is_coming)) {
        return Ok(attach(realm));
    }
    let in_use = in_use(sessions);
    let free = usable.filter(|realm| {
        realm.wire.owner_id.is_none()
            && realm.wire.state == state::RUNNING
            && in_use
                .get(realm.wire.id.as_str())
                .is_none_or(|by| by.iter().all(|user| user.is_some() && *user == owner))
    });
    if let Some(realm) = free.clone().find(is_ready) {
        return Ok(attach(realm));
    }
    // A new one comes sooner than the endpoints of one that has not told any.
    spawn(kind, hosts).or_else(|why| free.clone().find(is_coming).map(attach).ok_or(why))
}

fn spawn(kind: &str, hosts: &runners::Registry) -> Result<Allocation, String> {
    let offers = |runner: &Runner| {
        let template = runner.realm_templates.iter().find(|template| template.kind == kind)?;
        runner.offers_realms.then(|| (runner.id.clone(), runner.is_online(), template.clone()))
    };
    let mut is_offered = false;
    for (runner, is_online, template) in hosts.all().filter_map(offers) {
        if is_online {
            return Ok(Allocation::Spawn { runner, template });
        }
        is_offered = true;
    }
    Err(if is_offered {
        format!("No online runner available for realm type: {kind}")
    } else {
        format!("No runner available that can host realm type: {kind}")
    })
}

/// Whether the runner of a realm is believed to be there.
///
/// A realm that registered by itself may name a runner that never did; its own word counts then.
pub(super) fn is_host_there(realm: &Realm, hosts: &runners::Registry) -> bool {
    hosts.get(&realm.wire.runner_id).map_or(realm.task.is_none(), Runner::is_online)
}

/// Returns the owners of the sessions that use each realm.
fn in_use<'a>(
    sessions: impl Iterator<Item = &'a Session>,
) -> HashMap<&'a str, Vec<Option<&'a str>>> {
    let mut in_use: HashMap<&str, Vec<Option<&str>>> = HashMap::new();
    for session in sessions.filter(|session| session.wire.state.is_live()) {
        let by = in_use.entry(&session.wire.realm_id).or_default();
        by.push(session.wire.owner_id.as_deref());
    }
    in_use
}
