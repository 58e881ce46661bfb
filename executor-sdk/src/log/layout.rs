//! Where the bytes of a log lie in its file.
//!
//! ```text
//! 0           head          head+tail      +16
//! | the head  | ring: the tail | end, begun |
//! ```
//! The last 16 bytes are there once the ring has begun to overwrite itself: how much was printed
//! when the last write was complete, and how much it is once the write that began is complete.
//! After a kill in the middle of a write the bytes in doubt are therefore known.

use std::io;

const FOOTER: u64 = 16;

/// How much of the head and of the tail a log keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    head: u64,
    tail: u64,
}

/// What is kept of a log: `0..from` and `to..size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) size: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Kept {
    pub(super) fn whole(layout: Layout, size: u64) -> Self {
        if size <= layout.cap() {
            Self { size, from: size, to: size }
        } else {
            Self { size, from: layout.head, to: size - layout.tail }
        }
    }

    pub(super) fn head_only(layout: Layout, written: u64, size: u64) -> Self {
        Self { size, from: written.min(layout.head), to: size }
    }

    /// Returns the half-open range that was dropped.
    pub(crate) fn dropped(self) -> Option<(u64, u64)> {
        (self.from < self.to).then_some((self.from, self.to))
    }

    /// Returns how many bytes are there, from `offset` on.
    pub(crate) fn available(self, offset: u64) -> u64 {
        let head = self.from.saturating_sub(offset);
        let tail = self.size.saturating_sub(offset.max(self.to));
        head + tail
    }
}

impl Layout {
    /// Divides a cap into a head and a tail.
    pub(crate) fn new(cap: u64) -> Self {
        let cap = cap.max(2);
        Self { head: cap / 2, tail: cap - cap / 2 }
    }

    pub(crate) fn cap(self) -> u64 {
        self.head + self.tail
    }

    /// Writes `bytes`, printed after the first `size` ones, in as many parts as needed.
    pub(super) fn write(
        self,
        size: u64,
        bytes: &[u8],
        mut put: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let end = size + bytes.len() as u64;
        let (first, mut rest) = bytes.split_at(clamp(self.head.saturating_sub(size), bytes.len()));
        if !first.is_empty() {
            put(size, first)?;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let overwrites = end > self.cap();
        if overwrites {
            put(self.cap(), &footer(size, end))?;
        }
        // What would be overwritten by the same write is not written at all.
        let surplus = clamp((rest.len() as u64).saturating_sub(self.tail), rest.len());
        rest = &rest[surplus..];
        let mut offset = end - rest.len() as u64;
        while !rest.is_empty() {
            let (at, room) = self.place(offset);
            let (part, later) = rest.split_at(clamp(room, rest.len()));
            put(at, part)?;
            offset += part.len() as u64;
            rest = later;
        }
        if overwrites {
            put(self.cap(), &footer(end, end))?;
        }
        Ok(())
    }

    /// Returns where a byte lies in the file, and how many follow it there without a break.
    pub(super) fn place(self, offset: u64) -> (u64, u64) {
        if offset < self.head {
            return (offset, self.head - offset);
        }
        let in_ring = (offset - self.head) % self.tail;
        (self.head + in_ring, self.tail - in_ring)
    }

    /// Returns what a file of this length can hold of what should be there.
    pub(super) fn really_kept(self, kept: Kept, length: u64) -> Kept {
        let needed = kept.size.min(self.cap());
        if length >= needed {
            return kept;
        }
        // The ring is of no use without its end.
        Kept { size: kept.size, from: kept.from.min(self.head).min(length), to: kept.size }
    }

    /// Finds out what a log file holds whose writer was killed.
    pub(crate) fn recover(
        self,
        length: u64,
        read: impl FnOnce(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<Kept> {
        if length <= self.cap() {
            return Ok(Kept::whole(self, length));
        }
        let mut bytes = [0; 16];
        if length < self.cap() + FOOTER {
            // Killed inside the first footer: the ring was not yet overwritten.
            return Ok(Kept::whole(self, self.cap()));
        }
        read(self.cap(), &mut bytes)?;
        let (end, begun) = bytes.split_at(8);
        let end = u64::from_le_bytes(end.try_into().unwrap_or_default());
        let begun = u64::from_le_bytes(begun.try_into().unwrap_or_default());
        let to = begun.saturating_sub(self.tail).clamp(self.head.min(end), end);
        Ok(Kept { size: end, from: self.head.min(end), to })
    }
}

fn footer(end: u64, begun: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&end.to_le_bytes());
    bytes[8..].copy_from_slice(&begun.to_le_bytes());
    bytes
}

/// Returns `wanted`, at most `limit`.
pub(super) fn clamp(wanted: u64, limit: usize) -> usize {
    usize::try_from(wanted).map_or(limit, |wanted| wanted.min(limit))
}
