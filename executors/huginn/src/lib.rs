//! Huginn, the host that watches: machines, network and power.
//!
//! - [`tasks`]: what it can do, one file each.
//! - `hosts`: the node's table of machines.
//! - `dns`: asking one name server directly.
//! - `certificate`: until when one is valid.
//! - `target`: what a network check connects to; `mac`: a card's address.
//! - `broadcast`: where a magic packet goes.
//! - `web`: asking services for JSON, and where a secret may go; `pihole`: its session.
//! - `power`: taking this machine away; `logind`: who does it.
//! - `reach`: whether a machine is up, and how that is known; `ping`: ICMP echo.

use executor_sdk::prelude::*;

mod broadcast;
mod certificate;
mod dns;
mod hosts;
mod logind;
mod mac;
mod pihole;
mod ping;
mod power;
mod reach;
mod target;
pub mod tasks;
mod web;

pub use hosts::Hosts;

/// The host that watches: machines, network and power.
#[derive(Args, Debug, Default)]
pub struct Huginn {
    /// The machines that tasks may name [default: /etc/yggdrasil/hosts.yaml, if it is there].
    #[arg(long, env = "HUGINN_HOSTS", value_name = "FILE")]
    pub hosts: Option<PathBuf>,

    /// Where the Pi-hole listens [default: `http://pi.hole`].
    #[arg(long, env = "HUGINN_PIHOLE_URL", value_name = "URL")]
    pub pihole_url: Option<Url>,

    /// Where the Plex server listens [default: `http://127.0.0.1:32400`].
    #[arg(long, env = "HUGINN_PLEX_URL", value_name = "URL")]
    pub plex_url: Option<Url>,

    /// Certificates (PEM) of authorities that are trusted beside the system's, as the one that a
    /// Pi-hole makes for itself.
    #[arg(long, env = "HUGINN_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// Where logind is asked, if not on the usual system bus.
    #[arg(long, env = "DBUS_SYSTEM_BUS_ADDRESS", hide = true, value_name = "ADDRESS")]
    pub system_bus: Option<String>,

    /// Where the commands of other executors are seen, if not in `/proc`.
    #[arg(skip)]
    pub processes: Option<PathBuf>,

    /// What `hosts` says.
    #[arg(skip)]
    pub table: Hosts,

    /// What `ca_file` holds.
    #[arg(skip)]
    pub authorities: Vec<reqwest::Certificate>,
}

impl Executor for Huginn {
    const NAME: &'static str = "huginn-executor";

    fn prepare(&mut self) -> Result<(), Failure> {
        self.table = Hosts::load(self.hosts.as_deref())?;
        if let Some(file) = &self.ca_file {
            self.authorities = web::certificates(file)?;
        }
        Ok(())
    }

    fn tasks() -> Tasks<Self> {
        Tasks::new()
            .with::<tasks::OpsHealthCheck>()
            .with::<tasks::NetworkCheck>()
            .with::<tasks::PowerWake>()
            .with::<tasks::PowerStatus>()
            .with::<tasks::MonitorPihole>()
            .with::<tasks::MonitorPlex>()
            .with::<tasks::DnsCheck>()
            .with::<tasks::DnsRecord>()
            .with::<tasks::ServiceRestart>()
            .with::<tasks::PowerSuspend>()
            .with::<tasks::PowerOff>()
    }
}

impl Huginn {
    pub(crate) fn pihole_url(&self) -> Url {
        self.pihole_url.clone().unwrap_or_else(|| fixed("http://pi.hole"))
    }

    pub(crate) fn plex_url(&self) -> Url {
        self.plex_url.clone().unwrap_or_else(|| fixed("http://127.0.0.1:32400"))
    }
}

fn fixed(url: &str) -> Url {
    Url::parse(url).expect("it is written here")
}
