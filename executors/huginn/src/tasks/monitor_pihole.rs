//! `monitor-pihole`: does it block, how much, and how old is what it blocks by.

use std::time::{SystemTime, UNIX_EPOCH};

use executor_sdk::Revealed;
use executor_sdk::prelude::*;

use crate::Huginn;
use crate::pihole::{self, PiHole};
use crate::web::{Service, number};

/// Tells what a Pi-hole does: whether it blocks, its queries of a day, the age of its lists; fails
/// when a threshold is crossed.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct MonitorPihole {
    /// Where it listens (default: the node's `--pihole-url`).
    #[serde(default)]
    url: Option<Url>,
    /// The secret with its password, or the API token of a version 5 (default:
    /// `secret:pihole-password`; only read where it wants one).
    #[serde(default)]
    password: Option<Secret>,
    /// Whether it must block (default: either is well).
    #[serde(default)]
    expect_blocking: Option<bool>,
    /// The age of its lists that is still well, in hours (default: any).
    #[serde(default)]
    max_gravity_age_hours: Option<f64>,
    /// The least share of blocked queries that is still well, in percent (default: any).
    #[serde(default)]
    min_blocked_percent: Option<f64>,
    /// How long each question may take, in seconds.
    #[serde(default = "ten_seconds")]
    timeout_seconds: f64,
}

fn ten_seconds() -> f64 {
    10.0
}

/// What it said.
#[derive(Debug, Serialize)]
struct Seen {
    api: &'static str,
    version: Option<String>,
    /// `enabled`, `disabled`, or its own words.
    blocking: String,
    queries: f64,
    blocked: f64,
    blocked_percent: f64,
    clients: f64,
    gravity_domains: f64,
    gravity_updated: f64,
    gravity_age_hours: f64,
}

impl Task<Huginn> for MonitorPihole {
    const TYPE: &'static str = "monitor-pihole";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(1));
    const IDEMPOTENT: bool = true;

    async fn run(self, huginn: &Huginn, cx: &Context) -> TaskResult {
        let setting = huginn.pihole_url();
        let url = self.url.as_ref().unwrap_or(&setting);
        let service = Service::new("the Pi-hole", url, self.timeout_seconds, huginn)?;
        huginn.may_have_secret(url, &setting)?;
        let secret = self.password.clone().unwrap_or_else(|| Secret::named(pihole::SECRET));
        let seen = PiHole::with(service, cx, &secret, async |pihole| match &*pihole {
            PiHole::Six { service, session } => six(service, session.as_ref()).await,
            PiHole::Five { service, token } => five(service, token).await,
        })
        .await?;
        self.verdict(&seen, cx)
    }
}

impl MonitorPihole {
    fn verdict(&self, seen: &Seen, cx: &Context) -> TaskResult {
        cx.log(format!(
            "blocking is {}; {} of {} queries blocked ({:.1} %), {} domains in lists of {:.1} hours",
            seen.blocking,
            seen.blocked,
            seen.queries,
            seen.blocked_percent,
            seen.gravity_domains,
            seen.gravity_age_hours
        ));
        let mut breaches = Vec::new();
        if let Some(expected) = self.expect_blocking
            && (seen.blocking == "enabled") != expected
        {
            breaches.push(format!("blocking is {}", seen.blocking));
        }
        if let Some(most) = self.max_gravity_age_hours.filter(|most| seen.gravity_age_hours > *most)
        {
            let age = seen.gravity_age_hours;
            breaches.push(format!("its lists are {age:.1} hours old, more than {most}"));
        }
        if let Some(least) = self.min_blocked_percent.filter(|least| seen.blocked_percent < *least)
        {
            let share = seen.blocked_percent;
            breaches.push(format!("{share:.1} % of the queries are blocked, less than {least}"));
        }
        let data = json!({"pihole": seen, "breaches": breaches});
        if breaches.is_empty() {
            return Ok(Report::text("the Pi-hole is within its thresholds").with_data(&data));
        }
        Err(Failure::new(format!("the Pi-hole: {}", breaches.join("; "))).with_data(&data))
    }
}

async fn six(service: &Service, session: Option<&Revealed>) -> Result<Seen, Failure> {
    let header = session.map(|session| ("x-ftl-sid", session));
    let blocking = service.get(&["api", "dns", "blocking"], header).await?;
    let summary = service.get(&["api", "stats", "summary"], header).await?;
    let version = service.get(&["api", "info", "version"], header).await?;
    let updated = number(&summary, "/gravity/last_update")?;
    let text =
        |body: &Value, path: &str| body.pointer(path).and_then(Value::as_str).map(str::to_owned);
    Ok(Seen {
        api: "v6",
        version: text(&version, "/version/ftl/local/version"),
        blocking: text(&blocking, "/blocking")
            .ok_or_else(|| Failure::new("the Pi-hole does not say whether it blocks"))?,
        queries: number(&summary, "/queries/total")?,
        blocked: number(&summary, "/queries/blocked")?,
        blocked_percent: number(&summary, "/queries/percent_blocked")?,
        clients: number(&summary, "/clients/active")?,
        gravity_domains: number(&summary, "/gravity/domains_being_blocked")?,
        gravity_updated: updated,
        gravity_age_hours: hours_since(updated),
    })
}

async fn five(service: &Service, token: &Revealed) -> Result<Seen, Failure> {
    let mut url = service.at(&["admin", "api.php"]);
    url.query_pairs_mut().append_key_only("summaryRaw").append_pair("auth", token.expose());
    let answer = service.ask(reqwest::Method::GET, url, None, None).await?;
    if !answer.status.is_success() {
        return Err(service.refused("the API of version 6 and to that of version 5", &answer));
    }
    let body = match &answer.body {
        // What version 5 says to a wrong token.
        Ok(Value::Array(list)) if list.is_empty() => {
            return Err(Failure::new("the Pi-hole (version 5) refuses the API token"));
        }
        Ok(body) => body,
        Err(_) => return Err(service.refused("the API of version 5", &answer)),
    };
    let updated = number(body, "/gravity_last_updated/absolute")?;
    Ok(Seen {
        api: "v5",
        version: None,
        blocking: body["status"]
            .as_str()
            .ok_or_else(|| Failure::new("the Pi-hole does not say whether it blocks"))?
            .to_owned(),
        queries: number(body, "/dns_queries_today")?,
        blocked: number(body, "/ads_blocked_today")?,
        blocked_percent: number(body, "/ads_percentage_today")?,
        clients: number(body, "/unique_clients")?,
        gravity_domains: number(body, "/domains_being_blocked")?,
        gravity_updated: updated,
        gravity_age_hours: hours_since(updated),
    })
}

/// Returns how long ago a time was, counted in seconds of 1970.
fn hours_since(seconds: f64) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    ((now - seconds) / 36.0).round() / 100.0
}
