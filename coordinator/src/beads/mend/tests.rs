use std::fs::{self, File};

use super::*;
use crate::beads::dialect::Program;

const SAID: &str = "Error: Invalid markdown format: missing frontmatter";

struct World {
    folder: tempfile::TempDir,
    store: Store,
}

fn world(files: &[(&str, &str)]) -> World {
    let folder = tempfile::tempdir().unwrap();
    let issues = folder.path().join("issues");
    fs::create_dir(&issues).unwrap();
    for (name, text) in files {
        fs::write(issues.join(name), text).unwrap();
    }
    let store = Store { folder: folder.path().to_owned(), program: Program::Mb };
    World { folder, store }
}

fn mend(world: &World) -> Result<Vec<Poisoned>, BeadsError> {
    set_empty_files_aside(&world.store, Duration::from_secs(10), SAID.to_owned())
}

fn age(world: &World, name: &str, age: Duration) {
    let file = File::options().write(true).open(world.folder.path().join("issues").join(name));
    file.unwrap().set_modified(SystemTime::now() - age).unwrap();
}

#[test]
fn a_file_that_stays_empty_is_moved_aside_and_named() {
    let world = world(&[("hl-1.md", "---\ntitle: x\n---\n"), ("hl-2.md", ""), ("notes.txt", "")]);
    age(&world, "hl-2.md", Duration::from_secs(11));

    let moved = mend(&world).unwrap();

    let names: Vec<_> = moved.iter().map(|poisoned| poisoned.id.as_str()).collect();
    assert_eq!(names, ["hl-2"]);
    assert!(moved[0].error.contains("empty-issues/hl-2.md"), "{}", moved[0].error);
    assert!(world.folder.path().join("empty-issues/hl-2.md").exists());
    assert!(!world.folder.path().join("issues/hl-2.md").exists());
    assert!(world.folder.path().join("issues/hl-1.md").exists());
}

#[test]
fn a_file_that_may_just_be_written_is_waited_for() {
    let world = world(&[("hl-2.md", "")]);

    let error = mend(&world).unwrap_err();

    assert!(matches!(error, BeadsError::Locked { .. }), "{error}");
    assert!(world.folder.path().join("issues/hl-2.md").exists());
}

#[test]
fn a_file_with_content_is_never_moved_but_named() {
    let world = world(&[("hl-3.md", "title: no frontmatter")]);
    age(&world, "hl-3.md", Duration::from_secs(99));

    let error = mend(&world).unwrap_err();

    assert!(matches!(error, BeadsError::BrokenFile { .. }), "{error}");
    assert!(error.to_string().contains("issues/hl-3.md"), "{error}");
    assert!(error.remedy().unwrap().contains("by hand"));
    assert!(world.folder.path().join("issues/hl-3.md").exists());
}
