//! `power-wake`: magic packets for a machine that sleeps.

use std::net::{Ipv4Addr, SocketAddr};

use executor_sdk::prelude::*;
use tokio::net::UdpSocket;
use wake_on_lan::WolPacket;

use crate::{Huginn, broadcast};

/// One packet can be lost, and a card that just fell asleep can miss one.
const TIMES: usize = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// Sends magic packets to a machine's network card; it does not wait for the machine.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PowerWake {
    /// The card's MAC address: `aa:bb:cc:dd:ee:ff`, with `-`, in Cisco's `aabb.ccdd.eeff`, or bare.
    mac_address: String,
    /// Where to send to (default: the broadcast address of each network this machine is in, else
    /// 255.255.255.255).
    #[serde(default)]
    broadcast: Option<Ipv4Addr>,
    /// The UDP port.
    #[serde(default = "discard")]
    port: u16,
}

fn discard() -> u16 {
    9
}

/// A place that packets went to.
#[derive(Debug, Serialize)]
struct Sent {
    interface: Option<String>,
    from: Option<String>,
    to: String,
    packets: usize,
    error: Option<String>,
}

impl Task<Huginn> for PowerWake {
    const TYPE: &'static str = "power-wake";
    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(30));
    const IDEMPOTENT: bool = true;
    const RETRYABLE: bool = true;

    async fn run(self, _: &Huginn, cx: &Context) -> TaskResult {
        let mac = mac(&self.mac_address).map_err(Failure::new)?;
        if self.port == 0 {
            return Err(Failure::new("`port` 0 cannot be sent to"));
        }
        let packet = WolPacket::from_bytes(&mac)?.into_inner();
        let mut places: Vec<_> = match self.broadcast {
            Some(address) => vec![(None, address)],
            None => broadcast::networks()
                .into_iter()
                .map(|network| (Some(network.interface), network.broadcast))
                .collect(),
        };
        if places.is_empty() {
            places.push((None, Ipv4Addr::BROADCAST));
        }

        let mut sent = Vec::with_capacity(places.len());
        for (interface, address) in places {
            let to = SocketAddr::from((address, self.port));
            let mut place =
                Sent { interface, from: None, to: to.to_string(), packets: 0, error: None };
            if let Err(error) = send(to, &packet, &mut place).await {
                place.error = Some(error.to_string());
            }
            cx.log(place.line());
            sent.push(place);
        }
        verdict(mac, &sent)
    }
}

/// Says how it went: a packet that left is all that can be known without waiting for the machine.
fn verdict(mac: [u8; 6], sent: &[Sent]) -> TaskResult {
    let packets: usize = sent.iter().map(|place| place.packets).sum();
    let mac = shown(mac);
    let data = json!({"mac_address": mac, "packets": packets, "sent": sent});
    if packets == 0 {
        let why: Vec<_> = sent.iter().map(Sent::line).collect();
        return Err(
            Failure::new(format!("no packet was sent: {}", why.join("; "))).with_data(&data)
        );
    }
    let text = format!("{packets} magic packets sent for {mac}; whether it woke is not known");
    Ok(Report::text(text).with_data(&data))
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

async fn send(to: SocketAddr, packet: &[u8], place: &mut Sent) -> std::io::Result<()> {
    // Connecting sends nothing, and tells which address leads to the network.
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    probe.set_broadcast(true)?;
    probe.connect(to).await?;
    let from = probe.local_addr()?.ip();
    place.from = Some(from.to_string());
    let socket = UdpSocket::bind((from, 0)).await?;
    socket.set_broadcast(true)?;
    for time in 0..TIMES {
        if time > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        socket.send_to(packet, to).await?;
        place.packets += 1;
    }
    Ok(())
}

/// Reads the MAC address of one machine, in any of the usual forms.
fn mac(text: &str) -> Result<[u8; 6], String> {
    let no_mac = || {
        let shown: String = text.chars().take(40).flat_map(char::escape_default).collect();
        format!("`mac_address` `{shown}` is no MAC address such as aa:bb:cc:dd:ee:ff")
    };
    let groups = |separator: char, count: usize, width: usize| {
        let groups: Vec<_> = text.split(separator).collect();
        let fits = groups.len() == count && groups.iter().all(|group| group.len() == width);
        fits.then(|| groups.concat())
    };
    let digits = groups(':', 6, 2)
        .or_else(|| groups('-', 6, 2))
        .or_else(|| groups('.', 3, 4))
        .or_else(|| groups('.', 6, 2))
        .or_else(|| (text.len() == 12).then(|| text.to_owned()))
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .ok_or_else(no_mac)?;
    let mut mac = [0; 6];
    for (at, byte) in mac.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|_| no_mac())?;
    }
    // The lowest bit of the first byte means a group of machines.
    if mac == [0; 6] || mac[0] & 1 == 1 {
        return Err(format!("`mac_address` `{text}` is not the address of one machine"));
    }
    Ok(mac)
}

fn shown(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_is_read_in_each_usual_form() {
        let forms = [
            "aa:bb:cc:0d:0e:0f",
            "AA-BB-CC-0D-0E-0F",
            "aabb.cc0d.0e0f",
            "aa.bb.cc.0d.0e.0f",
            "aabbcc0d0e0f",
        ];
        for form in forms {
            assert_eq!(mac(form).unwrap(), [0xaa, 0xbb, 0xcc, 0x0d, 0x0e, 0x0f], "{form}");
        }
    }

    #[test]
    fn without_a_packet_that_left_it_failed() {
        let place = |packets: usize, error: Option<&str>| Sent {
            interface: Some("eth0".to_owned()),
            from: None,
            to: "192.0.2.255:9".to_owned(),
            packets,
            error: error.map(str::to_owned),
        };
        let none = verdict([2; 6], &[place(0, Some("network is unreachable"))]).unwrap_err();
        let some = verdict([2; 6], &[place(0, Some("no")), place(3, None)]);

        assert_eq!(
            none.error(),
            "no packet was sent: 0 packets to 192.0.2.255:9 by eth0, then: network is unreachable"
        );
        assert!(some.is_ok());
    }

    #[test]
    fn what_is_no_address_of_one_machine_is_refused() {
        let bad = [
            "",
            "aa:bb:cc:dd:ee",
            "aa:bb:cc:dd:ee:ff:00",
            "aa:bb-cc:dd:ee:ff",
            "gg:bb:cc:dd:ee:ff",
            "+a:bb:cc:dd:ee:ff",
            "aabbccddeeé",
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:01",
        ];
        for text in bad {
            assert!(mac(text).is_err(), "{text}");
        }
    }
}
