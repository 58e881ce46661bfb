//! A throw-away homelab in one folder.

mod beads;
mod settings;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use daemon::process;
use reqwest::Client;
use tempfile::TempDir;

pub use settings::Routing;

use crate::child::{Daemon, Spec};
use crate::cli::{BeadsCli, Kind, Workspace};
use crate::command::{self, Answer};
use crate::http::{self, Asked};
use crate::{ports, programs, sweep, until};

/// How long anything may take on a slow, busy machine before a test gives up.
pub const LONG: Duration = Duration::from_secs(90);

/// After how long daemons that wait for their tasks are told to end at once.
const SOON: Duration = Duration::from_millis(500);
/// How long they may take then.
const STOP: Duration = Duration::from_secs(3);

/// The name of the coordinator among the daemons.
pub const COORDINATOR: &str = "coordinator";

/// A throw-away homelab: a Beads workspace, a coordinator and executors as real processes.
///
/// Dropping it ends every process that it started, and their children, and removes the folder; in
/// a failing test it prints first what the daemons printed.
#[derive(Debug)]
pub struct World {
    /// The Beads workspace.
    pub beads: Workspace,
    /// What routing.yaml will say when the coordinator is started next.
    pub routing: Routing,
    daemons: BTreeMap<String, Daemon>,
    client: Client,
    folder: PathBuf,
    // Removes a temporary folder; absent where the folder is somebody else's to remove.
    temporary: Option<TempDir>,
    leave: bool,
}

impl World {
    /// Makes a homelab without daemons in a temporary folder, on the first Beads CLI of `kind`.
    pub async fn new(kind: Kind) -> anyhow::Result<Self> {
        let cli = BeadsCli::find(kind).await.map_err(anyhow::Error::msg)?;
        Self::on(&cli).await
    }

