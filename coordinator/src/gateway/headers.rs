//! Which headers go through, and which are ours. Pure.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use uuid::Uuid;

/// Names a session; the cookie does it for clients that keep cookies.
pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");
/// Says which agent answered.
pub(super) const AGENT_ID: HeaderName = HeaderName::from_static("x-agent-id");
/// Says that a session is with another agent than before.
pub(super) const SESSION_MOVED: HeaderName = HeaderName::from_static("x-session-moved");
/// Makes a request one that may be sent twice.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The session cookie.
pub(super) const COOKIE: &str = "srv_id";
/// How long a text of a client may be that we keep or repeat.
const LONGEST: usize = 256;

/// What concerns one connection only.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What is between the client and us, or made anew for the agent.
const OURS: [&str; 7] = [
    "x-api-key",
    "x-admin-api-key",
    "authorization",
    "host",
    "content-length",
    "expect",
    // An agent would answer where its answer can be had, and that is not at our address.
    "prefer",
];

/// What a request is told of where it comes from.
#[derive(Debug)]
pub(super) struct Origin<'a> {
    pub(super) peer: Option<IpAddr>,
    pub(super) request_id: &'a HeaderValue,
    /// Names this gateway, so that a request that comes back is known.
    pub(super) via: &'a HeaderValue,
    pub(super) token: Option<&'a HeaderValue>,
}

/// Returns the headers that an agent gets.
pub(super) fn to_agent(from: &HeaderMap, origin: &Origin<'_>) -> HeaderMap {
    let mut to = without_hops(from);
    for name in OURS {
        to.remove(name);
    }
    drop_cookie(&mut to);
    if let Some(peer) = origin.peer {
        append_text(&mut to, &FORWARDED_FOR, &peer.to_canonical().to_string());
    }
    if !to.contains_key(FORWARDED_PROTO) {
        to.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if let Some(host) = from.get(header::HOST)
        && !to.contains_key(FORWARDED_HOST)
    {
        to.insert(FORWARDED_HOST, host.clone());
    }
    to.insert(REQUEST_ID, origin.request_id.clone());
    to.append(header::VIA, origin.via.clone());
    if let Some(token) = origin.token {
        to.insert(header::AUTHORIZATION, token.clone());
    }
    to
}

/// Returns the headers of an agent's answer that the client gets.
pub(super) fn to_client(from: &HeaderMap) -> HeaderMap {
    let mut to = without_hops(from);
    to.remove(AGENT_ID);
    to.remove(SESSION_MOVED);
    // Whatever an agent answers, it is no page of ours.
    to.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
    to
}

/// Returns the id of a request: the client's, if it can be repeated, else a new one.
pub(super) fn request_id(from: &HeaderMap) -> HeaderValue {
    let given = from.get(REQUEST_ID).filter(|id| !id.is_empty() && id.len() <= LONGEST);
    given.cloned().unwrap_or_else(|| {
        HeaderValue::try_from(Uuid::new_v4().to_string()).expect("a UUID is plain text")
    })
}

/// Tells the client what its request was called.
pub(super) fn name_request(to: &mut HeaderMap, id: &HeaderValue) {
    to.insert(REQUEST_ID, id.clone());
}

/// Who wants to stay with one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Session {
    /// It names itself.
    Named(String),
    /// Our cookie names its agent.
    Cookie(String),
    /// It has not said anything yet.
    New,
}

/// Reads who asks; a name that cannot be kept is an error.
pub(super) fn session(from: &HeaderMap) -> Result<Session, String> {
    if let Some(name) = from.get(SESSION_ID) {
        return match name.to_str() {
            Ok(name) if !name.is_empty() && name.len() <= LONGEST => {
                Ok(Session::Named(name.to_owned()))
            }
            _ => Err(format!("`X-Session-Id` must be 1 to {LONGEST} plain characters")),
        };
    }
    let cookie = from.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let ours = cookie.flat_map(|line| line.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    });
    Ok(match ours {
        Some(tag) if tag.len() <= LONGEST => Session::Cookie(tag.to_owned()),
        Some(_) | None => Session::New,
    })
}

/// Returns the cookie that keeps a client with an agent, for requests below `path`: each pool has
/// its own.
pub(super) fn cookie(tag: &str, path: &str, seconds: u64) -> Option<HeaderValue> {
    let text = format!("{COOKIE}={tag}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax");
    HeaderValue::try_from(text).ok()
}

/// Whether a request has been through this gateway already.
pub(super) fn is_loop(from: &HeaderMap, via: &HeaderValue) -> bool {
    let own = via.as_bytes();
    from.get_all(header::VIA).iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|one| one.trim_ascii() == own)
    })
}

fn without_hops(from: &HeaderMap) -> HeaderMap {
    let mut to = from.clone();
    let named = from.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    for name in named.flat_map(|line| line.split(',')) {
        to.remove(name.trim());
    }
    for name in HOP_BY_HOP {
        to.remove(name);
    }
    to
}

