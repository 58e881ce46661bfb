//! Taking a bead, and the proof that it is ours.

use tracing::warn;
use uuid::Uuid;

use super::bead::{Bead, BeadId, Status};
use super::command::{Change, Held, Words};
use super::error::{BeadsError, BeadsTrouble};
use super::proof::{Claim, our_labels};
use super::{ATTEMPT_LABEL, Beads};

/// What came of trying to take a bead.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once per claim and taken apart at once")]
pub enum ClaimAnswer {
    /// It is ours, and this is how it looks.
    Won(Claim, Bead),
    /// It is somebody else's, or no longer open.
    Lost {
        /// Who has it, for people.
        by: String,
    },
}

/// Whether a bead of an earlier life is still ours.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once per bead and taken apart at once")]
pub enum Adoption {
    /// It is, and this is how it looks.
    Ours(Claim, Bead),
    /// It is not.
    NotOurs {
        /// Who has it, or what became of it, for people.
        why: String,
    },
    /// There is no such bead.
    Gone,
}

/// How a bead stands towards one attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Ours.
    Held(Held),
    /// Closed, with our stamp.
    Closed,
    /// Not ours, and why.
    Elsewhere(String),
}

impl Beads {
    /// Takes an open bead for an attempt. The proof is in what the program prints; where that is
    /// none (`mb`), in the bead read again.
    ///
    /// Blockers are not looked at: neither program does.
    pub async fn claim(&self, id: &BeadId, attempt: Uuid) -> Result<ClaimAnswer, BeadsError> {
        let _turn = self.turn().await;
        if self.live().has(id) {
            return Ok(ClaimAnswer::Lost { by: self.words().actor.clone() });
        }
        let dialect = self.dialect();
        let mut looked = None;
        if !dialect.claim_checks_status || dialect.size_limit.is_some() {
            let bead = self.show(id).await?.ok_or_else(|| not_found(id))?;
            if let Some(by) = unclaimable(&bead) {
                return Ok(ClaimAnswer::Lost { by });
            }
            self.check_size(&bead, 0)?;
            looked = Some(bead);
        }
        let stale = looked.as_ref().map(stale_stamps).unwrap_or_default();
        let said = match self.door().run(self.words().claim(id, attempt, &stale)).await {
            Ok(said) => said,
            Err(error) => return self.after_failed_claim(id, attempt, error).await,
        };
        let printed = match said.first_bead() {
            Ok(bead) if dialect.claim_proves => bead,
            Ok(bead) if bead.id == *id => self.show(id).await?.ok_or_else(|| not_found(id))?,
            Ok(bead) => bead,
            Err(error) => return self.after_failed_claim(id, attempt, error).await,
        };
        if printed.id != *id {
            // The id was cut short and another bead was taken: that one goes back.
            self.undo(&printed, attempt).await;
            return Err(not_found(id));
        }
        // Only old versions get here with a bead that was closed after it was looked at.
        let was_open = looked.as_ref().is_some_and(|bead| bead.closed_at.is_none());
        if dialect.claim_proves && was_open && printed.closed_at.is_some() {
            let reason = printed.close_reason.as_str();
            let reason = if reason.is_empty() { "closed before it was claimed" } else { reason };
            self.door().bead(self.words().close(id, reason)).await?;
            return Ok(ClaimAnswer::Lost { by: "somebody who has closed it".to_owned() });
        }
        Ok(self.won(printed, attempt))
    }

    fn won(&self, bead: Bead, attempt: Uuid) -> ClaimAnswer {
        match self.standing(&bead, attempt) {
            Standing::Held(Held::Running) => {
                ClaimAnswer::Won(Claim::new(self.live(), &bead, attempt, Held::Running), bead)
            }
            Standing::Held(Held::Blocked) => {
                ClaimAnswer::Lost { by: "somebody who has blocked it".to_owned() }
            }
            Standing::Closed => ClaimAnswer::Lost { by: "somebody who has closed it".to_owned() },
            Standing::Elsewhere(by) => ClaimAnswer::Lost { by },
        }
    }

