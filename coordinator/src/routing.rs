//! routing.yaml to routes: where the executors are, which of them does what, and how much at once.
//!
//! [`parse`] reads the whole file and answers with every problem at once, each with its place.
//! What it gives back is checked: every executor that a route names exists, every limit is at
//! least one, every host that an executor names is known. Nothing here does I/O.

mod check;
mod problem;
mod read;
#[cfg(test)]
mod tests;
mod yaml;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

pub use problem::Problem;
pub use read::parse;

/// What may stand behind an executor's name without making it another one.
const SUFFIX: &str = "-executor";

/// Returns the name without the `-executor` that may end it.
pub(crate) fn base_name(name: &str) -> &str {
    name.strip_suffix(SUFFIX).unwrap_or(name)
}

/// The contents of routing.yaml, checked.
#[derive(Debug, Clone)]
pub struct Routing {
    /// The executors by the name that the file gives them.
    pub executors: BTreeMap<ExecutorName, ExecutorEntry>,
    /// Takes what no route takes.
    pub default: Option<Destination>,
    /// How much may run at once.
    pub limits: Limits,
    /// How often, and how soon, a failed order is tried again.
    pub retry: Retry,
    /// Task types that may run again after their executor was lost.
    pub idempotent: BTreeSet<String>,
    /// The machines that the file says something about.
    pub hosts: BTreeMap<HostName, Host>,
    routes: Routes,
}

impl Routing {
    /// Returns where this task type may go: by the exact route, else by the longest prefix, else
    /// the default.
    pub fn route(&self, task_type: &str) -> Option<&[Destination]> {
        self.routes.find(task_type).or_else(|| self.default.as_ref().map(slice::from_ref))
    }

    /// Returns the entry of this name; `fenrir` and `fenrir-executor` are one.
    pub fn executor(&self, name: &str) -> Option<&ExecutorEntry> {
        self.named(name).and_then(|known| self.executors.get(known))
    }

    /// Returns the name as the file writes it; `fenrir` and `fenrir-executor` are one.
    pub fn named(&self, name: &str) -> Option<&ExecutorName> {
        if let Some((known, _)) = self.executors.get_key_value(name) {
            return Some(known);
        }
        let base = base_name(name);
        let longer = format!("{base}{SUFFIX}");
        [base, &longer]
            .into_iter()
            .find_map(|other| self.executors.get_key_value(other).map(|(known, _)| known))
    }

    /// Returns the known name that comes nearest to one that is not known, for a hint.
    pub fn nearest_executor(&self, name: &str) -> Option<&str> {
        problem::nearest(base_name(name), self.executors.keys().map(ExecutorName::as_str))
    }
}

#[derive(Debug, Clone, Default)]
struct Routes {
    exact: BTreeMap<String, Vec<Destination>>,
    /// By what stands before the `*`.
    prefixes: BTreeMap<String, Vec<Destination>>,
}

impl Routes {
    fn find(&self, task_type: &str) -> Option<&[Destination]> {
        if let Some(destinations) = self.exact.get(task_type) {
            return Some(destinations);
        }
        self.prefixes
            .iter()
            .filter(|(prefix, _)| task_type.starts_with(prefix.as_str()))
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|(_, destinations)| destinations.as_slice())
    }
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The executor of this name.
    Executor(ExecutorName),
    /// Whatever has registered and fits.
    Runner(Wanted),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Executor(name) => f.pad(name.as_str()),
            Self::Runner(wanted) => wanted.fmt(f),
        }
    }
}

/// What a runner must be for a route to lead to it; all that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// It registered under this name or id.
    pub name: Option<String>,
    /// It says that it can do this.
    pub capability: Option<String>,
    /// It carries these labels.
    pub labels: BTreeMap<String, String>,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.iter().map(|name| format!("called `{name}`"));
        let capability = self.capability.iter().map(|word| format!("with capability `{word}`"));
        let labels = self.labels.iter().map(|(key, value)| format!("with label `{key}: {value}`"));
        let all: Vec<String> = name.chain(capability).chain(labels).collect();
        write!(f, "a runner {}", all.join(" and "))
    }
}

/// Where an executor listens, and what it is trusted with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorEntry {
    /// `http://HOST:PORT/`.
    pub url: Url,
    /// The machine that it runs on.
    pub host: HostName,
    /// How many tasks at a time; absent: what its `/status` says.
    pub limit: Option<u32>,
    /// The file with its token: an absolute path, or the name of a systemd credential.
    pub token_file: Option<PathBuf>,
}

/// How much may run at once; an absent limit is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Over everything.
    pub total: Option<u32>,
    /// Of one task type.
    pub per_type: BTreeMap<String, u32>,
    /// Of the beads with one label.
    pub per_label: BTreeMap<String, u32>,
    /// Task types that run alone on their host.
    pub exclusive: BTreeSet<String>,
    /// The emergency brake: how many attempts may start within a minute.
    pub attempts_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: None,
            per_type: BTreeMap::new(),
            per_label: BTreeMap::new(),
            exclusive: BTreeSet::new(),
            attempts_per_minute: 6000,
        }
    }
}

/// How often, and how soon, a failed order is tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Starts in all, the first one included.
    pub attempts: u32,
    /// The pause before the next start.
    pub backoff: Backoff,
    /// How long the same attempt is offered again, and a lost executor may come back.
    pub grace: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, backoff: Backoff::default(), grace: Duration::from_mins(2) }
    }
}

impl Retry {
    /// Returns the pause after so many failures in a row.
    pub fn delay(&self, failures: u32) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.backoff.first.as_secs_f64() * self.backoff.factor.powi(exponent);
        // Infinite after many failures, which no `Duration` can hold.
        if seconds < self.backoff.max.as_secs_f64() {
            Duration::from_secs_f64(seconds)
        } else {
            self.backoff.max
        }
    }
}

/// A pause that grows with each failure.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// What each further failure multiplies it by.
    pub factor: f64,
    /// It never gets longer than this.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(10), factor: 2.0, max: Duration::from_mins(10) }
    }
}

/// A machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Its name or address in the network.
    pub address: Option<String>,
    /// What a magic packet names.
    pub mac: Option<Mac>,
    /// How it is woken; absent: not by us.
    pub wake: Option<Wake>,
    /// How long it may be idle before it is put to sleep; absent: it is not.
    pub idle_after: Option<Duration>,
    /// Whether it must stay awake whatever happens.
    pub never_sleeps: bool,
    /// Tasks at a time on this machine, over all its executors.
    pub limit: Option<u32>,
}

/// How a machine is woken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wake {
    /// By what.
    pub by: WakeBy,
    /// Where a magic packet is sent to; absent: to every local network.
    pub broadcast: Option<Ipv4Addr>,
    /// How long it may take until its executor answers.
    pub timeout: Duration,
}

/// The ways to wake a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakeBy {
    /// Wake-on-LAN.
    MagicPacket,
}

/// The address of a network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.map(|byte| format!("{byte:02x}"));
        f.pad(&pairs.join(":"))
    }
}

/// Defines a name that is cheap to clone and cannot be mistaken for another kind of name.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(Arc::from(name))
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(Arc::from(name))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name! {
    /// An executor's name as routing.yaml writes it.
    ExecutorName
}
name! {
    /// A machine's name.
    HostName
}
