//! Where a realm is: without both endpoints no session is active.

use super::*;

fn tell(homelab: &mut Homelab, id: &str, told: Option<NewEndpoints>, when: u64) {
    let body = RegisterRealm {
        realm_id: Some(id.to_owned()),
        runner_id: Some("r1".to_owned()),
        template: Some("ubuntu".to_owned()),
        endpoints: told,
        ..RegisterRealm::default()
    };
    homelab.registry.register_realm(body, at(when), &mut Changes::default()).unwrap();
}

fn half() -> NewEndpoints {
    NewEndpoints { observation: None, input: Some("http://h".to_owned()) }
}

#[test]
fn endpoints_that_are_none_fail_the_session_at_once_and_say_what_is_wrong() {
    for (told, what) in [
        (json!("http://h"), "its `endpoints` are no object"),
        (json!(["http://h", "http://i"]), "its `endpoints` are no object"),
        (json!(5), "its `endpoints` are no object"),
        (json!({"observation": 1, "input": 2}), "its `endpoints.observation` is no text"),
        (json!({"observation": "http://h", "input": {}}), "its `endpoints.input` is no text"),
        (json!({"input": "http://h"}), "its `endpoints` lack `observation`"),
        (json!({"observation": "http://h", "input": ""}), "its `endpoints` lack `input`"),
        (
            json!({"observation": "http://h", "input": "i".repeat(2049)}),
            "its `endpoints.input` has more than 2048 bytes",
        ),
    ] {
        let mut homelab = Homelab::hosting("r1");
        let session = homelab.session(Some("steve"));
        let realm = session.realm_id.clone();

        homelab.report(&realm, "completed", json!({"endpoints": told}), 1);

        let why = format!("the runner r1 created the realm {realm}, but {what}");
        assert_eq!(homelab.why(&session), why);
        assert_eq!(homelab.realm_state(&realm), "unhealthy");
        assert!(homelab.sweep(2).realms.is_empty(), "it is said once");
        assert_ne!(homelab.session(Some("steve")).realm_id, realm);
        assert!(homelab.registry.farewell_for(&realm).is_some());
        homelab.realm(&realm, "r1", 3);
        assert_eq!(homelab.realm_state(&realm), "running", "it may still come");
    }
}

#[test]
fn a_realm_without_endpoints_is_waited_for_until_it_tells_them() {
    for registers in [true, false] {
        let mut homelab = Homelab::new();
        tell(&mut homelab, "m1", None, 0);
        let session = homelab.session(None);

        tell(&mut homelab, "m1", Some(half()), 1);
        let halfway = homelab.see(&session);
        if registers {
            homelab.realm("m1", "r1", 2);
        } else {
            let observation = Some("http://h/capture".to_owned());
            let told = NewEndpoints { observation, input: None };
            let body = PatchRealm { state: None, endpoints: Some(told) };
            homelab.registry.patch_realm("m1", body, at(2), &mut Changes::default()).unwrap();
        }

        assert_eq!((session.state, &*session.realm_id), (SessionState::Creating, "m1"));
        assert_eq!(halfway.state, SessionState::Creating);
        let seen = homelab.see(&session);
        assert_eq!((seen.state, &*seen.input_endpoint), (SessionState::Active, "http://h"));
        assert_eq!(seen.observation_endpoint, "http://h/capture");
    }
}

#[test]
fn a_realm_that_tells_no_endpoints_in_time_fails_its_sessions_and_is_not_handed_out_again() {
    let mut homelab = Homelab::new();
    tell(&mut homelab, "m1", None, 0);
    let session = homelab.session(Some("steve"));
    homelab.beat("m1", None, 59);

    assert!(homelab.sweep(59).sessions.is_empty());
    let changes = homelab.sweep(60);
    let refused = homelab.try_session("computer-use", Some("steve"), 61);
    homelab.realm("m1", "r1", 62);
    let again = homelab.try_session("computer-use", Some("steve"), 62).unwrap();

    assert_eq!(changes.realms, ["m1"]);
    assert_eq!(homelab.why(&session), "the realm m1 did not tell its endpoints within 60 s");
    assert!(matches!(refused, Err(SessionsError::NoCapacity(_))), "{refused:?}");
    assert_eq!((&*again.realm_id, again.state), ("m1", SessionState::Active));
}

