//! One request, from top to bottom.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use tokio::time::Instant;
use tracing::debug;
use url::Url;
use uuid::Uuid;

use super::Gateway;
use super::agent::{Agent, AgentId};
use super::answer::{Answer, Try, broken, read_refusal};
use super::body::{Payload, Trouble};
use super::client::Fault;
use super::desk::Health;
use super::headers::{self, Origin, Session};
use super::refused::Refused;
use super::retry::{self, Next, Repeatable, Tried};
use super::search::Search;
use crate::metrics::{Metrics, Served};
use crate::unread::throw_away;

/// What an agent is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Health,
    Metrics,
    Process,
}

impl Call {
    fn method(self) -> Method {
        match self {
            Self::Health | Self::Metrics => Method::GET,
            Self::Process => Method::POST,
        }
    }

    fn path(self, is_executor: bool) -> &'static str {
        match self {
            Self::Health => "/health",
            Self::Metrics => "/metrics",
            Self::Process if is_executor => "/execute",
            Self::Process => "/process",
        }
    }
}

/// What is the same in each try.
struct Asked<'a> {
    call: Call,
    parts: &'a Parts,
    payload: Payload,
    peer: Option<IpAddr>,
    request_id: &'a HeaderValue,
    /// Its caller says that it has its effect once.
    is_keyed: bool,
    /// It is an attempt with an id, which an executor of ours runs once.
    is_attempt: bool,
}

/// Counts a request when it is over, also one whose client has gone.
struct Tally {
    metrics: Arc<Metrics>,
    /// The name of the agent that was tried last.
    agent: String,
    how: Served,
    begun: Instant,
}

impl Tally {
    fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, agent: String::new(), how: Served::ClientGone, begun: Instant::now() }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.metrics.gateway().served(&self.agent, self.how, self.begun.elapsed());
    }
}

impl Gateway {
    /// Hands one request through to an agent.
    pub async fn handle(
        self: &Arc<Self>,
        call: Call,
        to: &str,
        request: Request,
        peer: Option<IpAddr>,
    ) -> Result<Response, Refused> {
        let (parts, body) = request.into_parts();
        let id = headers::request_id(&parts.headers);
        let mut tally = Tally::new(Arc::clone(&self.ground.metrics));
        let mut answer = self.pass(call, to, &parts, body, (peer, &id), &mut tally).await;
        tally.how = match &answer {
            Ok(response) if response.status().is_server_error() => Served::AgentError,
            Ok(_) => Served::Ok,
            Err(refused) => refused.how,
        };
        drop(tally);
        match &mut answer {
            Ok(response) => headers::name_request(response.headers_mut(), &id),
            Err(refused) => headers::name_request(&mut refused.headers, &id),
        }
        answer
    }

