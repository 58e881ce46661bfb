//! What becomes of sessions and realms.

use std::slice::from_ref;

use super::*;

fn patch(homelab: &mut Homelab, id: &str, state: &str) -> Result<SessionState, String> {
    let body = PatchSession { state: Some(state.to_owned()), metadata: None };
    let patched = homelab.registry.patch(id, body, at(5), &mut Changes::default());
    patched.map(|session| session.state).map_err(|error| error.to_string())
}

#[test]
fn a_session_changes_as_the_table_says() {
    let table = [
        (SessionState::Creating, "active, failed, terminated"),
        (SessionState::Active, "paused, completed, failed, terminated"),
        (SessionState::Paused, "active, terminated"),
        (SessionState::Failed, "terminated"),
        (SessionState::Completed, ""),
        (SessionState::Terminated, ""),
    ];
    let words = SessionState::ALL.map(SessionState::as_str);

    for (from, allowed) in table {
        for to in words.into_iter().chain(["bogus"]) {
            let mut homelab = Homelab::hosting("r1");
            let session = homelab.session(None);
            homelab.registry.sessions.get_mut(&session.id).unwrap().wire.state = from;
            let body = PatchRealm { state: None, endpoints: Some(endpoints("http://h")) };
            let changes = &mut Changes::default();
            homelab.registry.patch_realm(&session.realm_id, body, at(0), changes).unwrap();
            let patched = patch(&mut homelab, &session.id, to);
            if allowed.split(", ").any(|word| word == to) {
                assert_eq!(patched, Ok(SessionState::from_word(to).unwrap()), "{from:?} to {to}");
            } else {
                let text = format!(
                    "Invalid state transition from \"{}\" to \"{to}\". Allowed: {allowed}",
                    from.as_str()
                );
                assert_eq!(patched, Err(text));
            }
        }
    }
}

#[test]
fn metadata_may_be_added_in_any_state_and_a_refused_state_changes_nothing() {
    let mut homelab = Homelab::hosting("r1");
    let session = homelab.session(None);
    let mut with = |state: Option<&str>, metadata: Value| {
        let body = PatchSession {
            state: state.map(str::to_owned),
            metadata: metadata.as_object().cloned(),
        };
        homelab.registry.patch(&session.id, body, at(1), &mut Changes::default())
    };

    with(Some("terminated"), json!({"a": 1})).unwrap();
    let refused = with(Some("active"), json!({"a": 2}));
    let patched = with(None, json!({"b": 3})).unwrap();

    assert!(refused.is_err());
    assert_eq!((&patched.metadata["a"], &patched.metadata["b"]), (&json!(1), &json!(3)));
    assert_eq!(patched.metadata["runnerId"], "r1");
}

#[test]
fn a_session_can_be_ended_from_any_state_and_twice() {
    for from in SessionState::ALL {
        let mut homelab = Homelab::hosting("r1");
        let session = homelab.session(None);
        homelab.registry.sessions.get_mut(&session.id).unwrap().wire.state = from;

        for _ in 0..2 {
            homelab.registry.terminate(&session.id, at(1), &mut Changes::default()).unwrap();
        }

        assert_eq!(homelab.see(&session).state, SessionState::Terminated);
        assert_eq!(homelab.realm_state(&session.realm_id), "creating");
    }
}

#[test]
fn a_realm_that_registers_begins_the_sessions_that_wait() {
    let mut homelab = Homelab::hosting("r1");
    let session = homelab.session(Some("steve"));

    homelab.realm(&session.realm_id, "another", 2);

    let seen = homelab.see(&session);
    assert_eq!(seen.state, SessionState::Active);
    assert_eq!(seen.observation_endpoint, "http://h/capture");
    let realm = &homelab.registry.realm(&session.realm_id).unwrap().wire;
    assert_eq!((&*realm.runner_id, &*realm.template_id), ("r1", "ubuntu-24"));
    assert_eq!(realm.owner_id.as_deref(), Some("steve"));
}

