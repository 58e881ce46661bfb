//! The coordinator: finds ready beads, sends them to executors, writes the truth back.
//!
//! Types, then pure decisions, then doors, then the straight line, then `main`:
//!
//! - [`order`], [`routing`], [`plan`], [`settle`], [`why`]: pure.
//! - [`beads`], [`ledger`], [`fleet`]: one door per outside thing.
//! - [`runners`]: what registered at the runner API; [`keeper`]: how that survives a restart.
//! - [`hook`]: tells the owner when a runner is gone.
//! - [`expected`]: the version that runners should have.
//! - [`sessions`], [`gateway`], [`admission`], [`metrics`]: what else the runner API serves.
//! - [`keys`]: who may ask for what; [`update`]: the update of the coordinator itself.
//! - [`board`]: what is known right now; [`app`]: what everything shares.
//! - [`dispatch`]: one bead from ready to close; [`poll`]: when.
//! - [`api`]: the HTTP routes; `unread`: bodies that nobody wants.

pub mod admission;
pub mod api;
pub mod app;
pub mod beads;
pub mod board;
pub mod dispatch;
pub mod expected;
pub mod fleet;
pub mod gateway;
pub mod hook;
pub mod keeper;
pub mod keys;
pub mod ledger;
pub mod metrics;
pub mod order;
pub mod plan;
pub mod poll;
pub mod routing;
pub mod run;
pub mod runners;
pub mod sessions;
pub mod settings;
pub mod settle;
mod unread;
pub mod update;
pub mod why;
