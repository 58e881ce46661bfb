//! `dns-record`: a Pi-hole's own names, added and removed, and proved by asking for them.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use executor_sdk::Revealed;
use executor_sdk::prelude::*;
use hickory_net::proto::rr::Name;
use reqwest::Method;

use crate::Huginn;
use crate::dns::{self, Kind, Transport};
use crate::pihole::{self, PiHole};
use crate::reach::address_of;
use crate::target::Target;
use crate::web::Service;

const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Adds or removes a name of a Pi-hole's local records, and proves it by asking its name server.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DnsRecord {
    /// The name.
    domain: String,
    /// Its address; with `absent` it may be left out, and every address of the name goes.
    #[serde(default)]
    address: Option<IpAddr>,
    /// What is wanted.
    #[serde(default)]
    state: State,
    /// Whether another address of the name gives way.
    #[serde(default)]
    replace: bool,
    /// Where the Pi-hole listens (default: the node's `--pihole-url`).
    #[serde(default)]
    url: Option<Url>,
    /// The secret with its password (default: `secret:pihole-password`). An app password needs
    /// `webserver.api.app_sudo`.
    #[serde(default)]
    password: Option<Secret>,
    /// The name server that proves it (default: the Pi-hole's, port 53).
    #[serde(default)]
    resolver: Option<Target>,
    /// How long the name server may take to know it, in seconds.
    #[serde(default = "fifteen_seconds")]
    settle_seconds: f64,
    /// How long each question may take, in seconds.
    #[serde(default = "ten_seconds")]
    timeout_seconds: f64,
}

fn fifteen_seconds() -> f64 {
    15.0
}

fn ten_seconds() -> f64 {
    10.0
}

/// What is wanted of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    #[default]
    Present,
    Absent,
}

/// What must be done to the records.
#[derive(Debug, PartialEq, Eq, Default)]
struct Plan {
    remove: Vec<String>,
    add: Option<String>,
}

impl Task<Huginn> for DnsRecord {
    const TYPE: &'static str = "dns-record";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(2));
    const IDEMPOTENT: bool = true;
    const RETRYABLE: bool = true;

    async fn run(self, huginn: &Huginn, cx: &Context) -> TaskResult {
        let name = dns::name(&self.domain, Kind::A)
            .map_err(|error| Failure::new(format!("`domain`: {error}")))?;
        if self.state == State::Present && self.address.is_none() {
            return Err(Failure::new("`address` is missing; only `absent` works without one"));
        }
        if !(0.0..=90.0).contains(&self.settle_seconds) {
            return Err(Failure::new("`settle_seconds` must lie between 0 and 90"));
        }
        let setting = huginn.pihole_url();
        let url = self.url.as_ref().unwrap_or(&setting);
        let service = Service::new("the Pi-hole", url, self.timeout_seconds, huginn)?;
        huginn.may_have_secret(url, &setting)?;
        let server = self.server(huginn, url).await?;
        let secret = self.password.clone().unwrap_or_else(|| Secret::named(pihole::SECRET));
        let plan = PiHole::with(service, cx, &secret, async |pihole| match &*pihole {
            PiHole::Six { service, session } => self.change(service, session.as_ref(), cx).await,
            PiHole::Five { .. } => {
                Err(Failure::new("this Pi-hole is of version 5; local records need version 6"))
            }
        })
        .await?;
        let proof = self.prove(server, &name).await;
        let data = json!({
            "domain": self.domain,
            "changed": plan != Plan::default(),
            "added": plan.add,
            "removed": plan.remove,
            "proved_by": server.to_string(),
            "seconds": proof.as_ref().ok(),
        });
        match proof {
            Ok(seconds) => {
                let what = if self.state == State::Present { "there" } else { "gone" };
                let text = format!("{} is {what}, says {server} after {seconds} s", self.domain);
                Ok(Report::text(text).with_data(&data))
            }
            Err(why) => Err(Failure::new(why).with_data(&data)),
        }
    }
}

impl DnsRecord {
    async fn server(&self, huginn: &Huginn, url: &Url) -> Result<SocketAddr, Failure> {
        let limit = Duration::from_secs(5);
        let (host, port) = match &self.resolver {
            Some(target) => (target.host.as_str(), target.port),
            None => (url.host_str().unwrap_or_default().trim_matches(['[', ']']), None),
        };
        let address = address_of(huginn.table.address(host), limit).await.map_err(Failure::new)?;
        Ok(SocketAddr::new(address, port.unwrap_or(dns::PORT)))
    }

    async fn change(
        &self,
        service: &Service,
        session: Option<&Revealed>,
        cx: &Context,
    ) -> Result<Plan, Failure> {
        let header = session.map(|session| ("x-ftl-sid", session));
        let config = service.get(&["api", "config", "dns", "hosts"], header).await?;
        let records: Vec<_> = config
            .pointer("/config/dns/hosts")
            .and_then(Value::as_array)
            .ok_or_else(|| Failure::new("the Pi-hole does not tell its local records"))?
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let plan = self.plan(&records).map_err(Failure::new)?;
        let removals = plan.remove.iter().map(|record| (Method::DELETE, record));
        for (method, record) in removals.chain(plan.add.iter().map(|record| (Method::PUT, record)))
        {
            let url = service.at(&["api", "config", "dns", "hosts", record]);
            let answer = service.ask(method.clone(), url, header, None).await?;
            if !answer.status.is_success() {
                let what = format!("{method} of the record `{record}`");
                return Err(service.refused(&what, &answer));
            }
            cx.log(format!("{method} {record}"));
        }
        Ok(plan)
    }

