//! ICMP echo, where this process is allowed to ask.

use std::net::IpAddr;

use executor_sdk::prelude::*;
use surge_ping::{Client, Config, ICMP, IcmpPacket, PingIdentifier, PingSequence, SurgeError};

/// What [`Echo::ask`] says of a host that is silent.
pub(crate) const NO_ECHO: &str = "no echo";

/// Asks one address for echoes.
pub(crate) struct Echo {
    // Its receiver ends when this is dropped.
    _client: Client,
    pinger: surge_ping::Pinger,
    sequence: u16,
}

impl Echo {
    /// Opens a socket. The error says why ICMP cannot be used here.
    pub(crate) async fn new(address: IpAddr, limit: Duration) -> Result<Self, String> {
        let kind = if address.is_ipv4() { ICMP::V4 } else { ICMP::V6 };
        let client = Client::new(&Config::builder().kind(kind).build()).map_err(|error| {
            format!(
                "ICMP is not allowed here ({error}); it needs CAP_NET_RAW or the sysctl \
                 net.ipv4.ping_group_range"
            )
        })?;
        // Several may ask the same address at a time.
        let identifier = PingIdentifier(identifier());
        let mut pinger = client.pinger(address, identifier).await;
        pinger.timeout(limit);
        Ok(Self { _client: client, pinger, sequence: 0 })
    }

    /// Asks once. The error is for people.
    pub(crate) async fn ask(&mut self) -> Result<Duration, String> {
        let sequence = PingSequence(self.sequence);
        self.sequence = self.sequence.wrapping_add(1);
        match self.pinger.ping(sequence, &[0x59; 56]).await {
            Ok((answer, took)) if is_echo(&answer) => Ok(took),
            // A router on the way, or our own kernel, says that nobody is there.
            Ok(_) | Err(SurgeError::Timeout { .. }) => Err(NO_ECHO.to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Whether it is the answer and not a complaint about the question, which arrives the same way.
fn is_echo(answer: &IcmpPacket) -> bool {
    match answer {
        IcmpPacket::V4(packet) => packet.get_icmp_type().0 == 0,
        IcmpPacket::V6(packet) => packet.get_icmpv6_type().0 == 129,
    }
}

fn identifier() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let own = std::process::id().to_le_bytes();
    NEXT.fetch_add(1, Ordering::Relaxed) ^ u16::from_le_bytes([own[0], own[1]])
}
