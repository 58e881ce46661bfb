//! How one ending is written: look where that is due, write, read the answer, and after an error
//! read the bead and decide, so that a claim comes back exactly when it still stands.

use tracing::debug;

use super::Beads;
use super::bead::{Bead, Status};
use super::claim::{Standing, not_found};
use super::command::{Call, Held, Words};
use super::dialect::Program;
use super::error::BeadsError;
use super::proof::Claim;

/// A write of the end that did not work.
#[derive(Debug, thiserror::Error)]
#[error("the bead is not settled")]
pub struct Unsettled {
    /// The claim, when the bead is still ours (or nobody can tell): to be tried again.
    pub claim: Option<Claim>,
    /// What went wrong.
    #[source]
    pub error: BeadsError,
}

/// One way to end, as commands and as the state they should leave.
pub(super) struct Ending<'a> {
    /// The command, for a bead held in this way.
    pub(super) call: &'a (dyn Fn(Held) -> Call + Sync),
    /// The same for a bead that cannot be printed as JSON any more: no guard, no metadata.
    pub(super) plain: Call,
    /// The status that it leaves.
    pub(super) status: Status,
    /// What `mb` has to be told in a command of its own.
    pub(super) note: Option<&'a str>,
    /// Whether a bead that was read shows this ending.
    pub(super) landed: &'a (dyn Fn(&Bead) -> bool + Sync),
}

impl Beads {
    /// Runs one ending. The bead is there where it could be read.
    pub(super) async fn end(
        &self,
        mut claim: Claim,
        ending: &Ending<'_>,
    ) -> Result<(Claim, Option<Bead>), Unsettled> {
        let _turn = self.turn().await;
        // A look costs `mb` nothing, and its commands check nothing.
        let is_mb = self.dialect().program == Program::Mb;
        if claim.needs_a_look() || is_mb {
            match self.look(&mut claim, ending).await {
                Ok(Some(done)) => return Ok((claim, Some(done))),
                Ok(None) | Err(BeadsError::Poisoned { .. }) => {}
                Err(error) => return Err(unsettled(claim, error)),
            }
        }
        let error = match self.door().bead((ending.call)(claim.held())).await {
            Ok(bead) if has_landed(ending, &claim, &bead) => return Ok((claim, Some(bead))),
            Ok(bead) => unverified(&claim, &format!("it is {} after the write", bead.status)),
            Err(BeadsError::Poisoned { text }) => {
                return self.end_unreadable(claim, ending, text).await;
            }
            Err(error) => error,
        };
        claim.doubt();
        match self.show(claim.bead()).await {
            Ok(Some(bead)) if (ending.landed)(&bead) => Ok((claim, Some(bead))),
            Ok(Some(bead)) => match self.standing(&bead, claim.attempt()) {
                Standing::Held(_) => Err(Unsettled { claim: Some(claim), error }),
                elsewhere => {
                    debug!("{} failed first: {error}", claim.bead());
                    Err(unsettled_elsewhere(&claim, elsewhere))
                }
            },
            Ok(None) => {
                let error = not_found(claim.bead());
                Err(Unsettled { claim: None, error })
            }
            Err(_) => Err(Unsettled { claim: Some(claim), error }),
        }
    }

    /// Finds out whether the bead is still ours, and how we hold it. The bead, when an earlier
    /// write of this very ending has landed after all.
    async fn look(
        &self,
        claim: &mut Claim,
        ending: &Ending<'_>,
    ) -> Result<Option<Bead>, BeadsError> {
        let bead = self.show(claim.bead()).await?.ok_or_else(|| not_found(claim.bead()))?;
        if claim.is_in_doubt() && (ending.landed)(&bead) {
            return Ok(Some(bead));
        }
        match self.standing(&bead, claim.attempt()) {
            Standing::Held(held) => claim.saw(&bead, held),
            elsewhere => return Err(unsettled_elsewhere(claim, elsewhere).error),
        }
        if self.dialect().program == Program::Mb
            && let Some(note) = ending.note
            && !bead.notes.contains(note)
        {
            self.door().bead(Words::append_note(claim.bead(), note)).await?;
        }
        Ok(None)
    }

    /// Ends a bead whose metadata somebody has broken meanwhile: the write may have landed
    /// although nothing could be printed, and is looked for in text.
    async fn end_unreadable(
        &self,
        mut claim: Claim,
        ending: &Ending<'_>,
        text: String,
    ) -> Result<(Claim, Option<Bead>), Unsettled> {
        claim.doubt();
        let id = claim.bead();
        let probe = self.words().probe(id, &ending.status, None);
        let mut landed = self.door().names(probe.clone(), id).await;
        if let Ok(false) = landed {
            landed = match self.door().run(ending.plain.clone()).await {
                Ok(_) => self.door().names(probe, id).await,
                Err(error) => Err(error),
            };
        }
        match landed {
            Ok(true) => Ok((claim, None)),
            Ok(false) => {
                Err(Unsettled { claim: Some(claim), error: BeadsError::Poisoned { text } })
            }
            Err(error) => Err(Unsettled { claim: Some(claim), error }),
        }
    }
}

/// Whether the answer of the write shows the ending. A store may keep a reason that was given
/// first, so of a close only the state counts.
fn has_landed(ending: &Ending<'_>, claim: &Claim, bead: &Bead) -> bool {
    let closed = ending.status == Status::Closed && bead.status == Status::Closed;
    (ending.landed)(bead) || (closed && bead.is_marked(claim.attempt()))
}

/// A claim comes back unless the bead was seen to be somebody else's.
fn unsettled(mut claim: Claim, error: BeadsError) -> Unsettled {
    if matches!(error, BeadsError::NotOurs { .. } | BeadsError::NotFound { .. }) {
        return Unsettled { claim: None, error };
    }
    claim.doubt();
    Unsettled { claim: Some(claim), error }
}

fn unsettled_elsewhere(claim: &Claim, standing: Standing) -> Unsettled {
    let why = match standing {
        Standing::Closed => "it is closed".to_owned(),
        Standing::Elsewhere(why) => format!("{why} has it"),
        Standing::Held(_) => "it stands as it stood".to_owned(),
    };
    Unsettled { claim: None, error: BeadsError::NotOurs { id: claim.bead().clone(), why } }
}

pub(super) fn unverified(claim: &Claim, why: &str) -> BeadsError {
    BeadsError::Unverified { id: claim.bead().clone(), why: why.to_owned() }
}
