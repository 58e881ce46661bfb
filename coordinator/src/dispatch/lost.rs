//! After the grace: the bead is written as lost, and the executor is still asked.

use std::time::Duration;

use protocol::refusal::RefusalCode;
use tracing::info;

use super::{Line, Stop, Watched};
use crate::beads::ClaimAnswer;
use crate::fleet::{ClientError, Condition, Door};
use crate::ledger::Step;
use crate::settle::{Class, End, Verdict};

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
    pub(super) async fn watch_lost(&mut self) -> Result<Watched, Stop> {
        loop {
            self.pause(LOOK_EVERY).await?;
            let may_run_again = match self.ask_about_lost().await? {
                Found::Ended(end) => return Ok(Watched::Found(end)),
                // An executor that keeps no limit is only asked on: just its end counts.
                Found::Runs if self.is_overdue() => false,
                Found::Runs => {
                    self.take_back().await?;
                    return Ok(Watched::Found(self.follow().await?));
                }
                Found::Forgotten if self.attempt.started.is_none() => {
                    return Ok(Watched::Found(self.never_arrived()));
                }
                Found::Forgotten if !self.attempt.facts.idempotent => {
                    // Nobody will ever know how it ended: a person decides.
                    self.advance(Step::Settled { hold: None }).await?;
                    return Ok(Watched::Settled);
                }
                Found::Forgotten => true,
                Found::Nothing => self.another_is_up(),
            };
            if may_run_again && self.attempt.facts.idempotent && self.decide_to_repeat().await? {
                return Ok(Watched::Decided);
            }
        }
    }

    fn never_arrived(&self) -> End {
        let name = self.attempt.executor.as_ref().map_or("the executor", |name| name.as_str());
        End::NotStarted {
            class: Class::Infrastructure,
            error: format!("{name} is back and never got it"),
        }
    }

    /// An idempotent task may run again, as often in a row as any other that failed.
    async fn decide_to_repeat(&mut self) -> Result<bool, Stop> {
        let Some(Verdict::Block { class, failures, error, .. }) = self.attempt.verdict.clone()
        else {
            return Ok(false);
        };
        if failures >= self.app.routing.retry.attempts {
            return Ok(false);
        }
        let verdict = Box::new(Verdict::GiveBack { class, failures, error });
        self.advance(Step::Ended { outcome: None, verdict }).await?;
        Ok(true)
    }

    async fn ask_about_lost(&mut self) -> Result<Found, Stop> {
        let Some(name) = self.attempt.executor.clone() else { return Ok(Found::Forgotten) };
        let app = std::sync::Arc::clone(&self.app);
        let Some(client) = app.fleet.door(&name) else { return Ok(Found::Nothing) };
        // What is on a list is known here, wherever its runner is.
        if !matches!(client, Door::List(_)) && !self.is_up(&name) {
            return Ok(Found::Nothing);
        }
        Ok(match client.attempt(self.attempt.id, Duration::ZERO).await {
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

    fn another_is_up(&self) -> bool {
        let own = self.attempt.executor.as_ref();
        // Asked anew: runners come and go.
        super::candidates(&self.app, &self.attempt)
            .iter()
            .any(|name| Some(name) != own && self.is_up(name))
    }

    fn is_up(&self, name: &crate::routing::ExecutorName) -> bool {
        self.app.fleet.states().get(name).is_some_and(|state| state.condition == Condition::Up)
    }
}
