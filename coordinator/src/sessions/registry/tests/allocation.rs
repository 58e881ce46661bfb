//! Which realm a session gets.

use super::*;

#[test]
fn a_type_that_is_none_is_refused() {
    let mut homelab = Homelab::hosting("r1");

    let refused = homelab.try_session("tv-use", None, 0).unwrap_err();

    assert_eq!(
        refused.to_string(),
        "Invalid or missing session type. Must be \"computer-use\" or \"phone-use\"."
    );
}

#[test]
fn without_a_template_there_is_no_capacity() {
    let mut homelab = Homelab::new();
    homelab.runner("r1", &["android"]);

    let refused = homelab.try_session("computer-use", None, 0).unwrap_err();

    assert_eq!(
        refused.to_string(),
        "Unable to create session: No runner available that can host realm type: ubuntu"
    );
}

#[test]
fn a_runner_whose_lease_ran_out_is_told_from_one_that_said_good_bye() {
    let mut homelab = Homelab::hosting("r1");
    homelab.sweep(31);
    let away = homelab.try_session("phone-use", None, 31).unwrap_err();
    homelab.leave("r1");
    let gone = homelab.try_session("phone-use", None, 31).unwrap_err();

    assert_eq!(
        away.to_string(),
        "Unable to create session: No online runner available for realm type: android"
    );
    assert_eq!(
        gone.to_string(),
        "Unable to create session: No runner available that can host realm type: android"
    );
}

#[test]
fn the_first_runner_that_is_there_is_asked() {
    let mut homelab = Homelab::new();
    homelab.runner("r1", &["ubuntu"]);
    homelab.runner("r2", &["android"]);
    homelab.runner("r3", &["ubuntu"]);
    homelab.runner("r4", &["ubuntu"]);
    homelab.leave("r1");

    let session = homelab.session(None);

    assert_eq!(session.state, SessionState::Creating);
    assert_eq!((&*session.observation_endpoint, &*session.input_endpoint), ("", ""));
    assert_eq!(session.capabilities, ["mouse", "keyboard", "scroll", "clipboard"]);
    assert_eq!(
        Value::Object(session.metadata),
        json!({"runnerId": "r3", "allocationAction": "spawn"})
    );
    let task =
        &homelab.hosts.task("r3", &format!("task-create-{}", session.realm_id)).unwrap().wire;
    assert_eq!(task.kind.as_deref(), Some("realm-create"));
    assert_eq!(
        Value::Object(task.metadata.clone().unwrap()),
        json!({
            "realmId": session.realm_id,
            "template": "ubuntu-24",
            "templateType": "ubuntu",
            "sessionId": session.id,
        })
    );
}

#[test]
fn an_owner_who_asks_four_times_at_once_gets_one_realm() {
    let mut homelab = Homelab::hosting("r1");

    let sessions: Vec<_> = (0..4).map(|_| homelab.session(Some("steve"))).collect();
    let realm = sessions[0].realm_id.clone();
    homelab.report(&realm, "completed", json!({"endpoints": endpoints("http://h")}), 1);

    assert_eq!(homelab.registry.realms().len(), 1);
    for (number, session) in sessions.iter().enumerate() {
        let word = if number == 0 { "spawn" } else { "attach" };
        assert_eq!(session.metadata["allocationAction"], word);
        let seen = homelab.see(session);
        assert_eq!((seen.state, &*seen.input_endpoint), (SessionState::Active, "http://h"));
    }
}

#[test]
fn an_owner_comes_back_to_the_own_realm_and_nobody_else_does() {
    let mut homelab = Homelab::hosting("r1");
    let first = homelab.session(Some("steve"));
    homelab.report(&first.realm_id, "completed", json!({"endpoints": endpoints("http://h")}), 1);
    homelab.registry.terminate(&first.id, at(2), &mut Changes::default()).unwrap();

    let other = homelab.session(Some("anna"));
    let nobody = homelab.session(None);
    let again = homelab.session(Some("steve"));

    assert_eq!((again.realm_id, again.state), (first.realm_id.clone(), SessionState::Active));
    assert_ne!(other.realm_id, first.realm_id);
    assert_ne!(nobody.realm_id, first.realm_id);
    assert_ne!(nobody.realm_id, other.realm_id);
}

