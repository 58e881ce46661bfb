//! What a test decides before its executor starts.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::Resettable;
use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use daemon::shutdown::Shutdown;
use daemon::state_dir::StateDir;
use daemon::token::Tokens;
use tempfile::TempDir;
use url::Url;

use super::Harness;
use crate::Executor;
use crate::node::Environment;
use crate::policy::Policy;
use crate::runner::Limits;
use crate::secret::Credentials;
use crate::service::{Parts, Service, registry};
use crate::settings::{Coordinator, Registering};
use crate::spool::Retention;

/// What a test may decide before its executor starts; see [`Harness::with`].
#[must_use = "it starts with `.start().await`"]
#[derive(Debug)]
pub struct Setup<E> {
    executor: E,
    policy: Policy,
    path: Vec<PathBuf>,
    programs: Vec<(String, String)>,
    secrets: Vec<(String, String)>,
    state: Option<PathBuf>,
    token: Option<String>,
    limits: Limits,
    retention: Retention,
    drain_timeout: Duration,
    version: &'static str,
    coordinator: Option<Coordinator>,
}

/// The settings that name a coordinator, as the program reads them.
#[derive(Parser)]
#[command(no_binary_name = true, args_override_self = true)]
struct Flags {
    #[command(flatten)]
    registering: Registering,
}

impl<E: Executor> Setup<E> {
    pub(super) fn new(executor: E) -> Self {
        Self {
            executor,
            policy: Policy::everything(),
            path: Vec::new(),
            programs: Vec::new(),
            secrets: Vec::new(),
            state: None,
            token: None,
            limits: Limits {
                task_timeout: Duration::from_mins(1),
                capacity: 16,
                log_cap: 1024 * 1024,
            },
            retention: Retention { keep: Duration::from_hours(24), keep_bytes: 1 << 30 },
            drain_timeout: Duration::from_secs(10),
            version: E::VERSION,
            coordinator: None,
        }
    }

    /// Gives it this `policy.yaml`. Without one every command, test command and path is allowed.
    pub fn policy(mut self, yaml: &str) -> Self {
        let parsed = Policy::parse(yaml, Path::new("policy.yaml"));
        self.policy = parsed.unwrap_or_else(|error| panic!("{error}"));
        self
    }

    /// Allows paths only below this folder, and playbooks only from that one; every command, test
    /// command and unit.
    pub fn confined(mut self, paths: impl Into<PathBuf>, playbooks: impl Into<PathBuf>) -> Self {
        self.policy = Policy::everything_below(paths.into(), playbooks.into());
        self
    }

    /// Puts a folder before those of this machine's PATH, for programs of the test's own.
    pub fn path(mut self, folder: impl Into<PathBuf>) -> Self {
        self.path.push(folder.into());
        self
    }

    /// Gives this node a program of the test's own: a shell script, found before any other of its
    /// name.
    pub fn program(mut self, name: impl Into<String>, script: impl Into<String>) -> Self {
        self.programs.push((name.into(), script.into()));
        self
    }

    /// Gives this node a secret. Without one it has none, whatever the machine has.
    pub fn secret(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.secrets.push((name.into(), value.into()));
        self
    }

    /// Sets how many tasks run at a time; 16 otherwise.
    pub fn capacity(mut self, tasks: u32) -> Self {
        self.limits.capacity = tasks;
        self
    }

