//! What we repair in a store, and nobody else does: a bead that poisons every listing, and the
//! empty files that a killed `mb` leaves.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Beads;
use super::bead::{BeadId, Status};
use super::clean::{TEXT_BYTES, clean};
use super::command::Change;
use super::error::BeadsError;
use super::read::Poisoned;
use super::workspace::Store;

/// Where empty issue files go, beside `issues/`.
const ASIDE: &str = "empty-issues";

impl Beads {
    /// Takes a poisoned bead out of the listings: `blocked`, with a note that says why a bead of a
    /// person was touched. Answered in text, since JSON is what it breaks.
    pub async fn block_poisoned(&self, id: &BeadId, why: &str) -> Result<(), BeadsError> {
        let note = format!(
            "Set to blocked by {}: metadata of this bead holds a control character, and no listing \
             that contains it can be printed. Write its metadata again without it, then set the \
             status to open. ({})",
            self.words().actor,
            clean(why, 500),
        );
        self.block_in_text(id, &note, None).await
    }

    /// The same for a bead that was ours.
    pub(super) async fn block_in_text(
        &self,
        id: &BeadId,
        note: &str,
        assignee: Option<&str>,
    ) -> Result<(), BeadsError> {
        let note = clean(note, TEXT_BYTES);
        let change = Change {
            status: Some(Status::Blocked),
            assignee,
            note: Some(&note),
            ..Change::default()
        };
        let written = self.door().run(self.words().update(id, &change).plain()).await;
        let probe = self.words().probe(id, &Status::Blocked, None);
        if self.door().names(probe, id).await? {
            return Ok(());
        }
        written?;
        let why = "it is not among the blocked ones".to_owned();
        Err(BeadsError::Unverified { id: id.clone(), why })
    }
}

/// Moves the issue files aside that have been empty for a while: with one of them in `issues/`
/// every listing fails. `error` is what the program said; it comes back when nothing was moved.
pub(super) fn set_empty_files_aside(
    store: &Store,
    at_least: Duration,
    error: String,
) -> Result<Vec<Poisoned>, BeadsError> {
    let issues = store.folder.join("issues");
    let aside = store.folder.join(ASIDE);
    let own = |path: &Path| {
        let path = path.to_owned();
        move |source| BeadsError::OwnFile { path, source }
    };
    let mut moved = Vec::new();
    let mut young = false;
    for path in issue_files(&issues).map_err(own(&issues))? {
        let Ok(meta) = fs::metadata(&path) else { continue };
        if meta.len() > 0 {
            continue;
        }
        // A time in the future cannot be waited out, so it counts as long ago.
        let age = meta.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if age.is_some_and(|age| age < at_least) {
            young = true;
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_owned();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        fs::create_dir_all(&aside).map_err(own(&aside))?;
        fs::rename(&path, aside.join(&name)).map_err(own(&path))?;
        let error = format!(
            "its file was empty, left by a killed mb, and was moved to `{}`",
            aside.join(&name).display()
        );
        moved.extend(BeadId::parse(&stem).map(|id| Poisoned { id, error }));
    }
    if !moved.is_empty() {
        return Ok(moved);
    }
    if young {
        let text = format!("an issue file is empty; mb may still be writing it ({error})");
        return Err(BeadsError::Locked { text });
    }
    let broken = issue_files(&issues).map_err(own(&issues))?;
    let names: Vec<_> = broken
        .iter()
        .filter(|path| !starts_as_it_should(path))
        .map(|path| format!("`{}`", path.display()))
        .take(5)
        .collect();
    let text = if names.is_empty() { error } else { format!("{error}: {}", names.join(", ")) };
    Err(BeadsError::BrokenFile { text })
}

fn issue_files(issues: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(issues)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn starts_as_it_should(path: &Path) -> bool {
    let mut start = [0; 3];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *b"---"
}

#[cfg(test)]
mod tests;
