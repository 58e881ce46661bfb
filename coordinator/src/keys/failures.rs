//! Slows down whoever comes without a valid key, again and again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use tracing::warn;

/// How many addresses are told apart; beyond that, the new ones share one allowance.
const ADDRESSES: usize = 10_000;
/// At most so many lines per minute tell of it.
const LINES: NonZeroU32 = NonZeroU32::new(6).expect("six is not zero");

/// Counts failures per address.
#[derive(Debug)]
pub(super) struct Failures {
    limits: Option<Limits>,
    lines: DefaultDirectRateLimiter,
}

#[derive(Debug)]
struct Limits {
    each: DefaultKeyedRateLimiter<IpAddr>,
    crowd: DefaultDirectRateLimiter,
}

impl Failures {
    pub(super) fn new(per_minute: Option<NonZeroU32>) -> Self {
        let limits = per_minute.map(|per_minute| Limits {
            each: RateLimiter::keyed(Quota::per_minute(per_minute)),
            crowd: RateLimiter::direct(Quota::per_minute(per_minute)),
        });
        Self { limits, lines: RateLimiter::direct(Quota::per_minute(LINES)) }
    }

    /// Counts a failure; when there were too many, says how long to wait.
    pub(super) fn note(&self, peer: Option<IpAddr>) -> Result<(), Duration> {
        let Some(limits) = &self.limits else { return Ok(()) };
        let peer = whole(peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
        limits.note(peer).inspect_err(|wait| {
            if self.lines.check().is_ok() {
                warn!(%peer, "{peer} keeps asking without a valid key; it is answered 429 for {} s", wait.as_secs() + 1);
            }
        })
    }
}

impl Limits {
    fn note(&self, peer: IpAddr) -> Result<(), Duration> {
        if self.each.len() >= ADDRESSES {
            self.each.retain_recent();
        }
        if self.each.len() >= ADDRESSES {
            let early = self.crowd.check();
            return early.map_err(|early| early.wait_time_from(self.crowd.clock().now()));
        }
        let early = self.each.check_key(&peer);
        early.map_err(|early| early.wait_time_from(self.each.clock().now()))
    }
}

/// One household has one IPv4 address, or 2^64 of IPv6.
fn whole(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(per_minute: u32) -> Failures {
        Failures::new(NonZeroU32::new(per_minute))
    }

    #[test]
    fn one_address_is_slowed_down_and_its_neighbour_is_not() {
        let failures = failures(3);
        let first: Option<IpAddr> = Some("192.0.2.1".parse().unwrap());
        let same: Option<IpAddr> = Some("::ffff:192.0.2.1".parse().unwrap());

        for _ in 0..3 {
            failures.note(first).unwrap();
        }

        let wait = failures.note(same).unwrap_err();
        assert!(wait <= Duration::from_secs(20), "{wait:?}");
        failures.note(Some("192.0.2.2".parse().unwrap())).unwrap();
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let failures = failures(1);

        failures.note(Some("2001:db8::1".parse().unwrap())).unwrap();

        failures.note(Some("2001:db8::ffff:1".parse().unwrap())).unwrap_err();
        failures.note(Some("2001:db8:0:1::1".parse().unwrap())).unwrap();
    }

    #[test]
    fn many_addresses_take_up_little_memory() {
        let failures = failures(1);

        for address in 0..u32::try_from(ADDRESSES).unwrap() + 500 {
            let peer = IpAddr::V4(Ipv4Addr::from(address));
            assert!(failures.note(Some(peer)).is_ok() || address > 9_999);
        }

        assert!(failures.limits.unwrap().each.len() <= ADDRESSES);
    }

    #[test]
    fn without_a_limit_nobody_is_slowed_down() {
        let failures = Failures::new(None);

        assert!((0..1000).all(|_| failures.note(None).is_ok()));
    }
}
