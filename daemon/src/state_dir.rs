//! The folder of a process for what must survive it, locked while the process lives.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::exit::Exit;

const LOCK: &str = "lock";

/// A state folder that is ours. The kernel frees the lock when the value or the process ends, so a
/// killed process leaves none behind.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Makes the folder when absent (readable by its owner only) and locks it.
    pub fn open(path: &Path) -> Result<StateDir, Exit> {
        let cannot = |what: &str, error: &io::Error| {
            Exit::cannot_create(format!(
                "cannot {what} the state folder `{}`: {error}",
                path.display()
            ))
            .hinted("name a folder that this user may write with --state-dir (STATE_DIRECTORY)")
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|e| cannot("make", &e))?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(|e| cannot("write", &e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(path, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(cannot("lock", &error)),
        }
        note_pid(&mut lock).map_err(|e| cannot("write", &e))?;
        Ok(StateDir { path: path.to_owned(), _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

// The pid is for the error text of the next process only; the lock itself is the kernel's.
fn note_pid(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(format!("{}\n", std::process::id()).as_bytes())
}

fn taken(path: &Path, lock: &mut File) -> Exit {
    let mut pid = String::new();
    let holder = match lock.take(32).read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => format!("process {}", pid.trim()),
        _ => "another process".to_owned(),
    };
    Exit::temporary(format!("{holder} is already running on the state folder `{}`", path.display()))
        .hinted("stop it, or give this one its own folder with --state-dir (STATE_DIRECTORY)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_folder_is_made_for_its_owner_only() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b");

        let dir = StateDir::open(&path).unwrap();

        assert_eq!(dir.path(), path);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_second_process_is_told_who_holds_it() {
        let temp = tempfile::tempdir().unwrap();
        let first = StateDir::open(temp.path()).unwrap();

        let exit = StateDir::open(temp.path()).unwrap_err();

        assert_eq!(exit.code, 75);
        assert!(exit.error.contains(&format!("process {}", std::process::id())), "{}", exit.error);
        drop(first);
        StateDir::open(temp.path()).unwrap();
    }

    #[test]
    fn a_path_that_cannot_be_a_folder_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        std::fs::write(&file, "x").unwrap();

        let exit = StateDir::open(&file.join("below")).unwrap_err();

        assert_eq!(exit.code, 73);
        assert!(exit.error.contains("file/below"), "{}", exit.error);
    }
}
