//! `network-check`: can this machine reach others, how well, and find them by name.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use executor_sdk::prelude::*;
use futures::StreamExt as _;
use futures::stream;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::Huginn;
use crate::ping::Echo;
use crate::reach::address_of;
use crate::target::{Target, is_host};

mod page;

use page::Page;

/// How many questions one order may ask, how many of them at a time, and how often each.
const MOST: usize = 1024;
const AT_A_TIME: usize = 32;
const MOST_TRIES: u32 = 20;

/// How long after one try of a host the next one follows.
const PAUSE: Duration = Duration::from_millis(100);

/// Connects to hosts over TCP, pings them, fetches pages and resolves names; tells latency, loss and
/// how long certificates are valid; fails when one of them is not well, and names it.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct NetworkCheck {
    /// The hosts: `name` (on each of `ports`, or by ping without them), `name:port`, or
    /// `{host, port}`. Names of the host table are known.
    #[serde(default)]
    hosts: Vec<Target>,
    /// The ports for the hosts that name none.
    #[serde(default)]
    ports: Vec<u16>,
    /// The names to resolve, by this machine's own resolver.
    #[serde(default)]
    dns: Vec<String>,
    /// The pages to fetch; a status of 400 or more is not well. Redirects are not followed.
    #[serde(default)]
    urls: Vec<Url>,
    /// How often each host is tried.
    #[serde(default = "once")]
    count: u32,
    /// How many of the tries may fail, in percent.
    #[serde(default)]
    max_loss_percent: f64,
    /// The mean latency of a host that is still well, in milliseconds (default: any).
    #[serde(default)]
    max_latency_ms: Option<f64>,
    /// How many days the certificates of the pages must be valid for (default: any).
    #[serde(default)]
    min_certificate_days: Option<u32>,
    /// Whether certificates that nobody vouches for are well, too.
    #[serde(default)]
    accept_any_certificate: bool,
    /// How long each try may take, in seconds.
    #[serde(default = "three_seconds")]
    timeout_seconds: f64,
}

fn once() -> u32 {
    1
}

fn three_seconds() -> f64 {
    3.0
}

/// How a host was reached.
#[derive(Debug, Serialize)]
struct Contact {
    host: String,
    /// `None`: by ping.
    port: Option<u16>,
    how: &'static str,
    reachable: bool,
    /// The address that was asked.
    address: Option<String>,
    sent: u32,
    answered: u32,
    loss_percent: f64,
    /// The mean.
    latency_ms: Option<f64>,
    latency_max_ms: Option<f64>,
    error: Option<String>,
}

/// How a name was resolved.
#[derive(Debug, Serialize)]
struct Resolution {
    name: String,
    resolved: bool,
    addresses: Vec<String>,
    latency_ms: f64,
    error: Option<String>,
}

impl Task<Huginn> for NetworkCheck {
    const TYPE: &'static str = "network-check";
    const IDEMPOTENT: bool = true;

    async fn run(self, huginn: &Huginn, cx: &Context) -> TaskResult {
        let limit = self.check()?;
        let targets = self.targets();
        let client = page::client(limit, self.accept_any_certificate, huginn)?;

        let contacts: Vec<_> = stream::iter(targets)
            .map(|target| self.contact(target, limit, huginn, cx))
            .buffered(AT_A_TIME)
            .collect()
            .await;
        let pages: Vec<_> = stream::iter(self.urls.iter().cloned())
            .map(|url| page::fetch(&client, url, self.min_certificate_days))
            .buffered(AT_A_TIME)
            .collect()
            .await;
        for page in &pages {
            cx.log(page.line());
        }
        let names: Vec<_> = stream::iter(self.dns.iter().cloned())
            .map(|name| resolve(name, limit, cx))
            .buffered(AT_A_TIME)
            .collect()
            .await;
        verdict(&contacts, &pages, &names)
    }
}

impl NetworkCheck {
    fn check(&self) -> Result<Duration, Failure> {
        if !(0.01..=60.0).contains(&self.timeout_seconds) {
            return Err(Failure::new("`timeout_seconds` must lie between 0.01 and 60"));
        }
        if !(1..=MOST_TRIES).contains(&self.count) {
            return Err(Failure::new(format!("`count` must lie between 1 and {MOST_TRIES}")));
        }
        if !(0.0..100.0).contains(&self.max_loss_percent) {
            return Err(Failure::new("`max_loss_percent` must be at least 0 and below 100"));
        }
        if self.ports.contains(&0) {
            return Err(Failure::new("port 0 cannot be connected to"));
        }
        if self.hosts.is_empty() && !self.ports.is_empty() {
            return Err(Failure::new("`ports` without `hosts` says nothing"));
        }
        for (index, name) in self.dns.iter().enumerate() {
            is_host(name).map_err(|error| Failure::new(format!("`dns[{index}]`: {error}")))?;
        }
        for (index, url) in self.urls.iter().enumerate() {
            page::check(url).map_err(|error| Failure::new(format!("`urls[{index}]`: {error}")))?;
        }
        match self.hosts.len() * self.ports.len().max(1) + self.dns.len() + self.urls.len() {
            0 => Err(Failure::new("nothing is asked: give `hosts`, `urls` or `dns`")),
            asked if asked > MOST => {
                Err(Failure::new(format!("{asked} questions are asked; {MOST} are allowed")))
            }
            _ => Ok(Duration::from_secs_f64(self.timeout_seconds)),
        }
    }

    fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        for target in &self.hosts {
            if target.port.is_some() || self.ports.is_empty() {
                targets.push(target.clone());
            } else {
                let on = |port: &u16| Target { host: target.host.clone(), port: Some(*port) };
                targets.extend(self.ports.iter().map(on));
            }
        }
        targets
    }

    async fn contact(
        &self,
        target: Target,
        limit: Duration,
        huginn: &Huginn,
        cx: &Context,
    ) -> Contact {
        let mut contact = Contact {
            how: if target.port.is_some() { "tcp" } else { "icmp" },
            host: target.host,
            port: target.port,
            reachable: false,
            address: None,
            sent: 0,
            answered: 0,
            loss_percent: 100.0,
            latency_ms: None,
            latency_max_ms: None,
            error: None,
        };
        let tried = match address_of(huginn.table.address(&contact.host), limit).await {
            Ok(address) => {
                contact.address = Some(address.to_string());
                try_each(address, contact.port, self.count, limit).await
            }
            Err(error) => Err(error),
        };
        match tried {
            Ok((took, last)) => contact.count(self.count, &took, last),
            Err(error) => contact.error = Some(error),
        }
        contact.reachable = contact.answered > 0;
        if contact.error.is_none() {
            contact.error = self.breach(&contact);
        }
        cx.log(contact.line());
        contact
    }

    fn breach(&self, contact: &Contact) -> Option<String> {
        if contact.loss_percent > self.max_loss_percent {
            let (lost, sent) = (contact.sent - contact.answered, contact.sent);
            return Some(format!("{lost} of {sent} tries were lost"));
        }
        let (most, mean) = (self.max_latency_ms?, contact.latency_ms?);
        (mean > most).then(|| format!("its latency is {mean:.1} ms, more than {most}"))
    }
}

/// Tries an address some times. Returns how long each answer took, and the last error.
async fn try_each(
    address: IpAddr,
    port: Option<u16>,
    count: u32,
    limit: Duration,
) -> Result<(Vec<Duration>, Option<String>), String> {
    let mut echo = match port {
        Some(_) => None,
        None => Some(Echo::new(address, limit).await?),
    };
    let (mut took, mut last) = (Vec::new(), None);
    for time in 0..count {
        if time > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let tried = match (&mut echo, port) {
            (Some(echo), _) => echo.ask().await,
            (None, Some(port)) => connect(SocketAddr::new(address, port), limit).await,
            (None, None) => Err("neither a port nor a ping".to_owned()),
        };
        match tried {
            Ok(duration) => took.push(duration),
            Err(error) => last = Some(error),
        }
    }
    Ok((took, last))
}

async fn connect(address: SocketAddr, limit: Duration) -> Result<Duration, String> {
    let start = Instant::now();
    match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(start.elapsed()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", limit.as_secs_f64())),
    }
}

impl Contact {
    fn count(&mut self, sent: u32, took: &[Duration], last: Option<String>) {
        self.sent = sent;
        self.answered = u32::try_from(took.len()).unwrap_or(sent);
        let share = f64::from(sent - self.answered) / f64::from(sent.max(1));
        self.loss_percent = (share * 1000.0).round() / 10.0;
        if self.answered > 0 {
            let sum: Duration = took.iter().sum();
            self.latency_ms = Some(milliseconds(sum / self.answered));
            self.latency_max_ms = took.iter().max().copied().map(milliseconds);
        } else {
            self.error = last;
        }
    }

    fn name(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    fn line(&self) -> String {
        match (&self.error, self.latency_ms) {
            (None, Some(mean)) => format!(
                "{} answers by {} in {mean:.1} ms ({} of {})",
                self.name(),
                self.how,
                self.answered,
                self.sent
            ),
            (error, _) => {
                format!("{}: {}", self.name(), error.as_deref().unwrap_or("nothing is known"))
            }
        }
    }
}

async fn resolve(name: String, limit: Duration, cx: &Context) -> Resolution {
    let start = Instant::now();
    let asked = async {
        let found = lookup_host((name.as_str(), 0)).await?;
        Ok::<Vec<_>, std::io::Error>(found.map(|found| found.ip().to_string()).collect())
    };
    let asked = timeout(limit, asked).await;
    let latency_ms = milliseconds(start.elapsed());
    let (mut addresses, error) = match asked {
        Ok(Ok(addresses)) if addresses.is_empty() => {
            (addresses, Some("it has no address".to_owned()))
        }
        Ok(Ok(addresses)) => (addresses, None),
        Ok(Err(error)) => (Vec::new(), Some(error.to_string())),
        Err(_) => (Vec::new(), Some(format!("no answer within {} s", limit.as_secs_f64()))),
    };
    addresses.sort();
    addresses.dedup();
    match &error {
        None => cx.log(format!("{name} is {}", addresses.join(", "))),
        Some(error) => cx.log(format!("{name} cannot be resolved: {error}")),
    }
    Resolution { name, resolved: error.is_none(), addresses, latency_ms, error }
}

fn verdict(contacts: &[Contact], pages: &[Page], names: &[Resolution]) -> TaskResult {
    let data = json!({"hosts": contacts, "urls": pages, "dns": names});
    let of_hosts = contacts.iter().filter_map(|contact| {
        contact.error.as_ref().map(|error| format!("{} ({error})", contact.name()))
    });
    let of_pages = pages
        .iter()
        .filter_map(|page| page.error.as_ref().map(|error| format!("{} ({error})", page.url)));
    let of_names = names.iter().filter_map(|name| {
        name.error.as_ref().map(|error| format!("name {} ({error})", name.name))
    });
    let failed: Vec<_> = of_hosts.chain(of_pages).chain(of_names).collect();
    let asked = contacts.len() + pages.len() + names.len();
    if failed.is_empty() {
        return Ok(Report::text(format!("{asked} of {asked} are well")).with_data(&data));
    }
    let text = format!("{} of {asked} are not well: {}", failed.len(), failed.join(", "));
    Err(Failure::new(text).with_data(&data))
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
