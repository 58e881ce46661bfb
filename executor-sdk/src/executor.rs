//! The two traits an author implements, and the list that joins them.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Context, Failure, TaskResult};

/// A daemon that runs tasks. The implementing struct is its settings.
///
/// The struct is filled from flags and environment variables before anything starts; a field
/// that is no setting is marked `#[arg(skip)]`.
pub trait Executor: clap::Args + Send + Sync + Sized + 'static {
    /// What it is called in `/health`, logs and routes, such as `muninn-executor`.
    const NAME: &'static str;

    /// Its version. An executor outside of this workspace sets its own, as
    /// `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    /// Checks the settings and reads the files that they name, before anything starts; a failure
    /// is exit code 78. `--check` does it too.
    fn prepare(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Returns the tasks it can do. `run-command` and `run-playbook` are there without a word.
    fn tasks() -> Tasks<Self>;

    /// Puts in order what an earlier life left behind, once, before anything listens.
    ///
    /// What that life had started has ended by then. `state` is the state folder; an executor
    /// that keeps notes there (see [`Context::state_dir`]) reads them here.
    fn tidy(&self, _state: &Path) {}
}

/// One kind of work. The implementing struct is its params, and the struct's doc comment is
/// the description that `/status` shows.
///
/// Unknown fields in the params are refused at any depth, without an attribute. Three shapes of
/// serde hide them: `flatten`, `untagged` and internally tagged enums (`tag = …`). Use plain
/// structs and externally tagged enums. A task without params is `struct X {}`.
pub trait Task<E: Executor>: DeserializeOwned + JsonSchema + Send + 'static {
    /// The type name that orders use, such as `plex-scan`.
    const TYPE: &'static str;

    /// The time limit of an order that names none; without it the executor's `--task-timeout`.
    const TIMEOUT: Option<Duration> = None;

    /// Whether it may run again after its executor was lost in the middle.
    const IDEMPOTENT: bool = false;

    /// Whether a failure is worth another attempt.
    const RETRYABLE: bool = false;

    /// The programs it needs. One that this node lacks is shown in `/status` before anybody
    /// orders the task, and is the error of the outcome when somebody does. `"docker|podman"` is
    /// there where either is.
    const TOOLS: &'static [&'static str] = &[];

    /// Returns what the node's policy is asked, from the raw params, before they are parsed.
    ///
    /// The params can be of any shape here: ignore what cannot be read, it is refused later.
    fn asks(_params: &Map<String, Value>) -> Vec<Ask> {
        Vec::new()
    }

    /// Does the work. `?` on any error is how it fails.
    ///
    /// When the time limit is reached or somebody cancels, commands are ended with their whole
    /// process group; the future itself is dropped at its next `.await` unless it watches
    /// [`Context::cancelled`].
    fn run(self, executor: &E, cx: &Context) -> impl Future<Output = TaskResult> + Send;
}

/// What a task wants to touch; the node's policy says whether it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// To run this program, as the params name it.
    Command(String),
    /// To run this playbook (or to use this inventory file), below the policy's folder.
    Playbook(String),
    /// To read or write below this path.
    Path(PathBuf),
    /// To start, stop or restart this systemd unit; `plex` is `plex.service`.
    Service(String),
    /// To run this test command, split into its arguments.
    TestCommand(Vec<String>),
}

impl Ask {
    /// Returns an [`Ask::Path`] for each of these members of the params that is a string.
    pub fn paths(params: &Map<String, Value>, members: &[&str]) -> Vec<Self> {
        members
            .iter()
            .filter_map(|member| params.get(*member)?.as_str())
            .map(|path| Self::Path(PathBuf::from(path)))
            .collect()
    }

    /// Returns an [`Ask::TestCommand`] for this member of the params: a list of arguments, or a
    /// text that is split at blanks. Without the member there is nothing to ask.
    pub fn test_command(params: &Map<String, Value>, member: &str) -> Option<Self> {
        let words = match params.get(member)? {
            Value::Null => return None,
            Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
            Value::Array(words) => words
                .iter()
                .map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned))
                .collect(),
            other => vec![other.to_string()],
        };
        Some(Self::TestCommand(words))
    }
}

/// The tasks of an executor, in the order in which `/status` shows them.
pub struct Tasks<E> {
    pub(crate) entries: Vec<crate::registry::Builder<E>>,
}

impl<E> std::fmt::Debug for Tasks<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks").field("count", &self.entries.len()).finish()
    }
}

impl<E: Executor> Default for Tasks<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Executor> Tasks<E> {
    /// Returns an empty list.
    pub fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Adds one kind of work. Two with one type name do not start.
    #[must_use]
    pub fn with<T: Task<E>>(mut self) -> Self {
        self.entries.push(crate::registry::build::<E, T>);
        self
    }
}
