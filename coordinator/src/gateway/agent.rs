//! What an agent is: a runner that takes requests at its endpoint.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;
use reqwest::header::HeaderValue;
use url::{Host, Url};

/// A runner's id, shared by everything that speaks of it.
pub(super) type AgentId = Arc<str>;

/// One runner, as the gateway sees it.
#[derive(Debug, Clone)]
pub(super) struct Agent {
    pub(super) id: AgentId,
    pub(super) name: String,
    pub(super) online: bool,
    pub(super) last_heard: Timestamp,
    /// It speaks our protocol: a request to process becomes `POST /execute`.
    pub(super) is_executor: bool,
    /// Where it takes requests, or why nothing can be sent to it.
    pub(super) endpoint: Result<Url, String>,
    /// What it wants to see.
    pub(super) token: Option<HeaderValue>,
    pub(super) capabilities: Vec<String>,
    pub(super) labels: BTreeMap<String, String>,
    /// How many requests it takes at a time.
    pub(super) limit: u32,
    /// What the session cookie calls it.
    pub(super) tag: String,
}

impl Agent {
    /// Whether requests can be sent to it now.
    pub(super) fn is_reachable(&self) -> bool {
        self.online && self.endpoint.is_ok()
    }
}

/// Whom a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selector {
    /// Whoever has the least to do.
    Any,
    /// Of those with this capability.
    Capability(String),
    /// Of those with this label.
    Label { key: String, value: String },
    /// The runner with this id, else those with this name.
    Named(String),
}

impl Selector {
    /// Reads what stands in the path.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "any" {
            return Ok(Self::Any);
        }
        if let Some(word) = text.strip_prefix("capability:") {
            return match word {
                "" => Err("`capability:` wants a word, as in `capability:llm`".to_owned()),
                word => Ok(Self::Capability(word.to_owned())),
            };
        }
        if let Some(label) = text.strip_prefix("label:") {
            return match label.split_once('=') {
                Some((key, value)) if !key.is_empty() => {
                    Ok(Self::Label { key: key.to_owned(), value: value.to_owned() })
                }
                _ => Err("`label:` wants KEY=VALUE, as in `label:gpu=amd`".to_owned()),
            };
        }
        Ok(Self::Named(text.to_owned()))
    }

    /// Whether an agent is meant, its id aside.
    pub(super) fn means(&self, agent: &Agent) -> bool {
        match self {
            Self::Any => true,
            Self::Capability(word) => agent.capabilities.iter().any(|has| has == word),
            Self::Label { key, value } => agent.labels.get(key) == Some(value),
            Self::Named(name) => agent.name == *name,
        }
    }
}

/// Reads an endpoint that a runner told; `own` is where this coordinator listens.
///
/// Refused are addresses at which no agent can be, and those that are dangerous to be sent to: our
/// own, and the link-local ones at which clouds keep their secrets. What a name leads to is looked
/// at again when it is resolved.
pub(super) fn usable(endpoint: &str, own: Option<SocketAddr>) -> Result<Url, String> {
    if endpoint == "unknown" || endpoint.is_empty() {
        return Err("it registered no endpoint".to_owned());
    }
    let no = |why: &str| Err(format!("it registered the endpoint `{endpoint}`, {why}"));
    let Ok(url) = Url::parse(endpoint) else { return no("which is no URL") };
    if !matches!(url.scheme(), "http" | "https") {
        return no("which is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return no("which has credentials in it");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return no("which has a query or a fragment");
    }
    let ip = match url.host() {
        None => return no("which names no host"),
        Some(Host::Domain(name)) => name.trim_end_matches('.').eq("localhost").then(loopback),
        Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
    };
    let Some(ip) = ip else { return Ok(url) };
    if is_forbidden(ip) {
        return no("an address that requests are never sent to");
    }
    if own.is_some_and(|own| url.port_or_known_default() == Some(own.port()) && is_ours(ip)) {
        return no("which is this coordinator's own address");
    }
    Ok(url)
}

fn loopback() -> IpAddr {
    IpAddr::V6(Ipv6Addr::LOCALHOST)
}

/// Whether no agent may be there: link-local, unspecified, multicast.
pub(super) fn is_forbidden(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_link_local() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast()
        }
        IpAddr::V6(ip) => {
            // The metadata service of one cloud that is not link-local.
            let metadata = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast() || ip == metadata
        }
    }
}

/// Whether this machine has the address: only then can a socket be bound to it.
fn is_ours(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || std::net::UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_named_in_four_ways() {
        let capability = |word: &str| Selector::Capability(word.to_owned());
        let label = |key: &str, value: &str| Selector::Label {
            key: key.to_owned(),
            value: value.to_owned(),
        };

        assert_eq!(Selector::parse("any"), Ok(Selector::Any));
        assert_eq!(Selector::parse("capability:llm"), Ok(capability("llm")));
        assert_eq!(Selector::parse("label:gpu=amd"), Ok(label("gpu", "amd")));
        assert_eq!(Selector::parse("label:a=b=c"), Ok(label("a", "b=c")));
        assert_eq!(Selector::parse("agent-1"), Ok(Selector::Named("agent-1".to_owned())));
        assert!(Selector::parse("capability:").is_err());
        assert!(Selector::parse("label:gpu").is_err());
    }

    #[test]
    fn endpoints_that_lead_nowhere_or_where_they_should_not_are_refused() {
        let own: Option<SocketAddr> = "0.0.0.0:3000".parse().ok();

        for good in [
            "http://192.0.2.7:8080",
            "https://agent.lan/base/",
            "http://127.0.0.1:5000",
            "http://[2001:db8::7]:8080",
            "http://localhost:3001",
        ] {
            assert!(usable(good, own).is_ok(), "{good}");
        }
        for bad in [
            "unknown",
            "",
            "192.0.2.7:8080",
            "ftp://192.0.2.7",
            "unix:/run/agent.sock",
            "http://user:secret@192.0.2.7",
            "http://192.0.2.7/?x=1",
            "http://192.0.2.7/#x",
            "http://169.254.169.254/latest",
            "http://0xA9FEA9FE/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://0.0.0.0:8080",
            "http://[::]:8080",
            "http://224.0.0.1",
            "http://127.0.0.1:3000",
            "http://127.8.8.8:3000",
            "http://localhost:3000",
            "http://[::1]:3000",
        ] {
            assert!(usable(bad, own).is_err(), "{bad}");
        }
    }
}
