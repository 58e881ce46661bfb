//! Services that talk as a Pi-hole and a Plex server do, after their published APIs, and go wrong
//! where they are told to.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use executor_sdk::harness::tokio;
use executor_sdk::prelude::*;

pub(crate) const PASSWORD: &str = "correct horse";
pub(crate) const PLEX_TOKEN: &str = "plex-Tk-2026";

/// How a stand-in goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Trouble {
    #[default]
    None,
    /// It answers everything with a page of its proxy.
    Html,
    /// It takes a connection and says nothing.
    Slow,
    /// It answers the questions after the log-in with nothing.
    SlowAfterLogIn,
    /// It sends everybody elsewhere.
    Redirect,
    /// It answers without what is asked for.
    Empty,
    /// It says that it stores records and does not.
    Forgets,
}

/// A Pi-hole of version 6 with 16 seats, or one of version 5.
#[derive(Default)]
pub(crate) struct PiHole {
    pub(crate) is_five: bool,
    pub(crate) has_no_password: bool,
    pub(crate) trouble: Trouble,
    pub(crate) is_disabled: bool,
    pub(crate) seats: Mutex<BTreeSet<String>>,
    pub(crate) log_ins: Mutex<usize>,
    /// `ADDRESS NAME`, and what is called when they change.
    pub(crate) hosts: Mutex<Vec<String>>,
    #[expect(clippy::type_complexity, reason = "it is said once")]
    pub(crate) changed: Option<Box<dyn Fn(&[String]) + Send + Sync>>,
}

impl PiHole {
    /// Starts it; it ends with the test's runtime.
    pub(crate) async fn start(self) -> (Url, Arc<Self>) {
        let pihole = Arc::new(self);
        let router = axum::Router::new().fallback(pihole_answer).with_state(Arc::clone(&pihole));
        (serve(router).await, pihole)
    }

    fn is_logged_in(&self, request: &Request) -> bool {
        let sid = request.headers().get("x-ftl-sid").and_then(|sid| sid.to_str().ok());
        self.has_no_password || sid.is_some_and(|sid| self.seats.lock().unwrap().contains(sid))
    }

    fn log_in(&self, body: &Value) -> Response {
        if body["password"] != json!(PASSWORD) {
            return error(401, "unauthorized", "Unauthorized");
        }
        let mut seats = self.seats.lock().unwrap();
        if seats.len() >= 16 {
            return error(429, "api_seats_exceeded", "API seats exceeded");
        }
        let mut log_ins = self.log_ins.lock().unwrap();
        *log_ins += 1;
        let sid = format!("sid+{}/=", *log_ins);
        seats.insert(sid.clone());
        let session =
            json!({"valid": true, "totp": false, "sid": sid, "csrf": "x", "validity": 1800});
        json(200, &json!({"session": session, "took": 0.001}))
    }

    fn change(&self, is_there: bool, record: &str) -> Response {
        let mut hosts = self.hosts.lock().unwrap();
        let known = hosts.iter().position(|known| known == record);
        let answer = match (is_there, known) {
            (true, Some(_)) => return error(400, "bad_request", "Item already present"),
            (false, None) => return error(404, "not_found", "Item not found"),
            (true, None) => {
                hosts.push(record.to_owned());
                json(201, &json!({"took": 0.1}))
            }
            (false, Some(at)) => {
                hosts.remove(at);
                StatusCode::NO_CONTENT.into_response()
            }
        };
        if self.trouble == Trouble::Forgets {
            hosts.retain(|known| known != record);
        }
        if let Some(changed) = &self.changed {
            changed(&hosts);
        }
        answer
    }
}

async fn pihole_answer(State(pihole): State<Arc<PiHole>>, request: Request) -> Response {
    let (path, method) = (request.uri().path().to_owned(), request.method().clone());
    match pihole.trouble {
        Trouble::Html => return page(),
        Trouble::Slow => std::future::pending::<()>().await,
        Trouble::SlowAfterLogIn if path != "/api/auth" => std::future::pending::<()>().await,
        Trouble::Redirect => return elsewhere(),
        _ => {}
    }
    if pihole.is_five {
        return five(&pihole, &request);
    }
    if path == "/api/auth" && method == Method::POST {
        let body = axum::body::to_bytes(request.into_body(), 10_000).await.unwrap();
        return pihole.log_in(&std::str::from_utf8(&body).unwrap().parse().unwrap());
    }
    let is_logged_in = pihole.is_logged_in(&request);
    if path == "/api/auth" && method == Method::GET {
        let status = if is_logged_in { 200 } else { 401 };
        return json(status, &json!({"session": {"valid": is_logged_in, "sid": null}}));
    }
    if !is_logged_in {
        return error(401, "unauthorized", "Unauthorized");
    }
    if path == "/api/auth" && method == Method::DELETE {
        let sid = request.headers()["x-ftl-sid"].to_str().unwrap();
        pihole.seats.lock().unwrap().remove(sid);
        return StatusCode::NO_CONTENT.into_response();
    }
    if pihole.trouble == Trouble::Empty {
        return json(200, &json!({"took": 0.1}));
    }
    let record = path.strip_prefix("/api/config/dns/hosts/").map(decoded);
    match (method.as_str(), path.as_str()) {
        ("GET", "/api/dns/blocking") => {
            let blocking = if pihole.is_disabled { "disabled" } else { "enabled" };
            json(200, &json!({"blocking": blocking, "timer": null, "took": 0.1}))
        }
        ("GET", "/api/stats/summary") => json(
            200,
            &json!({
                "queries": {"total": 7497, "blocked": 3465, "percent_blocked": 46.2},
                "clients": {"active": 10, "total": 22},
                "gravity": {"domains_being_blocked": 104_756, "last_update": an_hour_ago()},
            }),
        ),
        ("GET", "/api/info/version") => {
            json(200, &json!({"version": {"ftl": {"local": {"version": "v6.3"}}}}))
        }
        ("GET", "/api/config/dns/hosts") => {
            json(200, &json!({"config": {"dns": {"hosts": *pihole.hosts.lock().unwrap()}}}))
        }
        ("PUT", _) if record.is_some() => pihole.change(true, &record.unwrap()),
        ("DELETE", _) if record.is_some() => pihole.change(false, &record.unwrap()),
        _ => error(404, "not_found", "Not found"),
    }
}

