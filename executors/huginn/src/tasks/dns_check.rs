//! `dns-check`: do name servers know these names, and do they agree.

use std::net::SocketAddr;

use executor_sdk::prelude::*;
use futures::StreamExt as _;
use futures::stream;

use crate::Huginn;
use crate::dns::{self, Answer, Kind, Transport};
use crate::reach::address_of;
use crate::target::Target;

/// How many questions one order may ask, and how many of them at a time.
const MOST: usize = 1024;
const AT_A_TIME: usize = 32;

/// Asks name servers directly, over UDP and TCP, and compares their answers; fails when one does not
/// answer, does not know a name, or says something else than the others or than is expected.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DnsCheck {
    /// The names; for `PTR` addresses as well.
    names: Vec<String>,
    /// The name servers: `address`, `address:port`, or names of the host table.
    resolvers: Vec<Target>,
    /// What is asked for.
    #[serde(default = "address")]
    record: Kind,
    /// By which ways.
    #[serde(default = "both")]
    transports: Vec<Transport>,
    /// What each of them must say, whole; an empty list means that the name must not be there
    /// (default: anything that they agree on).
    #[serde(default)]
    expect: Option<Vec<String>>,
    /// How long each question may take, in seconds.
    #[serde(default = "three_seconds")]
    timeout_seconds: f64,
}

fn address() -> Kind {
    Kind::A
}

fn both() -> Vec<Transport> {
    vec![Transport::Udp, Transport::Tcp]
}

fn three_seconds() -> f64 {
    3.0
}

/// What one name server said to one question.
#[derive(Debug, Serialize)]
struct Said {
    name: String,
    resolver: String,
    transport: Transport,
    answer: Option<Answer>,
    error: Option<String>,
}

impl Task<Huginn> for DnsCheck {
    const TYPE: &'static str = "dns-check";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(2));
    const IDEMPOTENT: bool = true;

    async fn run(self, huginn: &Huginn, cx: &Context) -> TaskResult {
        if !(0.01..=60.0).contains(&self.timeout_seconds) {
            return Err(Failure::new("`timeout_seconds` must lie between 0.01 and 60"));
        }
        let limit = Duration::from_secs_f64(self.timeout_seconds);
        let asked = self.names.len() * self.resolvers.len() * self.transports.len();
        if asked == 0 {
            return Err(Failure::new("nothing is asked: give `names`, `resolvers`, `transports`"));
        }
        if asked > MOST {
            let error = format!("{asked} questions are asked; {MOST} are allowed");
            return Err(Failure::new(error));
        }
        let mut servers = Vec::new();
        for resolver in &self.resolvers {
            let host = huginn.table.address(&resolver.host);
            let address = address_of(host, limit).await.map_err(Failure::new)?;
            let port = resolver.port.unwrap_or(dns::PORT);
            let shown = match resolver.port {
                Some(port) => format!("{}:{port}", resolver.host),
                None => resolver.host.clone(),
            };
            servers.push((shown, SocketAddr::new(address, port)));
        }
        let mut questions = Vec::new();
        for (index, text) in self.names.iter().enumerate() {
            let name = dns::name(text, self.record)
                .map_err(|error| Failure::new(format!("`names[{index}]`: {error}")))?;
            for (shown, server) in &servers {
                for transport in &self.transports {
                    questions.push((
                        text.clone(),
                        name.clone(),
                        shown.clone(),
                        *server,
                        *transport,
                    ));
                }
            }
        }
        let record = self.record;
        let all: Vec<_> = stream::iter(questions)
            .map(|(text, name, shown, server, transport)| async move {
                let asked = dns::ask(server, transport, &name, record, limit).await;
                let (answer, error) = match asked {
                    Ok(answer) => (Some(answer), None),
                    Err(error) => (None, Some(error)),
                };
                Said { name: text, resolver: shown, transport, answer, error }
            })
            .buffered(AT_A_TIME)
            .collect()
            .await;
        for said in &all {
            cx.log(said.line());
        }
        self.verdict(&all)
    }
}

impl DnsCheck {
    fn verdict(&self, all: &[Said]) -> TaskResult {
        let mut wrong: Vec<String> = all.iter().filter_map(|said| self.wrong(said)).collect();
        let mut disagree = Vec::new();
        for name in &self.names {
            // What did not fit is told over TCP.
            let whole = all.iter().filter(|said| said.name == *name && said.is_whole());
            let told: Vec<_> = whole.collect();
            if told.windows(2).any(|pair| pair[0].records() != pair[1].records()) {
                disagree.push(name.clone());
                if self.expect.is_none() {
                    let lines: Vec<_> = told.iter().map(|said| said.short()).collect();
                    wrong.push(format!("they disagree on {name}: {}", lines.join(", ")));
                }
            }
        }
        let data = json!({"answers": all, "disagree": disagree, "problems": wrong});
        if wrong.is_empty() {
            let text = format!("{} of {} answers are as they should be", all.len(), all.len());
            return Ok(Report::text(text).with_data(&data));
        }
        Err(Failure::new(wrong.join("; ")).with_data(&data))
    }

    fn wrong(&self, said: &Said) -> Option<String> {
        let Some(answer) = &said.answer else { return Some(said.line()) };
        let is_known = matches!(answer.code.as_str(), "NOERROR" | "NXDOMAIN");
        match &self.expect {
            _ if answer.truncated && said.transport == Transport::Udp => None,
            Some(expected) if is_known => {
                let mut expected: Vec<_> = expected.iter().map(|text| plain(text)).collect();
                expected.sort();
                expected.dedup();
                let found: Vec<_> = answer.records.iter().map(|text| plain(text)).collect();
                let shown = if expected.is_empty() { "nothing".into() } else { expected.join(" ") };
                (found != expected).then(|| format!("{}, expected {shown}", said.line()))
            }
            None if is_known && !answer.records.is_empty() => None,
            _ => Some(said.line()),
        }
    }
}

/// Names are the same in capitals, and with the dot at their end.
fn plain(text: &str) -> String {
    text.trim_end_matches('.').to_lowercase()
}

impl Said {
    fn is_whole(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| !answer.truncated)
    }

    fn records(&self) -> Vec<String> {
        let records = self.answer.iter().flat_map(|answer| &answer.records);
        records.map(|text| plain(text)).collect()
    }

    fn short(&self) -> String {
        let way = match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        let said = match &self.answer {
            Some(answer) if answer.records.is_empty() => answer.code.clone(),
            Some(answer) => answer.records.join(" "),
            None => self.error.clone().unwrap_or_default(),
        };
        format!("{} ({way}) says {said}", self.resolver)
    }

    fn line(&self) -> String {
        format!("{}: {}", self.name, self.short())
    }
}