#[test]
fn a_task_that_ends_without_endpoints_leaves_the_realm_to_register() {
    let mut homelab = Homelab::hosting("r1");
    let session = homelab.session(None);

    homelab.report(&session.realm_id, "completed", json!({"endpoints": {"input": ""}}), 1);
    assert_eq!(homelab.see(&session).state, SessionState::Creating);
    homelab.realm(&session.realm_id, "r1", 2);

    assert_eq!(homelab.see(&session).state, SessionState::Active);
}

#[test]
fn a_realm_that_cannot_be_created_fails_its_session_with_the_reason() {
    let mut homelab = Homelab::hosting("r1");
    let session = homelab.session(None);

    let error = "No handler registered for task type \"realm-create\"";
    let changes = homelab.report(&session.realm_id, "failed", json!({"error": error}), 1);

    let why = homelab.why(&session);
    assert!(why.ends_with(&format!("could not create the realm {}: {error}", session.realm_id)));
    assert_eq!(changes.gone_realms, from_ref(&session.realm_id));
    assert!(homelab.registry.realm(&session.realm_id).is_err());
}

#[test]
fn a_realm_that_does_not_start_in_time_fails_its_session_and_may_still_come() {
    let mut homelab = Homelab::hosting("r1");
    let session = homelab.session(Some("steve"));
    let beat = protocol::runner::Heartbeat {
        runner_id: Some("r1".to_owned()),
        ..protocol::runner::Heartbeat::default()
    };
    for second in [20, 40] {
        let mut changed = runners::Changes::default();
        homelab.hosts.heartbeat(beat.clone(), at(second), &mut changed).unwrap();
        homelab.sweep(second);
    }

    assert_eq!(homelab.sweep(59).given_up, [] as [&str; 0]);
    assert_eq!(homelab.see(&session).state, SessionState::Creating);
    assert_eq!(homelab.sweep(60).given_up, from_ref(&session.realm_id));
    assert_eq!(homelab.sweep(61).given_up, [] as [&str; 0]);
    assert_eq!(
        homelab.why(&session),
        format!("the realm {} did not start on the runner r1 within 60 s", session.realm_id)
    );
    assert_eq!(homelab.beat(&session.realm_id, None, 62), "unhealthy", "it was never there");
    homelab.realm(&session.realm_id, "r1", 63);

    assert_eq!(homelab.realm_state(&session.realm_id), "running");
    assert_eq!(homelab.session(Some("steve")).realm_id, session.realm_id);
}

#[test]
fn a_runner_that_comes_back_with_the_realm_is_waited_for() {
    let mut homelab = Homelab::hosting("r1");
    let session = homelab.session(None);
    homelab.sweep(31);
    assert_eq!(homelab.see(&session).state, SessionState::Creating);

    homelab.report(&session.realm_id, "completed", json!({"endpoints": endpoints("http://h")}), 40);

    assert_eq!(homelab.see(&session).state, SessionState::Active);
}

#[test]
fn a_registration_takes_no_endpoint_away() {
    let mut homelab = Homelab::new();
    homelab.realm("m1", "r1", 0);
    let mut register = |told: Option<NewEndpoints>| {
        let body = RegisterRealm {
            realm_id: Some("m1".to_owned()),
            runner_id: Some("r1".to_owned()),
            template: Some("ubuntu".to_owned()),
            endpoints: told,
            ..RegisterRealm::default()
        };
        homelab.registry.register_realm(body, at(1), &mut Changes::default()).unwrap().endpoints
    };

    let none = register(None);
    let empty = register(Some(NewEndpoints { observation: Some(String::new()), input: None }));
    let half = register(Some(NewEndpoints { observation: None, input: Some("http://i".into()) }));

    assert_eq!((&*none.observation, &*none.input), ("http://h/capture", "http://h"));
    assert_eq!(empty, none);
    assert_eq!((&*half.observation, &*half.input), ("http://h/capture", "http://i"));
}

