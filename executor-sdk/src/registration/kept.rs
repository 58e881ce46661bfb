//! What must survive a restart: the key that the coordinator sent, the update that is on its way,
//! and the tasks of the list whose end was not reported yet.
//!
//! One small file in the state folder, for the owner only. It is written whole and synced each
//! time something changes, which is rarely.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::update::Update;

const FILE: &str = "registration.json";

/// The file and what is in it. Clones are one and the same.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    path: PathBuf,
    // No `.await` while it is held.
    content: Arc<Mutex<Content>>,
}

#[derive(Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Content {
    /// The key that the coordinator sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) api_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) update: Option<Update>,
    /// By the id on the list: the attempt that it became.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) unreported: BTreeMap<String, Uuid>,
}

// The key must not end in a log.
impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("update", &self.update).finish_non_exhaustive()
    }
}

impl Kept {
    /// Reads what an earlier life left. A file that cannot be read is told, and begun anew.
    pub(super) fn open(state: &Path) -> Self {
        let path = state.join(FILE);
        let content = match read(&path) {
            Ok(content) => content,
            Err(error) => {
                let shown = path.display();
                tracing::warn!(%error, "cannot read `{shown}`; it is begun anew");
                Content::default()
            }
        };
        Self { path, content: Arc::new(Mutex::new(content)) }
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&Content) -> T) -> T {
        look(&self.content())
    }

    /// Changes the content and answers when it is on disk, or cannot be: then it holds for this
    /// life only, and the log says so.
    pub(super) async fn change(&self, change: impl FnOnce(&mut Content) + Send + 'static) {
        let kept = self.clone();
        // The disk may take its time.
        let written = tokio::task::spawn_blocking(move || {
            let mut content = kept.content();
            let before = content.clone();
            change(&mut content);
            if *content == before { Ok(()) } else { write(&kept.path, &content) }
        });
        if let Ok(Err(error)) = written.await {
            tracing::error!(%error, "cannot write `{}`", self.path.display());
        }
    }

    pub(super) async fn note_unreported(&self, task_id: String, attempt: Uuid) {
        self.change(move |content| {
            content.unreported.insert(task_id, attempt);
        })
        .await;
    }

    pub(super) async fn note_reported(&self, task_id: String) {
        self.change(move |content| {
            content.unreported.remove(&task_id);
        })
        .await;
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<Content> {
    match std::fs::read(path) {
        // The text of the error would repeat what it found.
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| io::Error::other(format!("line {} is odd", error.line()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Content::default()),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, content: &Content) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Readable by its owner only, from its first moment on.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut file, content)?;
    file.flush()?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_kept_is_there_again_and_only_for_the_owner() {
        let state = tempfile::tempdir().unwrap();
        let kept = Kept::open(state.path());

        kept.change(|content| {
            content.api_key = Some("hunter2".to_owned());
            content.unreported.insert("t-1".to_owned(), Uuid::from_u128(7));
        })
        .await;
        let again = Kept::open(state.path());

        assert_eq!(again.read(Content::clone), kept.read(Content::clone));
        let mode = state.path().join(FILE).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{kept:?}").contains("hunter2"));
    }

    #[test]
    fn a_broken_file_is_begun_anew() {
        let state = tempfile::tempdir().unwrap();
        std::fs::write(state.path().join(FILE), r#"{"api_key": "hunter2"#).unwrap();

        assert_eq!(Kept::open(state.path()).read(Content::clone), Content::default());
    }
}
