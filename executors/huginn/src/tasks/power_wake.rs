//! `power-wake`: magic packets for a machine that sleeps, and the proof that it woke.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use executor_sdk::prelude::*;
use tokio::net::UdpSocket;
use wake_on_lan::WolPacket;

use crate::mac::{Mac, six_bytes};
use crate::reach::{self, Seen};
use crate::target::is_host;
use crate::{Huginn, broadcast};

/// One packet can be lost, and a card that just fell asleep can miss one.
const TIMES: usize = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// How long one look at the machine may take, and how soon the next one follows.
const LOOK: Duration = Duration::from_secs(1);
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// How often packets are sent again while the machine does not come up.
const AGAIN: Duration = Duration::from_secs(10);

/// Sends magic packets to a machine's network card; with `wait` it proves that the machine came up,
/// and says how long that took.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PowerWake {
    /// The machine's name in the node's host table (instead of `mac_address`).
    #[serde(default)]
    host: Option<String>,
    /// The card's MAC address: `aa:bb:cc:dd:ee:ff`, with `-`, in Cisco's `aabb.ccdd.eeff`, or bare.
    #[serde(default)]
    mac_address: Option<Mac>,
    /// Where to send to (default: the host table, else the broadcast address of each network this
    /// machine is in, else 255.255.255.255).
    #[serde(default)]
    broadcast: Option<Ipv4Addr>,
    /// The UDP port.
    #[serde(default = "discard")]
    port: u16,
    /// The card's `SecureOn` password, if it has one: a secret of six bytes (written as a MAC
    /// address) or four (written as an IPv4 address). It travels in clear text.
    #[serde(default)]
    secure_on: Option<Secret>,
    /// How many seconds to wait until the machine is up (default: not at all).
    #[serde(default)]
    wait: Option<f64>,
    /// The machine's address or name, for `wait` (default: the host table).
    #[serde(default)]
    address: Option<String>,
    /// A TCP port that proves that the machine is up (default: the host table; without one an echo
    /// proves it).
    #[serde(default)]
    check_port: Option<u16>,
}

fn discard() -> u16 {
    9
}

/// A place that packets went to.
#[derive(Debug, Clone, Serialize)]
struct Sent {
    interface: Option<String>,
    from: Option<String>,
    to: String,
    packets: usize,
    error: Option<String>,
}

/// What is sent, and where.
struct Call {
    mac: Mac,
    packet: Vec<u8>,
    places: Vec<(Option<String>, SocketAddr)>,
}

/// What proves that the machine is up.
struct Proof {
    address: IpAddr,
    port: Option<u16>,
    limit: Duration,
}

impl Task<Huginn> for PowerWake {
    const TYPE: &'static str = "power-wake";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(10));
    const IDEMPOTENT: bool = true;
    const RETRYABLE: bool = true;

    async fn run(self, huginn: &Huginn, cx: &Context) -> TaskResult {
        let call = self.call(huginn, cx)?;
        let proof = self.proof(huginn, cx).await?;
        let was_up = match &proof {
            Some(proof) => is_up(proof).await.ok().map(|(how, _)| how),
            None => None,
        };
        let start = Instant::now();
        let sent = call.send(cx).await;
        let packets: usize = sent.iter().map(|place| place.packets).sum();
        let data = json!({"mac_address": call.mac.to_string(), "packets": packets, "sent": sent});
        if packets == 0 {
            let why: Vec<_> = sent.iter().map(Sent::line).collect();
            let error = format!("no packet was sent: {}", why.join("; "));
            return Err(Failure::new(error).with_data(&data));
        }
        let Some(proof) = proof else {
            let text = format!(
                "{packets} magic packets sent for {}; whether it woke is not known",
                call.mac
            );
            return Ok(Report::text(text).with_data(&data));
        };
        if let Some(how) = was_up {
            let data = with(data, &json!({"up": true, "was_up": true, "how": how}));
            let text = format!("{} was up already: {how}", proof.address);
            return Ok(Report::text(text).with_data(&data));
        }
        wait(&proof, &call, start, data, cx).await
    }
}

impl PowerWake {
    fn call(&self, huginn: &Huginn, cx: &Context) -> Result<Call, Failure> {
        if self.port == 0 {
            return Err(Failure::new("`port` 0 cannot be sent to"));
        }
        let known = match &self.host {
            Some(name) => Some((name, huginn.table.get(name)?)),
            None => None,
        };
        let mac = match (self.mac_address, known) {
            (Some(_), Some(_)) => {
                return Err(Failure::new("give `host` or `mac_address`, not both"));
            }
            (Some(mac), None) => mac,
            (None, Some((name, host))) => host
                .mac
                .ok_or_else(|| Failure::new(format!("the host table has no `mac` for `{name}`")))?,
            (None, None) => return Err(Failure::new("give `host` or `mac_address`")),
        };
        let mut packet = WolPacket::from_bytes(&mac.0)?.into_inner().to_vec();
        if let Some(secret) = &self.secure_on {
            packet.extend(password(cx.secret(secret)?.expose())?);
        }
        let broadcast = self.broadcast.or(known.and_then(|(_, host)| host.broadcast));
        let mut places: Vec<_> = match broadcast {
            Some(address) => vec![(None, address)],
            None => broadcast::networks()
                .into_iter()
                .map(|network| (Some(network.interface), network.broadcast))
                .collect(),
        };
        if places.is_empty() {
            places.push((None, Ipv4Addr::BROADCAST));
        }
        let places = places
            .into_iter()
            .map(|(interface, address)| (interface, SocketAddr::from((address, self.port))))
            .collect();
        Ok(Call { mac, packet, places })
    }

