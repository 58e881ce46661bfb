//! A folder beside a destination, for work that appears there whole or not at all.
//!
//! The folder is on the destination's file system, so that a rename puts the finished work in
//! place. It is removed however the work ends. Where the executor was killed, a note in its state
//! folder lets its next start find and remove it; a lock in the folder tells that nobody uses it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use executor_sdk::prelude::{Deserialize, Failure, Serialize, Value, json};
use tokio::runtime::{Handle, RuntimeFlavor};

/// How the name of such a folder ends.
const ENDING: &str = ".yggdrasil-unfinished";

/// The folder, locked by us until it is dropped.
#[derive(Debug)]
pub(crate) struct Beside {
    destination: PathBuf,
    place: Place,
    note: PathBuf,
    lock: Option<File>,
}

/// What there is to remove; the note in the state folder holds the same.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    folder: PathBuf,
    // Parents of the destination that were not there, the deepest first.
    made: Vec<PathBuf>,
}

impl Beside {
    /// Makes the folder, and the parents that the destination lacks, and notes both in `notes`.
    ///
    /// Fails when another process works on the same destination. Blocks on the disk.
    pub(crate) fn make(destination: &Path, notes: &Path) -> Result<Self, Failure> {
        let (Some(parent), Some(name)) = (destination.parent(), destination.file_name()) else {
            return Err(Failure::new(format!("`{}` is no place to make", destination.display())));
        };
        let folder = parent.join(format!(".{}{ENDING}", name.to_string_lossy()));
        let made =
            parent.ancestors().take_while(|path| !path.exists()).map(Path::to_owned).collect();
        let place = Place { folder, made };
        let note = write_note(notes, &place)?;
        let mut beside = Self { destination: destination.to_owned(), place, note, lock: None };
        fs::create_dir_all(parent).map_err(|error| cannot("make", parent, &error))?;
        beside.take()?;
        let work = beside.work();
        match fs::remove_dir_all(&work) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(cannot("remove", &work, &error))
            }
            _ => Ok(beside),
        }
    }

    /// Returns where to work; nothing is there yet.
    pub(crate) fn work(&self) -> PathBuf {
        self.place.folder.join("work")
    }

    /// Puts the finished work in place. Fails, and changes nothing, when something is there that
    /// is not an empty folder. Blocks on the disk.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        fs::rename(self.work(), &self.destination)
            .map_err(|error| cannot("put the finished work at", &self.destination, &error))?;
        self.place.made.clear();
        Ok(())
    }

    fn take(&mut self) -> Result<(), Failure> {
        let folder = &self.place.folder;
        // Who holds the lock may end and remove the folder between our opening and our locking.
        for _ in 0..8 {
            match DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(cannot("make", folder, &error));
                }
                _ => {}
            }
            match lock(folder)? {
                Lock::Gone => {}
                Lock::Held => break,
                Lock::Ours(lock) => {
                    self.lock = Some(lock);
                    return Ok(());
                }
            }
        }
        Err(Failure::new(format!(
            "another process is at work on `{}`; try again when it has ended",
            self.destination.display()
        )))
    }

    fn remove(&self) {
        if self.lock.is_some() {
            self.place.remove();
        } else {
            // The folder is somebody else's.
            self.place.remove_made();
        }
        drop(fs::remove_file(&self.note));
    }
}

impl Place {
    fn remove(&self) {
        // A process that was killed a moment ago may still add a file.
        for _ in 0..100 {
            match fs::remove_dir_all(&self.folder) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(_) => std::thread::yield_now(),
            }
        }
        self.remove_made();
    }

    fn remove_made(&self) {
        for folder in &self.made {
            match fs::remove_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => break,
                _ => {}
            }
        }
    }
}

/// Removes what a killed life of this executor noted and could not remove. Blocks on the disk.
pub(crate) fn remove_left(notes: &Path) {
    let Ok(entries) = fs::read_dir(notes) else { return };
    for entry in entries.flatten() {
        let note = entry.path();
        let text = fs::read_to_string(&note).unwrap_or_default();
        let place = text.parse::<Value>().ok().and_then(|place| Place::deserialize(place).ok());
        if let Some(place) = place
            && place.folder.to_string_lossy().ends_with(ENDING)
        {
            match lock(&place.folder) {
                Ok(Lock::Ours(_lock)) => place.remove(),
                Ok(Lock::Gone) => place.remove_made(),
                // Another executor of this machine is at work there now.
                Ok(Lock::Held) | Err(_) => {}
            }
        }
        drop(fs::remove_file(&note));
    }
}

fn write_note(notes: &Path, place: &Place) -> Result<PathBuf, Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(notes)
        .map_err(|error| cannot("make", notes, &error))?;
    for number in 0_u32.. {
        let note = notes.join(number.to_string());
        match OpenOptions::new().write(true).create_new(true).open(&note) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot("make", &note, &error)),
            Ok(mut file) => {
                let text = json!(place).to_string();
                let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
                return written.map(|()| note.clone()).map_err(|error| {
                    drop(fs::remove_file(&note));
                    cannot("write", &note, &error)
                });
            }
        }
    }
    Err(Failure::new("there is no name left for a note"))
}

