use super::*;

fn settings(passthrough: &[(&str, &str)]) -> BeadsSettings {
    BeadsSettings {
        program: None,
        beads_dir: None,
        actor: "y/box/1".to_owned(),
        home: "/state".into(),
        path: Some("/usr/bin".into()),
        user_home: None,
        passthrough: passthrough.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        limit: Duration::from_secs(30),
    }
}

#[test]
fn the_environment_is_built_from_nothing() {
    let settings = settings(&[
        ("BEADS_DOLT_SERVER_HOST", "db"),
        ("BEADS_DOLT_PASSWORD", "x"),
        ("BEADS_DIR", "/elsewhere"),
        ("BEADS_ACTOR", "mallory"),
        ("BD_JSON_ENVELOPE", "1"),
        ("LD_PRELOAD", "x.so"),
    ]);

    let env = environment(&settings, Path::new("/state/bd-home"));

    let names: Vec<_> = env.keys().map(|name| name.to_string_lossy().into_owned()).collect();
    assert_eq!(
        names,
        [
            "BD_NON_INTERACTIVE",
            "BEADS_DOLT_PASSWORD",
            "BEADS_DOLT_SERVER_HOST",
            "HOME",
            "NO_COLOR",
            "PATH",
            "TZ"
        ]
    );
    assert_eq!(env[OsStr::new("TZ")], "UTC");
}

#[test]
fn an_actor_that_a_store_would_not_take_is_refused() {
    for name in ["", "-x", "a b", "a\u{7}", &"x".repeat(256)] {
        assert!(actor(name).is_err(), "{name:?}");
    }
    assert_eq!(actor("yggdrasil/box/0193").unwrap(), "yggdrasil/box/0193");
}

#[test]
fn a_program_that_is_not_there_is_said_with_the_way_out() {
    let nowhere = BeadsSettings { path: Some("/nonexistent".into()), ..settings(&[]) };
    let given = BeadsSettings { program: Some("/nonexistent/bd".into()), ..settings(&[]) };

    let nowhere = program(&nowhere).unwrap_err();
    let given = program(&given).unwrap_err();

    assert_eq!(nowhere.to_string(), "found no Beads program: neither `bd` nor `mb` is on the PATH");
    assert!(nowhere.remedy().unwrap().contains("--bd"));
    assert!(given.to_string().contains("/nonexistent/bd"), "{given}");
}
