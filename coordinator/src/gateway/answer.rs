//! What an agent answered, and what the client gets of it.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::StreamExt as _;
use jiff::Timestamp;
use protocol::refusal::Refusal;

use super::agent::Agent;
use super::headers::{self, Session};
use super::pass::Call;
use super::refused::Refused;
use super::retry::Tried;
use super::search::Search;
use super::{Gateway, Place};
use crate::metrics::Served;

/// A refusal of an executor is not longer.
const REFUSAL: usize = 64 * 1024;

/// How one try ended, with what there is to be passed on.
pub(super) struct Try {
    pub(super) tried: Tried,
    pub(super) answer: Result<Answer, Refused>,
}

pub(super) enum Answer {
    Coming(reqwest::Response),
    /// It had to be read to be understood.
    Read(StatusCode, HeaderMap, Bytes),
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Coming(response) => response.status(),
            Self::Read(status, ..) => *status,
        }
    }
}

pub(super) fn broken(agent: &Agent, status: StatusCode) -> Refused {
    Refused::new(StatusCode::BAD_GATEWAY, format!("agent `{}` answered {status}", agent.id))
        .because(Served::AgentError)
}

/// Reads an answer as far as need be to know whether an executor started anything.
pub(super) async fn read_refusal(agent: &Agent, response: reqwest::Response) -> Try {
    let status = response.status();
    let tried = Tried::Answered(status.as_u16());
    let may_be = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let is_short = response.content_length().is_some_and(|length| length <= REFUSAL as u64);
    if !agent.is_executor || !may_be || !is_short {
        return Try { tried, answer: Ok(Answer::Coming(response)) };
    }
    let headers = response.headers().clone();
    match response.bytes().await {
        Ok(bytes) => {
            let refusal = serde_json::from_slice::<Refusal>(&bytes).ok();
            let is_refusal = refusal.is_some_and(|r| r.code.http_status() == status.as_u16());
            let tried = if is_refusal { Tried::NotStarted } else { tried };
            Try { tried, answer: Ok(Answer::Read(status, headers, bytes)) }
        }
        Err(_) => Try { tried, answer: Err(broken(agent, status)) },
    }
}

impl Gateway {
    /// Makes the answer of an agent ours to give.
    pub(super) fn answer(
        &self,
        search: &Search,
        agent: &Agent,
        answer: Answer,
        place: Place,
        (call, path): (Call, &str),
    ) -> Response {
        let (status, from, body) = match answer {
            Answer::Coming(response) => {
                let (status, headers) = (response.status(), response.headers().clone());
                // The place is taken until the last byte has gone through.
                let stream = response.bytes_stream().inspect(move |_| {
                    let _: &Place = &place;
                });
                (status, headers, Body::from_stream(stream))
            }
            Answer::Read(status, headers, bytes) => (status, headers, Body::from(bytes)),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        *headers = headers::to_client(&from);
        if let Ok(id) = HeaderValue::try_from(&*agent.id) {
            headers.insert(headers::AGENT_ID, id);
        }
        self.keep_session(search, agent, headers, (call, path));
        response
    }

    /// Notes where a session is now, and says so.
    fn keep_session(
        &self,
        search: &Search,
        agent: &Agent,
        headers: &mut HeaderMap,
        (call, path): (Call, &str),
    ) {
        if search.meant.is_one {
            return;
        }
        let has_moved = search.has_moved(&agent.id);
        if has_moved {
            self.shown().affinity_moved(&agent.name);
        } else if search.held.is_some() {
            self.shown().affinity_hit(&agent.name);
        }
        {
            let mut state = self.lock();
            if let Session::Named(name) = &search.session {
                state.sessions.put(&search.pool, name, &agent.id, Timestamp::now());
                self.shown().set_sessions(state.sessions.len());
            }
        }
        if has_moved {
            headers.insert(headers::SESSION_MOVED, HeaderValue::from_static("true"));
        }
        let wants_cookie = match &search.session {
            Session::Named(_) => false,
            Session::New => call == Call::Process,
            Session::Cookie(_) => has_moved,
        };
        if wants_cookie {
            let path = path.rfind('/').map_or("/", |end| &path[..end]);
            let cookie = headers::cookie(&agent.tag, path, self.rules.session.as_secs());
            headers.extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
        }
    }
}
