//! A throw-away homelab of real processes, for the tests, the demo and the benchmarks.
//!
//! - [`programs`]: where the binaries of this build and the Beads CLIs are found.
//! - [`cli`]: driving `bd` and `mb` as a person would: make a workspace, write and read beads.
//! - [`command`]: running one short command to its end.
//! - [`child`]: one long-running process of ours: start, kill, terminate, start again.
//! - [`sweep`]: ends what a homelab left behind.
//! - [`ports`]: free loopback ports.
//! - [`http`]: asking the coordinator and the executors.
//! - [`wait`]: waiting for a condition, with a deadline.
//! - [`world`]: all of it together, in one folder that is removed afterwards.
//! - [`proxy`]: a network that can be cut.
//! - [`ratatoskr`]: the daemon that others run, simulated.
//! - [`suite`]: runs a test on every Beads CLI that is found.
//!
//! The programs of the workspace must be built before (`cargo build --workspace`): cargo builds
//! only the binaries of this package for its tests.

pub mod child;
pub mod cli;
pub mod command;
pub mod http;
pub mod ports;
pub mod programs;
pub mod proxy;
pub mod ratatoskr;
pub mod suite;
pub mod sweep;
pub mod wait;
pub mod world;

pub use cli::{Bead, BeadsCli, Kind, NewBead, Workspace};
pub use wait::{until, until_seldom};
pub use world::World;
