//! From the end of an attempt to a bead that tells the truth.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

use super::{Line, Stop, Written, missing};
use crate::beads::{Beads, BeadsError, Block, Claim, Later, Unsettled};
use crate::board::Held;
use crate::fleet::Door;
use crate::ledger::Step;
use crate::settle::{self, Class, End, Facts, Hold, Streak, Verdict};

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl Line {
    /// Decides what the end means, and writes that down before the bead is written.
    pub(super) async fn decide(&mut self, end: End) -> Result<(), Stop> {
        let history = self.history(&self.attempt.bead).await?;
        let earlier = history
            .iter()
            .filter(|attempt| attempt.id != self.attempt.id)
            .filter_map(|attempt| attempt.verdict.as_ref());
        let facts = Facts {
            attempt: self.attempt.id,
            executor: self.attempt.executor.as_ref(),
            task: self.attempt.facts,
            has_dependents: self.attempt.has_dependents,
            before: Streak::of(earlier),
            candidates: self.candidates.clone(),
            log_url: self.log_url(),
        };
        let verdict = settle::verdict(&facts, &end, Timestamp::now(), &self.app.routing.retry);
        self.count_end(&end, &verdict);
        let outcome = match end {
            End::Outcome(outcome) => Some(outcome),
            End::Lost { .. } | End::NotStarted { .. } | End::Permanent { .. } => None,
        };
        self.advance(Step::Ended { outcome, verdict: Box::new(verdict) }).await
    }

    fn count_end(&self, end: &End, verdict: &Verdict) {
        let executor = self.attempt.executor.as_ref();
        let door = executor.and_then(|name| self.app.fleet.door(name));
        // What is on a task list is counted there.
        let by_execute = matches!(door, Some(Door::Execute(_)));
        let executor = executor.map(crate::routing::ExecutorName::as_str);
        self.app.metrics.work().ended(end, verdict, executor, by_execute);
    }

    /// Writes the verdict into the bead, for as long as that takes.
    pub(super) async fn write_verdict(&mut self) -> Result<Written, Stop> {
        let verdict = self.attempt.verdict.clone().ok_or_else(|| missing("verdict"))?;
        let mut wait = FIRST_WAIT;
        let later = loop {
            if self.claim.is_none() {
                self.adopt().await?;
            }
            let Some(claim) = self.claim.take() else { return Err(Stop::NotOurs) };
            let beads = self.beads().await?;
            match self.write(&beads, claim, &verdict).await {
                Ok(later) => break later,
                Err(Unsettled { claim, error }) => {
                    self.claim = claim;
                    self.beads_trouble(&error);
                }
            }
            self.pause(wait).await?;
            wait = (wait * 2).min(LONGEST_WAIT);
        };
        self.works_again();
        self.report(&verdict);
        self.app.metrics.work().settled(&verdict);
        if matches!(verdict, Verdict::Block { class: Class::Lost, .. }) {
            self.advance(Step::Lost).await?;
            return Ok(Written::Lost);
        }
        let hold = hold_after(&verdict, later);
        self.advance(Step::Settled { hold: hold.clone() }).await?;
        if let Some(hold) = hold {
            self.app.board.hold(Held {
                bead: self.attempt.bead.clone(),
                title: self.attempt.title.clone(),
                task_type: self.attempt.task_type.clone(),
                hold,
                mark: self.attempt.id,
                attempt: Some(self.attempt.clone()),
            });
        }
        Ok(Written::Settled)
    }

    async fn write(
        &self,
        beads: &Beads,
        claim: Claim,
        verdict: &Verdict,
    ) -> Result<Option<Later>, Unsettled> {
        match verdict {
            Verdict::Close { reason, result } => {
                if let Some(result) = result
                    && let Err(error) = beads.write_result(&claim, result).await
                {
                    return Err(Unsettled { claim: Some(claim), error });
                }
                beads.close(claim, reason).await.map(|()| None)
            }
            Verdict::Retry { at, failures, error, .. } => {
                // Beads shows it again in the second after.
                self.app.board.list_at(*at + Duration::from_secs(1));
                beads.retry_later(claim, *at, *failures, error).await.map(Some)
            }
            Verdict::GiveBack { .. } => beads.release(claim).await.map(|()| None),
            Verdict::Block { class, note, failures, hold, .. } => {
                let mut metadata = vec![
                    ("ygg_class".to_owned(), class.as_str().to_owned()),
                    ("attempts".to_owned(), failures.to_string()),
                ];
                if let Some(hold) = hold {
                    metadata.push(("retry_at".to_owned(), settle::seconds(hold.not_before)));
                }
                let block = Block { label: class.label(), note: note.clone(), metadata };
                beads.block(claim, &block).await.map(|()| None)
            }
        }
    }

    /// Gives back a claim that was never offered.
    pub(super) async fn release(&mut self) -> Result<(), Stop> {
        let beads = self.beads().await?;
        let mut wait = FIRST_WAIT;
        while let Some(claim) = self.claim.take() {
            match beads.release(claim).await {
                Ok(()) => break,
                Err(Unsettled { claim, error }) => {
                    self.beads_trouble(&error);
                    self.claim = claim;
                }
            }
            self.pause(wait).await?;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        self.works_again();
        self.advance(Step::Dropped).await
    }

    /// One log line per settled bead.
    fn report(&self, verdict: &Verdict) {
        let bead = &self.attempt.bead;
        let executor = self.attempt.executor.as_ref().map_or("no executor", |name| name.as_str());
        let (seconds, last) =
            self.attempt.outcome.as_ref().map_or((0.0, String::new()), |outcome| {
                (outcome.duration_seconds, settle::last_line(&outcome.output))
            });
        // A task that printed nothing has no last line.
        let last = if last.is_empty() { last } else { format!(": {last}") };
        match verdict {
            Verdict::Close { .. } => {
                info!(executor, duration_seconds = seconds, "closed {bead} on {executor}{last}");
            }
            Verdict::Retry { class, at, error, .. } => {
                warn!(executor, class = class.as_str(), "{bead} is tried again at {at}: {error}");
            }
            Verdict::GiveBack { class, error, .. } => {
                warn!(executor, class = class.as_str(), "{bead} is tried again now: {error}");
            }
            Verdict::Block { class, error, .. } => warn!(
                executor,
                class = class.as_str(),
                duration_seconds = seconds,
                "blocked {bead} ({}): {error}{last}",
                class.label()
            ),
        }
    }

    fn log_url(&self) -> Option<String> {
        let door = self.app.fleet.door(self.attempt.executor.as_ref()?)?;
        self.attempt.offered?;
        match door {
            Door::Execute(client) => {
                Some(client.address(&format!("/attempts/{}/log", self.attempt.id)).to_string())
            }
            // A runner with a list keeps no log that could be asked for.
            Door::List(_) => None,
        }
    }
}

fn hold_after(verdict: &Verdict, later: Option<Later>) -> Option<Hold> {
    match (verdict, later) {
        (Verdict::Block { hold, .. }, _) => hold.clone(),
        // Where Beads cannot defer, its bead stays blocked until we open it.
        (Verdict::Retry { at, .. }, Some(Later::ByCoordinator)) => {
            Some(Hold { not_before: *at, executors: Vec::new(), label: String::new() })
        }
        _ => None,
    }
}

/// Opens a bead again that we blocked for a reason that is gone.
pub(crate) async fn reopen(app: &crate::app::App, held: &Held) -> Result<(), Box<BeadsError>> {
    let Some(beads) = app.beads.borrow().clone() else { return Ok(()) };
    let ours = beads.reopen(&held.bead, Some(held.mark), &held.hold.label).await?;
    if ours {
        info!("{} is open again", held.bead);
    } else {
        info!("{} is not ours to reopen any more", held.bead);
    }
    if let Some(attempt) = &held.attempt
        && let Err(error) = app.ledger.advance(attempt, Step::Unheld).await
    {
        warn!("cannot note that {} was reopened: {error}", held.bead);
    }
    Ok(())
}
