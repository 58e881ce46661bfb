//! Whether a machine is up, and how that is known.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use executor_sdk::prelude::*;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::broadcast;
use crate::ping::{Echo, NO_ECHO};

/// What was seen of a machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    /// It answered.
    Up { how: String, latency: Duration },
    /// It did not, and what was tried.
    Silent { how: String },
    /// Nothing could be asked: no such name, no route.
    Unreachable { how: String },
}

/// Finds the address of a machine.
pub(crate) async fn address_of(host: &str, limit: Duration) -> Result<IpAddr, String> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    match timeout(limit, lookup_host((host, 0))).await {
        Ok(Ok(mut found)) => found
            .next()
            .map(|found| found.ip())
            .ok_or_else(|| format!("the name `{host}` has no address")),
        Ok(Err(error)) => Err(format!("the name `{host}` cannot be resolved: {error}")),
        Err(_) => Err(format!("the name `{host}` was not resolved in time")),
    }
}

/// Asks a machine: its port, if one is known, and an echo. Either proves that it is up.
pub(crate) async fn look(address: IpAddr, port: Option<u16>, limit: Duration) -> Seen {
    let (by_port, by_echo) = tokio::join!(by_port(address, port, limit), by_echo(address, limit));
    match (by_port, by_echo) {
        (Some(up @ Seen::Up { .. }), _) | (_, up @ Seen::Up { .. }) => up,
        (Some(gone @ Seen::Unreachable { .. }), _) | (None, gone @ Seen::Unreachable { .. }) => {
            gone
        }
        (
            Some(Seen::Silent { how: port }),
            Seen::Silent { how: echo } | Seen::Unreachable { how: echo },
        ) => Seen::Silent { how: format!("{port}, {echo}") },
        (None, silent @ Seen::Silent { .. }) => silent,
    }
}

async fn by_port(address: IpAddr, port: Option<u16>, limit: Duration) -> Option<Seen> {
    let port = port?;
    let start = Instant::now();
    let seen = match timeout(limit, TcpStream::connect(SocketAddr::new(address, port))).await {
        Ok(Ok(_)) => Seen::Up { how: format!("port {port} is open"), latency: start.elapsed() },
        // Only a machine that runs refuses.
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Seen::Up {
            how: format!("port {port} is refused by the host"),
            latency: start.elapsed(),
        },
        // What the kernel says when nobody answers its question for the hardware address.
        Ok(Err(error)) if error.kind() == io::ErrorKind::HostUnreachable => {
            Seen::Silent { how: format!("nobody has {address} (port {port})") }
        }
        Ok(Err(error)) => Seen::Unreachable { how: format!("port {port}: {error}") },
        Err(_) => Seen::Silent { how: format!("port {port} does not answer") },
    };
    Some(seen)
}

async fn by_echo(address: IpAddr, limit: Duration) -> Seen {
    let mut echo = match Echo::new(address, limit).await {
        Ok(echo) => echo,
        Err(why) => return Seen::Unreachable { how: why },
    };
    match echo.ask().await {
        Ok(latency) => Seen::Up { how: "it answers ping".to_owned(), latency },
        Err(why) if why == NO_ECHO => Seen::Silent { how: "it does not answer ping".to_owned() },
        Err(why) => Seen::Unreachable { how: format!("ping: {why}") },
    }
}

/// Whether this machine is in the network of an address.
pub(crate) fn is_neighbour(address: Ipv4Addr) -> bool {
    broadcast::networks().iter().any(|network| network.contains(address))
}

/// Whether the kernel has just learnt the hardware address that belongs to this one.
pub(crate) fn answers_arp(address: Ipv4Addr) -> bool {
    let table = fs::read_to_string("/proc/net/arp").unwrap_or_default();
    is_complete(&table, address)
}

/// Reads `ADDRESS TYPE FLAGS MAC MASK DEVICE`; the second bit of the flags means complete.
fn is_complete(table: &str, address: Ipv4Addr) -> bool {
    table.lines().skip(1).any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let flags = fields.get(2).and_then(|text| text.strip_prefix("0x"));
        let flags = flags.and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or_default();
        fields.first().and_then(|text| text.parse().ok()) == Some(address) && flags & 0x2 != 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_without_a_hardware_address_is_no_answer() {
        let table = "\
IP address       HW type     Flags       HW address            Mask     Device
10.0.0.2         0x1         0x2         aa:bb:cc:dd:ee:ff     *        eth0
10.0.0.3         0x1         0x0         00:00:00:00:00:00     *        eth0
";
        assert!(is_complete(table, Ipv4Addr::new(10, 0, 0, 2)));
        assert!(!is_complete(table, Ipv4Addr::new(10, 0, 0, 3)));
        assert!(!is_complete(table, Ipv4Addr::new(10, 0, 0, 4)));
    }
}
