//! The one door to a Beads program: one command at a time, in the order asked.
//!
//! A task of its own runs the commands, so a caller that goes away never cuts one in the middle.
//! It lives as long as a [`Door`] does, and finishes what runs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use daemon::process::{Captured, Command, ExitKind, SpawnError, Why, capture};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::bead::{Bead, BeadId};
use super::classify;
use super::command::{Call, Words};
use super::dialect::beginning;
use super::error::BeadsError;
use super::parse;
use super::workspace::Store;
use crate::metrics::{BeadsTimes, Turn};

/// 10,000 beads take about 10 MiB; one bead may carry 1 MiB.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// A program that was told to end gets this long before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// What ending a program may take beyond its limit, before callers stop waiting for that too.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a program is started: everything but its arguments.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) program: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) env: BTreeMap<OsString, OsString>,
    pub(super) limit: Duration,
    pub(super) may_be_ended: bool,
}

impl Start {
    /// One command, ready to run.
    fn command(&self, argv: Vec<OsString>, stdin: Vec<u8>, limit: Duration) -> Command {
        let mut command = Command::new(&self.program)
            .args(argv)
            .cwd(&self.folder)
            .stdin(stdin)
            .limit(limit)
            .grace(GRACE)
            .split();
        for (name, value) in &self.env {
            command = command.env(name, value);
        }
        if self.may_be_ended { command } else { command.never_kill() }
    }

    /// Asks a program about itself, outside of any store.
    pub(super) async fn ask(&self, argv: &[&str]) -> Result<Captured, BeadsError> {
        let words = argv.iter().map(OsString::from).collect();
        let command = self.command(words, Vec::new(), self.limit);
        let captured = capture(command, 1024 * 1024, &CancellationToken::new())
            .await
            .map_err(|source| self.cannot_start(source))?;
        if captured.ended.why == Why::Limit {
            let command = format!("{} {}", self.program.display(), argv.join(" "));
            return Err(BeadsError::TimedOut { command, limit: self.limit, ended: true });
        }
        Ok(captured)
    }

    fn cannot_start(&self, source: SpawnError) -> BeadsError {
        BeadsError::Start { program: self.program.clone(), source }
    }
}

/// What a command printed, when nothing in it speaks of a failure.
#[derive(Debug)]
pub(super) struct Said {
    command: String,
    stdout: String,
}

impl Said {
    /// The elements of the answer, unread.
    pub(super) fn rows(&self) -> Result<Vec<&RawValue>, BeadsError> {
        parse::rows(&self.stdout).ok_or_else(|| self.garbage())
    }

    /// The first bead of the answer, whichever it is.
    pub(super) fn first_bead(&self) -> Result<Bead, BeadsError> {
        let first = self.rows()?.into_iter().find_map(parse::bead);
        first.ok_or_else(|| self.garbage())
    }

    /// The answer as text.
    pub(super) fn text(&self) -> &str {
        &self.stdout
    }

    fn garbage(&self) -> BeadsError {
        BeadsError::Garbage { command: self.command.clone(), said: beginning(&self.stdout) }
    }
}

/// A clone shares the same queue.
#[derive(Clone)]
pub(super) struct Door {
    jobs: mpsc::UnboundedSender<Job>,
    pub(super) words: Arc<Words>,
    pub(super) times: Arc<BeadsTimes>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("words", &self.words).finish_non_exhaustive()
    }
}

enum Job {
    Run {
        call: Call,
        answer: oneshot::Sender<Result<Said, BeadsError>>,
        turn: Turn,
    },
    /// Dropped when everything before it has ended.
    Mark(oneshot::Sender<()>),
}

impl Door {
    /// Opens the queue; must be called on the runtime that is to run it.
    pub(super) fn open(start: Start, words: Words, store: Store) -> Self {
        let (jobs, waiting) = mpsc::unbounded_channel();
        let (words, times) = (Arc::new(words), Arc::<BeadsTimes>::default());
        let queue = Queue {
            program: words.dialect.to_string(),
            words: words.clone(),
            start,
            store,
            times: times.clone(),
        };
        // The queue ends with its last door, so nobody has to wait for the tracker.
        let _task = TaskTracker::new().spawn(queue.serve(waiting));
        Self { jobs, words, times }
    }

    /// Runs one command when its turn has come.
    ///
    /// Once it runs it is finished even when nobody waits for the answer any more.
    pub(super) async fn run(&self, call: Call) -> Result<Said, BeadsError> {
        let (answer, said) = oneshot::channel();
        let turn = self.times.turn();
        if self.jobs.send(Job::Run { call, answer, turn }).is_err() {
            return Err(BeadsError::Stopped);
        }
        said.await.unwrap_or(Err(BeadsError::Stopped))
    }

