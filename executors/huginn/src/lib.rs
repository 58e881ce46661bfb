//! Huginn, the host that watches: machines, network and power.
//!
//! - [`tasks`]: what it can do, one file each.
//! - `hosts`: the node's table of machines.
//! - `target`: what a network check connects to; `mac`: a card's address.
//! - `broadcast`: where a magic packet goes.
//! - `reach`: whether a machine is up, and how that is known; `ping`: ICMP echo.

use executor_sdk::prelude::*;

mod broadcast;
mod hosts;
mod mac;
mod ping;
mod reach;
mod target;
pub mod tasks;

pub use hosts::Hosts;

/// The host that watches: machines, network and power.
#[derive(Args, Debug, Default)]
pub struct Huginn {
    /// The machines that tasks may name [default: /etc/yggdrasil/hosts.yaml, if it is there].
    #[arg(long, env = "HUGINN_HOSTS", value_name = "FILE")]
    pub hosts: Option<PathBuf>,

    /// What `hosts` says.
    #[arg(skip)]
    pub table: Hosts,
}

impl Executor for Huginn {
    const NAME: &'static str = "huginn-executor";

    fn prepare(&mut self) -> Result<(), Failure> {
        self.table = Hosts::load(self.hosts.as_deref())?;
        Ok(())
    }

    fn tasks() -> Tasks<Self> {
        Tasks::new()
            .with::<tasks::OpsHealthCheck>()
            .with::<tasks::NetworkCheck>()
            .with::<tasks::PowerWake>()
            .with::<tasks::PowerStatus>()
    }
}
