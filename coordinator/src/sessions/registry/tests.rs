use std::time::Duration;

use protocol::runner::{PatchRunnerTask, RegisterRunner, RunnerOffline};
use protocol::session::{DeregisterRealm, NewEndpoints, PatchRealm, RealmHeartbeat, RegisterRealm};
use serde_json::json;

use super::*;
use crate::sessions::record::Loss;

mod allocation;
mod endpoints;
mod life;

/// A registry, and the runners that host its realms.
struct Homelab {
    registry: Registry,
    hosts: runners::Registry,
    made: u32,
}

impl Homelab {
    fn new() -> Self {
        Self {
            registry: Registry::new(Limits::default()),
            hosts: runners::Registry::new(runners::Limits {
                lease: Duration::from_secs(30),
                ..runners::Limits::default()
            }),
            made: 0,
        }
    }

    /// With one runner that offers both types.
    fn hosting(runner: &str) -> Self {
        let mut homelab = Self::new();
        homelab.runner(runner, &["ubuntu", "android"]);
        homelab
    }

    fn runner(&mut self, id: &str, types: &[&str]) {
        let templates: Vec<_> =
            types.iter().map(|kind| json!({"id": format!("{kind}-24"), "type": kind})).collect();
        let body: RegisterRunner =
            serde_json::from_value(json!({"runnerId": id, "realmTemplates": templates})).unwrap();
        let mut changes = runners::Changes::default();
        self.hosts.register(body, String::new, at(0), &mut changes).unwrap();
    }

    fn leave(&mut self, id: &str) {
        let body = RunnerOffline { runner_id: Some(id.to_owned()) };
        self.hosts.offline(body, &mut runners::Changes::default()).unwrap();
    }

    fn try_session(
        &mut self,
        kind: &str,
        owner: Option<&str>,
        when: u64,
    ) -> Result<SessionDescriptor, SessionsError> {
        let body = NewSession {
            kind: Some(kind.to_owned()),
            owner_id: owner.map(str::to_owned),
            ..NewSession::default()
        };
        let made = &mut self.made;
        let new_id = |prefix: &str| {
            *made += 1;
            format!("{prefix}{made}")
        };
        let mut changes = Changes::default();
        let created = self.registry.create(body, new_id, &self.hosts, at(when), &mut changes)?;
        for realm in changes.to_ask {
            let (runner, task) = self.registry.request_for(&realm).unwrap();
            let asked = &mut runners::Changes::default();
            self.hosts.create_task(&runner, task, String::new, at(when), asked).unwrap();
            self.registry.handed(&realm, &mut Changes::default());
        }
        Ok(created)
    }

    fn session(&mut self, owner: Option<&str>) -> SessionDescriptor {
        self.try_session("computer-use", owner, 0).unwrap()
    }

    /// Lets a realm register, as one that starts by itself does.
    fn realm(&mut self, id: &str, runner: &str, when: u64) {
        let body = RegisterRealm {
            realm_id: Some(id.to_owned()),
            runner_id: Some(runner.to_owned()),
            template: Some("ubuntu".to_owned()),
            endpoints: Some(endpoints("http://h")),
            ..RegisterRealm::default()
        };
        self.registry.register_realm(body, at(when), &mut Changes::default()).unwrap();
    }

    fn beat(&mut self, id: &str, healthy: Option<bool>, when: u64) -> String {
        let body =
            RealmHeartbeat { realm_id: Some(id.to_owned()), healthy, ..RealmHeartbeat::default() };
        self.registry.realm_heartbeat(body, at(when), &mut Changes::default()).unwrap().state
    }

    /// Lets the runner report on the task that creates a realm.
    fn report(&mut self, realm: &str, status: &str, metadata: Value, when: u64) -> Changes {
        let (runner, task) = self.registry.task_of(realm).unwrap();
        let Value::Object(metadata) = metadata else { panic!("metadata is an object") };
        let body = PatchRunnerTask { status: Some(status.to_owned()), metadata: Some(metadata) };
        let reported = &mut runners::Changes::default();
        self.hosts.patch_task(&runner, &task, body, at(when), reported).unwrap();
        let mut changes = Changes::default();
        self.registry.follow(&self.hosts, at(when), &mut changes);
        changes
    }

    fn sweep(&mut self, when: u64) -> Changes {
        self.hosts.sweep(at(when), &mut runners::Changes::default());
        let mut changes = Changes::default();
        self.registry.follow(&self.hosts, at(when), &mut changes);
        self.registry.sweep(&self.hosts, at(when), &mut changes);
        changes
    }

    fn see(&self, session: &SessionDescriptor) -> SessionDescriptor {
        self.registry.session(&session.id).unwrap().wire.clone()
    }

    fn realm_state(&self, id: &str) -> &str {
        &self.registry.realm(id).unwrap().wire.state
    }

    fn why(&self, session: &SessionDescriptor) -> String {
        let seen = self.see(session);
        assert_eq!(seen.state, SessionState::Failed, "{seen:?}");
        seen.metadata[ERROR].as_str().unwrap().to_owned()
    }
}

fn at(seconds: u64) -> Moment {
    use std::sync::OnceLock;
    static START: OnceLock<Moment> = OnceLock::new();
    let start = *START.get_or_init(Moment::now);
    let passed = Duration::from_secs(seconds);
    Moment { at: start.at + passed, mono: start.mono + passed }
}

fn endpoints(base: &str) -> NewEndpoints {
    NewEndpoints { observation: Some(format!("{base}/capture")), input: Some(base.to_owned()) }
}
