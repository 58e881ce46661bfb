//! Where a magic packet goes: the directed broadcast of every network this machine is in.
//!
//! 255.255.255.255 leaves by one interface only, so each network is sent to by its own address.

use std::fs;
use std::net::Ipv4Addr;

use executor_sdk::prelude::*;

/// A network of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) interface: String,
    pub(crate) broadcast: Ipv4Addr,
    mask: u32,
}

impl Network {
    /// Whether an address lies in it.
    pub(crate) fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask == u32::from(self.broadcast) & self.mask
    }
}

/// Returns the IPv4 networks whose interfaces are up and can broadcast. Empty where the kernel
/// does not tell.
pub(crate) fn networks() -> Vec<Network> {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    connected(&routes)
        .into_iter()
        .filter(|network| {
            let flags = Path::new("/sys/class/net").join(&network.interface).join("flags");
            fs::read_to_string(flags).is_ok_and(|flags| can_broadcast(flags.trim()))
        })
        .collect()
}

/// Reads the routes without a gateway out of `/proc/net/route`.
fn connected(routes: &str) -> Vec<Network> {
    let mut networks = Vec::new();
    for line in routes.lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (Some(interface), Some(destination), Some(gateway), Some(mask)) = (
            fields.first(),
            fields.get(1).and_then(|text| address(text)),
            fields.get(2).and_then(|text| address(text)),
            fields.get(7).and_then(|text| address(text)),
        ) else {
            continue;
        };
        let (destination, mask) = (u32::from(destination), u32::from(mask));
        // A network of one or two addresses has no broadcast.
        if gateway != Ipv4Addr::UNSPECIFIED || mask == 0 || mask.leading_ones() > 30 {
            continue;
        }
        let network = Network {
            interface: (*interface).to_owned(),
            broadcast: Ipv4Addr::from(destination | !mask),
            mask,
        };
        if !networks.contains(&network) {
            networks.push(network);
        }
    }
    networks
}

/// Reads eight hexadecimal digits: the address in memory order, printed as a number of the host.
fn address(text: &str) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(u32::from_str_radix(text, 16).ok()?.to_ne_bytes()))
}

/// Whether `IFF_UP` and `IFF_BROADCAST` are set, and `IFF_LOOPBACK` is not.
fn can_broadcast(flags: &str) -> bool {
    let flags = flags.strip_prefix("0x").and_then(|hex| u32::from_str_radix(hex, 16).ok());
    flags.is_some_and(|flags| flags & 0x3 == 0x3 && flags & 0x8 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn each_connected_network_has_its_broadcast() {
        let routes = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0000A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
eth1\t0000000A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
wg0\t0000640A\t00000000\t0001\t0\t0\t0\tFFFFFFFF\t0\t0\t0
nonsense
";
        assert!(connected(routes)[0].contains(Ipv4Addr::new(192, 168, 0, 7)));
        assert!(!connected(routes)[0].contains(Ipv4Addr::new(192, 168, 1, 7)));
        let shown: Vec<_> = connected(routes)
            .into_iter()
            .map(|network| (network.interface, network.broadcast.to_string()))
            .collect();

        assert_eq!(
            shown,
            [
                ("eth0".to_owned(), "192.168.0.255".to_owned()),
                ("eth1".to_owned(), "10.0.255.255".to_owned()),
            ]
        );
    }

    #[test]
    fn loopback_and_what_is_down_do_not_broadcast() {
        assert!(can_broadcast("0x1003"));
        for flags in ["0x9", "0x1002", "0x1", "", "1003"] {
            assert!(!can_broadcast(flags), "{flags}");
        }
    }
}