    /// An error is no proof that nothing was written: the bead is read, then decided.
    async fn after_failed_claim(
        &self,
        id: &BeadId,
        attempt: Uuid,
        error: BeadsError,
    ) -> Result<ClaimAnswer, BeadsError> {
        match error {
            BeadsError::Claimed { by, .. } => return Ok(ClaimAnswer::Lost { by }),
            BeadsError::Refused { text } => return Ok(ClaimAnswer::Lost { by: text }),
            BeadsError::NotFound { .. } | BeadsError::Stopped => return Err(error),
            BeadsError::Poisoned { .. } => {
                self.undo_unreadable(id).await;
                return Err(error);
            }
            _ => {}
        }
        let Ok(Some(bead)) = self.show(id).await else { return Err(error) };
        if error.class() == BeadsTrouble::Setup {
            // An old program on a new store claims what is blocked: nothing may stay claimed.
            self.undo(&bead, attempt).await;
            return Err(error);
        }
        match self.standing(&bead, attempt) {
            Standing::Held(Held::Running) => Ok(self.won(bead, attempt)),
            Standing::Elsewhere(_) if self.is_running_here(&bead) => {
                // The claim landed and its stamp did not: the same again completes it.
                let again = self.words().claim(id, attempt, &stale_stamps(&bead));
                let bead = self.door().bead(again).await?;
                Ok(self.won(bead, attempt))
            }
            _ => Err(error),
        }
    }

    /// Gives back what should not have been taken.
    async fn undo(&self, bead: &Bead, attempt: Uuid) {
        if self.is_running_here(bead) && bead.is_marked(attempt) {
            let release = self.words().release(&bead.id, Held::Running);
            if let Err(error) = self.door().run(release).await {
                warn!(bead.id = %bead.id, "could not give {} back: {error}", bead.id);
            }
        }
    }

    /// The same for a bead that cannot be printed as JSON.
    async fn undo_unreadable(&self, id: &BeadId) {
        let actor = &self.words().actor;
        let probe = self.words().probe(id, &Status::InProgress, Some(actor));
        if matches!(self.door().names(probe, id).await, Ok(true)) {
            let change =
                Change { status: Some(Status::Open), assignee: Some(""), ..Change::default() };
            if let Err(error) = self.door().run(self.words().update(id, &change).plain()).await {
                warn!(bead.id = %id, "could not give {id} back: {error}");
            }
        }
    }

    /// A bead whose stamp cannot be read is nobody's: one that is still in progress in our name is
    /// blocked, since nothing else would ever end it.
    async fn let_go_of_unreadable(
        &self,
        id: &BeadId,
        attempt: Uuid,
        text: &str,
    ) -> Result<String, BeadsError> {
        let actor = &self.words().actor;
        let probe = self.words().probe(id, &Status::InProgress, Some(actor));
        if self.door().names(probe, id).await? {
            let note = format!(
                "Attempt {attempt} had this bead, and its metadata is not JSON any more, so that \
                 nothing can be recorded in it. Write its metadata again, then set the status to \
                 open. ({text})"
            );
            self.block_in_text(id, &note, Some("")).await?;
        }
        Ok("its metadata is not JSON".to_owned())
    }

    /// Finds out whether a bead is still held for an attempt: after a restart, or for a late
    /// result. Ours is what is in progress, assigned to us and stamped with the attempt, or
    /// blocked, assigned to nobody and stamped with it.
    pub async fn adopt(&self, id: &BeadId, attempt: Uuid) -> Result<Adoption, BeadsError> {
        let bead = match self.show(id).await {
            Ok(Some(bead)) => bead,
            Ok(None) => return Ok(Adoption::Gone),
            Err(BeadsError::Poisoned { text }) => {
                let why = self.let_go_of_unreadable(id, attempt, &text).await?;
                return Ok(Adoption::NotOurs { why });
            }
            Err(error) => return Err(error),
        };
        Ok(match self.standing(&bead, attempt) {
            Standing::Held(held) => {
                Adoption::Ours(Claim::new(self.live(), &bead, attempt, held), bead)
            }
            Standing::Closed => Adoption::NotOurs { why: "it is closed".to_owned() },
            Standing::Elsewhere(why) => Adoption::NotOurs { why },
        })
    }

