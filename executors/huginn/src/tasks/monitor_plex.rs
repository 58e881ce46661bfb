//! `monitor-plex`: is it there, and who watches what.

use executor_sdk::prelude::*;

use crate::Huginn;
use crate::web::Service;

/// The secret with its token.
const SECRET: &str = "plex-token";

/// Tells a Plex server's version and its sessions; fails when it is not there or a threshold is
/// crossed.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct MonitorPlex {
    /// Where it listens (default: the node's `--plex-url`).
    #[serde(default)]
    url: Option<Url>,
    /// The secret with its token (default: `secret:plex-token`).
    #[serde(default)]
    token: Option<Secret>,
    /// Whether to ask for the sessions; without them no token is needed.
    #[serde(default = "yes")]
    sessions: bool,
    /// How many sessions are still well (default: any number).
    #[serde(default)]
    max_sessions: Option<u32>,
    /// How many of them may be transcoded (default: any number).
    #[serde(default)]
    max_transcodes: Option<u32>,
    /// How long each question may take, in seconds.
    #[serde(default = "ten_seconds")]
    timeout_seconds: f64,
}

fn yes() -> bool {
    true
}

fn ten_seconds() -> f64 {
    10.0
}

/// Somebody who watches.
#[derive(Debug, Serialize)]
struct Session {
    user: Option<String>,
    title: String,
    kind: Option<String>,
    player: Option<String>,
    state: Option<String>,
    transcodes: bool,
    progress_percent: Option<f64>,
}

impl Task<Huginn> for MonitorPlex {
    const TYPE: &'static str = "monitor-plex";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(1));
    const IDEMPOTENT: bool = true;

    async fn run(self, huginn: &Huginn, cx: &Context) -> TaskResult {
        if !self.sessions && (self.max_sessions.is_some() || self.max_transcodes.is_some()) {
            return Err(Failure::new("thresholds for sessions need `sessions`"));
        }
        let setting = huginn.plex_url();
        let url = self.url.as_ref().unwrap_or(&setting);
        let service = Service::new("the Plex server", url, self.timeout_seconds, huginn)?;
        let identity = service.get(&["identity"], None).await?;
        let text = |member: &str| identity["MediaContainer"][member].as_str().map(str::to_owned);
        let Some(version) = text("version") else {
            return Err(Failure::new(format!("what answers at {url} is no Plex server")));
        };
        let mut data = json!({
            "version": version,
            "machine": text("machineIdentifier"),
            "claimed": identity["MediaContainer"]["claimed"],
        });
        if !self.sessions {
            return Ok(Report::text(format!("Plex {version} answers")).with_data(&data));
        }
        huginn.may_have_secret(url, &setting)?;
        let token = cx.secret(&self.token.clone().unwrap_or_else(|| Secret::named(SECRET)))?;
        let header = Some(("x-plex-token", &token));
        let path = service.at(&["status", "sessions"]);
        let answer = service.ask(reqwest::Method::GET, path, header, None).await?;
        if answer.status == reqwest::StatusCode::UNAUTHORIZED {
            return Err(Failure::new("the Plex server refuses the token").with_data(&data));
        }
        if !answer.status.is_success() {
            return Err(service.refused("the question for its sessions", &answer).with_data(&data));
        }
        let sessions = match &answer.body {
            Ok(body) if body["MediaContainer"].is_object() => sessions(body),
            _ => {
                return Err(service.refused("the question for its sessions", &answer));
            }
        };
        for session in &sessions {
            cx.log(session.line());
        }
        let breaches = self.breaches(&sessions);
        data["sessions"] = json!(sessions);
        data["breaches"] = json!(breaches);
        if !breaches.is_empty() {
            return Err(Failure::new(format!("Plex: {}", breaches.join("; "))).with_data(&data));
        }
        let text = format!("Plex {version} answers; {} sessions", sessions.len());
        Ok(Report::text(text).with_data(&data))
    }
}

impl MonitorPlex {
    fn breaches(&self, sessions: &[Session]) -> Vec<String> {
        let transcodes = sessions.iter().filter(|session| session.transcodes).count();
        let counts = [
            ("sessions", sessions.len(), self.max_sessions),
            ("transcoded sessions", transcodes, self.max_transcodes),
        ];
        let over = counts.into_iter().filter_map(|(what, found, most)| {
            let most = most.filter(|most| found > *most as usize)?;
            Some(format!("{found} {what}, more than {most}"))
        });
        over.collect()
    }
}

fn sessions(body: &Value) -> Vec<Session> {
    // Without a session there is no list.
    let list = body["MediaContainer"]["Metadata"].as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|item| {
            let text = |path: &str| item.pointer(path).and_then(Value::as_str).map(str::to_owned);
            let title = text("/title").unwrap_or_else(|| "untitled".to_owned());
            let progress = item["viewOffset"].as_f64().zip(item["duration"].as_f64());
            Session {
                user: text("/User/title"),
                title: match text("/grandparentTitle") {
                    Some(series) => format!("{series}: {title}"),
                    None => title,
                },
                kind: text("/type"),
                player: text("/Player/title"),
                state: text("/Player/state"),
                transcodes: item["TranscodeSession"].is_object(),
                progress_percent: progress
                    .filter(|(_, whole)| *whole > 0.0)
                    .map(|(at, whole)| (1000.0 * at / whole).round() / 10.0),
            }
        })
        .collect()
}

impl Session {
    fn line(&self) -> String {
        let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
        let how = if self.transcodes { ", transcoded" } else { "" };
        format!(
            "{} on {}: {} ({}{how})",
            or(&self.user),
            or(&self.player),
            self.title,
            or(&self.state)
        )
    }
}
