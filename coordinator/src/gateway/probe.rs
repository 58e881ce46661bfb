//! Keeps the picture of agents fresh: who answers, and how busy the machines are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, Method, header};
use futures::StreamExt as _;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Gateway;
use super::agent::{Agent, AgentId};
use super::desk::Health;

/// Between two looks at what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// One that does not answer is asked again this soon, so that it is used as soon as it is back.
const SOON: Duration = Duration::from_secs(5);
/// How long an agent may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many are asked at a time.
const AT_ONCE: usize = 64;
/// Who was not meant by any request for so long is not asked: most runners are no agents.
const FORGOTTEN: Duration = Duration::from_mins(10);

impl Gateway {
    /// Looks after agents until `stop`.
    ///
    /// Those that are no executors of ours are asked for their `/health` while requests are for
    /// them; whoever could not be reached is asked until it answers.
    pub async fn watch(self: &Arc<Self>, stop: &CancellationToken) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut asked: HashMap<AgentId, Instant> = HashMap::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
                () = self.look.notified() => {}
            }
            self.refresh();
            self.note_load();
            let due = self.due(&asked);
            let now = Self::now();
            asked.retain(|_, at| now - *at < FORGOTTEN);
            asked.extend(due.iter().map(|agent| (AgentId::clone(&agent.id), now)));
            let probes = futures::stream::iter(due).for_each_concurrent(AT_ONCE, |agent| {
                let gateway = Arc::clone(self);
                async move { gateway.probe(&agent).await }
            });
            tokio::select! {
                () = stop.cancelled() => return,
                () = probes => {}
            }
        }
    }

    /// Returns whom to ask now.
    fn due(&self, asked: &HashMap<AgentId, Instant>) -> Vec<Arc<Agent>> {
        let now = Self::now();
        let state = self.lock();
        let Some(since) = now.checked_sub(FORGOTTEN) else { return Vec::new() };
        let mut due = state.pools.wanted(&state.agents, since);
        due.retain(|agent| {
            let every = match state.desk.health(&agent.id) {
                None => return false,
                // New, or somewhere else than before.
                Some(Health::Unknown) => Duration::ZERO,
                Some(Health::Bad) => SOON.min(self.rules.probe_every),
                Some(Health::Good) if agent.is_executor => return false,
                Some(Health::Good) => self.rules.probe_every,
            };
            agent.is_reachable() && asked.get(&agent.id).is_none_or(|at| now - *at >= every)
        });
        due
    }

    async fn probe(self: Arc<Self>, agent: &Agent) {
        let Ok(endpoint) = &agent.endpoint else { return };
        let mut url = endpoint.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/health"));
        let mut headers = HeaderMap::new();
        headers.insert(header::VIA, self.via.clone());
        if let Some(token) = &agent.token {
            headers.insert(header::AUTHORIZATION, token.clone());
        }
        let answer = self.client.send(Method::GET, url, headers, None, PATIENCE).await;
        let health = match &answer {
            // Without a page for it, it answers all the same.
            Ok(answer) if !answer.status().is_server_error() => Health::Good,
            Ok(_) | Err(_) => Health::Bad,
        };
        debug!(agent = %agent.id, "{} was asked for its health: {health:?}", agent.id);
        self.note_health(&agent.id, health);
    }

    fn note_load(&self) {
        let busy: Vec<(AgentId, f64)> = {
            let registry = self.ground.runners.read();
            let cpu = |runner: &crate::runners::Runner| {
                let percent = runner.resources.as_ref()?.cpu.percent;
                Some((AgentId::from(runner.id.as_str()), percent))
            };
            registry.all().filter_map(cpu).collect()
        };
        let mut state = self.lock();
        for (id, percent) in busy {
            state.desk.note_cpu(&id, percent);
        }
        state.sessions.forget(Timestamp::now());
        self.shown().set_sessions(state.sessions.len());
    }
}
