//! What every attempt of one process shares.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use uuid::Uuid;

use crate::policy::{Policy, VaultPassword};
use crate::presence::Presence;
use crate::secret::Credentials;

/// Where a program that answers nothing is given up.
const CONNECT: Duration = Duration::from_secs(5);

/// What commands inherit; read once, by the settings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    pub(crate) path: Option<OsString>,
    pub(crate) home: Option<PathBuf>,
    pub(crate) tz: Option<OsString>,
}

impl Environment {
    /// Finds a program by its name on the path, or by its path.
    pub(crate) fn find(&self, name: &OsStr) -> Option<PathBuf> {
        daemon::process::find_program(name, self.path.as_deref())
    }

    /// Returns the environment that a command starts with.
    pub(crate) fn for_commands(&self) -> BTreeMap<OsString, OsString> {
        let mut environment = BTreeMap::from([("LANG".into(), "C.UTF-8".into())]);
        if let Some(path) = &self.path {
            environment.insert("PATH".into(), path.clone());
        }
        if let Some(home) = &self.home {
            environment.insert("HOME".into(), home.clone().into());
        }
        if let Some(tz) = &self.tz {
            environment.insert("TZ".into(), tz.clone());
        }
        environment
    }
}

/// What every attempt of one process shares.
pub(crate) struct Node {
    pub(crate) environment: Environment,
    /// Where attempts get their temporary folders.
    pub(crate) temp: PathBuf,
    /// Identifies the spool over all lives of the process.
    pub(crate) spool: Uuid,
    /// Identifies this life of the process.
    pub(crate) life: Uuid,
    /// The folder that playbooks come from, when the policy names one.
    pub(crate) playbooks: Option<PathBuf>,
    /// Where they get the password of the vault from.
    pub(crate) vault_password: Option<VaultPassword>,
    pub(crate) credentials: Credentials,
    pub(crate) presence: Arc<Presence>,
    http: OnceLock<reqwest::Client>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("spool", &self.spool).finish_non_exhaustive()
    }
}

impl Node {
    pub(crate) fn new(
        environment: Environment,
        credentials: Credentials,
        temp: PathBuf,
        spool: Uuid,
        life: Uuid,
        policy: &Policy,
    ) -> Self {
        Self {
            environment,
            temp,
            spool,
            life,
            playbooks: policy.playbooks().map(PathBuf::from),
            vault_password: policy.vault_password().cloned(),
            credentials,
            presence: Arc::default(),
            http: OnceLock::new(),
        }
    }

    /// Returns the mark that every command of this life starts with: `SPOOL/LIFE/`.
    pub(crate) fn mark_of_this_life(&self) -> String {
        format!("{}/{}/", self.spool, self.life)
    }

    /// Returns the shared client. It is made when the first task wants it: reading the
    /// certificates costs time and memory that many executors never need.
    pub(crate) fn http(&self) -> &reqwest::Client {
        self.http.get_or_init(|| {
            reqwest::Client::builder()
                .connect_timeout(CONNECT)
                // Addresses of the home network must not go through a proxy of the environment.
                .no_proxy()
                .build()
                .expect("the TLS provider is installed first thing in `run`")
        })
    }
}
