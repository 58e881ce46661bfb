//! One coordinator, and asking it.

use std::net::SocketAddr;
use std::time::Duration;

use e2e::world::COORDINATOR;
use e2e::{Kind, World, until};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

/// The API key of a coordinator that has keys.
pub(super) const KEY: &str = "runner-key-1";
/// The admin key of one.
pub(super) const ADMIN_KEY: &str = "admin-key-1";

/// How long a change that needs no disk and no network may take on a slow machine.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// A coordinator that nobody has registered with.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) world: World,
}

/// An answer, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    /// Returns the body as JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns a header as text; empty when it is absent.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The answer is this, to the byte.
    #[track_caller]
    pub(super) fn is(&self, status: u16, text: &str) {
        assert_eq!((self.status, &*self.text), (status, text));
    }

    /// The answer is an error with exactly this text, in JSON.
    #[track_caller]
    pub(super) fn refuses(&self, status: u16, error: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.json()["error"], error, "{self:?}");
        assert!(self.header("content-type").starts_with("application/json"), "{self:?}");
    }
}

impl Api {
    /// Starts one without keys; none when there is no Beads CLI, which is said.
    pub(super) async fn start(test: &str) -> Option<Self> {
        Self::start_with(test, &[], &[]).await
    }

    /// Starts one with an API key and an admin key.
    pub(super) async fn locked(test: &str) -> Option<Self> {
        // The limit on failures is somebody else's test; here there are many on purpose.
        let env = [("API_KEYS", KEY), ("ADMIN_API_KEY", ADMIN_KEY), ("AUTH_FAILURE_LIMIT", "0")];
        Self::start_with(test, &env, &[]).await
    }

    /// Starts one with these variables and arguments.
    pub(super) async fn start_with(
        test: &str,
        env: &[(&str, &str)],
        args: &[&str],
    ) -> Option<Self> {
        // No bead is ever written here, so the quicker one will do.
        let world = match World::new(Kind::Mb).await {
            Ok(world) => Ok(world),
            Err(_) => World::any().await,
        };
        let mut world = match world {
            Ok(world) => world,
            Err(why) => {
                e2e::suite::skipped(test, &why);
                return None;
            }
        };
        world.prepare_coordinator(args).unwrap();
        let variables = &mut world.daemon(COORDINATOR).spec_mut().env;
        variables.extend(env.iter().map(|(key, value)| (key.into(), value.into())));
        world.start(COORDINATOR).await.unwrap();
        Some(Self { world })
    }

    /// Kills it as a power cut would, and starts it again.
    pub(super) async fn crash(&mut self) {
        self.world.kill(COORDINATOR);
        self.world.start(COORDINATOR).await.unwrap();
    }

    /// Returns where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.world.port(COORDINATOR)).into()
    }

    /// Sends any request.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("http://{}{path}", self.address());
        let mut request = self.world.client().request(method, &url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{path}: {error:?}"));
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.bytes().await.unwrap();
        Answer { status, headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).await
    }

    /// Sends a body as it is, as JSON.
    pub(super) async fn text(&self, method: &str, path: &str, body: &str) -> Answer {
        let json = [("Content-Type", "application/json")];
        self.send(method, path, &json, Some(body.to_owned())).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        self.text("POST", path, &body.to_string()).await
    }

    pub(super) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.text("PATCH", path, &body.to_string()).await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None).await
    }

    /// Sends a request to an admin route, with the key.
    pub(super) async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let headers = [("X-Admin-Api-Key", ADMIN_KEY), ("Content-Type", "application/json")];
        self.send(method, path, &headers, body.map(|body| body.to_string())).await
    }

    /// Registers a runner that goes by its id.
    pub(super) async fn runner(&self, id: &str) {
        let answer = self.post("/runners/register", json!({"runnerId": id, "name": id})).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Registers a runner that hosts both types of realms.
    pub(super) async fn host(&self, id: &str) {
        let templates = json!([
            {"id": "ubuntu-24", "type": "ubuntu", "capabilities": ["mouse"]},
            {"id": "pixel", "type": "android"},
        ]);
        let body = json!({"runnerId": id, "name": id, "realmTemplates": templates});
        assert_eq!(self.post("/runners/register", body).await.status, 201);
    }

    pub(super) async fn beat(&self, id: &str) -> Answer {
        self.post("/runners/heartbeat", json!({"runnerId": id})).await
    }

    /// Returns one runner.
    pub(super) async fn shown(&self, id: &str) -> Value {
        let answer = self.get(&format!("/api/runners/{id}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Returns the JSON of a good answer.
    pub(super) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    /// Creates a session.
    pub(super) async fn session(&self, body: Value) -> Value {
        let answer = self.post("/api/v1/sessions", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["descriptor"].clone()
    }

    /// Waits until a session has the state, and returns it.
    pub(super) async fn becomes(&self, session: &Value, state: &str) -> Value {
        let path = format!("/api/v1/sessions/{}", text(&session["id"]));
        until(&format!("{path} is {state}"), SOON, async || {
            let seen = self.json(&path).await;
            (seen["state"] == state).then_some(seen)
        })
        .await
    }

    /// Registers a realm of the type ubuntu.
    pub(super) async fn realm(&self, id: &str, runner: &str) -> Answer {
        let endpoints = json!({
            "observation": format!("http://h/api/v1/realms/{id}/capture"),
            "input": format!("http://h/api/v1/realms/{id}"),
        });
        let body = json!({
            "realmId": id, "runnerId": runner, "template": "ubuntu", "version": "0.1.0",
            "capabilities": ["mouse"], "endpoints": endpoints, "registrationToken": "secret",
            "startedAt": "2026-11-21T00:00:00.000Z",
        });
        self.post("/api/v1/realms/register", body).await
    }
}

/// Returns a JSON text as text.
#[track_caller]
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Returns the names of an object's members, in the order in which they were sent.
#[track_caller]
pub(super) fn members(text: &str) -> Vec<String> {
    use std::fmt;

    struct Names;
    impl<'de> serde::de::Visitor<'de> for Names {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Vec<String>, A::Error> {
            let mut names = Vec::new();
            while let Some((name, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                names.push(name);
            }
            Ok(names)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    serde::de::Deserializer::deserialize_map(&mut reader, Names)
        .unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The text is a time as clients know it: UTC, three decimals.
#[track_caller]
pub(super) fn is_iso(value: &Value) {
    let text = text(value);
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{text}");
    let _: jiff::Timestamp = text.parse().unwrap();
}

/// The number is a time in milliseconds since 1970, about now.
#[track_caller]
pub(super) fn is_now(value: &Value) {
    let millis = value.as_i64().unwrap_or_else(|| panic!("{value} is no whole number"));
    let away = jiff::Timestamp::now().as_millisecond() - millis;
    assert!((0..600_000).contains(&away), "{millis} is {away} ms ago");
}

/// The text is `prefix` and so many characters that fit into a path.
#[track_caller]
pub(super) fn is_id(value: &Value, prefix: &str, length: usize) {
    let id = text(value).strip_prefix(prefix).unwrap_or_else(|| panic!("{value}: no {prefix}"));
    assert_eq!(id.len(), length, "{value}");
    assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{value}");
}
