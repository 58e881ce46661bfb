//! Free loopback ports.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use uuid::Uuid;

// Below the range that the kernel takes for outgoing connections (32768 and up): a port from there
// could be given away between the choice and the bind, and a client that connects to a closed
// port of that range may even meet itself.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// Returns a port on which nothing listens now.
///
/// Each process starts at another place, so that two at the same time seldom choose the same.
pub fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let (high, low) = Uuid::new_v4().as_u64_pair();
    let seed = u16::try_from((high ^ low) % u64::from(COUNT)).expect("the rest is below 20,000");
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (seed.wrapping_add(step)) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST} on")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_free_port_can_be_bound() {
        let port = super::free();

        assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_ok());
    }
}
