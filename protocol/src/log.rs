//! Reading a log by byte offset.
//!
//! `GET /attempts/{attempt}/log?offset=N` answers raw bytes from `N` on. These headers say where
//! the answer lies in the whole.

/// How many bytes the task has printed so far, the dropped ones included.
pub const SIZE: &str = "x-log-size";

/// Where the first byte of the answer lies in what the task printed.
///
/// It is larger than the asked offset where a middle part was dropped by the cap.
pub const OFFSET: &str = "x-log-offset";

/// The offset to ask for next.
pub const NEXT: &str = "x-log-next";

/// The half-open byte range `FROM-TO` that the cap dropped; absent when nothing was dropped.
pub const DROPPED: &str = "x-log-dropped";

/// `true` when the task has ended, so that nothing will follow.
pub const ENDED: &str = "x-log-ended";
