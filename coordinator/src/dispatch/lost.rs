//! After the grace: the bead is written as lost, and the executor is still asked.

use std::time::Duration;

use protocol::refusal::RefusalCode;
use tracing::info;

use super::{Line, Stop};
use crate::beads::ClaimAnswer;
use crate::fleet::{ClientError, Condition};
use crate::ledger::Step;
use crate::settle::{Class, End};

const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What the executor says of a lost attempt.
enum Found {
    Nothing,
    Runs,
    Ended(End),
    /// The executor is there, and does not know it.
    Forgotten,
}

impl Line {
    /// Waits for the executor to come back, or for another one that may do it again.
    ///
    /// Returns the end that was found after all; none when there will be none.
    pub(super) async fn watch_lost(&mut self) -> Result<Option<End>, Stop> {
        loop {
            self.pause(LOOK_EVERY).await?;
            let found = self.ask_about_lost().await?;
            let may_run_again = match found {
                Found::Nothing => self.another_is_up(),
                Found::Forgotten => true,
                Found::Runs => {
                    self.take_back().await?;
                    return Ok(Some(self.follow().await?));
                }
                Found::Ended(end) => {
                    self.take_back().await?;
                    return Ok(Some(end));
                }
            };
            if self.attempt.facts.idempotent {
                if may_run_again && self.open_again().await? {
                    return Ok(None);
                }
            } else if matches!(found, Found::Forgotten) {
                // Nobody will ever know how it ended: a person decides.
                self.advance(Step::Settled { hold: None }).await?;
                return Ok(None);
            }
        }
    }

    async fn ask_about_lost(&mut self) -> Result<Found, Stop> {
        let Some(name) = self.attempt.executor.clone() else { return Ok(Found::Forgotten) };
        let app = std::sync::Arc::clone(&self.app);
        let Some(client) = app.fleet.client(&name) else { return Ok(Found::Nothing) };
        if !self.is_up(&name) {
            return Ok(Found::Nothing);
        }
        Ok(match client.attempt(self.attempt.id, false).await {
            Ok(view) => match view.outcome {
                Some(outcome) => Found::Ended(End::Outcome(Box::new(outcome))),
                None => Found::Runs,
            },
            Err(ClientError::Refused { refusal, .. }) if refusal.code == RefusalCode::NotFound => {
                Found::Forgotten
            }
            Err(_) => Found::Nothing,
        })
    }

    /// The executor is back: the bead is ours again, unless somebody decided otherwise.
    async fn take_back(&mut self) -> Result<(), Stop> {
        self.adopt().await?;
        let Some(claim) = self.claim.take() else { return Err(Stop::NotOurs) };
        let beads = self.beads().await?;
        match beads.resume(claim, self.attempt.id).await {
            Ok(ClaimAnswer::Won(claim, _)) => self.claim = Some(claim),
            Ok(ClaimAnswer::Lost { by }) => {
                info!("{} is not ours any more: {by}", self.attempt.bead);
                self.advance(Step::Settled { hold: None }).await?;
                return Err(Stop::NotOurs);
            }
            Err(error) => {
                self.beads_trouble(&error);
                // Whether it landed is asked again when the end is written.
                self.adopt().await?;
            }
        }
        info!("{} goes on: its executor is back", self.attempt.bead);
        self.advance(Step::Running).await
    }

    /// An idempotent task may run again: the bead is opened, and the plan finds it.
    async fn open_again(&mut self) -> Result<bool, Stop> {
        let beads = self.beads().await?;
        let label = Class::Lost.label();
        match beads.reopen(&self.attempt.bead, Some(self.attempt.id), label).await {
            Ok(true) => info!("{} is open again: its task is idempotent", self.attempt.bead),
            Ok(false) => info!("{} is not ours to reopen any more", self.attempt.bead),
            Err(error) => {
                self.beads_trouble(&error);
                return Ok(false);
            }
        }
        self.works_again();
        self.advance(Step::Settled { hold: None }).await?;
        Ok(true)
    }

    fn another_is_up(&self) -> bool {
        self.candidates
            .iter()
            .any(|name| Some(name) != self.attempt.executor.as_ref() && self.is_up(name))
    }

    fn is_up(&self, name: &crate::routing::ExecutorName) -> bool {
        self.app.fleet.states().get(name).is_some_and(|state| state.condition == Condition::Up)
    }
}