#[test]
fn a_realm_that_moves_takes_its_sessions_along() {
    let mut homelab = Homelab::new();
    homelab.realm("m1", "r1", 0);
    let session = homelab.session(Some("steve"));
    let body = PatchRealm { state: None, endpoints: Some(endpoints("http://new")) };

    homelab.registry.patch_realm("m1", body, at(1), &mut Changes::default()).unwrap();

    assert_eq!(homelab.see(&session).input_endpoint, "http://new");
}

#[test]
fn what_a_realm_says_of_its_health_counts() {
    let mut homelab = Homelab::new();
    homelab.realm("m1", "r1", 0);
    let session = homelab.session(Some("steve"));

    assert_eq!(homelab.beat("m1", Some(false), 10), "unhealthy");
    assert_eq!(homelab.see(&session).state, SessionState::Active, "it still speaks");
    assert_eq!(homelab.beat("m1", Some(false), 20), "unhealthy");
    assert_eq!(homelab.beat("m1", None, 30), "running");
}

#[test]
fn a_realm_that_falls_silent_is_lost_and_its_sessions_failed() {
    for healthy in [true, false] {
        let mut homelab = Homelab::new();
        homelab.realm("m1", "r1", 0);
        let session = homelab.session(Some("steve"));
        homelab.beat("m1", Some(healthy), 10);

        homelab.sweep(70);
        assert_eq!(homelab.see(&session).state, SessionState::Active);
        let changes = homelab.sweep(71);
        assert!(homelab.sweep(72).realms.is_empty(), "it is lost once");

        assert_eq!(changes.realms, ["m1"]);
        assert_eq!(homelab.realm_state("m1"), "unhealthy");
        assert_eq!(homelab.why(&session), "the realm m1 was lost: nothing heard of it for 60 s");
        assert_eq!(homelab.beat("m1", None, 80), "running", "it is back");
    }
}

#[test]
fn a_realm_that_does_not_speak_itself_is_lost_with_its_runner_and_back_with_it() {
    let mut homelab = Homelab::hosting("r1");
    let session = homelab.session(Some("steve"));
    homelab.report(&session.realm_id, "completed", json!({"endpoints": endpoints("http://h")}), 1);

    homelab.sweep(31);
    homelab.sweep(91);
    assert_eq!(homelab.see(&session).state, SessionState::Active);
    homelab.sweep(92);
    assert_eq!(homelab.realm_state(&session.realm_id), "unhealthy");
    assert_eq!(homelab.registry.realm(&session.realm_id).unwrap().lost, Some(Loss::Runner));
    assert!(homelab.why(&session).contains("its runner r1 is away"));
    homelab.runner("r1", &["ubuntu"]);
    homelab.registry.sweep(&homelab.hosts, at(100), &mut Changes::default());

    assert_eq!(homelab.realm_state(&session.realm_id), "running");
    assert_eq!(homelab.session(Some("steve")).realm_id, session.realm_id);
}

#[test]
fn a_realm_that_goes_fails_its_sessions_with_the_reason() {
    let mut homelab = Homelab::new();
    let mut changes = Changes::default();
    homelab.realm("m1", "r1", 0);
    let first = homelab.session(Some("steve"));
    let body =
        DeregisterRealm { realm_id: Some("m1".to_owned()), reason: Some("error".to_owned()) };
    homelab.registry.deregister_realm(body.clone(), at(1), &mut changes).unwrap();
    homelab.registry.deregister_realm(body, at(1), &mut changes).unwrap();
    homelab.realm("m2", "r1", 0);
    let second = homelab.session(Some("steve"));
    homelab.registry.destroy_realm("m2", at(1), &mut changes).unwrap();
    homelab.realm("m3", "r1", 0);
    let third = homelab.session(Some("steve"));
    let set = PatchRealm { state: Some("destroyed".to_owned()), endpoints: None };
    homelab.registry.patch_realm("m3", set, at(1), &mut changes).unwrap();

    assert_eq!(homelab.why(&first), "the realm m1 is gone: error");
    assert_eq!(homelab.why(&second), "the realm m2 was destroyed");
    assert_eq!(homelab.why(&third), "the realm m3 was destroyed");
    let again = homelab.registry.destroy_realm("m2", at(1), &mut changes).unwrap_err();
    assert_eq!(again.to_string(), "Realm not found");
}

