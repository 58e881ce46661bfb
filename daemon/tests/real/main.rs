//! The crate against real processes, files and sockets.
#![expect(clippy::unwrap_used, reason = "in a test, helpers included, it is the failure itself")]

mod ending;
mod escape;
mod http;
mod leftovers;
mod logs;
mod never_kill;
mod notify;
mod process;
mod shutdown;
mod store;
mod support;