fn five(pihole: &PiHole, request: &Request) -> Response {
    if request.uri().path() != "/admin/api.php" {
        return (StatusCode::NOT_FOUND, "404 - Not Found").into_response();
    }
    let query = request.uri().query().unwrap_or_default();
    if query != format!("summaryRaw&auth={}", PASSWORD.replace(' ', "+")) {
        return json(200, &json!([]));
    }
    json(
        200,
        &json!({
            "domains_being_blocked": 100, "dns_queries_today": 50, "ads_blocked_today": 5,
            "ads_percentage_today": 10.0, "unique_clients": 3,
            "status": if pihole.is_disabled { "disabled" } else { "enabled" },
            "gravity_last_updated": {"file_exists": true, "absolute": an_hour_ago()},
        }),
    )
}

/// Starts a Plex server that goes wrong so.
pub(crate) async fn plex(trouble: Trouble) -> Url {
    serve(axum::Router::new().fallback(plex_answer).with_state(trouble)).await
}

async fn plex_answer(State(trouble): State<Trouble>, request: Request) -> Response {
    match trouble {
        Trouble::Html => return page(),
        Trouble::Slow => std::future::pending::<()>().await,
        Trouble::Redirect => return elsewhere(),
        Trouble::Empty => return json(200, &json!({"MediaContainer": {"size": 0}})),
        _ => {}
    }
    assert_eq!(request.headers()["accept"], "application/json");
    let token = request.headers().get("x-plex-token").and_then(|token| token.to_str().ok());
    match request.uri().path() {
        "/identity" => {
            assert_eq!(token, None, "nobody needs the token here");
            json(
                200,
                &json!({"MediaContainer": {
                "size": 0, "claimed": true, "machineIdentifier": "abc", "version": "1.42.2"}}),
            )
        }
        "/status/sessions" if token != Some(PLEX_TOKEN) => {
            (StatusCode::UNAUTHORIZED, "<html><head><title>Unauthorized</title></head></html>")
                .into_response()
        }
        "/status/sessions" => json(
            200,
            &json!({"MediaContainer": {"size": 2, "Metadata": [
            {"title": "Pilot", "grandparentTitle": "Show", "type": "episode", "viewOffset": 30,
             "duration": 60, "User": {"title": "ann"}, "Player": {"title": "TV", "state": "playing"},
             "TranscodeSession": {"key": "x"}},
            {"title": "Film", "type": "movie", "User": {"title": "bob"},
             "Player": {"title": "Phone", "state": "paused"}}]}}),
        ),
        _ => (StatusCode::NOT_FOUND, "").into_response(),
    }
}

async fn serve(router: axum::Router) -> Url {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = tokio::net::TcpListener::bind(any).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    drop(tokio::spawn(async move { axum::serve(listener, router).await }));
    url
}

fn json(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, "application/json")], Body::from(body.to_string()))
        .into_response()
}

fn error(status: u16, key: &str, message: &str) -> Response {
    json(status, &json!({"error": {"key": key, "message": message, "hint": null}, "took": 0.1}))
}

fn page() -> Response {
    let page = "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head></html>";
    (StatusCode::BAD_GATEWAY, [(header::CONTENT_TYPE, "text/html")], page).into_response()
}

fn elsewhere() -> Response {
    (StatusCode::FOUND, [(header::LOCATION, "http://127.0.0.1:1/steal")]).into_response()
}

fn an_hour_ago() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() - 3600
}

/// Undoes percent signs.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        let mut digit = || (rest.next().unwrap() as char).to_digit(16).unwrap();
        bytes.push(if byte == b'%' { u8::try_from(digit() * 16 + digit()).unwrap() } else { byte });
    }
    String::from_utf8(bytes).unwrap()
}