#[test]
fn the_runner_is_told_of_the_end_of_a_realm_that_it_created() {
    let mut homelab = Homelab::hosting("r1");
    let session = homelab.session(None);
    homelab.realm("own", "r1", 0);

    let (runner, task) = homelab.registry.farewell_for(&session.realm_id).unwrap();

    assert_eq!((&*runner, task.kind.as_deref()), ("r1", Some("realm-destroy")));
    assert_eq!(task.metadata.unwrap()["realmId"], json!(session.realm_id));
    assert!(homelab.registry.farewell_for("own").is_none());
}

#[test]
fn a_restart_keeps_everything_and_starts_every_wait_anew() {
    let mut homelab = Homelab::hosting("r1");
    homelab.realm("m1", "elsewhere", 0);
    let active = homelab.session(Some("steve"));
    let creating = homelab.try_session("phone-use", Some("steve"), 0).unwrap();
    let registry = &homelab.registry;
    let sessions = registry.sessions().map(|row| serde_json::to_string(row).unwrap());
    let realms = registry.realms().map(|row| serde_json::to_string(row).unwrap());
    let (sessions, realms): (Vec<_>, Vec<_>) = (sessions.collect(), realms.collect());

    let mut again = Registry::new(Limits::default());
    again.restore(
        sessions.iter().rev().map(|row| serde_json::from_str(row).unwrap()).collect(),
        realms.iter().rev().map(|row| serde_json::from_str(row).unwrap()).collect(),
        at(1000),
    );
    homelab.registry = again;

    assert_eq!(homelab.registry.sessions().next().unwrap().wire.id, active.id);
    assert!(homelab.sweep(1059).realms.is_empty());
    assert_eq!(homelab.sweep(1061).realms.len(), 2);
    assert!(homelab.why(&active).contains("nothing heard"));
    assert!(homelab.why(&creating).contains("did not start"));
}

#[test]
fn a_realm_whose_runner_was_not_asked_before_a_crash_is_asked_for_after_it() {
    let mut homelab = Homelab::hosting("r1");
    let session = homelab.session(None);
    homelab.registry.realms.get_mut(&session.realm_id).unwrap().handed = false;

    let changes = homelab.sweep(1);

    assert_eq!(changes.to_ask, from_ref(&session.realm_id));
    assert!(homelab.registry.request_for(&session.realm_id).is_some());
}

#[test]
fn what_ended_is_forgotten_after_a_week() {
    let mut homelab = Homelab::hosting("r1");
    homelab.realm("m1", "r1", 0);
    homelab.realm("m2", "r1", 0);
    let ended = homelab.session(Some("steve"));
    homelab.registry.terminate(&ended.id, at(1), &mut Changes::default()).unwrap();
    let paused = homelab.session(Some("anna"));
    patch(&mut homelab, &paused.id, "paused").unwrap();
    homelab.sweep(61);
    homelab.runner("r2", &["android"]);
    let live = homelab.try_session("phone-use", None, 61).unwrap();
    let week = 7 * 24 * 3600;

    let mut early = Changes::default();
    homelab.registry.forget(at(week), &mut early);
    let mut late = Changes::default();
    homelab.registry.forget(at(week + 62), &mut late);

    assert_eq!((early.gone_sessions, early.gone_realms), (vec![], vec![]));
    assert_eq!(late.gone_sessions, [ended.id, paused.id]);
    assert_eq!(late.gone_realms, ["m1", "m2"]);
    assert!(homelab.registry.session(&live.id).is_ok());
}