    async fn proof(&self, huginn: &Huginn, cx: &Context) -> Result<Option<Proof>, Failure> {
        let Some(seconds) = self.wait else {
            if self.address.is_some() || self.check_port.is_some() {
                return Err(Failure::new("`address` and `check_port` say nothing without `wait`"));
            }
            return Ok(None);
        };
        if !(0.1..=3600.0).contains(&seconds) {
            return Err(Failure::new("`wait` must lie between 0.1 and 3600 seconds"));
        }
        if self.check_port == Some(0) {
            return Err(Failure::new("`check_port` 0 cannot be connected to"));
        }
        let known = match &self.host {
            Some(name) => Some(huginn.table.get(name)?),
            None => None,
        };
        let address = match (&self.address, known, &self.host) {
            (Some(address), _, _) => huginn.table.address(address),
            (None, Some(host), Some(name)) => host.address.as_deref().unwrap_or(name),
            _ => return Err(Failure::new("`wait` needs the `address` to ask, or a `host`")),
        };
        is_host(address).map_err(|error| Failure::new(format!("`address`: {error}")))?;
        let limit = Duration::from_secs(5).min(cx.remaining());
        Ok(Some(Proof {
            address: reach::address_of(address, limit).await.map_err(Failure::new)?,
            port: self.check_port.or(known.and_then(|host| host.port)),
            limit: Duration::from_secs_f64(seconds),
        }))
    }
}

/// Asks once. A port that is named must be open: a refusal comes before the service is there.
async fn is_up(proof: &Proof) -> Result<(String, Duration), String> {
    match reach::look(proof.address, proof.port, LOOK).await {
        Seen::Up { how, latency } if proof.port.is_none() || how.ends_with("is open") => {
            Ok((how, latency))
        }
        Seen::Up { how, .. } | Seen::Silent { how } | Seen::Unreachable { how } => Err(how),
    }
}

async fn wait(proof: &Proof, call: &Call, start: Instant, data: Value, cx: &Context) -> TaskResult {
    let mut sent_last = Instant::now();
    let mut rounds = 1;
    loop {
        let last = match is_up(proof).await {
            Ok((how, _)) => {
                let seconds = (start.elapsed().as_secs_f64() * 1e3).round() / 1e3;
                let found = json!({"up": true, "was_up": false, "how": how, "seconds": seconds, "rounds": rounds});
                let text = format!("{} came up after {seconds} s: {how}", proof.address);
                return Ok(Report::text(text).with_data(&with(data, &found)));
            }
            Err(how) => how,
        };
        if start.elapsed() >= proof.limit {
            let seconds = proof.limit.as_secs_f64();
            let error = format!("{} did not come up within {seconds} s: {last}", proof.address);
            let found = json!({"up": false, "was_up": false, "how": last, "rounds": rounds});
            return Err(Failure::new(error).with_data(&with(data, &found)));
        }
        if sent_last.elapsed() >= AGAIN {
            call.send(cx).await;
            sent_last = Instant::now();
            rounds += 1;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

fn with(mut data: Value, more: &Value) -> Value {
    if let (Some(data), Some(more)) = (data.as_object_mut(), more.as_object()) {
        data.extend(more.clone());
    }
    data
}

/// Reads a password of `SecureOn`; the error does not repeat it.
fn password(text: &str) -> Result<Vec<u8>, Failure> {
    if let Some(six) = six_bytes(text) {
        return Ok(six.to_vec());
    }
    match text.parse::<Ipv4Addr>() {
        Ok(four) => Ok(four.octets().to_vec()),
        Err(_) => Err(Failure::new(
            "`secure_on` names a secret that is no password such as aa:bb:cc:dd:ee:ff or 1.2.3.4",
        )),
    }
}

impl Sent {
    fn line(&self) -> String {
        let by = self.interface.as_ref().map_or(String::new(), |name| format!(" by {name}"));
        match &self.error {
            Some(error) => format!("{} packets to {}{by}, then: {error}", self.packets, self.to),
            None => format!("{} packets to {}{by}", self.packets, self.to),
        }
    }
}

impl Call {
    async fn send(&self, cx: &Context) -> Vec<Sent> {
        let mut all = Vec::with_capacity(self.places.len());
        for (interface, to) in &self.places {
            let interface = interface.clone();
            let mut sent =
                Sent { interface, from: None, to: to.to_string(), packets: 0, error: None };
            if let Err(error) = send(*to, &self.packet, &mut sent).await {
                sent.error = Some(error.to_string());
            }
            cx.log(sent.line());
            all.push(sent);
        }
        all
    }
}

async fn send(to: SocketAddr, packet: &[u8], sent: &mut Sent) -> std::io::Result<()> {
    // Connecting sends nothing, and tells which address leads to the network.
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    probe.set_broadcast(true)?;
    probe.connect(to).await?;
    let from = probe.local_addr()?.ip();
    sent.from = Some(from.to_string());
    let socket = UdpSocket::bind((from, 0)).await?;
    socket.set_broadcast(true)?;
    for time in 0..TIMES {
        if time > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        socket.send_to(packet, to).await?;
        sent.packets += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_four_or_six_bytes_and_is_not_repeated() {
        assert_eq!(password("01:02:03:04:05:06").unwrap(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(password("1.2.3.4").unwrap(), [1, 2, 3, 4]);
        let error = password("hunter2").unwrap_err();
        assert!(!error.error().contains("hunter2"), "{error:?}");
    }

    #[test]
    fn a_line_says_how_far_it_came() {
        let sent = Sent {
            interface: Some("eth0".to_owned()),
            from: None,
            to: "192.0.2.255:9".to_owned(),
            packets: 0,
            error: Some("network is unreachable".to_owned()),
        };

        assert_eq!(sent.line(), "0 packets to 192.0.2.255:9 by eth0, then: network is unreachable");
    }
}
