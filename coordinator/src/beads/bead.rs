//! A bead as the rest of the coordinator sees it, whichever program printed it.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The metadata key under which an attempt stamps a bead it has claimed.
pub const ATTEMPT_KEY: &str = "ygg_attempt";
/// The prefix of the label that takes its place where there is no metadata.
pub const ATTEMPT_LABEL: &str = "run:";
/// The metadata key under which a result is written for the beads that depend on this one.
pub const RESULT_KEY: &str = "result";

/// A whole bead id that is safe to put on a command line.
///
/// `bd` takes the last touched bead when the id is missing and a different bead when it is
/// cut short, so an id is only ever passed on as the store printed it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BeadId(Arc<str>);

/// Why a text is not a bead id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a bead id: {why}")]
pub struct BadId {
    /// The text, cleaned and cut.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl BeadId {
    /// The longest id that `bd` stores.
    pub const MAX_BYTES: usize = 255;

    /// Refuses what a command line could take for something else.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        let bad = |why| Err(BadId { text: super::clean(text, 80), why });
        if text.is_empty() {
            return bad("it is empty");
        }
        if text.len() > Self::MAX_BYTES {
            return bad("it is longer than 255 bytes");
        }
        if text.starts_with('-') {
            return bad("it starts with `-`");
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == ',') {
            return bad("it has blanks, commas or control characters");
        }
        Ok(Self(text.into()))
    }

    /// The id as the store prints it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for BeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BeadId({})", self.0)
    }
}

impl FromStr for BeadId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        Self::parse(text)
    }
}

impl TryFrom<String> for BeadId {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        Self::parse(&text)
    }
}

impl From<BeadId> for String {
    fn from(id: BeadId) -> Self {
        id.as_str().to_owned()
    }
}

impl AsRef<str> for BeadId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for BeadId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

/// Where a bead stands; anything a person has configured is `Other`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Status {
    /// Waits to be done.
    Open,
    /// Somebody has it.
    InProgress,
    /// Held by hand, or by us because it failed; never clears itself.
    Blocked,
    /// Put off.
    Deferred,
    /// Done.
    Closed,
    /// Kept on top for reference; never holds another.
    Pinned,
    /// Belongs to another orchestrator.
    Hooked,
    /// A status of this store's own.
    Other(String),
}

impl Status {
    /// The word the store uses.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Open => "open",
            Self::InProgress => "in_progress",
            Self::Blocked => "blocked",
            Self::Deferred => "deferred",
            Self::Closed => "closed",
            Self::Pinned => "pinned",
            Self::Hooked => "hooked",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for Status {
    fn from(word: &str) -> Self {
        match word {
            "open" => Self::Open,
            "in_progress" => Self::InProgress,
            "blocked" => Self::Blocked,
            "deferred" => Self::Deferred,
            "closed" => Self::Closed,
            "pinned" => Self::Pinned,
            "hooked" => Self::Hooked,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl From<String> for Status {
    fn from(word: String) -> Self {
        Self::from(word.as_str())
    }
}

impl From<Status> for String {
    fn from(status: Status) -> Self {
        status.as_str().to_owned()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One bead that another one points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The bead pointed at.
    pub id: BeadId,
    /// `blocks`, `parent-child`, `related`, …
    pub kind: String,
    /// Its status, where the program told it (after `show`).
    pub status: Option<Status>,
}

impl Dependency {
    /// Whether it holds the bead back: an edge of a kind that holds, to a bead that is neither
    /// closed nor pinned. A bead that cannot be found holds too.
    pub fn blocks(&self) -> bool {
        let holds = matches!(self.kind.as_str(), "blocks" | "conditional-blocks" | "waits-for");
        holds && !matches!(self.status, Some(Status::Closed | Status::Pinned))
    }
}

/// One bead.
#[derive(Debug, Clone, PartialEq)]
pub struct Bead {
    /// Its whole id.
    pub id: BeadId,
    /// One line for people.
    pub title: String,
    /// The text below it.
    pub description: String,
    /// Where it stands.
    pub status: Status,
    /// 0 is the most urgent.
    pub priority: u8,
    /// `task`, `bug`, `epic`, …
    pub issue_type: String,
    /// Who has it.
    pub assignee: Option<String>,
    /// Its labels, in the order printed.
    pub labels: Vec<String>,
    /// Its metadata; empty where the program has none.
    pub metadata: Map<String, Value>,
    /// When it was written.
    pub created_at: Option<Timestamp>,
    /// When it should be done.
    pub due_at: Option<Timestamp>,
    /// Hidden from `ready` until then.
    pub defer_until: Option<Timestamp>,
    /// When it was last closed; some programs keep it after a reopening.
    pub closed_at: Option<Timestamp>,
    /// What it points at; empty in the answer of a write.
    pub dependencies: Vec<Dependency>,
    /// How many beads it waits on, where the program told it.
    pub dependency_count: Option<u64>,
    /// How many beads wait on it, where the program told it.
    pub dependent_count: Option<u64>,
    /// Notes, ours among them.
    pub notes: String,
    /// Why it was closed.
    pub close_reason: String,
    /// Bytes of its own JSON, without what other beads and comments add to it.
    pub size: usize,
}

impl Bead {
    /// The attempt that stamped it last, whatever the store keeps stamps in.
    pub fn attempt(&self) -> Option<Uuid> {
        let in_metadata = self.metadata.get(ATTEMPT_KEY).and_then(Value::as_str);
        let mark = in_metadata.or_else(|| self.attempt_labels().last());
        mark.and_then(|text| Uuid::parse_str(text).ok())
    }

    /// Whether this attempt has stamped it.
    pub(super) fn is_marked(&self, attempt: Uuid) -> bool {
        if self.metadata.contains_key(ATTEMPT_KEY) {
            return self.attempt() == Some(attempt);
        }
        self.attempt_labels().any(|text| Uuid::parse_str(text) == Ok(attempt))
    }

    /// The attempts named by labels, without their prefix.
    pub(super) fn attempt_labels(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().filter_map(|label| label.strip_prefix(ATTEMPT_LABEL))
    }

    /// Whether it carries exactly this label.
    pub fn has_label(&self, label: &str) -> bool {
        self.labels.iter().any(|own| own == label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_refused_when_a_command_line_could_mistake_it() {
        for text in ["", "-x", "--json", "a b", "a\tb", "a\u{7}b", "a,b", &"x".repeat(256)] {
            let parsed = BeadId::parse(text);

            assert!(parsed.is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn ids_of_every_program_are_taken() {
        for text in ["hl-a1b", "hl-b34.1", "my-home-lab-12", "mb-1", "external:x:y"] {
            let id = BeadId::parse(text).unwrap();

            assert_eq!(id.as_str(), text);
        }
    }

    #[test]
    fn only_an_unfinished_bead_behind_a_holding_edge_blocks() {
        let cases = [
            ("blocks", Some(Status::Open), true),
            ("blocks", Some(Status::Blocked), true),
            ("blocks", Some(Status::Closed), false),
            ("blocks", Some(Status::Pinned), false),
            ("blocks", None, true),
            ("waits-for", Some(Status::InProgress), true),
            ("conditional-blocks", Some(Status::Deferred), true),
            ("parent-child", Some(Status::Open), false),
            ("related", None, false),
        ];
        for (kind, status, expected) in cases {
            let edge = Dependency {
                id: BeadId::parse("hl-1").unwrap(),
                kind: kind.to_owned(),
                status: status.clone(),
            };

            assert_eq!(edge.blocks(), expected, "{kind} {status:?}");
        }
    }
}
