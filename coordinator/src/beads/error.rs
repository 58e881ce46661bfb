//! What can go wrong between us and a Beads store, and what a person can do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::bead::{BadId, BeadId};

/// What a caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BeadsTrouble {
    /// Needs a person: program, version, store, permission. No claims until it is mended.
    Setup,
    /// Locked or slow: the same again, later.
    Busy,
    /// There is no such bead.
    NotFound,
    /// This version cannot update a bead of this size.
    TooBig,
    /// The store refused: blocked by open beads, or no longer ours.
    Refused,
    /// An answer nobody understands.
    Garbage,
}

impl BeadsTrouble {
    /// Returns the word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Busy => "busy",
            Self::NotFound => "not_found",
            Self::TooBig => "too_big",
            Self::Refused => "refused",
            Self::Garbage => "garbage",
        }
    }
}

/// Why a Beads command did not do what it was run for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeadsError {
    /// No program to run.
    #[error("found no Beads program: {looked_for}")]
    ProgramMissing {
        /// What was looked for, and where.
        looked_for: String,
    },
    /// The program is there but does not start.
    #[error("cannot start `{program}`")]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: daemon::process::SpawnError,
    },
    /// It runs, but is neither `bd` nor `mb`.
    #[error("`{program}` is not a Beads program that we know: it said `{said}`")]
    NotBeads {
        /// The program.
        program: PathBuf,
        /// The beginning of what it said.
        said: String,
    },
    /// A version that must not be used.
    #[error("{program} cannot be used: {why}")]
    Version {
        /// Name and version.
        program: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A setting that no store would take.
    #[error("the actor `{actor}` cannot be used: {why}")]
    Actor {
        /// The actor, cleaned.
        actor: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No store where one was looked for.
    #[error("found no Beads store: {why}")]
    NoStore {
        /// Where it was looked for and what is missing.
        why: String,
    },
    /// A store that answers wrongly, or not at all.
    #[error("the Beads store is not sound: {why}")]
    BrokenStore {
        /// What is wrong.
        why: String,
    },
    /// A newer `bd` has changed the store; this one would list blocked beads as ready.
    #[error("the Beads store was changed by a newer bd: {text}")]
    NewerStore {
        /// What the program said.
        text: String,
    },
    /// No home folder that the program can write to.
    #[error("the Beads program has no home folder that it can write to: {why}")]
    Home {
        /// What is wrong.
        why: String,
    },
    /// Files that this user may not write; reading needs it too.
    #[error("the Beads store cannot be written: {text}")]
    Permission {
        /// What the program said.
        text: String,
    },
    /// No room on the disk.
    #[error("no space is left for the Beads store: {text}")]
    DiskFull {
        /// What the program said.
        text: String,
    },
    /// A flag or command that the program does not know.
    #[error("{program} does not know what it was asked: {text}")]
    UnknownFlag {
        /// Name and version.
        program: String,
        /// What the program said.
        text: String,
    },
    /// An `mb` issue file that cannot be read.
    #[error("an issue file of the minibeads store cannot be read: {text}")]
    BrokenFile {
        /// What the program said, or the files found.
        text: String,
    },
    /// Somebody else holds the store.
    #[error("the Beads store is held by another process: {text}")]
    Locked {
        /// What the program said.
        text: String,
    },
    /// The program took too long.
    #[error("`{command}` took longer than {}{}", daemon::duration::show(*limit), if *ended { " and was ended" } else { " and still runs" })]
    TimedOut {
        /// The sub-command.
        command: String,
        /// The limit it passed.
        limit: Duration,
        /// Whether it was ended; `mb` never is.
        ended: bool,
    },
    /// The queue of commands ended with the coordinator.
    #[error("the queue of Beads commands has stopped")]
    Stopped,
    /// There is no such bead.
    #[error("there is no bead `{id}`")]
    NotFound {
        /// The id asked for.
        id: BeadId,
    },
    /// Not an id at all.
    #[error(transparent)]
    BadId(#[from] BadId),
    /// The store has it, but cannot print it as JSON.
    #[error("metadata that is not JSON stops this answer: {text}")]
    Poisoned {
        /// What the program said.
        text: String,
    },
    /// This version fails on every update of a bead of this size.
    #[error("the bead is too big for this version of bd: {text}")]
    TooBig {
        /// Size and limit, or what the program said.
        text: String,
    },
    /// The bead belongs to somebody.
    #[error("`{id}` is already claimed by {by}")]
    Claimed {
        /// The bead.
        id: BeadId,
        /// Who has it.
        by: String,
    },
    /// A guard of the store: open blockers, open children, a gate, a status.
    #[error("refused: {text}")]
    Refused {
        /// What the program said.
        text: String,
    },
    /// It was ours and no longer is.
    #[error("`{id}` is no longer ours: {why}")]
    NotOurs {
        /// The bead.
        id: BeadId,
        /// Who has it now, or what became of it.
        why: String,
    },
    /// The program said that all went well, and the bead says something else.
    #[error("`{id}` does not show what was written: {why}")]
    Unverified {
        /// The bead.
        id: BeadId,
        /// What is missing.
        why: String,
    },
    /// An answer that cannot be read.
    #[error("`{command}` answered with something else than JSON: `{said}`")]
    Garbage {
        /// The sub-command.
        command: String,
        /// The beginning of what it said.
        said: String,
    },
    /// It failed with a text that we do not know.
    #[error("`{command}` failed with {exit}: {text}")]
    Failed {
        /// The sub-command.
        command: String,
        /// How it ended.
        exit: String,
        /// What the program said.
        text: String,
    },
    /// A file of ours beside the store.
    #[error("cannot write `{path}`")]
    OwnFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl BeadsError {
    /// What a caller does about it.
    pub fn class(&self) -> BeadsTrouble {
        match self {
            Self::ProgramMissing { .. }
            | Self::Start { .. }
            | Self::NotBeads { .. }
            | Self::Version { .. }
            | Self::Actor { .. }
            | Self::NoStore { .. }
            | Self::BrokenStore { .. }
            | Self::NewerStore { .. }
            | Self::Home { .. }
            | Self::Permission { .. }
            | Self::DiskFull { .. }
            | Self::UnknownFlag { .. }
            | Self::BrokenFile { .. }
            | Self::OwnFile { .. } => BeadsTrouble::Setup,
            Self::Locked { .. }
            | Self::TimedOut { .. }
            | Self::Stopped
            | Self::Unverified { .. } => BeadsTrouble::Busy,
            Self::NotFound { .. } | Self::BadId(_) => BeadsTrouble::NotFound,
            Self::TooBig { .. } => BeadsTrouble::TooBig,
            Self::Claimed { .. } | Self::Refused { .. } | Self::NotOurs { .. } => {
                BeadsTrouble::Refused
            }
            Self::Poisoned { .. } | Self::Garbage { .. } | Self::Failed { .. } => {
                BeadsTrouble::Garbage
            }
        }
    }

    /// What a person can do about it, where there is something.
    pub fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::ProgramMissing { .. } => {
                "install bd (github.com/gastownhall/beads) or, for trying out, minibeads (mb), and put it on PATH, or name it with --bd"
            }
            Self::Start { .. } | Self::NotBeads { .. } => {
                "name the program with --bd; `PROGRAM version` must print its version"
            }
            Self::Version { .. } => "install bd 1.0.5 or later, or 1.0.3",
            Self::Actor { .. } => "choose another name with --actor",
            Self::NoStore { .. } => {
                "run `bd init` (or `mb init`) in the workspace, or name the workspace with --beads-dir"
            }
            Self::BrokenStore { .. } => {
                "look at the store with `bd doctor`; metadata.json must be JSON and name a dolt_database; restore it from a backup"
            }
            Self::NewerStore { .. } => {
                "give the coordinator the newest bd that touches this store (--bd), then restart it"
            }
            Self::Home { .. } => "give the coordinator a writable --state-dir",
            Self::Permission { .. } => {
                "let the coordinator's user own the store and everything in it; even reading needs write permission"
            }
            Self::DiskFull { .. } => {
                "free some space (`df`, and `bd gc --skip-decay --force`); nothing in the store is damaged"
            }
            Self::UnknownFlag { .. } => {
                "the program was exchanged under a running coordinator: restart it"
            }
            Self::BrokenFile { .. } => {
                "mend the file by hand (it starts with `---`), or move it out of `issues/`"
            }
            Self::Locked { .. } => {
                "another program holds the store: look for a running `bd` or `dolt sql-server` (`fuser`, `ps`)"
            }
            Self::TimedOut { ended: true, .. } => {
                "look for a process that holds the store; `bd gc --skip-decay --force` makes a slow store fast again"
            }
            Self::TimedOut { ended: false, .. } => {
                "look what `mb` waits for; it is never ended from here, since that loses the bead it writes"
            }
            Self::Poisoned { .. } => {
                "`bd show BEAD` (without --json) still prints it; mend it with `bd import` of one line with clean metadata"
            }
            Self::TooBig { .. } => "install bd 1.0.5 or later, or shorten the bead's description",
            Self::OwnFile { .. } => {
                "free some space, or give the coordinator a writable --state-dir"
            }
            Self::Stopped
            | Self::NotFound { .. }
            | Self::BadId(_)
            | Self::Claimed { .. }
            | Self::Refused { .. }
            | Self::NotOurs { .. }
            | Self::Unverified { .. }
            | Self::Garbage { .. }
            | Self::Failed { .. } => return None,
        };
        Some(text.to_owned())
    }
}
