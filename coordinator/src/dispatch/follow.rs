//! From "it runs" to its end, across restarts of either side.

use std::time::Duration;

use jiff::Timestamp;
use protocol::execute::Outcome;
use protocol::refusal::RefusalCode;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Line, Stop, grace_is_over, missing};
use crate::beads::Adoption;
use crate::fleet::{ClientError, Door};
use crate::settle::End;

/// How long an executor may hold back the answer about a running attempt.
const LONG_POLL: Duration = Duration::from_secs(25);
const AGAIN: Duration = Duration::from_secs(1);
/// A lease of bd 1.3 lasts for five minutes.
const RENEW_EVERY: Duration = Duration::from_secs(90);
/// Beyond its own limit an executor needs some time to end a task's processes.
const ENDING: Duration = Duration::from_secs(30);

impl Line {
    /// Asks for the end until it is there, or the executor has been silent for the whole grace.
    pub(super) async fn follow(&mut self) -> Result<End, Stop> {
        let name = self.attempt.executor.clone().ok_or_else(|| missing("executor"))?;
        let app = std::sync::Arc::clone(&self.app);
        let Some(door) = app.fleet.door(&name) else {
            let error = format!("{name} is known to nobody any more");
            return Ok(End::Lost { since: Timestamp::now(), error });
        };
        let mut silent_since = None;
        let mut renewed = Instant::now();
        loop {
            if renewed.elapsed() >= RENEW_EVERY {
                renewed = Instant::now();
                self.renew().await?;
            }
            let wait = self.until_limit(&door).map_or(LONG_POLL, |left| left.min(LONG_POLL));
            let asked = tokio::select! {
                () = app.shutdown.draining.cancelled() => return Err(Stop::Draining),
                asked = door.attempt(self.attempt.id, wait) => asked,
            };
            match asked {
                Ok(view) => {
                    silent_since = None;
                    if let Some(outcome) = view.outcome {
                        return Ok(End::Outcome(Box::new(outcome)));
                    }
                    if let Some(outcome) = self.time_out(&door).await {
                        return Ok(End::Outcome(Box::new(outcome)));
                    }
                }
                Err(ClientError::Refused { refusal, .. })
                    if refusal.code == RefusalCode::NotFound =>
                {
                    let error = format!("{name} does not know the attempt any more");
                    return Ok(End::Lost { since: Timestamp::now(), error });
                }
                Err(error) => {
                    let error = error.line();
                    app.fleet.suspect(&name);
                    let since = *silent_since.get_or_insert_with(|| {
                        warn!(executor = %name, "{name} does not answer about {}: {error}", self.attempt.bead);
                        Timestamp::now()
                    });
                    if grace_is_over(&app, since) {
                        return Ok(End::Lost { since, error });
                    }
                    debug!(executor = %name, "still silent: {error}");
                    self.pause(AGAIN).await?;
                }
            }
            if self.is_overdue() {
                // Best effort: an executor that keeps no limit may not hear this either.
                if let Err(error) = door.cancel(self.attempt.id).await {
                    debug!("cannot cancel the overdue attempt: {}", error.line());
                }
                let error = format!("{name} did not end the task at its limit");
                return Ok(End::Lost { since: Timestamp::now(), error });
            }
        }
    }

    /// Returns how long the attempt may still run where only we keep its limit.
    fn until_limit(&self, door: &Door) -> Option<Duration> {
        let ends = self.attempt.started.filter(|_| !door.keeps_limits())? + self.limit();
        Some(Duration::try_from(ends.duration_since(Timestamp::now())).unwrap_or_default())
    }

    /// Ends an attempt at its limit where only we keep it.
    async fn time_out(&self, door: &Door) -> Option<Outcome> {
        if self.until_limit(door).is_none_or(|left| !left.is_zero()) {
            return None;
        }
        match door.time_out(self.attempt.id, self.limit()).await {
            Ok(outcome) => outcome,
            Err(error) => {
                debug!("it cannot be ended at its limit: {}", error.line());
                None
            }
        }
    }

    fn limit(&self) -> Duration {
        Duration::try_from_secs_f64(self.attempt.facts.limit_seconds)
            .unwrap_or(self.app.task_timeout)
    }

    /// Renews the lease of the claim, where the store has leases: others may take what has none.
    async fn renew(&mut self) -> Result<(), Stop> {
        let beads = self.beads().await?;
        if !beads.dialect().leases {
            return Ok(());
        }
        // After a restart the claim is only in the ledger. Whatever stands in the way is found out
        // when the end is written.
        if self.claim.is_none()
            && let Ok(Adoption::Ours(claim, _)) =
                beads.adopt(&self.attempt.bead, self.attempt.id).await
        {
            self.claim = Some(claim);
        }
        if let Some(claim) = &self.claim
            && let Err(error) = beads.renew(claim).await
        {
            debug!("the lease of {} was not renewed: {error}", self.attempt.bead);
        }
        Ok(())
    }

    /// Whether the attempt should have ended long ago, by its own limit.
    pub(super) fn is_overdue(&self) -> bool {
        let Some(started) = self.attempt.started else { return false };
        Timestamp::now() > started + self.limit() + ENDING + self.app.routing.retry.grace
    }
}
