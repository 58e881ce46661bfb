//! Sessions and the realms that they run in.
//!
//! A session is somebody's use of a computer or a phone; a realm is the machine that it happens
//! on, hosted by a runner. Both are decided in memory at once and are on disk before they are
//! answered ([`Keeper`]). A realm that is not there yet is a task on the list of a runner that
//! offers its template; the session waits in the state `creating` until the realm registers or the
//! task brings its endpoints.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::session::{
    DeregisterRealm, NewSession, PatchRealm, PatchSession, Realm as WireRealm, RealmHeard,
    RealmHeartbeat, RegisterRealm, SessionDescriptor, SessionState,
};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::keeper::{self, Keeper, NotKept, Ticket};
use crate::ledger::{Kind, Record};
use crate::runners::{Moment, Runners, token};

mod allocate;
mod record;
mod registry;
mod tasks;

pub use allocate::Allocation;
pub use record::{Loss, Realm, Session, state};
pub use registry::{Changes, Registry};

/// Between two looks for realms that went silent or do not start.
const SWEEP_EVERY: Duration = Duration::from_millis(250);
/// Between two looks for what can be forgotten.
const FORGET_EVERY: Duration = Duration::from_mins(10);

/// What sessions and realms, all of them together, may be and take up.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a realm may take to start.
    pub start: Duration,
    /// How long a realm may be silent.
    pub silence: Duration,
    /// How long what ended is remembered.
    pub keep: Duration,
    pub sessions: usize,
    pub realms: usize,
    /// What one session may bring along.
    pub session_bytes: usize,
    pub id_bytes: usize,
    pub text_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start: Duration::from_mins(1),
            silence: Duration::from_mins(1),
            keep: Duration::from_hours(7 * 24),
            sessions: 10_000,
            realms: 10_000,
            session_bytes: 64 * 1024,
            id_bytes: 256,
            text_bytes: 2048,
        }
    }
}

/// Why a call about a session or a realm was not followed.
#[derive(Debug, Error)]
pub enum SessionsError {
    #[error("Session not found")]
    UnknownSession,
    #[error("Realm not found")]
    UnknownRealm,
    /// Something in the body is not as it must be.
    #[error("{0}")]
    Invalid(String),
    #[error("Unable to create session: {0}")]
    NoCapacity(String),
    #[error("there are {limit} realms already, and no more are taken")]
    TooManyRealms { limit: usize },
    #[error(transparent)]
    NotKept(#[from] NotKept),
}

/// How many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By state; every state is there.
    pub sessions: BTreeMap<&'static str, usize>,
    /// By state; what is none of ours is `other`.
    pub realms: BTreeMap<&'static str, usize>,
}

/// Every session and every realm.
#[derive(Debug)]
pub struct Sessions {
    registry: Mutex<Registry>,
    keeper: Arc<Keeper>,
    runners: Arc<Runners>,
}

impl Sessions {
    /// Takes over what the ledger has; every wait starts anew.
    pub fn restore(
        limits: Limits,
        records: &[Record],
        keeper: Arc<Keeper>,
        runners: Arc<Runners>,
    ) -> Self {
        let mut registry = Registry::new(limits);
        let sessions = keeper::read::<Session>(records, Kind::Session);
        let realms = keeper::read::<Realm>(records, Kind::Realm);
        registry.restore(
            sessions.into_iter().map(|(_, session)| session).collect(),
            realms.into_iter().map(|(_, realm)| realm).collect(),
            Moment::now(),
        );
        Self { registry: Mutex::new(registry), keeper, runners }
    }

