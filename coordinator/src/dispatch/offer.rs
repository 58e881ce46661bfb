//! From the claim to the executor's word that it runs.

use std::time::Duration;

use jiff::Timestamp;
use protocol::execute::ExecuteRequest;
use protocol::executor::AttemptView;
use protocol::refusal::{Refusal, RefusalCode};
use tracing::{debug, info, warn};

use super::{Line, Stop, grace_is_over, missing};
use crate::fleet::{ClientError, Door, ExecutorState, Offer};
use crate::ledger::Step;
use crate::settle::{Class, End};

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The most that an executor's `Retry-After` is heard.
const LONGEST_ASKED: Duration = Duration::from_secs(30);

/// What a failed offer means.
enum Failed {
    /// Trying again may help.
    Again {
        class: Class,
        error: String,
        /// When it asked to be tried again.
        wait: Option<Duration>,
        /// Whether this or an earlier offer may have arrived; none: this says nothing about it.
        delivered: Option<bool>,
    },
    /// It will never work as it stands.
    Never { error: String, hint: Option<String> },
}

impl Line {
    /// Offers the attempt until the executor takes it, refuses it for good, or the grace is over.
    ///
    /// Returns none when it runs.
    pub(super) async fn offer(&mut self, request: ExecuteRequest) -> Result<Option<End>, Stop> {
        let name = self.attempt.executor.clone().ok_or_else(|| missing("executor"))?;
        let app = std::sync::Arc::clone(&self.app);
        let Some(client) = app.fleet.door(&name) else {
            return Ok(Some(gone(&name)));
        };
        // Whether an earlier life of ours delivered it is not known.
        let mut maybe_delivered = self.attempt.offered.is_some();
        if !maybe_delivered && app.shutdown.draining.is_cancelled() {
            self.release().await?;
            return Err(Stop::NotOurs);
        }
        self.advance(Step::Offered(Box::new(request.clone()))).await?;
        let since = Timestamp::now();
        let mut wait = FIRST_WAIT;
        loop {
            let offered = client.offer(&request).await;
            self.note_delivery(&name, offered.as_ref().err());
            let failed = match offered {
                Ok(Offer::Accepted) => {
                    app.fleet.accepted(&name);
                    info!(executor = %name, "{} runs on {name}", self.attempt.bead);
                    self.count_start(&client);
                    self.advance(Step::Running).await?;
                    return Ok(None);
                }
                Ok(Offer::Ended(outcome)) => {
                    self.count_start(&client);
                    return Ok(Some(End::Outcome(outcome)));
                }
                Err(error @ ClientError::NotTaken { .. })
                    if !maybe_delivered && self.another_could(&name) =>
                {
                    info!("{} goes elsewhere: {}", self.attempt.bead, error.line());
                    self.leave_alone(&name, &error);
                    return self.stop_offering(false).await;
                }
                Err(error) => failed(&error),
            };
            let (class, error, asked_wait) = match failed {
                Failed::Never { error, hint } => return Ok(Some(End::Permanent { error, hint })),
                Failed::Again { class, error, wait, delivered } => {
                    maybe_delivered = delivered.unwrap_or(maybe_delivered);
                    (class, error, wait)
                }
            };
            self.note_refusal(&name, class, &error, asked_wait);
            if grace_is_over(&app, since) {
                return Ok(Some(if maybe_delivered {
                    End::Lost { since, error }
                } else {
                    End::NotStarted { class, error }
                }));
            }
            debug!(executor = %name, "not taken yet: {error}");
            if self.pause(asked_wait.unwrap_or(wait)).await.is_err() {
                return self.stop_offering(maybe_delivered).await;
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn count_start(&self, door: &Door) {
        let Some(name) = &self.attempt.executor else { return };
        let by_execute = matches!(door, Door::Execute(_));
        self.app.metrics.work().started(&self.attempt.bead, name.as_str(), by_execute);
    }

    /// Tells the circuit breaker of a registered runner whether the offer reached it.
    fn note_delivery(&self, name: &crate::routing::ExecutorName, error: Option<&ClientError>) {
        let states = self.app.fleet.states();
        let Some(id) = states.get(name).and_then(ExecutorState::runner_id) else { return };
        match error {
            // A refusal is an answer.
            None | Some(ClientError::Refused { .. }) => self.app.admission.succeeded(id),
            Some(
                error @ (ClientError::Unreachable { .. }
                | ClientError::Cut { .. }
                | ClientError::NotTaken { .. }
                | ClientError::Silent { .. }
                | ClientError::NotProtocol { .. }),
            ) => self.app.admission.failed(id, &error.line()),
        }
    }

    /// Whether another one that is there could do it now.
    fn another_could(&self, than: &crate::routing::ExecutorName) -> bool {
        let states = self.app.fleet.states();
        // Somebody may have registered since the attempt began.
        let candidates = super::candidates(&self.app, &self.attempt);
        candidates.iter().filter(|name| *name != than).any(|name| {
            states.get(name).is_some_and(|state| {
                let takes = |id| self.app.admission.wait(id).is_zero();
                state.is_up()
                    && state.task(&self.attempt.task_type).is_some()
                    && state.runner_id().is_none_or(takes)
            })
        })
    }

    /// Keeps a runner that leaves its list unread from being chosen again at once.
    fn leave_alone(&self, name: &crate::routing::ExecutorName, error: &ClientError) {
        let states = self.app.fleet.states();
        if let Some(id) = states.get(name).and_then(ExecutorState::runner_id) {
            self.app.admission.failed_for_good(id, &error.line());
        }
    }

    fn note_refusal(
        &self,
        name: &crate::routing::ExecutorName,
        class: Class,
        error: &str,
        wait: Option<Duration>,
    ) {
        match (class, wait) {
            (Class::Misconfigured, _) => {
                warn!(executor = %name, "{name} is set up wrongly: {error}");
                self.app.fleet.misconfigured(name, error.to_owned());
            }
            (_, Some(wait)) => self.app.fleet.busy(name, Timestamp::now() + wait),
            (_, None) => self.app.fleet.suspect(name),
        }
    }

    /// The coordinator stops: only a claim that was never offered may be given back.
    async fn stop_offering(&mut self, maybe_delivered: bool) -> Result<Option<End>, Stop> {
        if maybe_delivered {
            return Err(Stop::Draining);
        }
        // Written first: whatever the next life finds, it must not offer this again.
        self.advance(Step::Withdrawn).await?;
        self.release().await?;
        Err(Stop::NotOurs)
    }

    /// Goes on with an attempt of an earlier life of which nobody knows whether it arrived.
    pub(super) async fn offer_again(&mut self) -> Result<(), Stop> {
        if !self.is_ours().await? {
            return self.leave_to_others().await;
        }
        let mut request = self.attempt.request.clone().ok_or_else(|| missing("request"))?;
        request.epoch = Some(self.app.ledger.identity().epoch);
        // If it arrived, the same attempt joins it.
        self.run_from_offer(request).await
    }

    /// Somebody else decided about the bead while we were away: nothing more is started for it.
    async fn leave_to_others(&mut self) -> Result<(), Stop> {
        info!("{} is not ours any more", self.attempt.bead);
        let app = std::sync::Arc::clone(&self.app);
        let client = self.attempt.executor.as_ref().and_then(|name| app.fleet.door(name));
        if let Some(client) = client {
            match client.attempt(self.attempt.id, Duration::ZERO).await {
                Ok(AttemptView { outcome: Some(outcome), .. }) => {
                    self.decide(End::Outcome(Box::new(outcome))).await?;
                }
                Ok(_) => {
                    if let Err(error) = client.cancel(self.attempt.id).await {
                        debug!("cannot cancel it: {}", error.line());
                    }
                }
                Err(error) => debug!("nothing is known of it: {}", error.line()),
            }
        }
        self.advance(Step::Settled { hold: None }).await
    }
}

fn gone(name: &crate::routing::ExecutorName) -> End {
    End::Permanent {
        error: format!("{name} is not in routing.yaml any more"),
        hint: Some("Add it again, or let the bead run elsewhere.".to_owned()),
    }
}

fn failed(error: &ClientError) -> Failed {
    let line = error.line();
    match error {
        ClientError::Unreachable { .. } => {
            Failed::Again { class: Class::Infrastructure, error: line, wait: None, delivered: None }
        }
        // Nobody has read it, and it is off the list again.
        ClientError::NotTaken { .. } => Failed::Again {
            class: Class::Infrastructure,
            error: line,
            wait: None,
            delivered: Some(false),
        },
        ClientError::Cut { .. } | ClientError::Silent { .. } => Failed::Again {
            class: Class::Infrastructure,
            error: line,
            wait: None,
            delivered: Some(true),
        },
        // A proxy may have delivered it before it answered in the executor's place.
        ClientError::NotProtocol { status, .. } => Failed::Again {
            class: Class::Misconfigured,
            error: line,
            wait: None,
            delivered: (*status < 400 || *status >= 500).then_some(true),
        },
        ClientError::Refused { refusal, retry_after } => refused(refusal, *retry_after),
    }
}

/// An exhaustive match, so that a new code forces the decision.
fn refused(refusal: &Refusal, retry_after: Option<Duration>) -> Failed {
    let error = refusal.error.clone();
    let again = |class, wait| Failed::Again { class, error: error.clone(), wait, delivered: None };
    let asked = retry_after.unwrap_or(Duration::from_secs(1)).clamp(FIRST_WAIT, LONGEST_ASKED);
    match refusal.code {
        // An executor joins an attempt that it knows before it says that it is full.
        RefusalCode::Busy => Failed::Again {
            class: Class::Infrastructure,
            error,
            wait: Some(asked),
            delivered: Some(false),
        },
        RefusalCode::Draining => again(Class::Infrastructure, Some(asked)),
        RefusalCode::Internal => again(Class::Infrastructure, None),
        RefusalCode::Malformed
        | RefusalCode::Unauthorized
        | RefusalCode::Stale
        | RefusalCode::NotFound
        | RefusalCode::MethodNotAllowed => again(Class::Misconfigured, None),
        RefusalCode::UnknownTask
        | RefusalCode::InvalidParams
        | RefusalCode::Forbidden
        | RefusalCode::TooLarge => Failed::Never { error, hint: refusal.hint.clone() },
    }
}
