//! The ways a bead of ours ends, and the one way it comes back.

use jiff::Timestamp;
use tracing::{debug, warn};
use uuid::Uuid;

use super::Beads;
use super::bead::{Bead, BeadId, RESULT_KEY, Status};
use super::clean::{self, ERROR_BYTES, TEXT_BYTES, clean};
use super::command::{Change, Held, whole_second};
use super::ending::{Ending, Unsettled};
use super::error::BeadsError;
use super::proof::{Claim, our_labels};
use super::result::same;

/// The label of a bead that waits for its own retry where the store keeps no times.
pub const WAITING: &str = "task-waiting";

/// Why a bead is set aside, for a person or for later.
#[derive(Debug, Clone)]
pub struct Block<'a> {
    /// `task-failed`, `task-waiting`, `task-lost` or `task-cancelled`.
    pub label: &'a str,
    /// For people; cleaned and cut here.
    pub note: String,
    /// `retry_at`, `attempts`, …; goes into the note where there is no metadata.
    pub metadata: Vec<(String, String)>,
}

/// Who brings a bead back whose own retry is due later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Later {
    /// The store: `ready` shows it again when its time has come.
    BySelf,
    /// The coordinator: it is blocked, with the label [`WAITING`], until [`Beads::reopen`].
    ByCoordinator,
}

impl Beads {
    /// Closes a bead whose task has succeeded. Refused by the store (`Refused`, with the claim)
    /// when a blocker was added meanwhile.
    pub async fn close(&self, claim: Claim, reason: &str) -> Result<(), Unsettled> {
        // An empty reason is refused.
        let reason = match clean(reason.trim(), TEXT_BYTES) {
            empty if empty.is_empty() => "completed".to_owned(),
            reason => reason,
        };
        let attempt = claim.attempt();
        let keeps_reason = self.dialect().has_close_reason;
        let landed = |bead: &Bead| {
            bead.status == Status::Closed
                && bead.is_marked(attempt)
                && (!keeps_reason || bead.close_reason.trim() == reason)
        };
        let call = self.words().close(claim.bead(), &reason);
        let ending = Ending {
            call: &|_| call.clone(),
            plain: call.clone().plain(),
            status: Status::Closed,
            note: Some(&reason),
            landed: &landed,
        };
        let (claim, bead) = self.end(claim, &ending).await?;
        if let Some(bead) = bead {
            self.tidy(&claim, &bead).await;
        }
        Ok(())
    }

    /// Mends what else belongs to a closed bead. It is closed whatever comes of this.
    async fn tidy(&self, claim: &Claim, bead: &Bead) {
        if let Some(written) = claim.result().get()
            && !bead.metadata.get(RESULT_KEY).is_some_and(|found| same(found, written))
        {
            // Another write beside ours took the result with it, both with exit 0.
            if let Err(error) = self.merge_result(claim, written).await {
                warn!("the result of {} is lost: {error}", bead.id);
            }
        }
        let remove_labels = our_labels(bead);
        if !remove_labels.is_empty() {
            let change = Change { remove_labels, ..Change::default() };
            if let Err(error) = self.door().run(self.words().update(&bead.id, &change)).await {
                debug!("an old label stays on {}: {error}", bead.id);
            }
        }
    }

    /// Sets a bead aside: `blocked`, nobody's, labelled, with a note.
    pub async fn block(&self, claim: Claim, block: &Block<'_>) -> Result<(), Unsettled> {
        let metadata: Vec<_> = block.metadata.iter().map(|(key, value)| pair(key, value)).collect();
        let note = self.note(&block.note, &metadata);
        let attempt = claim.attempt();
        let landed = |bead: &Bead| {
            bead.status == Status::Blocked
                && bead.assignee.is_none()
                && bead.is_marked(attempt)
                && bead.has_label(block.label)
        };
        let change = Change {
            status: Some(Status::Blocked),
            assignee: Some(""),
            add_label: Some(block.label.to_owned()),
            remove_labels: claim.stale_labels(Some(block.label)),
            note: Some(&note),
            metadata,
            ..Change::default()
        };
        self.end_by_update(claim, change, &landed).await
    }

