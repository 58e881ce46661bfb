//! The words of every command, for both dialects. Pure: nothing here runs anything.
//!
//! A value is always glued to its flag (`--reason=-x`), so that no text is taken for a flag, and
//! every list of arguments ends with who we are and how we want to be answered.

use std::ffi::OsString;
use std::fmt;

use jiff::Timestamp;
use uuid::Uuid;

use super::bead::{ATTEMPT_KEY, ATTEMPT_LABEL, BeadId, Status};
use super::dialect::{Dialect, Program};

/// One command, without the flags that all have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    verb: &'static str,
    bead: Option<BeadId>,
    flags: Vec<OsString>,
    stdin: Option<Vec<u8>>,
    json: bool,
}

impl Call {
    fn new(verb: &'static str) -> Self {
        Self { verb, bead: None, flags: Vec::new(), stdin: None, json: true }
    }

    fn about(verb: &'static str, id: &BeadId) -> Self {
        Self { bead: Some(id.clone()), ..Self::new(verb) }
    }

    fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.into());
        self
    }

    fn set(mut self, flag: &str, value: &str) -> Self {
        self.flags.push(format!("--{flag}={value}").into());
        self
    }

    /// The same, answered in text for people: the way around a bead that is no JSON.
    pub(super) fn plain(mut self) -> Self {
        self.json = false;
        self
    }

    /// Whether the answer is to be JSON.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// The sub-command.
    pub(super) fn verb(&self) -> &'static str {
        self.verb
    }

    /// The bead it is about.
    pub(super) fn bead(&self) -> Option<&BeadId> {
        self.bead.as_ref()
    }

    /// What goes in on stdin; nothing for most.
    pub(super) fn stdin(&self) -> Vec<u8> {
        self.stdin.clone().unwrap_or_default()
    }
}

/// For people: the sub-command and the bead, without texts and params.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb)?;
        self.bead.iter().try_for_each(|id| write!(f, " {id}"))
    }
}

/// The status a bead of ours has while we settle it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// In progress and assigned to us.
    Running,
    /// Blocked by us, and assigned to nobody.
    Blocked,
}

/// What one `update` changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Change<'a> {
    pub(super) status: Option<Status>,
    /// An empty name makes it nobody's.
    pub(super) assignee: Option<&'a str>,
    pub(super) add_label: Option<String>,
    pub(super) remove_labels: Vec<String>,
    pub(super) note: Option<&'a str>,
    pub(super) defer: Option<Timestamp>,
    pub(super) metadata: Vec<(String, String)>,
    /// Only if it still is so, where the program can check that.
    pub(super) guard: Option<Held>,
}

/// Builds the commands of one dialect for one actor.
#[derive(Debug, Clone)]
pub(super) struct Words {
    pub(super) dialect: Dialect,
    pub(super) actor: String,
}

impl Words {
    /// The whole argument list of a command.
    pub(super) fn argv(&self, call: &Call) -> Vec<OsString> {
        let mut argv = vec![OsString::from(call.verb)];
        argv.extend(call.bead.iter().map(|id| OsString::from(id.as_str())));
        argv.extend(call.flags.iter().cloned());
        match self.dialect.program {
            Program::Bd => argv.push(format!("--actor={}", self.actor).into()),
            Program::Mb => argv.push("--mb-no-cmd-logging".into()),
        }
        if call.json {
            argv.push("--json".into());
        }
        argv
    }

    fn is_mb(&self) -> bool {
        self.dialect.program == Program::Mb
    }

    /// What could be started: from `mb`, which never shows a bead again that has ever waited, the
    /// list of everything, to be worked out here.
    pub(super) fn ready(&self) -> Call {
        if !self.dialect.lists_ready {
            return Call::new("list").set("limit", "0");
        }
        Call::new("ready").flag("--unassigned").set("exclude-type", "epic").set("limit", "0")
    }

    /// Beads of one status, and of one assignee or label.
    pub(super) fn list(status: &Status, assignee: Option<&str>, label: Option<&str>) -> Call {
        let mut call = Call::new("list").set("status", status.as_str());
        if let Some(assignee) = assignee {
            call = call.set("assignee", assignee);
        }
        if let Some(label) = label {
            call = call.set("label", label);
        }
        call.set("limit", "0")
    }

    /// Whether a store answers at all.
    pub(super) fn list_one() -> Call {
        Call::new("list").set("limit", "1")
    }

