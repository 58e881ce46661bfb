//! Registering and heartbeats: one loop, one chain of retries.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use protocol::runner::{
    Heartbeat, HeartbeatAnswer, RUNNING, RegisterRunner, Registered, RunnerOffline, RunnerTask,
    Word,
};
use tokio::time::Instant;
use url::Url;

use super::link::{LinkError, PATIENCE};
use super::resources::Sampler;
use super::{Registration, endpoint, wait_after};

/// How long a good-bye may take.
const GOOD_BYE: Duration = Duration::from_secs(2);

/// How the coordinator was met last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    NotYet,
    Well,
    InVain,
}

/// What the loop remembers between its rounds.
struct Rounds {
    sampler: Sampler,
    /// What the coordinator was told when it last registered us.
    told: Option<RegisterRunner>,
    endpoint: Option<Url>,
    failures: u32,
    met: Met,
    /// The trouble that was logged; another one is worth a line again.
    trouble: String,
    since: Instant,
    warned_of_reach: bool,
}

impl Registration {
    /// Registers, and sends heartbeats until the process drains.
    pub(super) async fn be_present(self: Arc<Self>) {
        let mut rounds = Rounds {
            sampler: Sampler::default(),
            told: None,
            endpoint: None,
            failures: 0,
            met: Met::NotYet,
            trouble: String::new(),
            since: Instant::now(),
            warned_of_reach: false,
        };
        let draining = &self.shutdown.draining;
        loop {
            let Some(round) = draining.run_until_cancelled(self.round(&mut rounds)).await else {
                break;
            };
            let wait = match round {
                Ok(()) => self.every.heartbeat,
                Err(_) => wait_after(rounds.failures),
            };
            self.note(&mut rounds, round.err());
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // Only one that is known is in a hurry: retries keep their pace.
                () = self.nudge.notified(), if rounds.met == Met::Well => {}
                () = draining.cancelled() => break,
            }
        }
        if rounds.told.is_some() {
            self.say_good_bye().await;
        }
    }

    /// One heartbeat, after a registration where one is due.
    async fn round(&self, rounds: &mut Rounds) -> Result<(), LinkError> {
        let result = self.try_round(rounds).await;
        if result.is_ok() {
            rounds.failures = 0;
        } else {
            rounds.failures = rounds.failures.saturating_add(1);
            // This machine may have moved meanwhile.
            rounds.endpoint = None;
        }
        self.known.send_if_modified(|known| {
            let is_known = result.is_ok();
            std::mem::replace(known, is_known) != is_known
        });
        result
    }

    async fn try_round(&self, rounds: &mut Rounds) -> Result<(), LinkError> {
        let endpoint = self.endpoint(rounds).await?;
        let body = self.body(&endpoint);
        if rounds.told.as_ref() != Some(&body) || self.updates.wants_registration() {
            self.register(rounds, body.clone()).await?;
        }
        match self.beat(rounds).await {
            Err(LinkError::NotFound) => {}
            other => return other,
        }
        // A coordinator that lost its memory: it is told who we are at once, and once.
        self.register(rounds, body).await?;
        self.beat(rounds).await.inspect_err(|error| {
            if matches!(error, LinkError::NotFound) {
                rounds.told = None;
            }
        })
    }

    async fn register(&self, rounds: &mut Rounds, body: RegisterRunner) -> Result<(), LinkError> {
        let full = RegisterRunner { resources: rounds.sampler.sample(), ..body.clone() };
        let answer: Registered = self.link.post(&["runners", "register"], &full, PATIENCE).await?;
        let is_first = rounds.told.replace(body).is_none();
        self.updates.registered();
        if is_first || answer.status == "registered" {
            let (id, at) = (&self.who.id, self.link.shown());
            tracing::info!(runner.id = %id, "registered as {id} at {at}");
        }
        Ok(())
    }

    async fn beat(&self, rounds: &mut Rounds) -> Result<(), LinkError> {
        let report = self.updates.report(&self.link);
        let resources = rounds.sampler.sample();
        let (status, log) = report.as_ref().map_or((None, None), |report| {
            (Some(report.status.as_str().to_owned()), Some(report.log.clone()))
        });
        #[expect(clippy::cast_precision_loss, reason = "seconds fit for millions of years")]
        let beat = Heartbeat {
            runner_id: Some(self.who.id.clone()),
            timestamp: Some(Timestamp::now().as_second() as f64),
            status: Some(if self.is_well() { "healthy" } else { "degraded" }.to_owned()),
            resources,
            tasks: Some(self.running()),
            update_status: status,
            update_log: log,
        };
        let answer: HeartbeatAnswer =
            self.link.post(&["runners", "heartbeat"], &beat, PATIENCE).await?;
        self.take_answer(report, answer.pending_update).await;
        Ok(())
    }

    /// Whether it takes orders and can remember them.
    fn is_well(&self) -> bool {
        let presence = &self.runner.node.presence;
        self.runner.trouble().is_none() && presence.reasons().is_empty()
    }

    /// What runs here now; the tasks of the list are on it anyway.
    fn running(&self) -> Vec<RunnerTask> {
        let listed: Vec<_> = self.in_hand().values().copied().collect();
        let running = self.runner.running().into_iter();
        running
            .filter(|task| !listed.contains(&task.attempt))
            .map(|task| RunnerTask {
                task_id: task.attempt.to_string(),
                kind: Some(task.task_type),
                status: RUNNING.to_owned(),
                started_at: task.started.as_millisecond(),
                completed_at: None,
                correlation_id: Some(task.task_id),
                metadata: None,
            })
            .collect()
    }

    /// Returns where others reach us; looked up anew after each failure only.
    async fn endpoint(&self, rounds: &mut Rounds) -> Result<Url, LinkError> {
        if let Some(given) = &self.who.endpoint {
            return Ok(given.clone());
        }
        if let Some(known) = &rounds.endpoint {
            return Ok(known.clone());
        }
        let listening = self.who.listening;
        let found =
            endpoint::find(listening, self.link.base()).await.map_err(LinkError::Unreachable)?;
        if endpoint::is_out_of_reach(listening, &found) && !rounds.warned_of_reach {
            rounds.warned_of_reach = true;
            tracing::warn!(
                "the coordinator is on another machine and cannot send orders to {listening}; \
                 a token (--token-file) opens this executor to the network, and --endpoint \
                 (RUNNER_ENDPOINT) names another address"
            );
        }
        Ok(rounds.endpoint.insert(found).clone())
    }

    /// Says in the log what has changed, and nothing else.
    fn note(&self, rounds: &mut Rounds, failed: Option<LinkError>) {
        let at = self.link.shown();
        let Some(error) = failed else {
            if rounds.met == Met::InVain {
                let away =
                    daemon::duration::show(Duration::from_secs(rounds.since.elapsed().as_secs()));
                tracing::info!("the coordinator at {at} answers again after {away}");
            }
            if rounds.met != Met::Well {
                daemon::notify::status(&format!("registered as {} at {at}", self.who.id));
                rounds.met = Met::Well;
                rounds.trouble = String::new();
            }
            return;
        };
        if rounds.met != Met::InVain {
            rounds.since = Instant::now();
        }
        let text = error.to_string();
        if rounds.met != Met::InVain || rounds.trouble != text {
            tracing::warn!("no heartbeat to the coordinator at {at}: {text}; trying on");
            daemon::notify::status(&format!("not registered at {at}: {text}"));
            rounds.trouble = text;
        }
        rounds.met = Met::InVain;
    }

    async fn say_good_bye(&self) {
        let body = RunnerOffline { runner_id: Some(self.who.id.clone()) };
        let said = self.link.post::<Word>(&["runners", "offline"], &body, GOOD_BYE);
        // A second signal does not wait for it.
        if let Some(Err(error)) = self.shutdown.now.run_until_cancelled(said).await {
            tracing::debug!("the coordinator did not hear that we stop: {error}");
        }
    }
}