    /// Compares what is there, as `ADDRESS NAME…`, with what is wanted.
    fn plan(&self, records: &[&str]) -> Result<Plan, String> {
        let mut plan = Plan::default();
        let mut is_there = false;
        for record in records {
            let text = record.split('#').next().unwrap_or_default();
            let mut words = text.split_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
                continue;
            };
            let names: Vec<_> = words.collect();
            if !names.iter().any(|name| name.eq_ignore_ascii_case(&self.domain)) {
                continue;
            }
            let is_same = self.address.is_none_or(|wanted| wanted == address);
            let is_same_family =
                self.address.is_none_or(|wanted| wanted.is_ipv4() == address.is_ipv4());
            let must_go = match self.state {
                State::Present if is_same => {
                    is_there = true;
                    false
                }
                State::Present if !is_same_family => false,
                State::Present if !self.replace => {
                    return Err(format!(
                        "`{}` is {address} already; set `replace` to change it",
                        self.domain
                    ));
                }
                State::Present => true,
                State::Absent => is_same,
            };
            if must_go && names.len() > 1 {
                return Err(format!("`{record}` holds other names as well; change it by hand"));
            }
            if must_go {
                plan.remove.push((*record).to_owned());
            }
        }
        if let (State::Present, Some(address), false) = (self.state, self.address, is_there) {
            plan.add = Some(format!("{address} {}", self.domain));
        }
        Ok(plan)
    }

    /// Asks until the name server says what is wanted. Returns how long that took.
    async fn prove(&self, server: SocketAddr, name: &Name) -> Result<f64, String> {
        let limit = Duration::from_secs(2);
        let start = Instant::now();
        loop {
            let last = match self.ask(server, name, limit).await {
                Ok(None) => return Ok((start.elapsed().as_secs_f64() * 1e3).round() / 1e3),
                Ok(Some(found)) => found,
                Err(error) => error,
            };
            if start.elapsed().as_secs_f64() >= self.settle_seconds {
                return Err(format!(
                    "the Pi-hole took it, but {server} still says of `{}`: {last}",
                    self.domain
                ));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Asks once: nothing when it is as wanted, else what was said.
    async fn ask(
        &self,
        server: SocketAddr,
        name: &Name,
        limit: Duration,
    ) -> Result<Option<String>, String> {
        let kinds = match self.address {
            Some(IpAddr::V4(_)) => &[Kind::A][..],
            Some(IpAddr::V6(_)) => &[Kind::Aaaa],
            None => &[Kind::A, Kind::Aaaa],
        };
        for kind in kinds {
            let answer = dns::ask(server, Transport::Udp, name, *kind, limit).await?;
            if !matches!(answer.code.as_str(), "NOERROR" | "NXDOMAIN") {
                return Err(answer.code);
            }
            let found: Vec<IpAddr> =
                answer.records.iter().filter_map(|text| text.parse().ok()).collect();
            let is_as_wanted = match (self.state, self.address) {
                (State::Present, Some(address)) => found.contains(&address),
                (State::Present, None) => !found.is_empty(),
                (State::Absent, Some(address)) => !found.contains(&address),
                (State::Absent, None) => found.is_empty(),
            };
            if !is_as_wanted {
                let is_nothing = answer.records.is_empty();
                return Ok(Some(if is_nothing { answer.code } else { answer.records.join(" ") }));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(params: Value, records: &[&str]) -> Result<Plan, String> {
        DnsRecord::deserialize(params).unwrap().plan(records)
    }

    #[test]
    fn only_what_must_change_does() {
        let there =
            ["10.0.0.5 nas.home", "10.0.0.6 two.home three.home", "# old", "fd00::5 NAS.home"];
        let add = |text: &str| Plan { add: Some(text.to_owned()), ..Plan::default() };
        let remove = |list: &[&str]| Plan {
            remove: list.iter().map(|text| (*text).to_owned()).collect(),
            ..Plan::default()
        };
        for (params, expected) in [
            (json!({"domain": "new.home", "address": "10.0.0.7"}), Ok(add("10.0.0.7 new.home"))),
            (json!({"domain": "nas.home", "address": "10.0.0.5"}), Ok(Plan::default())),
            (json!({"domain": "THREE.home", "address": "10.0.0.6"}), Ok(Plan::default())),
            (json!({"domain": "two.home", "address": "fd00::6"}), Ok(add("fd00::6 two.home"))),
            (json!({"domain": "nas.home", "address": "10.0.0.9"}), Err("set `replace`")),
            (
                json!({"domain": "nas.home", "address": "10.0.0.9", "replace": true}),
                Ok(Plan { add: Some("10.0.0.9 nas.home".into()), ..remove(&[there[0]]) }),
            ),
            (
                json!({"domain": "two.home", "address": "10.0.0.9", "replace": true}),
                Err("holds other names"),
            ),
            (json!({"domain": "nas.home", "state": "absent"}), Ok(remove(&[there[0], there[3]]))),
            (
                json!({"domain": "nas.home", "state": "absent", "address": "fd00::5"}),
                Ok(remove(&[there[3]])),
            ),
            (json!({"domain": "gone.home", "state": "absent"}), Ok(Plan::default())),
            (json!({"domain": "two.home", "state": "absent"}), Err("holds other names")),
        ] {
            let shown = params.to_string();
            match (plan(params, &there), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{shown}"),
                (Err(found), Err(expected)) => {
                    assert!(found.contains(expected), "{shown}: {found}");
                }
                (found, expected) => panic!("{shown}: {found:?} is not {expected:?}"),
            }
        }
    }
}