#[test]
fn a_realm_of_nobody_is_used_by_one_at_a_time() {
    let mut homelab = Homelab::hosting("r1");
    homelab.realm("m1", "elsewhere", 0);

    let first = homelab.session(Some("steve"));
    let same = homelab.session(Some("steve"));
    let other = homelab.session(Some("anna"));
    let nobody = homelab.session(None);
    for session in [&first, &same] {
        homelab.registry.terminate(&session.id, at(1), &mut Changes::default()).unwrap();
    }
    let later = homelab.session(None);
    let next = homelab.session(None);

    assert_eq!((&*first.realm_id, first.state), ("m1", SessionState::Active));
    assert_eq!(first.observation_endpoint, "http://h/capture");
    assert_eq!(same.realm_id, "m1");
    assert_ne!(other.realm_id, "m1");
    assert_ne!(nobody.realm_id, "m1");
    assert_eq!(later.realm_id, "m1");
    assert_ne!(next.realm_id, "m1", "nobody is not the same as nobody");
}

#[test]
fn a_realm_of_another_type_is_not_handed_out() {
    let mut homelab = Homelab::hosting("r1");
    homelab.realm("m1", "elsewhere", 0);

    let phone = homelab.try_session("phone-use", None, 0).unwrap();

    assert_ne!(phone.realm_id, "m1");
    assert_eq!(phone.capabilities, ["touch", "keyboard", "scroll"]);
}

#[test]
fn a_realm_on_a_dead_runner_is_not_handed_out() {
    let mut homelab = Homelab::hosting("r1");
    homelab.realm("m1", "r1", 0);
    let own = homelab.session(Some("steve"));
    let spawned = homelab.session(Some("anna"));
    homelab.report(&spawned.realm_id, "completed", json!({"endpoints": endpoints("http://h")}), 1);
    homelab.leave("r1");
    homelab.runner("r2", &["ubuntu"]);
    for session in [&own, &spawned] {
        homelab.registry.terminate(&session.id, at(2), &mut Changes::default()).unwrap();
    }

    for owner in [None, Some("anna")] {
        let session = homelab.session(owner);
        assert_eq!(session.metadata["runnerId"], "r2", "{owner:?}");
    }
}

#[test]
fn a_paused_realm_of_the_owner_is_attached_to_and_an_unhealthy_one_is_not() {
    let mut homelab = Homelab::hosting("r1");
    let first = homelab.session(Some("steve"));
    homelab.report(&first.realm_id, "completed", json!({"endpoints": endpoints("http://h")}), 1);
    let set = |homelab: &mut Homelab, state: &str| {
        let body = PatchRealm { state: Some(state.to_owned()), endpoints: None };
        homelab
            .registry
            .patch_realm(&first.realm_id, body, at(2), &mut Changes::default())
            .unwrap();
    };

    set(&mut homelab, "paused");
    let paused = homelab.session(Some("steve"));
    set(&mut homelab, "unhealthy");
    let unhealthy = homelab.session(Some("steve"));

    assert_eq!((&paused.realm_id, paused.state), (&first.realm_id, SessionState::Active));
    assert_ne!(unhealthy.realm_id, first.realm_id);
}

#[test]
fn what_is_asked_for_is_echoed() {
    let mut homelab = Homelab::hosting("r1");
    let body: NewSession = serde_json::from_value(json!({
        "type": "computer-use", "ownerId": "", "participantIds": ["a"], "capabilities": [],
        "metadata": {"goal": "g"}, "realmId": "not-this-one",
    }))
    .unwrap();

    let created = homelab
        .registry
        .create(body, |prefix| format!("{prefix}x"), &homelab.hosts, at(0), &mut Changes::default())
        .unwrap();

    assert_eq!(created.participant_ids.as_deref(), Some(&["a".to_owned()][..]));
    assert_eq!((created.owner_id, created.capabilities), (None, vec![]));
    assert_eq!((&*created.realm_id, &created.metadata["goal"]), ("realm-x", &json!("g")));
}

#[test]
fn neither_one_session_nor_all_of_them_grow_without_end() {
    let mut homelab = Homelab::hosting("r1");
    homelab.registry = Registry::new(Limits { sessions: 2, ..Limits::default() });
    let huge = NewSession {
        kind: Some("computer-use".to_owned()),
        metadata: json!({"x": "x".repeat(70_000)}).as_object().cloned(),
        ..NewSession::default()
    };

    let refused = homelab
        .registry
        .create(huge, str::to_owned, &homelab.hosts, at(0), &mut Changes::default())
        .unwrap_err();
    let first = homelab.session(Some("steve"));
    homelab.session(Some("steve"));
    let full = homelab.try_session("computer-use", Some("steve"), 0).unwrap_err();
    homelab.registry.terminate(&first.id, at(1), &mut Changes::default()).unwrap();
    homelab.session(Some("steve"));

    assert!(matches!(refused, SessionsError::Invalid(_)), "{refused}");
    assert!(matches!(full, SessionsError::NoCapacity(_)), "{full}");
    assert_eq!(homelab.registry.sessions().len(), 2);
    assert!(homelab.registry.session(&first.id).is_err());
}
