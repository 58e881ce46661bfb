//! Asking one name server directly, past the resolver of this machine.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use executor_sdk::prelude::*;
use hickory_net::NetError;
use hickory_net::client::{Client, ClientHandle as _};
use hickory_net::proto::op::ResponseCode;
use hickory_net::proto::rr::{DNSClass, Name, RecordType};
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tcp::TcpClientStream;
use hickory_net::udp::UdpClientStream;
use tokio::time::timeout;

use crate::target::is_host;

/// Where name servers listen.
pub(crate) const PORT: u16 = 53;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Kind {
    A,
    Aaaa,
    Cname,
    Mx,
    Ns,
    Ptr,
    Soa,
    Srv,
    Txt,
}

impl Kind {
    fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Cname => RecordType::CNAME,
            Self::Mx => RecordType::MX,
            Self::Ns => RecordType::NS,
            Self::Ptr => RecordType::PTR,
            Self::Soa => RecordType::SOA,
            Self::Srv => RecordType::SRV,
            Self::Txt => RecordType::TXT,
        }
    }
}

/// By which way it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// What a name server answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Answer {
    /// `NOERROR`, `NXDOMAIN`, and so on.
    pub(crate) code: String,
    /// The records of the kind that was asked for, sorted.
    pub(crate) records: Vec<String>,
    pub(crate) ttl_seconds: Option<u32>,
    pub(crate) latency_ms: f64,
    /// It did not fit, and more is told over TCP only.
    pub(crate) truncated: bool,
}

/// Reads a name; for `PTR` an address is one as well.
pub(crate) fn name(text: &str, kind: Kind) -> Result<Name, String> {
    if let (Kind::Ptr, Ok(address)) = (kind, text.parse::<IpAddr>()) {
        return Ok(Name::from(address));
    }
    let no_name = || {
        let shown: String = text.chars().take(80).flat_map(char::escape_default).collect();
        format!("`{shown}` is no name")
    };
    is_host(text).map_err(|_| no_name())?;
    if text.contains([':', '%']) {
        return Err(no_name());
    }
    let mut name = Name::from_utf8(text).map_err(|_| no_name())?;
    name.set_fqdn(true);
    Ok(name)
}

/// Asks once. The error says why there is no answer.
pub(crate) async fn ask(
    server: SocketAddr,
    transport: Transport,
    name: &Name,
    kind: Kind,
    limit: Duration,
) -> Result<Answer, String> {
    let start = Instant::now();
    // The limit is ours to watch; the library's own comes after it.
    let beyond = limit + Duration::from_secs(1);
    let asked = async {
        match transport {
            Transport::Udp => {
                let stream = UdpClientStream::builder(server, TokioRuntimeProvider::new())
                    .with_timeout(Some(beyond))
                    .build();
                let (client, background) = Client::<TokioRuntimeProvider>::from_sender(stream);
                query(client, background, name, kind).await
            }
            Transport::Tcp => {
                let provider = TokioRuntimeProvider::new();
                let (connect, handle) = TcpClientStream::new(server, None, Some(beyond), provider);
                let stream = connect.await?;
                let (client, background) =
                    Client::<TokioRuntimeProvider>::with_timeout(stream, handle, beyond);
                query(client, background, name, kind).await
            }
        }
    };
    match timeout(limit, asked).await {
        Ok(Ok(mut answer)) => {
            answer.latency_ms = (start.elapsed().as_secs_f64() * 1e6).round() / 1e3;
            Ok(answer)
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", limit.as_secs_f64())),
    }
}

/// Sends the question, and drives the connection until the answer is there.
async fn query<B, T>(
    mut client: Client<TokioRuntimeProvider>,
    background: B,
    name: &Name,
    kind: Kind,
) -> Result<Answer, NetError>
where
    B: Future<Output = T>,
{
    let kind = kind.record_type();
    let question = client.query(name.clone(), DNSClass::IN, kind);
    let response = tokio::select! {
        biased;
        response = question => response?,
        _ = background => return Err(NetError::Message("the connection ended")),
    };
    let of_kind = || response.answers.iter().filter(|record| record.record_type() == kind);
    let mut records: Vec<_> = of_kind().map(|record| record.data.to_string()).collect();
    records.sort();
    records.dedup();
    Ok(Answer {
        code: code(response.metadata.response_code),
        records,
        ttl_seconds: of_kind().map(|record| record.ttl).min(),
        latency_ms: 0.0,
        truncated: response.metadata.truncation,
    })
}

fn code(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_and_addresses_are_names_backwards() {
        assert_eq!(name("nas.home", Kind::A).unwrap().to_string(), "nas.home.");
        assert_eq!(name("nas", Kind::A).unwrap().to_string(), "nas.");
        assert_eq!(name("_http._tcp.home", Kind::Srv).unwrap().to_string(), "_http._tcp.home.");
        assert_eq!(name("10.0.0.5", Kind::Ptr).unwrap().to_string(), "5.0.0.10.in-addr.arpa.");
        for bad in ["", "-x", "a b", "a..b", "$(x)", "a\0", "a\n", "fe80::1", "a/b", "\\065"] {
            assert!(name(bad, Kind::A).is_err(), "{bad}");
        }
    }
}
