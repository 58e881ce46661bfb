//! One long-running process of a homelab.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::until;

/// What to start: the same each time it is started.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: BTreeMap<OsString, OsString>,
    /// The folder in which it starts.
    pub cwd: PathBuf,
    /// The file to which what it prints is appended, over all its lives.
    pub output: PathBuf,
}

/// A daemon of the homelab, running or not. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    spec: Spec,
    port: u16,
    child: Option<Child>,
}

impl Daemon {
    /// Makes one that does not run yet. It will listen on `port` of the loopback address.
    pub fn new(name: impl Into<String>, port: u16, spec: Spec) -> Self {
        Self { name: name.into(), spec, port, child: None }
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the port on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns what it starts.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Changes what the next start starts.
    pub fn spec_mut(&mut self) -> &mut Spec {
        &mut self.spec
    }

    /// Starts the process, in a group of its own, and does not wait until it answers.
    pub fn spawn(&mut self) -> anyhow::Result<()> {
        assert!(!self.is_running(), "{} runs already", self.name);
        self.child = Some(spawn(&self.spec)?);
        Ok(())
    }

    /// Returns its process id, while it runs.
    pub fn pid(&self) -> Option<Pid> {
        let child = self.child.as_ref()?;
        i32::try_from(child.id()).ok().map(Pid::from_raw)
    }

    /// Returns whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.ended().is_none() && self.child.is_some()
    }

    /// Returns how it ended, once it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().expect("a child of ours can be waited for")
    }

    /// Ends it as a power cut would: SIGKILL to the process alone, so that its children live on.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        if let Some(mut child) = self.child.take() {
            child.wait().expect("a child of ours can be waited for");
        }
    }

    /// Asks it to stop (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Sends a signal, if it runs.
    pub fn signal(&self, signal: Signal) {
        let Some(pid) = self.pid() else { return };
        match kill(pid, signal) {
            // It may have ended in the meantime.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => panic!("cannot send {signal} to {}: {error}", self.name),
        }
    }

    /// Waits until it has ended.
    pub async fn ends(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        let status = until(&what, deadline, async || self.ended()).await;
        self.child = None;
        status
    }

    /// Returns everything that it printed, in all its lives.
    pub fn output(&self) -> String {
        fs::read(&self.spec.output)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Returns the last lines that it printed.
    pub fn tail(&self, lines: usize) -> String {
        let text = self.output();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Says how a process ended, for people.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the daemons under test are killed, restarted and left alone, which no command of theirs may be"
)]
fn spawn(spec: &Spec) -> anyhow::Result<Child> {
    let output = append(&spec.output)?;
    let errors = output.try_clone().context("cannot share the output file")?;
    Command::new(&spec.program)
        .args(&spec.args)
        .env_clear()
        .envs(&spec.env)
        .current_dir(&spec.cwd)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start `{}`", spec.program.display()))
}

fn append(path: &Path) -> anyhow::Result<fs::File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot write `{}`", path.display()))
}
