//! From the ledger to the proof that the bead is ours.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{debug, info};

use super::{Line, Stop, Work};
use crate::beads::{Adoption, Bead, BeadId, BeadsTrouble, ClaimAnswer, Dependency};
use crate::board::Source;
use crate::ledger::Step;
use crate::order::{self, Read};

/// A bead younger than this may still get its labels and dependencies.
const YOUNG: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl Line {
    /// Claims the bead and looks at it once more where the listing may have been too early.
    pub(super) async fn claim_bead(&mut self, work: &Work) -> Result<Bead, Stop> {
        let beads = self.beads().await?;
        let bead = match beads.claim(&self.attempt.bead, self.attempt.id).await {
            Ok(ClaimAnswer::Won(claim, bead)) => {
                self.claim = Some(claim);
                bead
            }
            Ok(ClaimAnswer::Lost { by }) => {
                debug!("not ours: {by}");
                self.advance(Step::Dropped).await?;
                return Err(Stop::NotOurs);
            }
            Err(error) => match error.class() {
                // Nothing was written.
                BeadsTrouble::NotFound | BeadsTrouble::TooBig | BeadsTrouble::Refused => {
                    info!("not claimed: {error}");
                    self.advance(Step::Dropped).await?;
                    return Err(Stop::NotOurs);
                }
                // It may have landed.
                BeadsTrouble::Setup | BeadsTrouble::Busy | BeadsTrouble::Garbage => {
                    self.beads_trouble(&error);
                    self.adopt().await?
                }
            },
        };
        self.advance(Step::Claimed).await?;
        self.look_again(work, bead).await
    }

    /// Makes the bead ours again; one that is not ours any more ends the line.
    pub(super) async fn adopt(&mut self) -> Result<Bead, Stop> {
        match self.look_whose().await? {
            Some(bead) => Ok(bead),
            None => self.let_go().await,
        }
    }

    /// Finds out whether the bead is ours.
    pub(super) async fn is_ours(&mut self) -> Result<bool, Stop> {
        Ok(self.look_whose().await?.is_some())
    }

    /// Finds out whether the bead is ours, for as long as that takes.
    async fn look_whose(&mut self) -> Result<Option<Bead>, Stop> {
        let beads = self.beads().await?;
        let mut wait = FIRST_WAIT;
        loop {
            let answer = match beads.adopt(&self.attempt.bead, self.attempt.id).await {
                Ok(Adoption::Ours(claim, bead)) => {
                    self.claim = Some(claim);
                    Some(bead)
                }
                Ok(Adoption::NotOurs { why }) => {
                    info!("{} is not ours: {why}", self.attempt.bead);
                    None
                }
                Ok(Adoption::Gone) => {
                    info!("{} is gone", self.attempt.bead);
                    None
                }
                Err(error) => {
                    self.beads_trouble(&error);
                    self.pause(wait).await?;
                    wait = (wait * 2).min(LONGEST_WAIT);
                    continue;
                }
            };
            self.works_again();
            return Ok(answer);
        }
    }

    /// Shows a bead, for as long as that takes; none when there is none.
    pub(super) async fn show(&self, id: &BeadId) -> Result<Option<Bead>, Stop> {
        let beads = self.beads().await?;
        let mut wait = FIRST_WAIT;
        loop {
            match beads.show(id).await {
                Ok(shown) => {
                    self.works_again();
                    return Ok(shown);
                }
                Err(error) if error.class() == BeadsTrouble::NotFound => return Ok(None),
                Err(error) => self.beads_trouble(&error),
            }
            self.pause(wait).await?;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Ends an attempt whose bead somebody else decided about: the record keeps what is known.
    async fn let_go(&mut self) -> Result<Bead, Stop> {
        let step = if self.attempt.offered.is_some() {
            Step::Settled { hold: None }
        } else {
            Step::Dropped
        };
        self.advance(step).await?;
        Err(Stop::NotOurs)
    }

    /// Gives back a bead that no executor was asked about; used after a restart.
    pub(super) async fn give_back_unoffered(&mut self) -> Result<(), Stop> {
        self.adopt().await?;
        self.release().await
    }

    /// A young bead may have got a dependency or a label after it was listed.
    async fn look_again(&mut self, work: &Work, claimed: Bead) -> Result<Bead, Stop> {
        let young = claimed
            .created_at
            .is_none_or(|at| Timestamp::now().duration_since(at).unsigned_abs() < YOUNG);
        let depends = work.order.as_ref().is_ok_and(|order| order.has_dependencies);
        let bead = if young || depends {
            match self.show(&self.attempt.bead).await? {
                Some(bead) => bead,
                None => return self.let_go().await,
            }
        } else {
            claimed
        };
        if let Some(blocker) = bead.dependencies.iter().find(|dependency| holds_back(dependency)) {
            info!("{} waits for {} after all", bead.id, blocker.id);
        } else if same_order(work, &bead) {
            self.app.board.rested(&bead.id);
            return Ok(bead);
        } else {
            info!("{} changed while it was claimed: planned again", bead.id);
        }
        self.app.board.rest(&bead.id);
        self.release().await?;
        Err(Stop::NotOurs)
    }
}

/// Whether an edge surely holds the bead back.
///
/// About the others, such as a `waits-for` to a bead without children, the listing knows better.
fn holds_back(dependency: &Dependency) -> bool {
    dependency.blocks() && dependency.status.is_some() && dependency.kind != "waits-for"
}

/// Whether the bead still asks for what was planned.
fn same_order(work: &Work, bead: &Bead) -> bool {
    match (&work.order, order::read(bead)) {
        (Ok(planned), Read::Order(now)) => {
            planned.task_type == now.task_type
                && planned.params == now.params
                && planned.timeout == now.timeout
                && planned.executor == now.executor
        }
        (Err(planned), Read::Broken { problem, .. }) => planned.problem == problem,
        _ => false,
    }
}

impl Line {
    pub(super) fn beads_trouble(&self, error: &crate::beads::BeadsError) {
        let source = match error.class() {
            BeadsTrouble::Setup | BeadsTrouble::Busy | BeadsTrouble::Garbage => Source::Beads,
            BeadsTrouble::NotFound | BeadsTrouble::TooBig | BeadsTrouble::Refused => {
                Source::Settle(self.attempt.bead.clone())
            }
        };
        self.app.board.trouble(source, crate::poll::trouble_text(error));
    }

    pub(super) fn works_again(&self) {
        self.app.board.mended(&Source::Beads);
        self.app.board.mended(&Source::Settle(self.attempt.bead.clone()));
    }
}
