//! Whom a request may go to, by what stands in its path.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::Instant;

use super::agent::{Agent, AgentId, Selector};
use super::refused::Refused;

/// How many ways to name agents are remembered.
const MOST: usize = 1000;
/// When somebody may have registered.
const SOON: Duration = Duration::from_secs(5);

/// Those who are meant, by what stands in the path.
#[derive(Debug, Default)]
pub(super) struct Pools {
    pools: HashMap<String, Pool>,
}

#[derive(Debug)]
struct Pool {
    selector: Selector,
    members: Option<Meant>,
    used: Instant,
}

/// Those who are meant and can be reached.
#[derive(Debug, Clone)]
pub(super) struct Meant {
    /// Sorted, and at least one.
    pub(super) members: Arc<[AgentId]>,
    /// Whether it is one runner, by its id: then there are no sessions to be kept.
    pub(super) is_one: bool,
}

impl Pools {
    /// Somebody came or went.
    pub(super) fn forget_members(&mut self) {
        for pool in self.pools.values_mut() {
            pool.members = None;
        }
    }

    /// Whether somebody has asked for them before.
    pub(super) fn knows(&self, text: &str) -> bool {
        self.pools.contains_key(text)
    }

    /// Returns those who are meant.
    pub(super) fn find(
        &mut self,
        text: &str,
        agents: &HashMap<AgentId, Arc<Agent>>,
        now: Instant,
    ) -> Result<Meant, Refused> {
        if let Some(Pool { members: Some(meant), used, .. }) = self.pools.get_mut(text) {
            *used = now;
            return Ok(meant.clone());
        }
        let selector = Selector::parse(text)
            .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error).hinted(WAYS))?;
        let meant = meant(&selector, text, agents)?;
        if self.pools.len() >= MOST {
            self.pools.clear();
        }
        let pool = Pool { selector, members: Some(meant.clone()), used: now };
        self.pools.insert(text.to_owned(), pool);
        Ok(meant)
    }

    /// Returns everybody who was meant since `since`, whether reachable or not.
    pub(super) fn wanted(
        &self,
        agents: &HashMap<AgentId, Arc<Agent>>,
        since: Instant,
    ) -> Vec<Arc<Agent>> {
        let used: Vec<&Selector> =
            self.pools.values().filter(|pool| pool.used > since).map(|p| &p.selector).collect();
        let is_meant = |agent: &&Arc<Agent>| {
            used.iter().any(|selector| match selector {
                Selector::Named(id) if *id == *agent.id => true,
                selector => selector.means(agent),
            })
        };
        agents.values().filter(is_meant).cloned().collect()
    }
}

const WAYS: &str =
    "an agent is a runner's id or name, `any`, `capability:WORD` or `label:KEY=VALUE`";

fn meant(
    selector: &Selector,
    text: &str,
    agents: &HashMap<AgentId, Arc<Agent>>,
) -> Result<Meant, Refused> {
    let by_id = match selector {
        Selector::Named(id) => agents.get(id.as_str()),
        Selector::Any | Selector::Capability(_) | Selector::Label { .. } => None,
    };
    let is_one = by_id.is_some();
    let all: Vec<&Arc<Agent>> = match by_id {
        Some(agent) => vec![agent],
        None => agents.values().filter(|agent| selector.means(agent)).collect(),
    };
    let mut members: Vec<AgentId> = all
        .iter()
        .filter(|agent| agent.is_reachable())
        .map(|agent| AgentId::clone(&agent.id))
        .collect();
    if members.is_empty() {
        return Err(nobody(selector, text, &all));
    }
    members.sort_unstable();
    Ok(Meant { members: members.into(), is_one })
}

