//! Huginn, the host that watches: machines, network and power.
//!
//! - [`tasks`]: what it can do, one file each.
//! - `target`: what a network check connects to.
//! - `broadcast`: where a magic packet goes.

use executor_sdk::prelude::*;

mod broadcast;
mod target;
pub mod tasks;

/// The host that watches: machines, network and power.
#[derive(Args, Debug, Default)]
pub struct Huginn {}

impl Executor for Huginn {
    const NAME: &'static str = "huginn-executor";

    fn tasks() -> Tasks<Self> {
        Tasks::new()
            .with::<tasks::OpsHealthCheck>()
            .with::<tasks::NetworkCheck>()
            .with::<tasks::PowerWake>()
    }
}
