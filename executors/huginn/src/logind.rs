//! What is asked of systemd-logind, over D-Bus.

use executor_sdk::prelude::*;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use zbus::connection::Builder;
use zbus::{Connection, OwnedFd};

/// How long logind may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

#[zbus::proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1"
)]
trait Manager {
    fn can_suspend(&self) -> zbus::Result<String>;
    fn can_power_off(&self) -> zbus::Result<String>;
    fn suspend(&self, interactive: bool) -> zbus::Result<()>;
    fn power_off(&self, interactive: bool) -> zbus::Result<()>;
    fn inhibit(&self, what: &str, who: &str, why: &str, mode: &str) -> zbus::Result<OwnedFd>;
    fn list_inhibitors(&self) -> zbus::Result<Vec<(String, String, String, String, u32, u32)>>;
    #[zbus(signal)]
    fn prepare_for_sleep(&self, start: bool) -> zbus::Result<()>;
    #[zbus(signal)]
    fn prepare_for_shutdown(&self, start: bool) -> zbus::Result<()>;
}

/// What becomes of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Suspend,
    PowerOff,
}

impl Deed {
    /// What people read.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::PowerOff => "power off",
        }
    }

    /// What logind calls it where it is held up.
    fn what(self) -> &'static str {
        match self {
            Self::Suspend => "sleep",
            Self::PowerOff => "shutdown",
        }
    }
}

/// logind, as far as one deed is concerned.
pub(crate) struct Logind {
    manager: ManagerProxy<'static>,
    deed: Deed,
}

impl Logind {
    /// Connects to the system bus: the given one, or the usual one.
    pub(crate) async fn connect(bus: Option<&str>, deed: Deed) -> Result<Self, Failure> {
        let builder = match bus {
            Some(address) => Builder::address(address),
            None => Builder::system(),
        };
        let connection: Connection =
            builder.method_timeout(PATIENCE).build().await.map_err(|error| {
                Failure::new(format!("this node has no system bus that can be asked: {error}"))
            })?;
        let manager = ManagerProxy::new(&connection).await?;
        Ok(Self { manager, deed })
    }

    /// Says whether this process may do it now.
    pub(crate) async fn check(&self) -> Result<(), Failure> {
        let deed = self.deed.words();
        let answer = match self.deed {
            Deed::Suspend => self.manager.can_suspend().await,
            Deed::PowerOff => self.manager.can_power_off().await,
        };
        let answer =
            answer.map_err(|error| Failure::new(format!("logind does not answer: {error}")))?;
        let why = match answer.as_str() {
            "yes" => return Ok(()),
            "na" => "this machine cannot",
            "no" => "this user may not; a polkit rule for it may allow that",
            "challenge" => "somebody would have to type a password; a polkit rule may allow it",
            _ => "it does not say why",
        };
        Err(Failure::new(format!("logind answers `{answer}` to whether it may {deed}: {why}")))
    }

    /// Returns who holds the deed up, as `WHO: WHY`.
    pub(crate) async fn holders(&self) -> Result<Vec<String>, Failure> {
        let all = self.manager.list_inhibitors().await?;
        let what = self.deed.what();
        let of_us = |(whats, _, _, mode, ..): &(String, _, _, String, _, _)| {
            mode.starts_with("block") && whats.split(':').any(|one| one == what)
        };
        let holders = all.into_iter().filter(of_us);
        Ok(holders.map(|(_, who, why, ..)| format!("{who}: {why}")).collect())
    }

    /// Makes logind wait for a moment before the deed, for as long as the answer is kept.
    pub(crate) async fn delay(&self) -> Option<OwnedFd> {
        let why = "the outcome of a task is on its way";
        self.manager.inhibit(self.deed.what(), "Yggdrasil", why, "delay").await.ok()
    }

    /// Tells when the deed begins (`true`), and when the machine is back (`false`).
    pub(crate) async fn begins(&self) -> Result<BoxStream<'static, bool>, Failure> {
        Ok(match self.deed {
            Deed::Suspend => {
                let signals = self.manager.receive_prepare_for_sleep().await?;
                signals.filter_map(async |signal| Some(signal.args().ok()?.start)).boxed()
            }
            Deed::PowerOff => {
                let signals = self.manager.receive_prepare_for_shutdown().await?;
                signals.filter_map(async |signal| Some(signal.args().ok()?.start)).boxed()
            }
        })
    }

    /// Orders it.
    pub(crate) async fn order(&self) -> Result<(), Failure> {
        let ordered = match self.deed {
            Deed::Suspend => self.manager.suspend(false).await,
            Deed::PowerOff => self.manager.power_off(false).await,
        };
        let deed = self.deed.words();
        ordered.map_err(|error| Failure::new(format!("logind refuses to {deed}: {error}")))
    }
}