    /// Lets a failed task wait for its own retry, at `at`.
    pub async fn retry_later(
        &self,
        claim: Claim,
        at: Timestamp,
        attempts: u32,
        last_error: &str,
    ) -> Result<Later, Unsettled> {
        let error = format!("E: {}", clean::one_line(last_error, ERROR_BYTES - 3));
        let mut metadata = vec![("attempts".to_owned(), attempts.to_string())];
        if !self.dialect().has_defer {
            metadata.push(("retry_at".to_owned(), whole_second(at)));
            self.block(claim, &Block { label: WAITING, note: error, metadata }).await?;
            return Ok(Later::ByCoordinator);
        }
        metadata.push(("last_error".to_owned(), error));
        let attempt = claim.attempt();
        let until = whole_second(at);
        let landed = |bead: &Bead| {
            bead.status == Status::Open
                && bead.assignee.is_none()
                && bead.is_marked(attempt)
                && bead.defer_until.map(whole_second).as_ref() == Some(&until)
        };
        let change = Change {
            status: Some(Status::Open),
            assignee: Some(""),
            remove_labels: claim.stale_labels(None),
            metadata,
            defer: Some(at),
            ..Change::default()
        };
        self.end_by_update(claim, change, &landed).await?;
        Ok(Later::BySelf)
    }

    /// Gives back a bead that was claimed and never offered.
    pub async fn release(&self, claim: Claim) -> Result<(), Unsettled> {
        let id = claim.bead().clone();
        let landed = |bead: &Bead| bead.status == Status::Open && bead.assignee.is_none();
        let plain = Change { status: Some(Status::Open), assignee: Some(""), ..Change::default() };
        if claim.held() == Held::Blocked {
            // It was blocked by us, and says so with a label.
            let change = Change { remove_labels: claim.stale_labels(None), ..plain };
            return self.end_by_update(claim, change, &landed).await;
        }
        let ending = Ending {
            call: &|held| self.words().release(&id, held),
            plain: self.words().update(&id, &plain).plain(),
            status: Status::Open,
            note: None,
            landed: &landed,
        };
        self.end(claim, &ending).await.map(drop)
    }

    async fn end_by_update(
        &self,
        claim: Claim,
        change: Change<'_>,
        landed: &(dyn Fn(&Bead) -> bool + Sync),
    ) -> Result<(), Unsettled> {
        let id = claim.bead().clone();
        // Merging into metadata that is not JSON fails, and takes the whole write with it.
        let bare = Change { metadata: Vec::new(), ..change.clone() };
        let ending = Ending {
            call: &|held| self.words().update(&id, &Change { guard: Some(held), ..change.clone() }),
            plain: self.words().update(&id, &bare).plain(),
            status: change.status.clone().unwrap_or(Status::Open),
            note: change.note,
            landed,
        };
        self.end(claim, &ending).await.map(drop)
    }

    /// Takes a bead that we had blocked with a label (any of ours when it is empty) back into the
    /// list of open ones. `false` when it is no longer ours to reopen: a person, another attempt
    /// or another label has it.
    pub async fn reopen(
        &self,
        id: &BeadId,
        attempt: Option<Uuid>,
        label: &str,
    ) -> Result<bool, BeadsError> {
        let _turn = self.turn().await;
        let Some(bead) = self.show(id).await? else { return Ok(false) };
        let labels = if label.is_empty() { our_labels(&bead) } else { vec![label.to_owned()] };
        let ours = bead.status == Status::Blocked
            && bead.assignee.is_none()
            && labels.iter().any(|label| bead.has_label(label))
            && attempt.is_none_or(|attempt| bead.is_marked(attempt));
        if !ours {
            return Ok(false);
        }
        let change = Change {
            status: Some(Status::Open),
            assignee: Some(""),
            remove_labels: labels.clone(),
            guard: Some(Held::Blocked),
            ..Change::default()
        };
        let is_open = |bead: &Bead| {
            bead.status == Status::Open
                && bead.assignee.is_none()
                && !labels.iter().any(|label| bead.has_label(label))
        };
        match self.door().bead(self.words().update(id, &change)).await {
            Ok(bead) if is_open(&bead) => Ok(true),
            Ok(bead) => Err(BeadsError::Unverified {
                id: id.clone(),
                why: format!("it is {} after its reopening", bead.status),
            }),
            Err(error) => match self.show(id).await {
                Ok(Some(bead)) if is_open(&bead) => Ok(true),
                _ => Err(error),
            },
        }
    }

    /// A note of at most 4 KiB; where there is no metadata it carries that too.
    fn note(&self, note: &str, metadata: &[(String, String)]) -> String {
        let mut lines = vec![String::new()];
        if !self.dialect().has_metadata {
            lines.extend(metadata.iter().map(|(key, value)| format!("{key}: {value}")));
        }
        // What a program reads again stands last and must not be cut off.
        let tail = lines.join("\n");
        let room = TEXT_BYTES.saturating_sub(tail.len());
        format!("{}{tail}", clean(note.trim(), room)).trim().to_owned()
    }
}

/// A metadata entry that no store chokes on: keys as `--set-metadata` takes them, one line.
fn pair(key: &str, value: &str) -> (String, String) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let key = key.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    (key, clean::one_line(value, ERROR_BYTES))
}