/// Says why there is nobody to send a request to.
fn nobody(selector: &Selector, text: &str, all: &[&Arc<Agent>]) -> Refused {
    let online = all.iter().find(|agent| agent.online);
    if let Some((agent, why)) =
        online.and_then(|agent| Some((agent, agent.endpoint.as_ref().err()?)))
    {
        return Refused::new(
            StatusCode::BAD_GATEWAY,
            format!("runner `{}` takes no requests: {why}", agent.id),
        )
        .hinted(
            "register it with `endpoint` set to the http or https address at which it listens; \
             work for a runner without one goes on its list: POST /runners/{id}/tasks",
        );
    }
    let last = all.iter().max_by_key(|agent| agent.last_heard);
    match (selector, last) {
        (Selector::Named(_), None) => {
            Refused::new(StatusCode::NOT_FOUND, format!("there is no agent `{text}`")).hinted(WAYS)
        }
        (_, None) => {
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, format!("no runner is `{text}`"))
                .hinted("GET /runners lists what has registered, with capabilities and labels")
                .retry_after(SOON)
        }
        (_, Some(last)) => {
            let since = last.last_heard;
            let who = if all.len() == 1 { "the runner" } else { "every runner" };
            let text = format!("{who} that is `{text}` is offline; last heard of at {since:.0}");
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, text)
                .hinted("start it, or wait until it registers")
                .retry_after(SOON)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(id: &str, name: &str, online: bool, endpoint: Result<&str, &str>) -> Arc<Agent> {
        Arc::new(Agent {
            id: AgentId::from(id),
            name: name.to_owned(),
            online,
            last_heard: "2026-11-21T00:00:00Z".parse().unwrap(),
            is_executor: false,
            endpoint: endpoint.map(|url| url.parse().unwrap()).map_err(str::to_owned),
            token: None,
            capabilities: vec!["llm".to_owned()],
            labels: [("gpu".to_owned(), "amd".to_owned())].into(),
            limit: 1,
            tag: String::new(),
        })
    }

    fn agents() -> HashMap<AgentId, Arc<Agent>> {
        [
            agent("r1", "box", true, Ok("http://192.0.2.1")),
            agent("r2", "box", true, Ok("http://192.0.2.2")),
            agent("r3", "box", false, Ok("http://192.0.2.3")),
            agent("r4", "listless", true, Err("it registered no endpoint")),
            agent("r5", "gone", false, Ok("http://192.0.2.5")),
        ]
        .into_iter()
        .map(|agent| (AgentId::clone(&agent.id), agent))
        .collect()
    }

    fn found(text: &str) -> Result<(Vec<String>, bool), StatusCode> {
        let meant = Pools::default().find(text, &agents(), Instant::now());
        let meant = meant.map_err(|refused| refused.status)?;
        Ok((meant.members.iter().map(ToString::to_string).collect(), meant.is_one))
    }

    #[test]
    fn those_who_are_meant_and_can_be_reached() {
        let two = || vec!["r1".to_owned(), "r2".to_owned()];

        assert_eq!(found("r1"), Ok((vec!["r1".to_owned()], true)));
        assert_eq!(found("box"), Ok((two(), false)));
        assert_eq!(found("any"), Ok((two(), false)));
        assert_eq!(found("capability:llm"), Ok((two(), false)));
        assert_eq!(found("label:gpu=amd"), Ok((two(), false)));
    }

    #[test]
    fn nobody_is_told_apart() {
        assert_eq!(found("nosuch"), Err(StatusCode::NOT_FOUND));
        assert_eq!(found("listless"), Err(StatusCode::BAD_GATEWAY));
        assert_eq!(found("r4"), Err(StatusCode::BAD_GATEWAY));
        assert_eq!(found("gone"), Err(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(found("capability:nosuch"), Err(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(found("label:nosuch"), Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn what_was_asked_for_lately_is_wanted() {
        let (mut pools, agents, now) = (Pools::default(), agents(), Instant::now());
        pools.find("r1", &agents, now).unwrap();
        pools.find("box", &agents, now + SOON).unwrap();

        let wanted = pools.wanted(&agents, now);

        let mut ids: Vec<_> = wanted.iter().map(|agent| agent.id.to_string()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["r1", "r2", "r3"]);
        assert!(pools.wanted(&agents, now + SOON).is_empty());
    }
}
