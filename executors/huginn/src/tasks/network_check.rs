//! `network-check`: can this machine reach others, and find them by name.

use std::net::SocketAddr;
use std::time::Instant;

use executor_sdk::prelude::*;
use futures::StreamExt as _;
use futures::stream;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::Huginn;
use crate::target::{Target, is_host};

/// How many questions one order may ask, and how many of them at a time.
const MOST: usize = 1024;
const AT_A_TIME: usize = 32;

/// Connects to hosts over TCP and resolves names by this machine's resolver; fails when one of
/// them cannot be reached or found, and names it.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct NetworkCheck {
    /// The hosts to connect to: `name` (on each of `ports`), `name:port`, or `{host, port}`.
    #[serde(default)]
    hosts: Vec<Target>,
    /// The ports for the hosts that name none.
    #[serde(default)]
    ports: Vec<u16>,
    /// The names to resolve.
    #[serde(default)]
    dns: Vec<String>,
    /// How long each question may take, in seconds.
    #[serde(default = "three_seconds")]
    timeout_seconds: f64,
}

fn three_seconds() -> f64 {
    3.0
}

/// How a connection went.
#[derive(Debug, Serialize)]
struct Connection {
    host: String,
    port: u16,
    reachable: bool,
    /// The address that answered.
    address: Option<String>,
    latency_ms: Option<f64>,
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

    async fn run(self, _: &Huginn, cx: &Context) -> TaskResult {
        if !(0.01..=60.0).contains(&self.timeout_seconds) {
            return Err(Failure::new("`timeout_seconds` must lie between 0.01 and 60"));
        }
        let limit = Duration::from_secs_f64(self.timeout_seconds);
        let targets = self.targets()?;
        for (index, name) in self.dns.iter().enumerate() {
            is_host(name).map_err(|error| Failure::new(format!("`dns[{index}]`: {error}")))?;
        }
        match targets.len() + self.dns.len() {
            0 => return Err(Failure::new("nothing is asked: give `hosts`, or `dns`, or both")),
            asked if asked > MOST => {
                return Err(Failure::new(format!(
                    "{asked} questions are asked; {MOST} are allowed"
                )));
            }
            _ => {}
        }

        let connections: Vec<_> = stream::iter(targets)
            .map(|(host, port)| connect(host, port, limit, cx))
            .buffered(AT_A_TIME)
            .collect()
            .await;
        let names: Vec<_> = stream::iter(self.dns)
            .map(|name| resolve(name, limit, cx))
            .buffered(AT_A_TIME)
            .collect()
            .await;
        verdict(&connections, &names)
    }
}

impl NetworkCheck {
    fn targets(&self) -> Result<Vec<(String, u16)>, Failure> {
        if self.ports.contains(&0) {
            return Err(Failure::new("port 0 cannot be connected to"));
        }
        let mut targets = Vec::new();
        for target in &self.hosts {
            match target.port {
                Some(port) => targets.push((target.host.clone(), port)),
                None if self.ports.is_empty() => {
                    let host = &target.host;
                    return Err(Failure::new(format!(
                        "`{host}` has no port: write `{host}:PORT`, or give `ports`"
                    )));
                }
                None => {
                    targets.extend(self.ports.iter().map(|port| (target.host.clone(), *port)));
                }
            }
        }
        if self.hosts.is_empty() && !self.ports.is_empty() {
            return Err(Failure::new("`ports` without `hosts` says nothing"));
        }
        Ok(targets)
    }
}

async fn connect(host: String, port: u16, limit: Duration, cx: &Context) -> Connection {
    let mut connection =
        Connection { host, port, reachable: false, address: None, latency_ms: None, error: None };
    let attempt = async {
        let addresses: Vec<_> = lookup_host((connection.host.as_str(), port)).await?.collect();
        reach(&addresses).await
    };
    match timeout(limit, attempt).await {
        Ok(Ok((address, took))) => {
            connection.reachable = true;
            connection.address = Some(address.ip().to_string());
            connection.latency_ms = Some(milliseconds(took));
            cx.log(format!(
                "{}:{port} answers at {} in {:.1} ms",
                connection.host,
                address.ip(),
                milliseconds(took)
            ));
        }
        failed => {
            let error = match failed {
                Ok(Err(error)) => error.to_string(),
                _ => format!("no answer within {} s", limit.as_secs_f64()),
            };
            cx.log(format!("{}:{port} cannot be reached: {error}", connection.host));
            connection.error = Some(error);
        }
    }
    connection
}

/// Connects to the first address that takes it; the time is that of the connection alone.
async fn reach(addresses: &[SocketAddr]) -> std::io::Result<(SocketAddr, Duration)> {
    let mut last = std::io::Error::other("the name has no address");
    for address in addresses {
        let start = Instant::now();
        match TcpStream::connect(address).await {
            Ok(_) => return Ok((*address, start.elapsed())),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn resolve(name: String, limit: Duration, cx: &Context) -> Resolution {
    let start = Instant::now();
    let asked = async {
        let found = lookup_host((name.as_str(), 0)).await?;
        Ok::<Vec<_>, std::io::Error>(found.map(|found| found.ip().to_string()).collect())
    };
    let found = timeout(limit, asked).await;
    let latency_ms = milliseconds(start.elapsed());
    let (mut addresses, error) = match found {
        Ok(Ok(addresses)) => (addresses, None),
        Ok(Err(error)) => (Vec::new(), Some(error.to_string())),
        Err(_) => (Vec::new(), Some(format!("no answer within {} s", limit.as_secs_f64()))),
    };
    addresses.dedup();
    let error = error.or_else(|| addresses.is_empty().then(|| "it has no address".to_owned()));
    match &error {
        None => cx.log(format!("{name} is {} ({latency_ms:.1} ms)", addresses.join(", "))),
        Some(error) => cx.log(format!("{name} cannot be resolved: {error}")),
    }
    Resolution { name, resolved: error.is_none(), addresses, latency_ms, error }
}

fn verdict(connections: &[Connection], names: &[Resolution]) -> TaskResult {
    let data = json!({"hosts": connections, "dns": names});
    let unreachable = connections.iter().filter(|connection| !connection.reachable).map(|failed| {
        format!("{}:{} ({})", failed.host, failed.port, failed.error.as_deref().unwrap_or("?"))
    });
    let unresolved = names
        .iter()
        .filter(|name| !name.resolved)
        .map(|failed| format!("name {} ({})", failed.name, failed.error.as_deref().unwrap_or("?")));
    let failed: Vec<_> = unreachable.chain(unresolved).collect();
    let asked = connections.len() + names.len();
    if failed.is_empty() {
        return Ok(Report::text(format!("{asked} of {asked} answer")).with_data(&data));
    }
    let text = format!("{} of {asked} do not answer: {}", failed.len(), failed.join(", "));
    Err(Failure::new(text).with_data(&data))
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