/// What came of an attempt to lock a folder.
enum Lock {
    Ours(File),
    Held,
    Gone,
}

fn lock(folder: &Path) -> Result<Lock, Failure> {
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lock::Gone),
        Ok(found) if found.is_dir() => {}
        _ => return Err(Failure::new(format!("`{}` is no folder", folder.display()))),
    }
    let path = folder.join("lock");
    let lock = match OpenOptions::new().write(true).create(true).truncate(false).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lock::Gone),
        opened => opened.map_err(|error| cannot("open", &path, &error))?,
    };
    match lock.try_lock() {
        Ok(()) if is_same(&lock, &path) => Ok(Lock::Ours(lock)),
        Ok(()) => Ok(Lock::Gone),
        Err(TryLockError::WouldBlock) => Ok(Lock::Held),
        Err(TryLockError::Error(error)) => Err(cannot("lock", &path, &error)),
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // A task that is cancelled is dropped on a worker of the runtime, whose other tasks must
        // not wait for the disk.
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(|| self.remove()),
            _ => self.remove(),
        }
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(there)) => held.ino() == there.ino() && held.dev() == there.dev(),
        _ => false,
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot {what} `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_work_is_all_that_stays() {
        let home = tempfile::tempdir().unwrap();
        let notes = tempfile::tempdir().unwrap();
        let destination = home.path().join("a/b/place");

        let beside = Beside::make(&destination, notes.path()).unwrap();
        fs::create_dir(beside.work()).unwrap();
        fs::write(beside.work().join("file"), "x").unwrap();
        beside.finish().unwrap();

        assert_eq!(names(&home.path().join("a/b")), ["place"]);
        assert_eq!(fs::read_to_string(destination.join("file")).unwrap(), "x");
    }

    #[test]
    fn unfinished_work_leaves_nothing_not_even_the_parents() {
        let home = tempfile::tempdir().unwrap();
        let notes = tempfile::tempdir().unwrap();

        let beside = Beside::make(&home.path().join("a/b/place"), notes.path()).unwrap();
        fs::create_dir_all(beside.work().join("deep")).unwrap();
        drop(beside);

        assert!(names(home.path()).is_empty());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_by_the_next() {
        let home = tempfile::tempdir().unwrap();
        let notes = tempfile::tempdir().unwrap();
        let destination = home.path().join("place");
        let left = home.path().join(".place.yggdrasil-unfinished");
        fs::create_dir_all(left.join("work/half")).unwrap();
        fs::write(left.join("lock"), "").unwrap();

        let beside = Beside::make(&destination, notes.path()).unwrap();

        assert!(!beside.work().exists());
        drop(beside);
        assert!(names(home.path()).is_empty());
    }

    #[test]
    fn the_next_start_removes_what_a_killed_life_left_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let notes = tempfile::tempdir().unwrap();
        let killed = Beside::make(&home.path().join("a/b/place"), notes.path()).unwrap();
        fs::create_dir_all(killed.work().join("half")).unwrap();
        let note = fs::read(notes.path().join("0")).unwrap();
        let left = home.path().join("left");
        fs::rename(home.path().join("a"), &left).unwrap();
        drop(killed);
        fs::rename(&left, home.path().join("a")).unwrap();
        fs::write(notes.path().join("0"), note).unwrap();
        let working = Beside::make(&home.path().join("other"), notes.path()).unwrap();
        fs::write(notes.path().join("odd"), "{\"folder\": \"/\", \"made\": []}").unwrap();

        remove_left(notes.path());

        assert_eq!(names(home.path()), [".other.yggdrasil-unfinished"]);
        assert!(names(notes.path()).is_empty());
        drop(working);
        assert!(names(home.path()).is_empty());
    }

    #[test]
    fn two_do_not_work_on_one_destination() {
        let home = tempfile::tempdir().unwrap();
        let notes = tempfile::tempdir().unwrap();
        let destination = home.path().join("place");
        let first = Beside::make(&destination, notes.path()).unwrap();
        fs::create_dir(first.work()).unwrap();

        let second = Beside::make(&destination, notes.path()).unwrap_err();

        assert!(second.error().contains("another process"), "{}", second.error());
        assert!(first.work().exists());
    }

    #[test]
    fn what_is_already_there_is_not_touched() {
        let home = tempfile::tempdir().unwrap();
        let notes = tempfile::tempdir().unwrap();
        let destination = home.path().join("place");
        let beside = Beside::make(&destination, notes.path()).unwrap();
        fs::create_dir(beside.work()).unwrap();
        fs::create_dir(&destination).unwrap();
        fs::write(destination.join("mine"), "x").unwrap();

        beside.finish().unwrap_err();

        assert_eq!(names(home.path()), ["place"]);
        assert_eq!(names(&destination), ["mine"]);
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}