    /// Reads the registry; not across an await, and not while the runners' is held.
    pub fn read(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a session, and asks a runner for its realm where there is none.
    pub async fn create(&self, body: NewSession) -> Result<SessionDescriptor, SessionsError> {
        let mut to_ask = Vec::new();
        let created = self
            .change(|registry, now, changes| {
                let hosts = self.runners.read();
                let new_id = |prefix: &str| format!("{prefix}{}", token(12));
                let created = registry.create(body, new_id, &hosts, now, changes);
                to_ask.clone_from(&changes.to_ask);
                created
            })
            .await?;
        info!(
            session = %created.id,
            realm = %created.realm_id,
            "session {} is {}",
            created.id,
            created.state.as_str()
        );
        for realm in to_ask {
            self.ask(&realm).await;
        }
        // The runner may have been refused the task.
        Ok(self.session(&created.id).unwrap_or(created))
    }

    /// Returns a session.
    pub fn session(&self, id: &str) -> Result<SessionDescriptor, SessionsError> {
        self.read().session(id).map(|session| session.wire.clone())
    }

    /// Takes what somebody says of a session.
    pub async fn patch(
        &self,
        id: &str,
        body: PatchSession,
    ) -> Result<SessionDescriptor, SessionsError> {
        self.change(|registry, now, changes| registry.patch(id, body, now, changes)).await
    }

    /// Ends a session; its realm stays.
    pub async fn terminate(&self, id: &str) -> Result<(), SessionsError> {
        self.change(|registry, now, changes| registry.terminate(id, now, changes)).await
    }

    /// Returns a realm.
    pub fn realm(&self, id: &str) -> Result<WireRealm, SessionsError> {
        self.read().realm(id).map(|realm| realm.wire.clone())
    }

    /// A realm is there, or is there again.
    pub async fn register_realm(&self, body: RegisterRealm) -> Result<WireRealm, SessionsError> {
        let realm = self
            .change(|registry, now, changes| registry.register_realm(body, now, changes))
            .await?;
        info!(realm = %realm.id, runner = %realm.runner_id, "realm {} is there", realm.id);
        Ok(realm)
    }

    /// A realm says that it lives.
    pub async fn realm_heartbeat(&self, body: RealmHeartbeat) -> Result<RealmHeard, SessionsError> {
        self.change(|registry, now, changes| registry.realm_heartbeat(body, now, changes)).await
    }

    /// Takes what somebody says of a realm.
    pub async fn patch_realm(
        &self,
        id: &str,
        body: PatchRealm,
    ) -> Result<WireRealm, SessionsError> {
        self.change(|registry, now, changes| registry.patch_realm(id, body, now, changes)).await
    }

    /// A realm says good-bye.
    pub async fn deregister_realm(&self, body: DeregisterRealm) -> Result<String, SessionsError> {
        self.change(|registry, now, changes| registry.deregister_realm(body, now, changes)).await
    }

    /// Returns how many there are.
    pub fn counts(&self) -> Counts {
        const REALM_STATES: [&str; 5] =
            [state::CREATING, state::RUNNING, state::PAUSED, state::UNHEALTHY, state::DESTROYED];
        let mut counts = Counts {
            sessions: SessionState::ALL.iter().map(|state| (state.as_str(), 0)).collect(),
            realms: REALM_STATES.iter().map(|&state| (state, 0)).collect(),
        };
        let registry = self.read();
        for session in registry.sessions() {
            *counts.sessions.entry(session.wire.state.as_str()).or_default() += 1;
        }
        for realm in registry.realms() {
            let state = REALM_STATES.iter().find(|&&state| state == realm.wire.state);
            *counts.realms.entry(state.copied().unwrap_or("other")).or_default() += 1;
        }
        counts
    }

    /// Follows what becomes of realms, and forgets what is old, until `stop`.
    pub async fn watch(&self, stop: &CancellationToken) {
        let mut tick = tokio::time::interval(SWEEP_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut forgot = tokio::time::Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            let (to_ask, given_up) = self.look(&mut forgot);
            for realm in to_ask {
                self.ask(&realm).await;
            }
            for realm in given_up {
                self.give_up(&realm).await;
            }
        }
    }

    /// Lets time pass; returns the realms to ask for, and those that are not waited for any more.
    fn look(&self, forgot: &mut tokio::time::Instant) -> (Vec<String>, Vec<String>) {
        let mut registry = self.read();
        let mut changes = Changes::default();
        let now = Moment::now();
        let hosts = self.runners.read();
        registry.follow(&hosts, now, &mut changes);
        registry.sweep(&hosts, now, &mut changes);
        drop(hosts);
        if forgot.elapsed() >= FORGET_EVERY {
            *forgot = now.mono;
            registry.forget(now, &mut changes);
        }
        for id in &changes.realms {
            if let Ok(realm) = registry.realm(id)
                && realm.wire.state == state::UNHEALTHY
            {
                warn!(realm = %id, runner = %realm.wire.runner_id, "realm {id} is unhealthy");
            }
        }
        let asked = (std::mem::take(&mut changes.to_ask), std::mem::take(&mut changes.given_up));
        // Written as soon as possible; nobody waits for it.
        self.commit(&registry, changes);
        asked
    }

    /// Changes the registry, and answers once what must survive is on disk.
    async fn change<T>(
        &self,
        change: impl FnOnce(&mut Registry, Moment, &mut Changes) -> Result<T, SessionsError>,
    ) -> Result<T, SessionsError> {
        let (answer, ticket) = {
            let mut registry = self.read();
            let mut changes = Changes::default();
            let answer = change(&mut registry, Moment::now(), &mut changes);
            (answer, self.commit(&registry, changes))
        };
        if let Some(ticket) = ticket {
            self.keeper.until(ticket).await?;
        }
        answer
    }

    /// Hands the rows that changed to the keeper, while the registry is still locked.
    fn commit(&self, registry: &Registry, changes: Changes) -> Option<Ticket> {
        let mut ticket = None;
        let keeper = &self.keeper;
        for id in changes.beats {
            if let Ok(realm) = registry.realm(&id) {
                keeper.put_later(Kind::Realm, "", &id, realm);
            }
        }
        for id in changes.realms {
            if let Ok(realm) = registry.realm(&id) {
                ticket = Some(keeper.put(Kind::Realm, "", &id, Some(realm)));
            }
        }
        for id in changes.sessions {
            if let Ok(session) = registry.session(&id) {
                ticket = Some(keeper.put(Kind::Session, "", &id, Some(session)));
            }
        }
        for id in changes.gone_realms {
            ticket = Some(keeper.put::<Realm>(Kind::Realm, "", &id, None));
        }
        for id in changes.gone_sessions {
            ticket = Some(keeper.put::<Session>(Kind::Session, "", &id, None));
        }
        ticket
    }
}