    /// These beads in one query, whatever their status; unknown ones are left out.
    pub(super) fn list_ids(&self, ids: &[BeadId]) -> Call {
        let ids = ids.iter().map(BeadId::as_str).collect::<Vec<_>>().join(",");
        let call = Call::new("list").set("id", &ids);
        let call = if self.is_mb() { call } else { call.flag("--all") };
        call.set("limit", "0")
    }

    /// A listing answered in text, one line per bead.
    pub(super) fn in_text(&self, call: Call) -> Call {
        let call = if call.verb == "list" && !self.is_mb() { call.flag("--flat") } else { call };
        call.plain()
    }

    /// Whether one bead has a status (and an assignee), answered in text.
    pub(super) fn probe(&self, id: &BeadId, status: &Status, assignee: Option<&str>) -> Call {
        self.in_text(Self::list(status, assignee, None).set("id", id.as_str()))
    }

    pub(super) fn show(id: &BeadId) -> Call {
        Call::about("show", id)
    }

    /// Takes a bead and stamps it in one command. `stale` are the stamps of earlier attempts that
    /// a label leaves behind.
    pub(super) fn claim(&self, id: &BeadId, attempt: Uuid, stale: &[String]) -> Call {
        let call = Call::about("update", id).flag("--claim");
        if self.is_mb() {
            let call =
                call.set("as", &self.actor).set("add-label", &format!("{ATTEMPT_LABEL}{attempt}"));
            return stale.iter().fold(call, |call, label| call.set("remove-label", label));
        }
        call.set("set-metadata", &format!("{ATTEMPT_KEY}={attempt}"))
    }

    /// Adds a paragraph to the notes, as a command of its own: `mb` drops every other change that
    /// stands beside `--append`.
    pub(super) fn append_note(id: &BeadId, note: &str) -> Call {
        Call::about("update", id).set("append", note).set("field", "notes")
    }

    /// Changes a bead. On `mb` the note is not in it, and metadata does not exist.
    pub(super) fn update(&self, id: &BeadId, change: &Change<'_>) -> Call {
        let mut call = Call::about("update", id);
        if let Some(guard) = change.guard
            && self.dialect.guards
        {
            call = match guard {
                Held::Running => {
                    call.set("if-assignee", &self.actor).set("if-status", "in_progress")
                }
                Held::Blocked => call.set("if-status", "blocked"),
            };
        }
        if let Some(status) = &change.status {
            call = call.set("status", status.as_str());
        }
        if let Some(assignee) = change.assignee {
            call = call.set("assignee", assignee);
        }
        if let Some(at) = change.defer.filter(|_| self.dialect.has_defer) {
            call = call.set("defer", &whole_second(at));
        }
        if !self.is_mb() {
            for (key, value) in &change.metadata {
                call = call.set("set-metadata", &format!("{key}={value}"));
            }
        }
        for label in &change.remove_labels {
            call = call.set("remove-label", label);
        }
        if let Some(label) = &change.add_label {
            call = call.set("add-label", label);
        }
        if let Some(note) = change.note
            && !self.is_mb()
        {
            call = call.set("append-notes", note);
        }
        call
    }

    /// Merges the object in a file into the metadata.
    pub(super) fn merge_metadata(id: &BeadId, file: &str) -> Call {
        Call::about("update", id).set("metadata", &format!("@{file}"))
    }

    /// Gives a claimed bead back.
    pub(super) fn release(&self, id: &BeadId, held: Held) -> Call {
        if self.dialect.unclaim && held == Held::Running {
            return Call::about("unclaim", id).set("if-assignee", &self.actor);
        }
        let change = Change {
            status: Some(Status::Open),
            assignee: Some(""),
            guard: Some(held),
            ..Change::default()
        };
        self.update(id, &change)
    }

    /// Renews the lease of a claim.
    /// Resolves the timer gates that are due.
    pub(super) fn check_gates() -> Call {
        Call::new("gate").flag("check").set("type", "timer").plain()
    }

    pub(super) fn heartbeat(id: &BeadId) -> Call {
        Call::about("heartbeat", id)
    }

    pub(super) fn close(&self, id: &BeadId, reason: &str) -> Call {
        let call = Call::about("close", id);
        if self.dialect.reason_file {
            let call = call.set("reason-file", "-");
            return Call { stdin: Some(reason.into()), ..call };
        }
        call.set("reason", reason)
    }
}

/// A time as every version reads it: whole seconds, `Z`. Rounded up, so that it is never early.
pub(super) fn whole_second(at: Timestamp) -> String {
    let seconds = at.as_second() + i64::from(at.subsec_nanosecond() > 0);
    Timestamp::from_second(seconds).unwrap_or(at).to_string()
}

#[cfg(test)]
mod tests;
