//! Driving a Beads CLI as a person would: make a workspace, write beads, read them.
//!
//! This is the user's side of Beads. It shares nothing with the coordinator's, so that the two
//! cannot be wrong in the same way.

mod bead;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use daemon::process;
use serde_json::Value;

pub use bead::{Bead, Dependency, NewBead};

use crate::command::{self, Answer};
use crate::programs;

/// The two Beads CLIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `bd`, the real one.
    Bd,
    /// `mb`, minibeads: no metadata.
    Mb,
}

/// A Beads CLI that is there.
#[derive(Debug, Clone)]
pub struct BeadsCli {
    /// Which of the two.
    pub kind: Kind,
    /// Where it is.
    pub program: PathBuf,
    /// What it says of itself, such as `bd 1.0.5`.
    pub name: String,
}

impl BeadsCli {
    /// Returns the first one of this kind, or why there is none.
    pub async fn find(kind: Kind) -> Result<Self, String> {
        let mut refused = String::new();
        for cli in Self::all().await {
            match cli {
                Ok(cli) if cli.kind == kind => return Ok(cli),
                Ok(_) => {}
                Err(why) => refused = format!(" ({why})"),
            }
        }
        let word = match kind {
            Kind::Bd => "bd",
            Kind::Mb => "mb",
        };
        Err(format!("no {word} on PATH, in YGG_BD or below target/tools{refused}"))
    }

    /// Returns every program found, each asked what it is; an error is one that cannot be used.
    pub async fn all() -> Vec<Result<Self, String>> {
        let mut all = Vec::new();
        for program in programs::beads_candidates() {
            all.push(ask(&program).await.map_err(|error| format!("{error:#}")));
        }
        all
    }

    /// Makes a workspace in `folder`, with a home for the CLI beside it.
    pub async fn workspace(&self, folder: &Path, home: &Path) -> anyhow::Result<Workspace> {
        fs::create_dir_all(folder)?;
        fs::create_dir_all(home)?;
        let workspace =
            Workspace { cli: self.clone(), folder: folder.to_owned(), home: home.to_owned() };
        match self.kind {
            Kind::Bd => {
                // bd writes into the git repository around it, so it gets one of its own.
                workspace.git(&["init", "--quiet"]).await?;
                workspace
                    .run(&["init", "-p", "hl", "--skip-agents", "--skip-hooks", "--quiet"])
                    .await?
                    .done()?;
            }
            Kind::Mb => {
                workspace.run(&["init", "-p", "hl"]).await?.done()?;
            }
        }
        Ok(workspace)
    }
}

/// Asks a program what it is: `mb` answers `version --json` with plain text, `bd` with JSON.
async fn ask(program: &Path) -> anyhow::Result<BeadsCli> {
    let command = process::Command::new(program)
        .args(["version", "--json"])
        .env("PATH", programs::path())
        .env("HOME", std::env::temp_dir())
        .env("BD_NON_INTERACTIVE", "1")
        .limit(Duration::from_secs(30));
    let answer = command::run(command).await?;
    let text = answer.stdout.trim();
    if let Ok(json) = serde_json::from_str::<Value>(text) {
        let version = json["version"].as_str().context("`version --json` names no version")?;
        ensure!(version != "1.0.4", "bd 1.0.4 reverts closes; use another version");
        let name = format!("bd {version}");
        return Ok(BeadsCli { kind: Kind::Bd, program: program.to_owned(), name });
    }
    let Some(version) = text.strip_prefix("mb version ") else {
        bail!("`{}` is no Beads CLI: it answers `{text}`", program.display());
    };
    let name = format!("mb {version}");
    Ok(BeadsCli { kind: Kind::Mb, program: program.to_owned(), name })
}

/// What mb says when it meets a bead that another mb is writing at this moment.
const TORN: &str = "missing frontmatter";
/// How long such a moment may last on a busy machine.
const TORN_FOR: Duration = Duration::from_secs(5);

