//! Two tasks do not change one folder at the same time: the second waits.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// The folders that tasks of this process change now.
#[derive(Debug, Default)]
pub(crate) struct OneAtATime {
    folders: Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
}

impl OneAtATime {
    /// Waits until no other task holds `folder`, and holds it until the guard is dropped.
    pub(crate) async fn hold(&self, folder: &Path) -> OwnedMutexGuard<()> {
        let turn = {
            let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
            // Who holds or waits has a second reference; the rest is forgotten.
            folders.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(folders.entry(folder.to_owned()).or_default())
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_folder_is_not_held_twice_and_a_free_one_is_forgotten() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let turns = OneAtATime::default();
            let first = turns.hold(Path::new("/a")).await;

            let waiting = futures::poll!(Box::pin(turns.hold(Path::new("/a"))));
            assert!(waiting.is_pending());

            drop(first);
            let _second = turns.hold(Path::new("/a")).await;
            let _other = turns.hold(Path::new("/b")).await;
            assert_eq!(turns.folders.lock().unwrap().len(), 2);
        });
    }
}
