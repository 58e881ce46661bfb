//! The coordinator's own durable store: every attempt, from before anything happens outside
//! until the bead tells the truth.
//!
//! Every change is one compare-and-set transaction on (attempt, revision), and the store says
//! what time it is. One conformance suite (`ledger/conformance.rs`) runs against every
//! implementation.

use async_trait::async_trait;
use jiff::Timestamp;
pub use protocol::coordinator::Stage;
use protocol::execute::{ExecuteRequest, Outcome};
use thiserror::Error;
use uuid::Uuid;

use crate::beads::BeadId;
use crate::routing::ExecutorName;
use crate::settle::{Hold, TaskFacts, Verdict};

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod faulty;
mod sqlite;
mod timed;

pub use sqlite::SqliteLedger;
pub use timed::TimedLedger;

/// Names this ledger and this life of the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Made once with the ledger.
    pub ledger: Uuid,
    /// Rises by one at each start.
    pub epoch: u64,
}

/// An attempt before the ledger knows it.
#[derive(Debug, Clone)]
pub struct NewAttempt {
    /// The attempt's id, a UUIDv7.
    pub id: Uuid,
    /// The bead.
    pub bead: BeadId,
    /// The bead's title, for people.
    pub title: String,
    /// The task type; empty when the order could not be read.
    pub task_type: String,
    /// The executor; none when the bead is to be blocked without one.
    pub executor: Option<ExecutorName>,
    /// What the executor said of the task.
    pub facts: TaskFacts,
    /// Whether other beads wait for this one's result.
    pub has_dependents: bool,
    /// The order's labels, for limits per label.
    pub labels: Vec<String>,
}

/// One attempt, as the ledger has it.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub id: Uuid,
    pub bead: BeadId,
    pub title: String,
    pub task_type: String,
    pub executor: Option<ExecutorName>,
    pub facts: TaskFacts,
    pub has_dependents: bool,
    pub labels: Vec<String>,
    pub stage: Stage,
    /// Rises with each change; the fence of every compare-and-set.
    pub revision: u64,
    /// What is, or was, sent to the executor; known from `Offered` on.
    pub request: Option<ExecuteRequest>,
    pub outcome: Option<Outcome>,
    /// What is, or was, to be written into the bead; known from `Ended` on.
    pub verdict: Option<Verdict>,
    /// Set while the bead is blocked by us and will be reopened by us.
    pub hold: Option<Hold>,
    pub created: Timestamp,
    pub offered: Option<Timestamp>,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    pub settled: Option<Timestamp>,
}

/// One change of an attempt.
#[derive(Debug, Clone)]
pub enum Step {
    /// The claim was proven.
    Claimed,
    /// An executor is about to be asked for exactly this.
    Offered(Box<ExecuteRequest>),
    /// No executor has it after all: the claim may be given back.
    Withdrawn,
    /// The executor says that it runs.
    Running,
    /// The bead is written as lost; the executor is still asked.
    Lost,
    /// The end is known, and what is to be written.
    Ended { outcome: Option<Box<Outcome>>, verdict: Box<Verdict> },
    /// The bead tells the truth; `hold` says that we shall reopen it.
    Settled { hold: Option<Hold> },
    /// The bead was given back, or was never ours.
    Dropped,
    /// The bead was reopened, or is not ours to reopen any more.
    Unheld,
}

impl Step {
    /// Returns the stage that the step leads to; `Unheld` changes none.
    pub fn stage(&self) -> Option<Stage> {
        match self {
            Self::Claimed | Self::Withdrawn => Some(Stage::Claimed),
            Self::Offered(_) => Some(Stage::Offered),
            Self::Running => Some(Stage::Running),
            Self::Lost => Some(Stage::Lost),
            Self::Ended { .. } => Some(Stage::Ended),
            Self::Settled { .. } => Some(Stage::Settled),
            Self::Dropped => Some(Stage::Dropped),
            Self::Unheld => None,
        }
    }
}

/// What is kept beside the attempts, each as one JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A registered runner.
    Runner,
    /// A task on a runner's list; its owner is the runner.
    Task,
    Realm,
    Session,
    /// An API key that was added or is being taken away, as a hash.
    Key,
    /// Something that was set while running, such as the expected version.
    Setting,
    /// The agent of a session at the gateway; its owner is whom the session's requests are for.
    Affinity,
}

impl Kind {
    /// Returns the word used in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runner => "runner",
            Self::Task => "task",
            Self::Realm => "realm",
            Self::Session => "session",
            Self::Key => "key",
            Self::Setting => "setting",
            Self::Affinity => "affinity",
        }
    }

    /// Reads the word; none for one of a newer version.
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Runner,
            Self::Task,
            Self::Realm,
            Self::Session,
            Self::Key,
            Self::Setting,
            Self::Affinity,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == word)
    }
}

/// One row beside the attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub kind: Kind,
    /// Whose it is; empty where it is nobody's.
    pub owner: String,
    pub id: String,
    /// JSON; none: the row goes.
    pub body: Option<String>,
}

/// What a ledger can answer badly.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// Somebody else changed the attempt since it was read.
    #[error("attempt `{attempt}` was changed by somebody else")]
    Conflict { attempt: Uuid },
    /// The bead already has an attempt that is not settled.
    #[error("bead `{bead}` already has an open attempt")]
    AlreadyOpen { bead: BeadId },
    /// What stands in the store cannot be read.
    #[error("the ledger holds something unreadable in `{what}`")]
    Unreadable { what: String },
    /// The store failed.
    #[error("the ledger cannot be used")]
    Store(#[from] daemon::store::StoreError),
}

/// The coordinator's durable store.
#[async_trait]
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// Names this ledger and this life of the coordinator.
    fn identity(&self) -> Identity;

    /// Writes an attempt down, durably, before anything happens outside.
    async fn record(&self, new: NewAttempt) -> Result<Attempt, LedgerError>;

    /// Takes one step, durably; refused when the attempt was changed since it was read.
    ///
    /// A claim supersedes what went before: a lost attempt of the same bead is settled, and its
    /// holds end.
    async fn advance(&self, attempt: &Attempt, step: Step) -> Result<Attempt, LedgerError>;

    /// Returns one attempt.
    async fn attempt(&self, id: Uuid) -> Result<Option<Attempt>, LedgerError>;

    /// Returns the attempts that are neither settled nor dropped, oldest first.
    async fn open(&self) -> Result<Vec<Attempt>, LedgerError>;

    /// Returns the attempts whose beads we shall reopen.
    async fn held(&self) -> Result<Vec<Attempt>, LedgerError>;

    /// Returns every attempt of a bead, oldest first.
    async fn history(&self, bead: &BeadId) -> Result<Vec<Attempt>, LedgerError>;

    /// Writes rows beside the attempts, all of them or none, durably.
    async fn keep(&self, records: Vec<Record>) -> Result<(), LedgerError>;

    /// Returns every row beside the attempts.
    async fn kept(&self) -> Result<Vec<Record>, LedgerError>;

    /// Deletes the attempts that were settled or dropped before a moment, and that nothing waits
    /// for; returns how many.
    async fn forget(&self, before: Timestamp) -> Result<u64, LedgerError>;

    /// Returns how many attempts the ledger has.
    async fn count(&self) -> Result<u64, LedgerError>;

    /// Leaves the ledger tidy on disk; nothing may use it afterwards.
    async fn close(&self);

    /// Finds out whether the ledger can be written, without changing what it says.
    async fn check(&self) -> Result<(), LedgerError>;
}