    /// Lets in only who brings this token; the harness does.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Keeps its state here, so that a second harness can go on where the first one stopped.
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state = Some(folder.into());
        self
    }

    /// Sets the time limit of tasks that name none; 60 s otherwise.
    pub fn task_timeout(mut self, limit: Duration) -> Self {
        self.limits.task_timeout = limit;
        self
    }

    /// Sets how long it waits for running tasks when it stops; 10 s otherwise.
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.drain_timeout = limit;
        self
    }

    /// Sets how many bytes of log are kept per attempt; 1 MiB otherwise.
    pub fn log_cap(mut self, bytes: u64) -> Self {
        self.limits.log_cap = bytes;
        self
    }

    /// Sets how long ended attempts are remembered; a day otherwise.
    pub fn keep(mut self, time: Duration) -> Self {
        self.retention.keep = time;
        self
    }

    /// Has it say that it is this version.
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// Has it take part at a coordinator, with more flags of the program, such as
    /// `&["--heartbeat-interval", "1s"]`; of two alike the last one counts. The test's own
    /// environment sets nothing of it.
    pub fn coordinator(mut self, url: &Url, flags: &[&str]) -> Self {
        let command = Flags::command().mut_args(|arg| arg.env(Resettable::Reset));
        let flags = ["--coordinator", url.as_str()].into_iter().chain(flags.iter().copied());
        let read = command.try_get_matches_from(flags);
        let flags = read.and_then(|mut read| Flags::from_arg_matches_mut(&mut read));
        let flags = flags.unwrap_or_else(|error| panic!("{error}"));
        let checked = flags.registering.check(None);
        self.coordinator = checked.unwrap_or_else(|exit| panic!("{exit}"));
        self
    }

    /// Starts it; it listens when this returns.
    pub async fn start(mut self) -> Harness {
        // Another test of this process may have done it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let throw_away = match &self.state {
            Some(_) => None,
            None => Some(tempfile::tempdir().expect("a temporary folder can be made")),
        };
        let state = match (&self.state, &throw_away) {
            (Some(folder), _) => folder.clone(),
            (None, Some(folder)) => folder.path().to_owned(),
            (None, None) => unreachable!("one of them was made"),
        };
        let programs = write_programs(&self.programs);
        self.path.extend(programs.iter().map(|folder| folder.path().to_owned()));
        let secrets = write_secrets(&self.secrets);
        let credentials = Credentials {
            folders: secrets.iter().map(|folder| folder.path().to_owned()).collect(),
        };
        let shutdown = Shutdown::new();
        let (registry, tidy) = registry(self.executor).unwrap_or_else(|exit| panic!("{exit}"));
        let parts = Parts {
            name: E::NAME,
            version: self.version,
            registry,
            tidy,
            policy: self.policy,
            tokens: Tokens::new(self.token.as_deref()),
            environment: environment(self.path),
            credentials,
            limits: self.limits,
            retention: self.retention,
            drain_timeout: self.drain_timeout,
            coordinator: self.coordinator,
        };
        let state = StateDir::open(&state).unwrap_or_else(|exit| panic!("{exit}"));
        let service = Service::open(parts, state, shutdown.clone()).await;
        let service = service.unwrap_or_else(|exit| panic!("{exit}"));
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = daemon::http::bind(any_port).await.unwrap_or_else(|exit| panic!("{exit}"));
        let address = listener.local_addr().expect("a bound port has an address");
        #[expect(clippy::disallowed_methods, reason = "it waits for the tracker itself")]
        let serving = tokio::spawn(service.serve(listener));
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(2));
        Harness {
            url: Url::parse(&format!("http://{address}/")).expect("an address makes a URL"),
            client: client.build().expect("the TLS provider is installed"),
            token: self.token,
            shutdown,
            serving: Some(serving),
            _folders: [throw_away, programs, secrets],
        }
    }
}

fn write_programs(programs: &[(String, String)]) -> Option<TempDir> {
    if programs.is_empty() {
        return None;
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for (name, script) in programs {
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(folder.path().join(name))
            .expect("a program of each name can be written");
        writeln!(file, "#!/bin/sh\n{script}").expect("a program can be written");
    }
    Some(folder)
}

fn write_secrets(secrets: &[(String, String)]) -> Option<TempDir> {
    if secrets.is_empty() {
        return None;
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for (name, value) in secrets {
        std::fs::write(folder.path().join(name), value).expect("a secret can be written");
    }
    Some(folder)
}

/// The test's own environment, as the settings would read it.
fn environment(first: Vec<PathBuf>) -> Environment {
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let folders = first.into_iter().chain(std::env::split_paths(&rest));
    let path: OsString = std::env::join_paths(folders).expect("no colon in a folder's name");
    Environment {
        path: Some(path),
        home: std::env::var_os("HOME").map(PathBuf::from),
        tz: std::env::var_os("TZ"),
    }
}