    /// Renews the lease of a running attempt, where a claim is one ([`Dialect::leases`]): about
    /// every 90 s. An error says nothing about the claim; settling finds out.
    ///
    /// [`Dialect::leases`]: super::Dialect::leases
    pub async fn renew(&self, claim: &Claim) -> Result<(), BeadsError> {
        if self.dialect().leases {
            self.door().run(Words::heartbeat(claim.bead())).await?;
        }
        Ok(())
    }

    /// Goes on with a bead that we had blocked: in progress again, ours, its label taken off.
    ///
    /// The claim is used up; after an error [`Beads::adopt`] tells how the bead stands.
    pub async fn resume(&self, claim: Claim, attempt: Uuid) -> Result<ClaimAnswer, BeadsError> {
        let _turn = self.turn().await;
        let id = claim.bead().clone();
        let bead = self.show(&id).await?.ok_or_else(|| not_found(&id))?;
        let held = match self.standing(&bead, claim.attempt()) {
            Standing::Held(held) => held,
            Standing::Closed => {
                return Ok(ClaimAnswer::Lost { by: "somebody who has closed it".to_owned() });
            }
            Standing::Elsewhere(by) => return Ok(ClaimAnswer::Lost { by }),
        };
        let mut labels = our_labels(&bead);
        labels.extend(stale_stamps(&bead));
        let mark = format!("{ATTEMPT_LABEL}{attempt}");
        labels.retain(|label| *label != mark);
        let change = Change {
            status: Some(Status::InProgress),
            assignee: Some(&self.words().actor),
            add_label: (!self.dialect().has_metadata).then_some(mark),
            remove_labels: labels,
            metadata: vec![(super::ATTEMPT_KEY.to_owned(), attempt.to_string())],
            guard: Some(held),
            ..Change::default()
        };
        match self.door().bead(self.words().update(&id, &change)).await {
            Ok(bead) => Ok(self.won(bead, attempt)),
            Err(error) => match self.show(&id).await {
                Ok(Some(bead))
                    if self.standing(&bead, attempt) == Standing::Held(Held::Running) =>
                {
                    Ok(self.won(bead, attempt))
                }
                _ => Err(error),
            },
        }
    }

    /// How a bead stands towards an attempt of ours.
    pub(super) fn standing(&self, bead: &Bead, attempt: Uuid) -> Standing {
        let marked = bead.is_marked(attempt);
        let nobody = bead.assignee.is_none();
        match &bead.status {
            Status::InProgress if marked && self.is_running_here(bead) => {
                Standing::Held(Held::Running)
            }
            Status::Blocked if marked && nobody => Standing::Held(Held::Blocked),
            Status::Closed if marked => Standing::Closed,
            status => Standing::Elsewhere(match (&bead.assignee, bead.attempt()) {
                (Some(name), Some(other)) if *name == self.words().actor && !marked => {
                    format!("our own attempt {other}")
                }
                (Some(name), _) if *name != self.words().actor => name.clone(),
                (_, _) => format!("somebody who has set it to {status}"),
            }),
        }
    }

    fn is_running_here(&self, bead: &Bead) -> bool {
        bead.status == Status::InProgress
            && bead.assignee.as_deref() == Some(self.words().actor.as_str())
    }

    /// Refuses what this version could never update again, before anything is written.
    pub(super) fn check_size(&self, bead: &Bead, more: usize) -> Result<(), BeadsError> {
        match self.dialect().size_limit {
            Some(limit) if bead.size + more >= limit => Err(BeadsError::TooBig {
                text: format!("{} has {} bytes, the limit is {limit}", bead.id, bead.size + more),
            }),
            _ => Ok(()),
        }
    }
}

/// Why a bead that was looked at cannot be taken.
fn unclaimable(bead: &Bead) -> Option<String> {
    if let Some(name) = &bead.assignee {
        return Some(name.clone());
    }
    let closed_or_held = bead.status != Status::Open;
    closed_or_held.then(|| format!("somebody who has set it to {}", bead.status))
}

/// The stamps that earlier attempts left as labels.
fn stale_stamps(bead: &Bead) -> Vec<String> {
    bead.attempt_labels().map(|stamp| format!("{ATTEMPT_LABEL}{stamp}")).collect()
}

pub(super) fn not_found(id: &BeadId) -> BeadsError {
    BeadsError::NotFound { id: id.clone() }
}
