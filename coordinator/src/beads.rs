//! The only module that knows `bd` and `mb`: ready, claim, settle.
//!
//! Beads says what is to be done and records what came of it. Two programs keep beads: `bd`, the
//! design case, and `mb` (minibeads), for trying out. How they differ stands in one table,
//! [`Dialect`], filled by asking the program.
//!
//! - `bead`, `parse`: what a program printed, as beads.
//! - `command`, `clean`: what is asked of it, and what may stand in the question.
//! - `door`: one command at a time; `classify`, `error`: what an answer means.
//! - `workspace`, `dialect`: which store and which program; `signal`: was anything written?
//! - `read`, `claim`, `proof`, `settle`, `ending`, `result`, `mend`: what the coordinator does.
//!
//! Rules that hold everywhere here: exit 0 proves nothing, the bead that was printed does; after
//! an error the bead is read, then decided; an id is never empty and never cut short; no text of
//! ours carries a control character.

mod bead;
mod claim;
mod classify;
mod clean;
mod command;
mod dialect;
mod door;
mod ending;
mod error;
mod gates;
mod mend;
mod parse;
mod proof;
mod read;
mod result;
mod settle;
mod signal;
#[cfg(test)]
mod transcript;
mod workspace;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use daemon::process::find_program;
use tokio::sync::{Mutex, MutexGuard};

pub use bead::{ATTEMPT_KEY, ATTEMPT_LABEL, BadId, Bead, BeadId, Dependency, RESULT_KEY, Status};
pub use claim::{Adoption, ClaimAnswer};
pub use clean::clean;
pub use dialect::{Dialect, Program, Version};
pub use ending::Unsettled;
pub use error::{BeadsError, BeadsTrouble};
pub use proof::Claim;
pub use read::{Listing, Poisoned};
pub use settle::{Block, Later, WAITING};
pub use signal::Signal;

use crate::metrics::BeadsTimes;
use command::Words;
use dialect::Help;
use door::{Door, Start};
use proof::Live;
use workspace::{Store, writable_home};

/// How to reach a store. Everything that comes from the environment is handed in here.
#[derive(Debug, Clone)]
pub struct BeadsSettings {
    /// The program; without it `bd` on the path, else `mb`.
    pub program: Option<PathBuf>,
    /// The workspace or the store folder in it; without it the working directory and upward.
    pub beads_dir: Option<PathBuf>,
    /// The name that our claims carry: stable over restarts, different for each ledger.
    pub actor: String,
    /// Our state folder: a home of `bd`'s own and results on their way go below it.
    pub home: PathBuf,
    /// `PATH`, for finding the program and for what it runs.
    pub path: Option<OsString>,
    /// `HOME`, used when it can be written.
    pub user_home: Option<PathBuf>,
    /// Settings of a Dolt server; of the variables handed in only `BEADS_DOLT_*` and
    /// `BEADS_CREDENTIALS_FILE` are passed on.
    pub passthrough: BTreeMap<OsString, OsString>,
    /// How long one command may take; the first one on a store twice as long.
    pub limit: Duration,
}

/// A store of beads, through its program. A clone shares the queue.
#[derive(Debug, Clone)]
pub struct Beads {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    door: Door,
    store: Store,
    signal: Signal,
    scratch: PathBuf,
    /// Held by what takes several commands, so that no two of them mix.
    turn: Mutex<()>,
    live: Live,
}

impl Beads {
    /// Finds the program and asks it what it can do, then finds the store and looks at it.
    ///
    /// Runs no command on the store yet: [`Beads::check_store`] does.
    pub async fn open(settings: BeadsSettings) -> Result<Self, BeadsError> {
        let actor = actor(&settings.actor)?;
        let program = program(&settings)?;
        let home = writable_home(settings.user_home.as_deref(), &settings.home)?;
        let mut env = environment(&settings, &home);
        let mut start = Start {
            program,
            folder: home.clone(),
            env: env.clone(),
            limit: settings.limit,
            may_be_ended: true,
        };
        let dialect = ask(&start).await?;

        let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let store = Store::find(dialect.program, settings.beads_dir.as_deref(), &here)?;
        env.insert("BEADS_DIR".into(), store.folder.clone().into());
        store.workspace().clone_into(&mut start.folder);
        start.env = env;
        start.may_be_ended = dialect.may_be_ended;
        let server = settings.passthrough.get(OsStr::new("BEADS_DOLT_SERVER_MODE"));
        let server = server.is_some_and(|mode| mode != "0" && mode != "false");
        let signal = Signal::of(&store, server);
        let door = Door::open(start, Words { dialect, actor }, store.clone());
        let (turn, live) = (Mutex::default(), Live::default());
        let scratch = std::path::absolute(&settings.home).unwrap_or(settings.home);
        Ok(Self { inner: Arc::new(Inner { door, store, signal, scratch, turn, live }) })
    }

