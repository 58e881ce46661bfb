//! What a running task may use.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::command::RunCommand;
use crate::log::AttemptLog;
use crate::node::Node;
use crate::playbook::RunPlaybook;
use crate::presence::Hold;
use crate::result::Failure;
use crate::secret::{Revealed, Secret};
use crate::stop::Stop;

/// What a running task may use: commands, the shared HTTP client, its log, its time limit.
///
/// It belongs to one attempt; cloning it is cheap.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    attempt: Uuid,
    task_id: String,
    deadline: Instant,
    node: Arc<Node>,
    log: Arc<AttemptLog>,
    stop: Arc<Stop>,
    commands: AtomicU32,
    temp: OnceLock<TempDir>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("task_id", &self.inner.task_id)
            .field("attempt", &self.inner.attempt)
            .finish_non_exhaustive()
    }
}

impl Context {
    pub(crate) fn new(
        attempt: Uuid,
        task_id: String,
        deadline: Instant,
        node: Arc<Node>,
        log: Arc<AttemptLog>,
        stop: Arc<Stop>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                attempt,
                task_id,
                deadline,
                node,
                log,
                stop,
                commands: AtomicU32::new(0),
                temp: OnceLock::new(),
            }),
        }
    }

    /// Prepares to run a program with arguments; `.await` runs it.
    ///
    /// There is no shell unless the program is one. Both streams go to the task's log.
    pub fn run_command(&self, program: impl AsRef<OsStr>) -> RunCommand<'_> {
        RunCommand::new(self, program.as_ref())
    }

    /// Prepares to run `ansible-playbook` on a playbook below the policy's `playbooks` folder;
    /// `.await` runs it.
    pub fn run_playbook(&self, playbook: impl Into<String>) -> RunPlaybook<'_> {
        RunPlaybook::new(self, playbook.into())
    }

    /// Returns the shared HTTP client: connect timeout 5 s, no proxy, no limit of its own (the
    /// task's applies).
    pub fn http(&self) -> &reqwest::Client {
        self.inner.node.http()
    }

    /// Writes a line into the task's log.
    pub fn log(&self, line: impl AsRef<str>) {
        let line = line.as_ref();
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        self.inner.log.append(&bytes);
    }

    /// Writes text into the task's log as it is, without the end of a line.
    pub fn print(&self, text: impl AsRef<str>) {
        self.inner.log.append(text.as_ref().as_bytes());
    }

    /// Waits until the task is to stop: cancelled, over its time limit, or the executor ends.
    ///
    /// Who calls this gets up to ten seconds to tidy up after it; otherwise the task is dropped
    /// at once.
    pub async fn cancelled(&self) {
        self.inner.stop.watch().await;
    }

    /// Returns how much of the task's time limit is left.
    pub fn remaining(&self) -> Duration {
        self.inner.deadline.saturating_duration_since(Instant::now())
    }

    /// Returns a folder of this attempt alone; it is removed when the task has ended.
    pub fn temp_dir(&self) -> Result<&Path, Failure> {
        if let Some(made) = self.inner.temp.get() {
            return Ok(&made.0);
        }
        let path = self.inner.node.temp.join(self.inner.attempt.to_string());
        make_private(&path).map_err(|error| {
            Failure::new(format!("cannot make the folder `{}`: {error}", path.display()))
        })?;
        Ok(&self.inner.temp.get_or_init(|| TempDir(path)).0)
    }

    /// Returns the executor's state folder, for notes that outlive the attempt. The names that
    /// begin with `author-` are the author's.
    pub fn state_dir(&self) -> &Path {
        let temp = &self.inner.node.temp;
        temp.parent().unwrap_or(temp)
    }

    /// Finds a program on this node.
    pub fn tool(&self, name: &str) -> Option<PathBuf> {
        self.inner.node.environment.find(name.as_ref())
    }

    /// Returns the value of a secret of this node. From here on it is `***` in the task's log and
    /// in its outcome.
    pub fn secret(&self, secret: &Secret) -> Result<Revealed, Failure> {
        let revealed = self.inner.node.credentials.reveal(secret)?;
        self.inner.log.mask(&revealed);
        Ok(revealed)
    }

    /// Makes a text that is not on the node a secret as well, such as the id of a session.
    pub fn keep_secret(&self, text: impl Into<String>) -> Revealed {
        let revealed = Revealed::new(text.into());
        self.inner.log.mask(&revealed);
        revealed
    }

    /// Holds new work off: `/health` says `draining` with the reason, and orders are refused, for
    /// as long as the answer lives. What runs already goes on; [`Hold::others`] tells.
    pub fn hold_new_work(&self, reason: impl Into<String>) -> Hold {
        Hold::new(&self.inner.node.presence, self.inner.attempt, reason.into())
    }

    /// Returns the attempt's id.
    pub fn attempt(&self) -> Uuid {
        self.inner.attempt
    }

    /// Returns what the caller calls this work: the bead's id, as a rule.
    pub fn task_id(&self) -> &str {
        &self.inner.task_id
    }

    pub(crate) fn node(&self) -> &Node {
        &self.inner.node
    }

    pub(crate) fn attempt_log(&self) -> &Arc<AttemptLog> {
        &self.inner.log
    }

    pub(crate) fn stop(&self) -> &Arc<Stop> {
        &self.inner.stop
    }

    /// Returns the mark of the next command: `SPOOL/LIFE/ATTEMPT/N`.
    pub(crate) fn next_mark(&self) -> String {
        let n = self.inner.commands.fetch_add(1, Ordering::Relaxed) + 1;
        format!("{}{}/{n}", self.inner.node.mark_of_this_life(), self.inner.attempt)
    }
}

fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().mode(0o700).create(path);
    match made {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Removes the folder with all that is in it when the last user of the context is gone.
struct TempDir(PathBuf);

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove a temporary folder");
        }
    }
}
