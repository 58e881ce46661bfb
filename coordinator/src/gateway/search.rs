//! The search for an agent for one request.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::agent::AgentId;
use super::desk::{Desk, Pick, Wanted};
use super::headers::Session;
use super::pool::Meant;
use super::refused::Refused;
use super::{Gateway, Place, State};
use crate::admission::{Closed, Subject};
use crate::metrics::Queued;

/// What one request looks for, and what it has learned so far.
#[derive(Debug)]
pub(super) struct Search {
    /// What stands in its path.
    pub(super) pool: String,
    pub(super) meant: Meant,
    pub(super) session: Session,
    /// The agent of its session.
    pub(super) held: Option<AgentId>,
    /// Its session's agent is gone altogether.
    is_orphan: bool,
    /// It may have reached this one: it goes there again or nowhere.
    pub(super) only: Option<AgentId>,
    /// Tried in vain, or left alone.
    without: Vec<AgentId>,
    takes_place: bool,
    /// Why the one that is left alone for the shortest time is.
    resting: Option<Closed>,
    /// Its place in line, kept while the agents change.
    line: Option<InLine>,
}

#[derive(Debug, Clone)]
struct InLine {
    number: u64,
    until: Instant,
    _shown: Arc<Queued>,
}

/// Leaves the line when the request is dropped.
struct Waiting<'a> {
    gateway: &'a Gateway,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gateway.lock().desk.leave(self.number);
    }
}

impl State {
    /// Begins a search.
    pub(super) fn search(
        &self,
        pool: &str,
        meant: Meant,
        session: Session,
        takes_place: bool,
    ) -> Search {
        let session = if meant.is_one { Session::New } else { session };
        let (held, is_orphan) = match &session {
            Session::New => (None, false),
            Session::Named(name) => (self.sessions.agent_of(pool, name, Timestamp::now()), false),
            Session::Cookie(tag) => {
                let agent = self.agents.values().find(|agent| agent.tag == *tag);
                let id = agent.map(|agent| AgentId::clone(&agent.id));
                let is_orphan = agent.is_none();
                // One that is there and was never meant here is another pool's business.
                let is_elsewhere = agent.is_some_and(|agent| {
                    agent.is_reachable() && meant.members.binary_search(&agent.id).is_err()
                });
                (id.filter(|_| !is_elsewhere), is_orphan)
            }
        };
        Search {
            pool: pool.to_owned(),
            meant,
            session,
            held,
            is_orphan,
            only: None,
            without: Vec::new(),
            takes_place,
            resting: None,
            line: None,
        }
    }
}

impl Search {
    /// Whether its session is not with the agent that it was with.
    pub(super) fn has_moved(&self, to: &AgentId) -> bool {
        self.is_orphan || self.held.as_ref().is_some_and(|held| held != to)
    }

    /// An agent was tried in vain; another is tried next, if there is one.
    pub(super) fn failed(&mut self, id: &AgentId) {
        let others =
            self.meant.members.iter().any(|other| other != id && !self.without.contains(other));
        if others {
            self.without.push(AgentId::clone(id));
        }
    }

    fn left_alone(&mut self, id: &AgentId, closed: Closed) {
        self.without.push(AgentId::clone(id));
        if self.resting.as_ref().is_none_or(|other| closed.retry_after < other.retry_after) {
            self.resting = Some(closed);
        }
    }

    fn wanted<W>(&self, desk: &Desk<W>) -> Wanted {
        let one = |id: &AgentId| Arc::from([AgentId::clone(id)]);
        let held = self.held.as_ref().filter(|held| {
            !self.without.contains(held)
                && self.meant.members.binary_search(held).is_ok()
                && desk.keeps(held, &self.meant.members)
        });
        let members = match (&self.only, held) {
            (Some(only), _) => one(only),
            (None, Some(held)) => one(held),
            (None, None) => Arc::clone(&self.meant.members),
        };
        Wanted { members, without: self.without.clone(), takes_place: self.takes_place }
    }