    /// Runs a command about one bead and reads that bead from its answer.
    ///
    /// `NotFound` when the answer is about another one, which an id cut short brings about.
    pub(super) async fn bead(&self, call: Call) -> Result<Bead, BeadsError> {
        let asked = call.bead().cloned();
        let bead = self.run(call).await?.first_bead()?;
        match asked {
            Some(id) if id != bead.id => Err(BeadsError::NotFound { id }),
            _ => Ok(bead),
        }
    }

    /// Whether a plain listing names a bead.
    pub(super) async fn names(&self, call: Call, id: &BeadId) -> Result<bool, BeadsError> {
        let said = self.run(call).await?;
        Ok(said.text().lines().any(|line| line.split_whitespace().any(|word| word == id.as_str())))
    }

    /// Waits until every command asked for up to now has ended.
    pub(super) async fn idle(&self) {
        let (mark, reached) = oneshot::channel();
        if self.jobs.send(Job::Mark(mark)).is_ok() {
            let _reached = reached.await;
        }
    }
}

struct Queue {
    /// Name and version.
    program: String,
    words: Arc<Words>,
    start: Start,
    store: Store,
    times: Arc<BeadsTimes>,
}

impl Queue {
    async fn serve(self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        // The first command may find a store that has to be migrated.
        let mut limit = self.start.limit * 2;
        while let Some(job) = jobs.recv().await {
            let Job::Run { call, answer, turn: _turn } = job else { continue };
            if answer.is_closed() {
                continue;
            }
            if let Err(error) = self.store.check() {
                let _gone = answer.send(Err(error));
                continue;
            }
            let command = self.start.command(self.words.argv(&call), call.stdin(), limit);
            let ending = if self.start.may_be_ended { PATIENCE } else { Duration::ZERO };
            let never = CancellationToken::new();
            let mut running = pin!(capture(command, ANSWER_BYTES, &never));
            let begun = Instant::now();
            let ended = timeout(limit + ending, &mut running).await.ok();
            let is_late = ended.is_none();
            let said = ended.map_or_else(
                || Err(self.late(&call, limit)),
                |captured| self.judge(&call, captured, limit),
            );
            self.times.ran(call.verb(), begun.elapsed(), said.as_ref().err());
            let _gone = answer.send(said);
            if is_late {
                self.refuse_until(&mut running, &mut jobs, &call, limit).await;
            }
            limit = self.start.limit;
        }
    }

    /// A command that cannot be ended goes on alone: two at once would lose beads, and so would
    /// ending it. Whoever asks meanwhile hears why at once.
    async fn refuse_until<T>(
        &self,
        running: &mut (impl Future<Output = T> + Unpin),
        jobs: &mut mpsc::UnboundedReceiver<Job>,
        call: &Call,
        limit: Duration,
    ) {
        let mut marks = Vec::new();
        warn!("`{} {call}` still runs after {limit:?}; no other is started", self.program);
        loop {
            tokio::select! {
                _ = &mut *running => break,
                Some(job) = jobs.recv() => match job {
                    Job::Run { answer, .. } => {
                        let _gone = answer.send(Err(self.late(call, limit)));
                    }
                    Job::Mark(reached) => marks.push(reached),
                },
            }
        }
        warn!("`{} {call}` has ended at last", self.program);
        drop(marks);
    }

    fn late(&self, call: &Call, limit: Duration) -> BeadsError {
        BeadsError::TimedOut { command: self.shown(call), limit, ended: false }
    }

    fn shown(&self, call: &Call) -> String {
        format!("{} {call}", self.words.dialect.name)
    }

    fn judge(
        &self,
        call: &Call,
        captured: Result<Captured, SpawnError>,
        limit: Duration,
    ) -> Result<Said, BeadsError> {
        let Captured { ended, stdout, stderr, cut } =
            captured.map_err(|source| self.start.cannot_start(source))?;
        let command = self.shown(call);
        debug!(duration_ms = ended.duration.as_millis(), "ran `{command}`: {:?}", ended.exit);
        if ended.why != Why::Exited && self.start.may_be_ended {
            return Err(BeadsError::TimedOut { command, limit, ended: true });
        }
        let stderr = String::from_utf8_lossy(&stderr);
        let code = match ended.exit {
            ExitKind::Code(code) => Some(code),
            ExitKind::Signal(_) => None,
        };
        let ended = classify::Ended {
            program: &self.program,
            command: &command,
            bead: call.bead(),
            json: call.is_json(),
            code,
            stdout: &stdout,
            stderr: &stderr,
        };
        if let Some(error) = classify::trouble(ended) {
            return Err(error);
        }
        if cut {
            let said = format!("more than {ANSWER_BYTES} bytes");
            return Err(BeadsError::Garbage { command, said });
        }
        let stdout = String::from_utf8(stdout)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Ok(Said { command, stdout })
    }
}