    /// Makes a homelab without daemons on whichever Beads CLI is there, or says why there is none.
    pub async fn any() -> Result<Self, String> {
        let mut why = "no Beads CLI was found".to_owned();
        for cli in BeadsCli::all().await {
            match cli {
                Ok(cli) => return Self::on(&cli).await.map_err(|error| format!("{error:#}")),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// Makes a homelab without daemons in a temporary folder.
    pub async fn on(cli: &BeadsCli) -> anyhow::Result<Self> {
        let temporary = tempfile::Builder::new().prefix("ygg-").tempdir()?;
        // The marks that daemons leave in their environment show the real path.
        let folder = temporary.path().canonicalize()?;
        let mut world = Self::in_folder(cli, &folder).await?;
        world.temporary = Some(temporary);
        Ok(world)
    }

    /// Makes a homelab without daemons in a folder that stays.
    pub async fn in_folder(cli: &BeadsCli, folder: &Path) -> anyhow::Result<Self> {
        for name in ["logs", "state", "home"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let beads = cli.workspace(&folder.join("beads"), &folder.join("home")).await?;
        Ok(Self {
            beads,
            routing: Routing::default(),
            daemons: BTreeMap::new(),
            client: http::client(),
            folder: folder.to_owned(),
            temporary: None,
            leave: false,
        })
    }

    /// Returns its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of a file of the homelab.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns a path of the homelab as text, for params.
    pub fn text_path(&self, name: &str) -> String {
        self.path(name).to_str().expect("the temporary folder has a plain name").to_owned()
    }

    /// Leaves the processes running when this value is dropped.
    pub fn leave_running(&mut self) {
        self.leave = true;
        let daemons = std::mem::take(&mut self.daemons);
        daemons.into_values().for_each(std::mem::forget);
    }

    /// Adds an executor that is this workspace's program `program`, starts it, waits until it
    /// answers, and names it in routing.yaml. Routes are the caller's.
    pub async fn executor(
        &mut self,
        name: &str,
        program: &str,
        args: &[&str],
    ) -> anyhow::Result<()> {
        let port = ports::free();
        let state = self.folder.join("state").join(name);
        let mut all = self.common(name, port, &state);
        all.extend(args.iter().map(OsString::from));
        let spec = self.spec(name, programs::ours(program), all);
        self.routing.executor(name, port);
        self.daemons.insert(name.to_owned(), Daemon::new(name, port, spec));
        self.start(name).await
    }

    /// Adds the coordinator and starts it with the routing of this moment.
    pub async fn coordinator(&mut self, args: &[&str]) -> anyhow::Result<()> {
        self.prepare_coordinator(args)?;
        self.start(COORDINATOR).await
    }

    /// Adds the coordinator without starting it.
    pub fn prepare_coordinator(&mut self, args: &[&str]) -> anyhow::Result<()> {
        self.write_routing()?;
        let port = ports::free();
        let state = self.folder.join("state").join(COORDINATOR);
        let mut all = self.common(COORDINATOR, port, &state);
        all.extend(["--routing".into(), self.folder.join("routing.yaml").into()]);
        all.extend(self.beads.flags());
        // A test that needs the interval says so; all others go by the change signal.
        if !args.contains(&"--poll-interval") {
            all.extend(["--poll-interval".into(), "5s".into()]);
        }
        all.extend(args.iter().map(OsString::from));
        let spec = self.spec(COORDINATOR, programs::ours("yggdrasil-coordinator"), all);
        self.daemons.insert(COORDINATOR.to_owned(), Daemon::new(COORDINATOR, port, spec));
        Ok(())
    }

    /// Writes routing.yaml as `routing` says now.
    pub fn write_routing(&self) -> anyhow::Result<()> {
        fs::write(self.folder.join("routing.yaml"), self.routing.to_string())
            .context("cannot write routing.yaml")
    }

    fn common(&self, name: &str, port: u16, state: &Path) -> Vec<OsString> {
        let log = self.folder.join("logs").join(format!("{name}.log"));
        vec![
            "--port".into(),
            port.to_string().into(),
            "--state-dir".into(),
            state.into(),
            "--log-file".into(),
            log.into(),
        ]
    }

    fn spec(&self, name: &str, program: PathBuf, args: Vec<OsString>) -> Spec {
        let env = [
            ("PATH", programs::path()),
            ("HOME", self.folder.join("home").into()),
            (sweep::MARK, self.folder.clone().into()),
            ("LOG_LEVEL", "debug".into()),
            ("LANG", "C.UTF-8".into()),
        ];
        Spec {
            program,
            args,
            env: env.into_iter().map(|(key, value)| (key.into(), value)).collect(),
            cwd: self.folder.clone(),
            output: self.folder.join("logs").join(format!("{name}.out")),
        }
    }

    /// Runs one of this workspace's programs to its end.
    pub async fn once(&self, program: &str, args: &[&str]) -> Answer {
        let state = self.folder.join("state").join("once");
        let command = process::Command::new(programs::ours(program))
            .args(self.common("once", ports::free(), &state))
            .args(args)
            .cwd(&self.folder)
            .env("PATH", programs::path())
            .env("HOME", self.folder.join("home"))
            .limit(LONG);
        command::run(command).await.expect("a program of ours can be started")
    }

    /// Starts a daemon that was added before and waits until it answers.
    pub async fn start(&mut self, name: &str) -> anyhow::Result<()> {
        let asked = self.ask(name);
        let daemon = self.daemon(name);
        daemon.spawn()?;
        let what = format!("{name} answers");
        let early = until(&what, LONG, async || match daemon.ended() {
            Some(status) => Some(Some(status)),
            None => asked.is_up().await.then_some(None),
        })
        .await;
        if let Some(status) = early {
            let how = crate::child::describe(status);
            anyhow::bail!("{name} ended at once with {how}:\n{}", daemon.tail(20));
        }
        Ok(())
    }

    /// Returns a daemon.
    pub fn daemon(&mut self, name: &str) -> &mut Daemon {
        self.daemons.get_mut(name).unwrap_or_else(|| panic!("no daemon `{name}` was added"))
    }

    /// Kills a daemon as a power cut would.
    pub fn kill(&mut self, name: &str) {
        self.daemon(name).kill();
    }

    /// Returns the port of a daemon.
    pub fn port(&self, name: &str) -> u16 {
        self.daemons.get(name).map_or_else(|| panic!("no daemon `{name}` was added"), Daemon::port)
    }

    /// Stops everything as an impatient person would (SIGTERM, and soon again), and ends what is
    /// left.
    pub async fn stop(&mut self) {
        let mut daemons = std::mem::take(&mut self.daemons);
        for patience in [SOON, STOP] {
            for daemon in daemons.values() {
                daemon.terminate();
            }
            let start = std::time::Instant::now();
            while daemons.values_mut().any(Daemon::is_running) && start.elapsed() < patience {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        drop(daemons);
        sweep::end(&self.folder);
    }

    /// Returns a way to ask a daemon.
    pub fn ask(&self, name: &str) -> Asked {
        let daemon = self.daemons.get(name);
        let daemon = daemon.unwrap_or_else(|| panic!("no daemon `{name}` was added"));
        Asked::new(&self.client, daemon.url())
    }

    /// Returns a way to ask the coordinator.
    pub fn ygg(&self) -> Asked {
        self.ask(COORDINATOR)
    }

    /// Returns the HTTP client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn logs(&self) -> String {
        let mut text = String::new();
        for daemon in self.daemons.values() {
            let tail = daemon.tail(150);
            writeln!(text, "---- {} printed (last lines)\n{tail}", daemon.name())
                .expect("a String can be written");
        }
        text
    }
}

impl Drop for World {
    #[expect(clippy::print_stderr, reason = "what the daemons printed explains a failed test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        if self.leave {
            return;
        }
        self.daemons.clear();
        sweep::end(&self.folder);
        drop(self.temporary.take());
    }
}
