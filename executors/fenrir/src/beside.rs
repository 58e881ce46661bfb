//! A folder beside a destination, for work that appears there whole or not at all.
//!
//! The folder is on the destination's file system, so that a rename puts the finished work in
//! place. It is removed however the work ends. Where the executor was killed, its name lets the
//! next work for the same destination find and remove it; a lock in it tells that nobody uses it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use executor_sdk::prelude::Failure;
use tokio::runtime::{Handle, RuntimeFlavor};

/// The folder, locked by us until it is dropped.
#[derive(Debug)]
pub(crate) struct Beside {
    destination: PathBuf,
    folder: PathBuf,
    // Parents of the destination that were not there, the deepest first.
    made: Vec<PathBuf>,
    lock: Option<File>,
}

impl Beside {
    /// Makes the folder, and the parents that the destination lacks.
    ///
    /// Fails when another process works on the same destination. Blocks on the disk.
    pub(crate) fn make(destination: &Path) -> Result<Self, Failure> {
        let (Some(parent), Some(name)) = (destination.parent(), destination.file_name()) else {
            return Err(Failure::new(format!("`{}` is no place to make", destination.display())));
        };
        let folder = parent.join(format!(".{}.yggdrasil-unfinished", name.to_string_lossy()));
        let made =
            parent.ancestors().take_while(|path| !path.exists()).map(Path::to_owned).collect();
        let mut beside = Self { destination: destination.to_owned(), folder, made, lock: None };
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
        self.folder.join("work")
    }

    /// Puts the finished work in place. Fails, and changes nothing, when something is there that
    /// is not an empty folder. Blocks on the disk.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        fs::rename(self.work(), &self.destination)
            .map_err(|error| cannot("put the finished work at", &self.destination, &error))?;
        self.made.clear();
        Ok(())
    }

    fn take(&mut self) -> Result<(), Failure> {
        // Who holds the lock may end and remove the folder between our opening and our locking.
        for _ in 0..8 {
            match DirBuilder::new().mode(0o700).create(&self.folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(cannot("make", &self.folder, &error));
                }
                _ => {}
            }
            if !fs::symlink_metadata(&self.folder).is_ok_and(|found| found.is_dir()) {
                return Err(Failure::new(format!("`{}` is no folder", self.folder.display())));
            }
            let path = self.folder.join("lock");
            let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
            let lock = match opened {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(|error| cannot("open", &path, &error))?,
            };
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => break,
                Err(TryLockError::Error(error)) => return Err(cannot("lock", &path, &error)),
            }
            if is_same(&lock, &path) {
                self.lock = Some(lock);
                return Ok(());
            }
        }
        Err(Failure::new(format!(
            "another process is at work on `{}`; try again when it has ended",
            self.destination.display()
        )))
    }

    fn remove(&self) {
        // A process that was killed a moment ago may still add a file.
        for _ in 0..100 {
            match fs::remove_dir_all(&self.folder) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(_) => std::thread::yield_now(),
            }
        }
        for folder in &self.made {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if self.lock.is_none() {
            return;
        }
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
        let destination = home.path().join("a/b/place");

        let beside = Beside::make(&destination).unwrap();
        fs::create_dir(beside.work()).unwrap();
        fs::write(beside.work().join("file"), "x").unwrap();
        beside.finish().unwrap();

        assert_eq!(names(&home.path().join("a/b")), ["place"]);
        assert_eq!(fs::read_to_string(destination.join("file")).unwrap(), "x");
    }

    #[test]
    fn unfinished_work_leaves_nothing_not_even_the_parents() {
        let home = tempfile::tempdir().unwrap();

        let beside = Beside::make(&home.path().join("a/b/place")).unwrap();
        fs::create_dir_all(beside.work().join("deep")).unwrap();
        drop(beside);

        assert!(names(home.path()).is_empty());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_by_the_next() {
        let home = tempfile::tempdir().unwrap();
        let destination = home.path().join("place");
        let left = home.path().join(".place.yggdrasil-unfinished");
        fs::create_dir_all(left.join("work/half")).unwrap();
        fs::write(left.join("lock"), "").unwrap();

        let beside = Beside::make(&destination).unwrap();

        assert!(!beside.work().exists());
        drop(beside);
        assert!(names(home.path()).is_empty());
    }

    #[test]
    fn two_do_not_work_on_one_destination() {
        let home = tempfile::tempdir().unwrap();
        let destination = home.path().join("place");
        let first = Beside::make(&destination).unwrap();
        fs::create_dir(first.work()).unwrap();

        let second = Beside::make(&destination).unwrap_err();

        assert!(second.error().contains("another process"), "{}", second.error());
        assert!(first.work().exists());
    }

    #[test]
    fn what_is_already_there_is_not_touched() {
        let home = tempfile::tempdir().unwrap();
        let destination = home.path().join("place");
        let beside = Beside::make(&destination).unwrap();
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
