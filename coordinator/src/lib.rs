//! The coordinator: finds ready beads, sends them to executors, writes the truth back.

pub mod beads;
pub mod order;
pub mod routing;