/// Our cookie is for us; the others are the agent's.
fn drop_cookie(to: &mut HeaderMap) {
    let lines: Vec<HeaderValue> = to.get_all(header::COOKIE).iter().cloned().collect();
    to.remove(header::COOKIE);
    for line in lines {
        let Ok(text) = line.to_str() else {
            to.append(header::COOKIE, line);
            continue;
        };
        let is_ours = |pair: &&str| pair.split_once('=').is_some_and(|(name, _)| name == COOKIE);
        let left: Vec<&str> =
            text.split(';').map(str::trim).filter(|pair| !is_ours(pair)).collect();
        if let Ok(left) = HeaderValue::try_from(left.join("; "))
            && !left.is_empty()
        {
            to.append(header::COOKIE, left);
        }
    }
}

fn append_text(to: &mut HeaderMap, name: &HeaderName, text: &str) {
    let before: Vec<&str> = to.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
    let all = before.into_iter().chain([text]).collect::<Vec<_>>().join(", ");
    if let Ok(all) = HeaderValue::try_from(all) {
        to.insert(name.clone(), all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn text<'a>(map: &'a HeaderMap, name: &str) -> Option<&'a str> {
        map.get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn keys_hops_and_our_cookie_stay_here() {
        let from = map(&[
            ("x-api-key", "secret"),
            ("x-admin-api-key", "secret"),
            ("authorization", "Bearer secret"),
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("host", "ygg.lan"),
            ("prefer", "respond-async"),
            ("cookie", "a=1; srv_id=abc; b=2"),
            ("cookie", "srv_id=abc"),
            ("content-type", "text/plain"),
            ("x-forwarded-for", "198.51.100.1"),
            ("via", "1.1 proxy"),
        ]);
        let id = HeaderValue::from_static("r-1");
        let via = HeaderValue::from_static("1.1 ygg-1");
        let origin = Origin {
            peer: Some("192.0.2.9".parse().unwrap()),
            request_id: &id,
            via: &via,
            token: None,
        };

        let to = to_agent(&from, &origin);

        for gone in [
            "x-api-key",
            "x-admin-api-key",
            "authorization",
            "connection",
            "x-private",
            "keep-alive",
            "transfer-encoding",
            "host",
            "prefer",
        ] {
            assert!(!to.contains_key(gone), "{gone}");
        }
        assert!(to.values().all(|value| !value.to_str().unwrap().contains("secret")));
        assert_eq!(text(&to, "cookie"), Some("a=1; b=2"));
        assert_eq!(to.get_all("cookie").iter().count(), 1);
        assert_eq!(text(&to, "content-type"), Some("text/plain"));
        assert_eq!(text(&to, "x-forwarded-for"), Some("198.51.100.1, 192.0.2.9"));
        assert_eq!(text(&to, "x-forwarded-proto"), Some("http"));
        assert_eq!(text(&to, "x-forwarded-host"), Some("ygg.lan"));
        assert_eq!(text(&to, "x-request-id"), Some("r-1"));
        assert_eq!(to.get_all("via").iter().count(), 2);
        assert!(is_loop(&to, &via));
        assert!(!is_loop(&from, &via));
    }

    #[test]
    fn an_executor_gets_its_token() {
        let token = HeaderValue::from_static("Bearer theirs");
        let id = HeaderValue::from_static("r-1");
        let origin = Origin { peer: None, request_id: &id, via: &id, token: Some(&token) };

        let to = to_agent(&map(&[("authorization", "Bearer ours")]), &origin);

        assert_eq!(text(&to, "authorization"), Some("Bearer theirs"));
    }

    #[test]
    fn an_agent_cannot_speak_for_us() {
        let from = map(&[
            ("x-agent-id", "another"),
            ("x-session-moved", "true"),
            ("connection", "close"),
            ("content-length", "3"),
            ("set-cookie", "a=1"),
        ]);

        let to = to_client(&from);

        assert!(!to.contains_key(AGENT_ID) && !to.contains_key(SESSION_MOVED));
        assert!(!to.contains_key("connection"));
        assert_eq!(text(&to, "content-length"), Some("3"));
        assert_eq!(text(&to, "set-cookie"), Some("a=1"));
        assert!(text(&to, "content-security-policy").unwrap().contains("sandbox"));
    }

    #[test]
    fn a_session_is_named_by_its_header_before_its_cookie() {
        let cookie = [("cookie", "x=1;srv_id=tag")];

        assert_eq!(session(&map(&cookie)), Ok(Session::Cookie("tag".to_owned())));
        assert_eq!(
            session(&map(&[cookie[0], ("x-session-id", "s 1")])),
            Ok(Session::Named("s 1".to_owned()))
        );
        assert_eq!(session(&map(&[])), Ok(Session::New));
        assert!(session(&map(&[("x-session-id", "")])).is_err());
    }
}
