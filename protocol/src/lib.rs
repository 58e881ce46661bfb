//! The words Yggdrasil's programs exchange over HTTP.
//!
//! - [`execute`]: an order to an executor, and how it ended.
//! - [`refusal`]: why an executor did not start something.
//! - [`executor`]: what an executor says of itself (`/health`, `/status`, `/attempts`).
//! - [`coordinator`]: what the coordinator answers to `ygg` and to people.
//! - [`admission`]: circuit breakers, and whether new work is taken.
//! - [`admin`]: what the holder of the admin key may do there.
//! - [`runner`]: the runner API, as existing Ratatoskr daemons and consumers know it.
//! - [`hook`]: what is told when a runner is gone.
//! - [`session`]: sessions and realms, as the same consumers know them.
//! - [`log`]: the headers that come with a piece of a log.
//!
//! Shapes and JSON Schemas only: nothing here does I/O or reads a clock. Members are only ever
//! added; a reader ignores members that it does not know.
#![warn(missing_docs)]

pub mod admin;
pub mod admission;
pub mod coordinator;
pub mod execute;
pub mod executor;
pub mod hook;
pub mod log;
mod number;
mod object;
pub mod refusal;
pub mod runner;
pub mod session;

/// The version of the executor protocol that this crate speaks, shown by `/status`.
pub const PROTOCOL: u32 = 1;