/// A Beads workspace, and the CLI that made it.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The CLI.
    pub cli: BeadsCli,
    /// The workspace's folder.
    pub folder: PathBuf,
    home: PathBuf,
}

impl Workspace {
    /// Opens one that exists.
    pub fn open(cli: &BeadsCli, folder: &Path, home: &Path) -> Self {
        Self { cli: cli.clone(), folder: folder.to_owned(), home: home.to_owned() }
    }

    /// Runs one command of the CLI in the workspace, as the person `mimir`.
    pub async fn run(&self, args: &[&str]) -> anyhow::Result<Answer> {
        let start = Instant::now();
        loop {
            let mut command = self.command(&self.cli.program).args(args);
            if self.cli.kind == Kind::Mb {
                // A killed mb leaves an empty file where a bead was.
                command = command.arg("--mb-no-cmd-logging").never_kill();
            }
            let answer = command::run(command).await;
            let answer =
                answer.with_context(|| format!("cannot run {} {args:?}", self.cli.name))?;
            let is_torn = self.cli.kind == Kind::Mb && answer.stderr.contains(TORN);
            if !is_torn || start.elapsed() > TORN_FOR {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn git(&self, args: &[&str]) -> anyhow::Result<String> {
        let git = programs::find("git").context("git is not on PATH")?;
        command::run(self.command(&git).args(args)).await?.done()
    }

    fn command(&self, program: &Path) -> process::Command {
        process::Command::new(program)
            .cwd(&self.folder)
            .env("PATH", programs::path())
            .env("HOME", &self.home)
            .env("TZ", "UTC")
            .env("NO_COLOR", "1")
            .env("BD_NON_INTERACTIVE", "1")
            .env("BEADS_ACTOR", "mimir")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .limit(Duration::from_mins(2))
    }

    /// Writes a bead and returns its id.
    pub async fn create(&self, bead: &NewBead) -> anyhow::Result<String> {
        let args = bead.arguments(self.cli.kind);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let made = self.run(&args).await?.json()?;
        let id = made["id"].as_str().context("the answer of `create` has no id")?;
        Ok(id.to_owned())
    }

    /// Reads one bead.
    pub async fn show(&self, id: &str) -> anyhow::Result<Bead> {
        let shown = self.run(&["show", id, "--json"]).await?.json()?;
        let one = match shown {
            Value::Array(list) => list.into_iter().next().context("`show` gave an empty list")?,
            one => one,
        };
        Ok(Bead::from_json(&one))
    }

    /// Reads every bead, closed ones too, by id.
    pub async fn all(&self) -> anyhow::Result<BTreeMap<String, Bead>> {
        let args: &[&str] = match self.cli.kind {
            Kind::Bd => &["list", "--all", "--limit", "0", "--json"],
            Kind::Mb => &["list", "--json"],
        };
        let listed = self.run(args).await?.json()?;
        let Value::Array(list) = listed else { bail!("`list` gave no list") };
        Ok(list.iter().map(Bead::from_json).map(|bead| (bead.id.clone(), bead)).collect())
    }

    /// Changes a bead: `args` are the flags of `update`.
    pub async fn update(&self, id: &str, args: &[&str]) -> anyhow::Result<()> {
        let all: Vec<&str> = ["update", id].into_iter().chain(args.iter().copied()).collect();
        self.run(&all).await?.done()?;
        Ok(())
    }

    /// Closes a bead, as a person who did it by hand.
    pub async fn close(&self, id: &str) -> anyhow::Result<()> {
        self.run(&["close", id, "--reason", "done by hand"]).await?.done()?;
        Ok(())
    }

    /// Returns the environment that a daemon needs for finding this workspace's CLI's home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Returns the flags by which a coordinator finds this workspace.
    pub fn flags(&self) -> Vec<OsString> {
        vec![
            "--beads-dir".into(),
            self.folder.clone().into(),
            "--bd".into(),
            self.cli.program.clone().into(),
        ]
    }
}
