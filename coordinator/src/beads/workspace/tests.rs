use super::*;

const GOOD: &str = r#"{"database":"dolt","dolt_mode":"embedded","dolt_database":"hl"}"#;

fn workspace(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn found(program: Program, given: Option<&Path>, start: &Path) -> Result<PathBuf, String> {
    Store::find(program, given, start).map(|store| store.folder).map_err(|e| e.to_string())
}

#[test]
fn the_workspace_and_the_store_folder_are_both_taken() {
    let ws = workspace(&[(".beads/metadata.json", GOOD), ("deep/er/x", "")]);
    let store = ws.path().canonicalize().unwrap().join(".beads");
    let nowhere = Path::new("/");

    for given in [ws.path(), &ws.path().join(".beads")] {
        assert_eq!(found(Program::Bd, Some(given), nowhere), Ok(store.clone()));
    }
    assert_eq!(found(Program::Bd, None, &ws.path().join("deep/er")), Ok(store));
}

#[test]
fn the_database_is_named_or_the_store_is_broken() {
    for (text, why) in [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("{}", "names no dolt_database"),
        (r#"{"dolt_database":""}"#, "names no dolt_database"),
        ("[]", "names no dolt_database"),
    ] {
        let ws = workspace(&[(".beads/metadata.json", text)]);

        let error = Store::find(Program::Bd, Some(ws.path()), ws.path()).unwrap_err();

        assert!(matches!(error, BeadsError::BrokenStore { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn a_store_that_breaks_later_is_noticed() {
    let ws = workspace(&[(".beads/metadata.json", GOOD)]);
    let store = Store::find(Program::Bd, Some(ws.path()), ws.path()).unwrap();

    fs::remove_file(ws.path().join(".beads/metadata.json")).unwrap();

    assert!(matches!(store.check(), Err(BeadsError::BrokenStore { .. })));
}

#[test]
fn minibeads_never_gets_a_store_of_bd() {
    for marker in ["metadata.json", "embeddeddolt/x", "dolt/x"] {
        let ws = workspace(&[(&format!(".beads/{marker}"), GOOD)]);

        let by_workspace = found(Program::Mb, Some(ws.path()), ws.path()).unwrap_err();
        let by_store = found(Program::Mb, Some(&ws.path().join(".beads")), ws.path()).unwrap_err();

        assert!(by_workspace.contains("belongs to bd"), "{by_workspace}");
        assert!(by_store.contains("belongs to bd"), "{by_store}");
    }
}

#[test]
fn minibeads_gets_its_own_store_and_no_empty_folder() {
    let both = workspace(&[(".beads/metadata.json", GOOD), (".minibeads/issues/x", "")]);
    let old = workspace(&[(".beads/issues/hl-1.md", "")]);
    let empty = workspace(&[(".minibeads/x", "")]);

    let root = |ws: &tempfile::TempDir| ws.path().canonicalize().unwrap();
    assert_eq!(
        found(Program::Mb, Some(both.path()), both.path()),
        Ok(root(&both).join(".minibeads"))
    );
    assert_eq!(found(Program::Mb, Some(old.path()), old.path()), Ok(root(&old).join(".beads")));
    let error = found(Program::Mb, Some(empty.path()), empty.path()).unwrap_err();
    assert!(error.contains("would make an empty store"), "{error}");
}

#[test]
fn the_other_programs_store_is_named_in_the_error() {
    let mine = workspace(&[(".minibeads/issues/x", "")]);
    let shared = workspace(&[(".beads/issues/x", "")]);

    let beside = found(Program::Bd, Some(mine.path()), mine.path()).unwrap_err();
    let inside = found(Program::Bd, Some(shared.path()), shared.path()).unwrap_err();

    assert!(beside.contains("--bd mb"), "{beside}");
    assert!(inside.contains("--bd mb"), "{inside}");
}

#[test]
fn nothing_to_be_found_is_said_with_the_place() {
    let empty = tempfile::tempdir().unwrap();
    let missing = empty.path().join("none");

    let here = found(Program::Bd, None, empty.path()).unwrap_err();
    let given = found(Program::Bd, Some(&missing), empty.path()).unwrap_err();

    assert!(here.contains("no `.beads` in"), "{here}");
    assert!(given.contains("is not a folder"), "{given}");
}

#[test]
fn the_manifest_belongs_to_an_embedded_store_only() {
    let embedded = workspace(&[(".beads/metadata.json", GOOD)]);
    let server =
        workspace(&[(".beads/metadata.json", r#"{"dolt_mode":"server","dolt_database":"hl"}"#)]);
    let manifest = |ws: &tempfile::TempDir| {
        Store::find(Program::Bd, Some(ws.path()), ws.path()).unwrap().manifest()
    };

    assert!(manifest(&embedded).unwrap().ends_with(".beads/embeddeddolt/hl/.dolt/noms/manifest"));
    assert_eq!(manifest(&server), None);
}

#[test]
fn a_home_that_cannot_be_written_is_replaced_by_our_own() {
    let folder = tempfile::tempdir().unwrap();
    let (user, own) = (folder.path().join("user"), folder.path().join("state"));
    fs::create_dir(&user).unwrap();

    let given = writable_home(Some(&user), &own).unwrap();
    let missing = writable_home(Some(&folder.path().join("none")), &own).unwrap();
    let none = writable_home(None, &own).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let nowhere = writable_home(None, &folder.path().join("file"));

    assert_eq!(given, user);
    assert_eq!(fs::read_dir(&user).unwrap().count(), 0, "the probe is gone");
    assert_eq!(missing, own.join("bd-home"));
    assert_eq!(none, own.join("bd-home"));
    assert!(matches!(nowhere, Err(BeadsError::Home { .. })));
}
