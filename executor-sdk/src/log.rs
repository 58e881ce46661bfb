//! What a task prints: one file per attempt, capped, read by byte offset.
//!
//! Offsets count everything the task printed. The file keeps the head and, once the cap is
//! reached, a ring with the tail; the middle is dropped and its exact range is known. The file
//! is made with its first byte, and is plain text as long as the cap is not reached.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

mod layout;
mod reader;
#[cfg(test)]
mod tests;

pub(crate) use layout::{Kept, Layout};
pub(crate) use reader::{LogReader, Piece};

use crate::secret::{Mask, Revealed};
use crate::tail::Tail;

/// How far a log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    pub(crate) size: u64,
    pub(crate) has_ended: bool,
}

/// The log of an attempt that runs.
#[derive(Debug)]
pub(crate) struct AttemptLog {
    path: PathBuf,
    layout: Layout,
    // No `.await` while it is held: writes come from the pump's own threads.
    inner: Mutex<Inner>,
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Default)]
struct Inner {
    file: Option<File>,
    size: u64,
    /// Where writing to disk failed; nothing is written from there on.
    broken_at: Option<u64>,
    tail: Tail,
    mask: Mask,
    has_ended: bool,
}

impl AttemptLog {
    pub(crate) fn new(path: PathBuf, layout: Layout) -> Self {
        let (progress, _) = watch::channel(Progress::default());
        Self { path, layout, inner: Mutex::default(), progress }
    }

    /// Adds what the task printed. Bytes after the end of the attempt are nobody's.
    pub(crate) fn append(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut inner = self.lock();
        if inner.has_ended {
            return;
        }
        let bytes = inner.mask.pass(bytes);
        self.write(inner, &bytes);
    }

    fn write(&self, mut inner: MutexGuard<'_, Inner>, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        inner.tail.push(bytes);
        if inner.broken_at.is_none()
            && let Err(error) = inner.write(&self.path, self.layout, bytes)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot write a task's log");
            inner.broken_at = Some(inner.size);
        }
        inner.size += bytes.len() as u64;
        let progress = Progress { size: inner.size, has_ended: false };
        drop(inner);
        self.progress.send_replace(progress);
    }

    /// Keeps a secret out of what is printed from here on.
    pub(crate) fn mask(&self, secret: &Revealed) {
        self.lock().mask.add(secret);
    }

    /// Does with the secrets of this attempt what `masked` says.
    pub(crate) fn masked<T>(&self, masked: impl FnOnce(&Mask) -> T) -> T {
        masked(&self.lock().mask)
    }

    /// Ends the log and returns what is kept of it.
    pub(crate) fn end(&self) -> Kept {
        let mut inner = self.lock();
        let rest = inner.mask.rest();
        self.write(inner, &rest);
        let mut inner = self.lock();
        inner.has_ended = true;
        inner.file = None;
        let progress = Progress { size: inner.size, has_ended: true };
        let kept = inner.kept(self.layout);
        drop(inner);
        self.progress.send_replace(progress);
        kept
    }

    /// Returns what is kept so far.
    pub(crate) fn kept(&self) -> Kept {
        self.lock().kept(self.layout)
    }

    /// Returns the last 64 KiB as text.
    pub(crate) fn tail(&self) -> String {
        self.lock().tail.text()
    }

    /// Tells when the log grows or ends.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Reads up to `max` bytes from `offset` on, or from where something is kept again.
    pub(crate) fn read(&self, offset: u64, max: usize) -> io::Result<Piece> {
        // Under the lock, so that the ring is not written while it is read.
        let inner = self.lock();
        let kept = inner.kept(self.layout);
        match &inner.file {
            Some(file) => reader::read(file, self.layout, kept, offset, max),
            // Ended, or nothing was printed yet.
            None if offset >= kept.size => Ok(Piece::nothing(offset)),
            None => reader::read(&File::open(&self.path)?, self.layout, kept, offset, max),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn kept(&self, layout: Layout) -> Kept {
        match self.broken_at {
            // Where the ring was overwritten up to is not known any more: only the head counts.
            Some(at) => Kept::head_only(layout, at, self.size),
            None => Kept::whole(layout, self.size),
        }
    }

    fn write(&mut self, path: &Path, layout: Layout, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)?;
            self.file = Some(file);
        }
        let Some(file) = &self.file else { return Ok(()) };
        layout.write(self.size, bytes, |at, part| file.write_all_at(part, at))
    }
}