    async fn pass(
        self: &Arc<Self>,
        call: Call,
        to: &str,
        parts: &Parts,
        body: Body,
        (peer, request_id): (Option<IpAddr>, &HeaderValue),
        tally: &mut Tally,
    ) -> Result<Response, Refused> {
        if self.ground.draining.is_cancelled() {
            return Err(Self::stopping());
        }
        if headers::is_loop(&parts.headers, &self.via) {
            return Err(Refused::new(
                StatusCode::LOOP_DETECTED,
                "this request has been through this gateway already",
            )
            .hinted("a runner's endpoint leads back to the coordinator"));
        }
        let session = headers::session(&parts.headers)
            .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error))?;
        let mut search = match self.begin(call, to, session) {
            Ok(search) => search,
            Err(refused) => {
                throw_away(body).await;
                return Err(refused);
            }
        };
        let payload = match call {
            Call::Health | Call::Metrics => Payload::None,
            Call::Process => self.read(parts, body).await?,
        };
        let asked = Asked {
            call,
            parts,
            peer,
            request_id,
            is_keyed: parts.headers.contains_key(headers::IDEMPOTENCY_KEY),
            is_attempt: is_attempt(&payload),
            payload,
        };
        self.attempt(&mut search, &asked, tally).await
    }

    fn begin(self: &Arc<Self>, call: Call, to: &str, session: Session) -> Result<Search, Refused> {
        self.refresh();
        let mut state = self.lock();
        let state = &mut *state;
        let is_new = !state.pools.knows(to);
        let meant = state.pools.find(to, &state.agents, Self::now())?;
        if is_new {
            self.look.notify_one();
        }
        Ok(state.search(to, meant, session, call == Call::Process))
    }

    async fn read(&self, parts: &Parts, body: Body) -> Result<Payload, Refused> {
        let length = parts.headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let (small, limit) = (self.rules.small_body, self.rules.body_limit);
        Payload::read(body, length, small, limit).await.map_err(|trouble| self.refuse_body(trouble))
    }

    fn refuse_body(&self, trouble: Trouble) -> Refused {
        match trouble {
            Trouble::TooLarge => Refused::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is longer than {} bytes", self.rules.body_limit),
            ),
            Trouble::Broken => {
                Refused::new(StatusCode::BAD_REQUEST, "the body did not come whole, or not in time")
            }
        }
    }

    /// Tries until there is something to answer.
    async fn attempt(
        self: &Arc<Self>,
        search: &mut Search,
        asked: &Asked<'_>,
        tally: &mut Tally,
    ) -> Result<Response, Refused> {
        let mut deadline = None;
        let mut last = None;
        let mut tries = 0;
        // However often one is tried for this request, that is one failure.
        let mut failed = HashSet::new();
        loop {
            let place = match self.seat(search).await {
                Ok(place) => place,
                Err(refused) => return Err(last.unwrap_or(refused)),
            };
            let deadline = *deadline.get_or_insert_with(|| Self::now() + self.rules.timeout);
            let id = AgentId::clone(&place.id);
            let known = self.lock().agents.get(&id).cloned();
            // Forgotten this very moment: the search sees it too.
            let Some(agent) = known else { continue };
            if tries > 0 {
                self.shown().retried(&agent.name);
            }
            tries += 1;
            tally.agent.clone_from(&agent.name);
            let Try { tried, answer } = self.try_once(&agent, asked, deadline).await;
            if let Some(trouble) = asked.payload.trouble() {
                self.ground.admission.undone(self.subject(&id));
                return Err(self.refuse_body(trouble).of(&id));
            }
            let is_first = failed.insert(AgentId::clone(&id));
            self.judge(&agent, tried, asked.call, &answer, is_first);
            let pause = retry::pause(self.rules.first_pause, tries, Uuid::new_v4().as_bytes()[0]);
            let left = tries < self.rules.tries && Self::now() + pause < deadline;
            let is_fresh = asked.payload.is_fresh();
            match retry::next(tried, asked.repeatable(&agent), is_fresh, left) {
                Next::Answer => {
                    let answer = answer.map_err(|refused| refused.of(&id))?;
                    let asked = (asked.call, asked.parts.uri.path());
                    return Ok(self.answer(search, &agent, answer, place, asked));
                }
                Next::SameAgent => search.only = Some(AgentId::clone(&id)),
                Next::Elsewhere if search.only.is_none() => search.failed(&id),
                // It may have reached this one before.
                Next::Elsewhere => {}
            }
            last = Some(match answer {
                Ok(answer) => broken(&agent, answer.status()).of(&id),
                Err(refused) => refused.of(&id),
            });
            // Others may use the place while this request pauses.
            drop(place);
            debug!(agent = %id, tries, "a request is sent again after {tried:?}");
            tokio::time::sleep(pause).await;
        }
    }

    async fn try_once(&self, agent: &Agent, asked: &Asked<'_>, deadline: Instant) -> Try {
        let origin = Origin {
            peer: asked.peer,
            request_id: asked.request_id,
            via: &self.via,
            token: agent.token.as_ref(),
        };
        let mut headers = headers::to_agent(&asked.parts.headers, &origin);
        if let Payload::Streamed(streamed) = &asked.payload
            && let Some(length) = streamed.length
        {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let url = match &agent.endpoint {
            Ok(endpoint) => address(endpoint, asked.call.path(agent.is_executor), asked.parts),
            Err(why) => {
                let refused = Refused::new(StatusCode::BAD_GATEWAY, why.clone());
                return Try { tried: Tried::NotReached, answer: Err(refused) };
            }
        };
        let limit = deadline.saturating_duration_since(Self::now());
        let body = asked.payload.to_send();
        let sent = self.client.send(asked.call.method(), url, headers, body, limit).await;
        match sent {
            Ok(response) => read_refusal(agent, response).await,
            Err(fault) => self.unanswered(agent, asked, fault),
        }
    }

    fn unanswered(&self, agent: &Agent, asked: &Asked<'_>, fault: Fault) -> Try {
        let id = &agent.id;
        let once = match asked.repeatable(agent) {
            Repeatable::Anywhere | Repeatable::SameAgent => "",
            Repeatable::Never => "; it may have done what was asked, so it is not asked again",
        };
        let (tried, status, error) = match fault {
            Fault::NotReached(why) => (
                Tried::NotReached,
                StatusCode::BAD_GATEWAY,
                format!("agent `{id}` cannot be reached: {why}"),
            ),
            Fault::Cut(why) => (
                Tried::Cut,
                StatusCode::BAD_GATEWAY,
                format!("agent `{id}` did not answer: {why}{once}"),
            ),
            Fault::TimedOut => (
                Tried::TimedOut,
                StatusCode::GATEWAY_TIMEOUT,
                format!(
                    "agent `{id}` did not answer within {}{once}",
                    daemon::duration::show(self.rules.timeout)
                ),
            ),
        };
        let how = match tried {
            Tried::TimedOut => Served::TimedOut,
            Tried::NotReached | Tried::Cut | Tried::NotStarted | Tried::Answered(_) => {
                Served::Unreachable
            }
        };
        Try { tried, answer: Err(Refused::new(status, error).because(how)) }
    }

    /// Notes what a try says of the agent.
    fn judge(
        self: &Arc<Self>,
        agent: &Agent,
        tried: Tried,
        call: Call,
        answer: &Result<Answer, Refused>,
        is_first: bool,
    ) {
        let id = &agent.id;
        let (admission, subject) = (&self.ground.admission, self.subject(id));
        match tried {
            Tried::NotReached => self.note_health(id, Health::Bad),
            Tried::NotStarted | Tried::Answered(_) => self.note_health(id, Health::Good),
            Tried::Cut | Tried::TimedOut => {}
        }
        match (tried, answer) {
            (Tried::Answered(status @ 500..), _) => {
                if is_first {
                    let path = call.path(agent.is_executor);
                    admission.failed(subject, &format!("answered {status} to {path}"));
                }
            }
            (Tried::NotStarted | Tried::Answered(_), _) | (_, Ok(_)) => {
                admission.succeeded(subject);
            }
            (_, Err(refused)) if is_first => admission.failed(subject, &refused.error),
            (_, Err(_)) => {}
        }
    }
}

impl Asked<'_> {
    fn repeatable(&self, agent: &Agent) -> Repeatable {
        match self.call {
            Call::Health | Call::Metrics => Repeatable::Anywhere,
            Call::Process if self.is_keyed || (self.is_attempt && agent.is_executor) => {
                Repeatable::SameAgent
            }
            Call::Process => Repeatable::Never,
        }
    }
}

/// The member of an execute request by which an executor knows it again.
#[derive(Deserialize)]
struct Attempt {
    attempt: Option<Uuid>,
}

fn is_attempt(payload: &Payload) -> bool {
    let Payload::Whole(bytes) = payload else { return false };
    serde_json::from_slice::<Attempt>(bytes).is_ok_and(|read| read.attempt.is_some())
}

fn address(endpoint: &Url, path: &str, parts: &Parts) -> Url {
    let mut url = endpoint.clone();
    let base = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}{path}"));
    url.set_query(parts.uri.query());
    url
}
