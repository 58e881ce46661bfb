//! Updates and keys that runners are told about.

use super::*;

fn update(version: &str) -> RequestUpdate {
    RequestUpdate { version: Some(version.to_owned()), ..RequestUpdate::default() }
}

#[test]
fn an_update_is_told_until_its_version_registers() {
    let mut registry = registered("r1");
    run(|c| registry.request_update("r1", update("2.0.0"), at(1), c));
    run(|c| registry.register(runner("r1"), String::new, at(2), c));
    for second in 3..6 {
        run(|c| registry.heartbeat(beat("r1"), at(second), c));
        let told = registry.deliver("r1", &mut Changes::default());
        assert_eq!(told.unwrap().0.version, "2.0.0");
    }

    let newer = RegisterRunner { version: Some("2.0.0".to_owned()), ..runner("r1") };
    run(|c| registry.register(newer, String::new, at(7), c));

    assert!(registry.deliver("r1", &mut Changes::default()).is_none());
    assert_eq!(registry.get("r1").unwrap().update_status.as_deref(), Some("applied"));
}

#[test]
fn an_update_that_failed_is_not_told_again_and_its_log_stays() {
    let mut registry = registered("r1");
    let failed = |log: &str| Heartbeat {
        update_status: Some("failed".to_owned()),
        update_log: Some(log.to_owned()),
        ..beat("r1")
    };
    run(|c| registry.heartbeat(failed("an old failure"), at(0), c));
    run(|c| registry.request_update("r1", update("2.0.0"), at(1), c));

    registry.deliver("r1", &mut Changes::default());
    run(|c| registry.heartbeat(failed("an old failure"), at(2), c));
    let still = registry.deliver("r1", &mut Changes::default());
    run(|c| registry.heartbeat(failed("a new failure"), at(3), c));

    assert!(still.is_some(), "the old words say nothing about the new update");
    assert!(registry.deliver("r1", &mut Changes::default()).is_none());
    let runner = registry.get("r1").unwrap();
    assert_eq!(runner.update_log.as_deref(), Some("a new failure"));
}

#[test]
fn the_daemon_that_comes_in_its_place_inherits_the_update() {
    let mut registry = registered("old");
    run(|c| registry.request_update("old", update("2.0.0"), at(1), c));
    registry.deliver("old", &mut Changes::default());
    run(|c| registry.register(runner("new"), String::new, at(20), c));

    registry.sweep(at(60), &mut Changes::default());

    assert!(registry.get("old").unwrap().update.is_none());
    assert_eq!(registry.get("new").unwrap().update.as_ref().unwrap().version, "2.0.0");
}

#[test]
fn an_update_goes_to_nobody_else_unless_that_is_certain() {
    let named = |id: &str, name: &str| RegisterRunner { name: Some(name.to_owned()), ..runner(id) };
    for (name, others) in [
        // Anybody may be called so.
        ("unknown", vec![20]),
        // It was there before the other was gone.
        ("box", vec![5]),
        // Which of them?
        ("box", vec![20, 21]),
    ] {
        let mut registry = registry();
        run(|c| registry.register(named("gone", name), String::new, at(0), c));
        run(|c| registry.heartbeat(beat("gone"), at(10), c));
        run(|c| registry.request_update("gone", update("2.0.0"), at(11), c));
        for second in others {
            let id = format!("r{second}");
            run(|c| registry.register(named(&id, name), String::new, at(second), c));
            run(|c| registry.heartbeat(beat(&id), at(second), c));
        }
        registry.sweep(at(70), &mut Changes::default());

        assert!(registry.get("gone").unwrap().update.is_some(), "{name}");
        assert!(registry.all().filter(|runner| runner.update.is_some()).count() == 1, "{name}");
    }
}

#[test]
fn the_version_ends_an_update_that_was_never_told() {
    let mut registry = registered("r1");
    run(|c| registry.request_update("r1", update("2.0.0"), at(1), c));
    let newer = RegisterRunner { version: Some("2.0.0".to_owned()), ..runner("r1") };
    run(|c| registry.register(newer, String::new, at(2), c));

    assert!(registry.deliver("r1", &mut Changes::default()).is_none());

    // The version that it has already is told all the same.
    run(|c| registry.request_update("r1", update("2.0.0"), at(3), c));
    let same = RegisterRunner { version: Some("2.0.0".to_owned()), ..runner("r1") };
    run(|c| registry.register(same, String::new, at(4), c));
    assert!(registry.deliver("r1", &mut Changes::default()).is_some());
}

#[test]
fn the_same_old_failure_ends_no_new_update() {
    let mut registry = registered("r1");
    let says = |status: &str| Heartbeat {
        update_status: Some(status.to_owned()),
        update_log: Some("l".to_owned()),
        ..beat("r1")
    };
    run(|c| registry.heartbeat(says("failed"), at(0), c));
    run(|c| registry.request_update("r1", update("3.0.0"), at(1), c));
    for second in 2..8 {
        run(|c| registry.heartbeat(says("failed"), at(second), c));
        assert!(registry.deliver("r1", &mut Changes::default()).is_some(), "{second}");
    }
    run(|c| registry.heartbeat(says("pending"), at(8), c));
    run(|c| registry.heartbeat(says("failed"), at(9), c));

    assert!(registry.deliver("r1", &mut Changes::default()).is_none(), "it has tried");
}

#[test]
fn a_key_is_told_until_it_is_used() {
    let mut registry = registered("r1");
    let push = KeyPush { key: "k2".to_owned(), sealed: "…".to_owned(), requested: at(0).at };
    run(|c| registry.push_key("r1", push, c));

    let mut changes = Changes::default();
    registry.note_key("r1", Some("k1"), &mut changes);
    let told = registry.deliver("r1", &mut changes).unwrap();
    registry.note_key("r1", Some("k2"), &mut changes);

    assert_eq!((told.0.version.as_str(), told.0.api_key), ("1.0.0", None));
    assert_eq!(told.1.unwrap().key, "k2");
    assert!(registry.deliver("r1", &mut changes).is_none());
}