    /// Looks at the store and asks for one bead, for nothing but the error.
    pub async fn check_store(&self) -> Result<(), BeadsError> {
        self.inner.store.check()?;
        match self.door().run(Words::list_one()).await {
            // One bead that cannot be read is no fault of the store.
            Ok(_) | Err(BeadsError::Poisoned { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The program's row in the table of differences.
    pub fn dialect(&self) -> &Dialect {
        &self.words().dialect
    }

    /// Tells cheaply whether anybody has written.
    pub fn signal(&self) -> Signal {
        self.inner.signal.clone()
    }

    /// How long its commands took.
    pub fn times(&self) -> &Arc<BeadsTimes> {
        &self.door().times
    }

    /// The folder of the store.
    pub fn store_folder(&self) -> &Path {
        &self.inner.store.folder
    }

    /// Waits until every command asked for up to now has ended; for the way out.
    pub async fn idle(&self) {
        self.door().idle().await;
    }

    fn door(&self) -> &Door {
        &self.inner.door
    }

    fn words(&self) -> &Words {
        &self.inner.door.words
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }

    async fn turn(&self) -> MutexGuard<'_, ()> {
        self.inner.turn.lock().await
    }

    fn live(&self) -> &Live {
        &self.inner.live
    }

    fn scratch(&self) -> &Path {
        &self.inner.scratch
    }
}

/// A name that every version stores and no command line mistakes.
fn actor(name: &str) -> Result<String, BeadsError> {
    let refuse = |why| Err(BeadsError::Actor { actor: clean(name, 80), why });
    if name.is_empty() || name.starts_with('-') {
        return refuse("it is empty or starts with `-`");
    }
    if name.len() > 255 {
        return refuse("it is longer than 255 bytes");
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return refuse("it has blanks or control characters");
    }
    Ok(name.to_owned())
}

fn program(settings: &BeadsSettings) -> Result<PathBuf, BeadsError> {
    let path = settings.path.as_deref();
    let missing = |looked_for: String| BeadsError::ProgramMissing { looked_for };
    let found = match &settings.program {
        Some(given) => find_program(given.as_os_str(), path)
            .ok_or_else(|| missing(format!("`{}` is not there", given.display())))?,
        None => find_program(OsStr::new("bd"), path)
            .or_else(|| find_program(OsStr::new("mb"), path))
            .ok_or_else(|| missing("neither `bd` nor `mb` is on the PATH".to_owned()))?,
    };
    std::path::absolute(&found).map_err(|_| missing(format!("`{}`", found.display())))
}

/// The whole environment of a command: built from nothing, so that no `BEADS_*` or `BD_*` of the
/// caller gets in.
fn environment(settings: &BeadsSettings, home: &Path) -> BTreeMap<OsString, OsString> {
    let wanted = |name: &OsStr| {
        let name = name.to_string_lossy();
        name.starts_with("BEADS_DOLT_") || name == "BEADS_CREDENTIALS_FILE"
    };
    let mut env: BTreeMap<OsString, OsString> = settings
        .passthrough
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    env.insert("HOME".into(), home.into());
    env.extend(settings.path.iter().map(|path| ("PATH".into(), path.clone())));
    env.insert("TZ".into(), "UTC".into());
    env.insert("NO_COLOR".into(), "1".into());
    env.insert("BD_NON_INTERACTIVE".into(), "1".into());
    env
}

/// Asks the program which one it is, and `bd` for its help texts.
async fn ask(start: &Start) -> Result<Dialect, BeadsError> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let version = start.ask(&["version", "--json"]).await?;
    let said = text(&version.stdout);
    let (program, version) = Dialect::from_version(&said).ok_or_else(|| {
        let said = if said.trim().is_empty() { text(&version.stderr) } else { said };
        BeadsError::NotBeads { program: start.program.clone(), said: dialect::beginning(&said) }
    })?;
    if program == Program::Mb {
        return Dialect::new(program, version, &Help::default());
    }
    // Refused before it is asked anything else.
    Dialect::new(program, version, &Help::default())?;
    let update = text(&start.ask(&["update", "--help"]).await?.stdout);
    let close = text(&start.ask(&["close", "--help"]).await?.stdout);
    // Only a version with guards has these; the others would print all their commands.
    let (mut unclaim, mut heartbeat) = (String::new(), String::new());
    if update.contains("--if-assignee") {
        unclaim = text(&start.ask(&["unclaim", "--help"]).await?.stdout);
        heartbeat = text(&start.ask(&["heartbeat", "--help"]).await?.stdout);
    }
    let help = Help { update: &update, close: &close, unclaim: &unclaim, heartbeat: &heartbeat };
    Dialect::new(program, version, &help)
}

#[cfg(test)]
mod tests;
