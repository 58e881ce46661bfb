//! Reading a log by offset, also while it is written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::layout::clamp;
use super::{AttemptLog, Kept, Layout};

/// Some bytes of a log, and where they lie in the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where the first byte lies; larger than asked for where the cap dropped something.
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Piece {
    pub(super) fn nothing(offset: u64) -> Self {
        Self { offset, bytes: Vec::new() }
    }

    /// Returns the offset behind the last byte.
    pub(crate) fn next(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// The log of an attempt, running or not.
#[derive(Debug, Clone)]
pub(crate) enum LogReader {
    Running(Arc<AttemptLog>),
    Ended { path: PathBuf, layout: Layout, kept: Kept },
}

impl LogReader {
    /// Returns the log of an attempt that has ended, with what is really there of it: a power loss
    /// or a person may have taken some.
    pub(crate) fn ended(path: PathBuf, layout: Layout, kept: Kept) -> Self {
        let length = path.metadata().map_or(0, |found| found.len());
        let kept = layout.really_kept(kept, length);
        Self::Ended { path, layout, kept }
    }

    pub(crate) fn kept(&self) -> Kept {
        match self {
            Self::Running(log) => log.kept(),
            Self::Ended { kept, .. } => *kept,
        }
    }

    /// Reads up to `max` bytes from `offset` on. Fewer come at a gap and at the end.
    pub(crate) fn read(&self, offset: u64, max: usize) -> io::Result<Piece> {
        match self {
            Self::Running(log) => log.read(offset, max),
            Self::Ended { kept, .. } if offset >= kept.size => Ok(Piece::nothing(offset)),
            Self::Ended { path, layout, kept } => {
                read(&File::open(path)?, *layout, *kept, offset, max)
            }
        }
    }
}

pub(super) fn read(
    file: &File,
    layout: Layout,
    kept: Kept,
    offset: u64,
    max: usize,
) -> io::Result<Piece> {
    let offset = match kept.dropped() {
        Some((from, to)) if (from..to).contains(&offset) => to,
        _ => offset,
    };
    if offset >= kept.size {
        return Ok(Piece::nothing(offset));
    }
    let end = if offset < kept.from { kept.from } else { kept.size };
    let wanted = clamp(end - offset, max);
    let mut bytes = vec![0; wanted];
    let mut done = 0;
    while done < wanted {
        let (at, room) = layout.place(offset + done as u64);
        let part = clamp(room, wanted - done);
        let got = file.read_at(&mut bytes[done..done + part], at)?;
        if got == 0 {
            // Shorter than recorded: a power loss took the end.
            break;
        }
        done += got;
    }
    bytes.truncate(done);
    Ok(Piece { offset, bytes })
}