#[test]
fn the_wait_for_endpoints_starts_anew_with_each_life() {
    let mut homelab = Homelab::new();
    tell(&mut homelab, "m1", None, 0);
    let session = homelab.session(None);
    let registry = &homelab.registry;
    let sessions: Vec<_> =
        registry.sessions().map(|row| serde_json::to_string(row).unwrap()).collect();
    let realms: Vec<_> = registry.realms().map(|row| serde_json::to_string(row).unwrap()).collect();

    homelab.registry.restore(
        sessions.iter().map(|row| serde_json::from_str(row).unwrap()).collect(),
        realms.iter().map(|row| serde_json::from_str(row).unwrap()).collect(),
        at(1000),
    );
    homelab.sweep(1059);
    let waiting = homelab.see(&session).state;
    homelab.sweep(1060);

    assert_eq!(waiting, SessionState::Creating);
    assert!(homelab.why(&session).contains("did not tell its endpoints"));
}

#[test]
fn a_realm_that_is_ready_or_new_is_better_than_one_without_endpoints() {
    let mut homelab = Homelab::hosting("r1");
    tell(&mut homelab, "m1", None, 0);

    let new = homelab.session(None);
    homelab.realm("m2", "r1", 0);
    let ready = homelab.session(None);

    assert_eq!(new.metadata["allocationAction"], "spawn");
    assert_eq!((&*ready.realm_id, ready.state), ("m2", SessionState::Active));
}

#[test]
fn the_end_of_the_task_brings_the_endpoints_of_a_realm_that_is_there_already() {
    let mut homelab = Homelab::hosting("r1");
    let session = homelab.session(Some("steve"));
    let realm = session.realm_id.clone();
    let (runner, task) = homelab.registry.task_of(&realm).unwrap();
    tell(&mut homelab, &realm, None, 1);
    let second = homelab.session(Some("steve"));
    assert_eq!((&second.realm_id, second.state), (&realm, SessionState::Creating));

    let metadata = json!({"endpoints": endpoints("http://h")}).as_object().cloned();
    let body = PatchRunnerTask { status: Some("completed".to_owned()), metadata };
    let reported = &mut runners::Changes::default();
    homelab.hosts.patch_task(&runner, &task, body, at(2), reported).unwrap();
    homelab.sweep(2);

    for session in [&session, &second] {
        assert_eq!(homelab.see(session).state, SessionState::Active);
    }
}

#[test]
fn nobody_makes_a_session_active_whose_realm_has_no_endpoints() {
    let mut homelab = Homelab::hosting("r1");
    let session = homelab.session(None);
    let active = || PatchSession { state: Some("active".to_owned()), metadata: None };
    let changes = &mut Changes::default();

    let refused = homelab.registry.patch(&session.id, active(), at(1), changes).unwrap_err();
    let body = PatchRealm { state: None, endpoints: Some(endpoints("http://h")) };
    homelab.registry.patch_realm(&session.realm_id, body, at(2), changes).unwrap();
    let patched = homelab.registry.patch(&session.id, active(), at(3), changes).unwrap();

    assert_eq!(
        refused.to_string(),
        format!("the realm {} has not told its endpoints yet", session.realm_id)
    );
    assert_eq!(patched.state, SessionState::Active);
}

#[test]
fn a_realm_is_not_called_like_a_route() {
    let mut homelab = Homelab::new();

    for id in ["register", "heartbeat", "deregister"] {
        let body = RegisterRealm {
            realm_id: Some(id.to_owned()),
            runner_id: Some("r1".to_owned()),
            template: Some("ubuntu".to_owned()),
            ..RegisterRealm::default()
        };
        let refused = homelab.registry.register_realm(body, at(0), &mut Changes::default());
        assert_eq!(
            refused.unwrap_err().to_string(),
            format!("`realmId` must not be `{id}`: that is the name of a route")
        );
    }
    assert_eq!(homelab.registry.realms().len(), 0);
}
