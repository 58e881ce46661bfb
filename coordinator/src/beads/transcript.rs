//! Recorded command lines of the real programs, for tests.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(super) struct Transcript {
    #[serde(skip)]
    pub(super) name: String,
    pub(super) argv: Vec<String>,
    pub(super) exit: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// One case, such as `bd-1.0.5/claim-ok`.
pub(super) fn transcript(name: &str) -> Transcript {
    read(&folder().join(name).with_added_extension("json"))
}

/// Every case of a program.
pub(super) fn transcripts(program: &str) -> Vec<Transcript> {
    let mut paths: Vec<_> = fs::read_dir(folder().join(program))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no transcripts of {program}");
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Transcript {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let case: Transcript = serde_json::from_str(&text).unwrap();
    Transcript { name: path.file_stem().unwrap().to_string_lossy().into_owned(), ..case }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}
