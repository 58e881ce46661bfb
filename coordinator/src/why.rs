//! Why a bead is where it is: one reason, with a stable code and a way out.
//!
//! Pure; the answer of `ygg why`. An open attempt says most, then the plan, then what we hold
//! back, and last what Beads itself says of the bead.

#[cfg(test)]
pub(crate) mod tests;

use jiff::Timestamp;
use protocol::coordinator::Reason;

use crate::beads::{Bead, Dependency, Status};
use crate::board::Held;
use crate::ledger::{Attempt, Stage};
use crate::order::{self, Read};
use crate::settle::{Hold, seconds};

fn reason(code: &str, text: impl Into<String>, hint: Option<String>) -> Reason {
    Reason { code: code.to_owned(), text: text.into(), hint }
}

/// Says where an open attempt stands.
pub fn of_attempt(attempt: &Attempt, trouble: Option<String>) -> Reason {
    let name = attempt.executor.as_ref().map_or("no executor", |name| name.as_str());
    let bead = &attempt.bead;
    match attempt.stage {
        Stage::Recorded => reason("claiming", "it is being claimed", trouble),
        Stage::Claimed => reason("claimed", format!("it is claimed, and goes to {name}"), trouble),
        Stage::Offered => reason(
            "offered",
            format!("it is claimed and was offered to {name}, which has not taken it yet"),
            Some("`ygg status` says how the executor is".to_owned()),
        ),
        Stage::Running => {
            let since = attempt.started.unwrap_or(attempt.created);
            let text = format!("it runs on {name} since {}", seconds(since));
            reason("running", text, Some(format!("`ygg logs {bead} -f` shows what it prints")))
        }
        Stage::Lost => reason(
            "lost",
            format!("{name} was lost while it ran; it is still asked, and its answer still counts"),
            Some(if attempt.facts.idempotent {
                "it runs again by itself when an executor for it is there".to_owned()
            } else {
                "to run it again now: make sure that it does not run any more, then set the bead \
                 to open and clear its assignee"
                    .to_owned()
            }),
        ),
        Stage::Ended => {
            reason("settling", "it has ended, and its end is being written into the bead", trouble)
        }
        Stage::Settled | Stage::Dropped => reason("settled", "it has ended", None),
    }
}

/// Says what we wait for before we reopen a bead that we blocked.
pub fn of_hold(held: &Held, now: Timestamp) -> Reason {
    let Hold { not_before, executors, .. } = &held.hold;
    let why = held
        .attempt
        .as_ref()
        .and_then(|attempt| attempt.verdict.as_ref())
        .and_then(|verdict| verdict.error())
        .unwrap_or("blocked by a coordinator");
    let names: Vec<_> = executors.iter().map(ToString::to_string).collect();
    let when = match (names.is_empty(), *not_before > now) {
        (true, _) => format!("at {}", seconds(*not_before)),
        (false, false) => format!("when {} is up", names.join(" or ")),
        (false, true) => {
            format!("when {} is up, not before {}", names.join(" or "), seconds(*not_before))
        }
    };
    reason(
        "held",
        format!("{why}; it is reopened by itself {when}"),
        Some("to try now: set the bead to open and clear its assignee".to_owned()),
    )
}

/// Says what Beads itself says of a bead.
pub fn of_bead(bead: &Bead, last: Option<&Attempt>, actor: &str, now: Timestamp) -> Reason {
    match &bead.status {
        Status::Closed => closed(last),
        Status::Blocked => blocked(bead, last),
        Status::Deferred => {
            reason("deferred", "it was put off by hand (status deferred)", Some(reopen_hint(bead)))
        }
        Status::InProgress => match &bead.assignee {
            Some(name) if name == actor => reason(
                "in_progress",
                "it is claimed under this coordinator's name, without an open attempt",
                Some(
                    "if nobody works on it: set the bead to open and clear its assignee".to_owned(),
                ),
            ),
            Some(name) => reason("held_by_person", format!("{name} works on it"), None),
            None => reason("held_by_person", "somebody works on it (status in_progress)", None),
        },
        Status::Pinned | Status::Hooked | Status::Other(_) => reason(
            "status",
            format!("its status is `{}`; only open beads start", bead.status),
            Some(reopen_hint(bead)),
        ),
        Status::Open => open(bead, now),
    }
}

fn open(bead: &Bead, now: Timestamp) -> Reason {
    if let Read::NotOurs = order::read(bead) {
        return reason(
            "no_task_type",
            "it has no task type: it is a person's, and is never touched",
            Some(format!(
                "bd update {} --metadata '{{\"task_type\":\"…\",\"params\":{{…}}}}' makes it a task",
                bead.id
            )),
        );
    }
    if let Some(name) = &bead.assignee {
        return reason(
            "held_by_person",
            format!("it is assigned to {name}; only unassigned beads start"),
            Some(format!("bd update {} --assignee \"\"", bead.id)),
        );
    }
    let blockers: Vec<_> =
        bead.dependencies.iter().filter(|dependency| dependency.blocks()).collect();
    if !blockers.is_empty() {
        return waits_for(&blockers);
    }
    if let Some(until) = bead.defer_until.filter(|until| *until > now) {
        return reason("deferred", format!("it is put off until {}", seconds(until)), None);
    }
    if bead.issue_type == "epic" {
        return reason("epic", "epics are never started", None);
    }
    reason(
        "not_listed",
        "it is open, and was not in the last listing: a parent may hold it back",
        Some(format!("`bd blocked` and `bd show {}` tell more", bead.id)),
    )
}

fn waits_for(blockers: &[&Dependency]) -> Reason {
    let names: Vec<_> = blockers
        .iter()
        .map(|dependency| match &dependency.status {
            Some(status) => format!("{} ({status})", dependency.id),
            None => dependency.id.to_string(),
        })
        .collect();
    let stuck = blockers.iter().find(|dependency| dependency.status == Some(Status::Blocked));
    reason(
        "dependency",
        format!("it waits for {}", names.join(", ")),
        stuck.map(|dependency| format!("`ygg why {}` says why that one is stuck", dependency.id)),
    )
}

fn closed(last: Option<&Attempt>) -> Reason {
    let text = match last.and_then(|attempt| attempt.outcome.as_ref().map(|end| (attempt, end))) {
        Some((attempt, outcome)) => format!(
            "it is closed: {} on {} in {:.1} s",
            outcome.status.as_str(),
            attempt.executor.as_ref().map_or("no executor", |name| name.as_str()),
            outcome.duration_seconds
        ),
        None => "it is closed".to_owned(),
    };
    reason("closed", text, None)
}

fn blocked(bead: &Bead, last: Option<&Attempt>) -> Reason {
    let ours = bead.labels.iter().find(|label| label.starts_with("task-"));
    let told = last.and_then(|attempt| attempt.verdict.as_ref());
    match (ours, told.and_then(|verdict| Some((verdict.class()?, verdict.error()?)))) {
        (Some(_), Some((class, error))) => {
            reason(class.as_str(), format!("it is blocked: {error}"), Some(reopen_hint(bead)))
        }
        (Some(label), None) => {
            reason("blocked", format!("it is blocked (label {label})"), Some(reopen_hint(bead)))
        }
        (None, _) => reason(
            "blocked_by_person",
            "its status was set to blocked by hand",
            Some(reopen_hint(bead)),
        ),
    }
}

fn reopen_hint(bead: &Bead) -> String {
    format!("to try again: bd update {} --status open --assignee \"\"", bead.id)
}