    fn nobody(&self) -> Refused {
        match &self.resting {
            Some(closed) => Refused::new(StatusCode::SERVICE_UNAVAILABLE, closed.cause.clone())
                .hinted("GET /admission shows every circuit breaker")
                .retry_after(closed.retry_after),
            None => Refused::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("no agent that is `{}` is left", self.pool),
            )
            .retry_after(Duration::from_secs(1)),
        }
    }
}

impl Gateway {
    /// Finds a place for a request, in line if need be.
    pub(super) async fn seat(self: &Arc<Self>, search: &mut Search) -> Result<Place, Refused> {
        loop {
            let place = self.next_place(search).await?;
            match self.ground.admission.admit(self.subject(&place.id)) {
                Ok(()) => return Ok(place),
                Err(closed) if search.only.is_some() => {
                    search.resting = Some(closed);
                    return Err(search.nobody());
                }
                Err(closed) => search.left_alone(&place.id, closed),
            }
        }
    }

    /// The breaker of an agent. Work reaches an executor of ours by its endpoint, too.
    pub(super) fn subject(&self, id: &AgentId) -> Subject {
        match self.lock().agents.get(id) {
            Some(agent) if agent.is_executor => Subject::from(&**id),
            _ => Subject::agent(id),
        }
    }

    async fn next_place(self: &Arc<Self>, search: &mut Search) -> Result<Place, Refused> {
        // Before the look, so that no change is missed while waiting.
        let mut presence = self.presence.clone();
        presence.mark_unchanged();
        loop {
            self.refresh();
            let (number, place) = {
                let mut state = self.lock();
                if let Some(meant) = state.members_again(&search.pool) {
                    search.meant = meant;
                }
                let wanted = search.wanted(&state.desk);
                match state.desk.pick(&wanted) {
                    Pick::Agent(id) => {
                        drop(state);
                        search.line = None;
                        return Ok(self.place(id, search.takes_place));
                    }
                    Pick::Nobody => return Err(search.nobody()),
                    Pick::Full => self.get_in_line(&mut state, search, wanted)?,
                }
            };
            let waiting = Waiting { gateway: self, number };
            let until = search.line.as_ref().map_or_else(Instant::now, |line| line.until);
            let place = tokio::select! {
                place = place => place.ok(),
                () = tokio::time::sleep_until(until) => {
                    return Err(self.full(search));
                }
                _ = presence.changed() => None,
                () = self.ground.draining.cancelled() => return Err(Self::stopping()),
            };
            drop(waiting);
            if let Some(place) = place {
                search.line = None;
                return Ok(place);
            }
        }
    }

    fn get_in_line(
        &self,
        state: &mut State,
        search: &mut Search,
        wanted: Wanted,
    ) -> Result<(u64, oneshot::Receiver<Place>), Refused> {
        let (sender, place) = oneshot::channel();
        let before = search.line.as_ref().map(|line| line.number);
        let Ok(number) = state.desk.wait(wanted, sender, before) else {
            return Err(self.full(search));
        };
        if before.is_none() {
            let until = Instant::now() + self.rules.queue_timeout;
            let shown = Arc::new(self.shown().queued());
            search.line = Some(InLine { number, until, _shown: shown });
        }
        Ok((number, place))
    }

    fn full(&self, search: &Search) -> Refused {
        Refused::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("every agent that is `{}` is full", search.pool),
        )
        .hinted("ask again later; MAX_CONCURRENCY and GATEWAY_QUEUE say how much is taken")
        .retry_after(self.rules.queue_timeout.min(Duration::from_secs(5)))
    }

    pub(super) fn stopping() -> Refused {
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, "the coordinator is stopping")
            .retry_after(Duration::from_secs(30))
    }
}

impl State {
    /// Those who are meant now, if there are still any.
    fn members_again(&mut self, pool: &str) -> Option<Meant> {
        self.pools.find(pool, &self.agents, Gateway::now()).ok()
    }
}
