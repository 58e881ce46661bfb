//! `hosts`: the machines whose power is ours to manage.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::is_name;
use crate::routing::check::{At, Checker, Entry};
use crate::routing::problem::{nearest, quoted};
use crate::routing::yaml::Node;
use crate::routing::{Host, HostName, Mac, Wake, WakeBy};

const KNOWN: [&str; 6] = ["address", "mac", "wake", "idle_after", "never_sleeps", "limit"];

pub(super) fn read(checker: &mut Checker, at: &At<'_>) -> BTreeMap<HostName, Host> {
    let mut hosts: BTreeMap<HostName, Host> = BTreeMap::new();
    for Entry { name, key, value } in checker.entries(at, "machines by name") {
        if !is_name(name) {
            checker.problem(&key, format!("expected a machine's name, found {}", quoted(name)));
        }
        let host = host(checker, &value);
        for (other, known) in &hosts {
            if host.mac.is_some() && host.mac == known.mac {
                checker.problem(&key, format!("has the MAC address of `{other}`"));
            }
            if host.address.is_some() && host.address == known.address {
                checker.problem(&key, format!("has the address of `{other}`"));
            }
        }
        hosts.insert(HostName::from(name), host);
    }
    hosts
}

fn host(checker: &mut Checker, at: &At<'_>) -> Host {
    let mut host = Host::default();
    if *at.node == Node::Null {
        return host;
    }
    let fields = checker.fields(at, "what is known of this machine", &KNOWN);
    host.address = fields.get("address").and_then(|at| address(checker, at));
    host.mac = fields.get("mac").and_then(|at| mac(checker, at));
    host.wake = fields.get("wake").and_then(|at| wake(checker, at));
    host.idle_after = fields.get("idle_after").and_then(|at| checker.positive_duration(at));
    host.never_sleeps =
        fields.get("never_sleeps").and_then(|at| checker.boolean(at)).unwrap_or_default();
    host.limit = fields
        .get("limit")
        .and_then(|at| checker.count(at, "how many tasks at a time on this machine"));

    if let Some(at) = fields.get("idle_after") {
        if host.never_sleeps {
            checker.problem(at, "contradicts `never_sleeps: true`; keep one of them");
        } else if fields.get("wake").is_none() {
            checker.problem(at, "nothing would wake it again; add `mac` and `wake`");
        }
    }
    if let Some(at) = fields.get("wake")
        && fields.get("mac").is_none()
    {
        checker.problem(at, "a magic packet needs the `mac` of this machine");
    }
    host
}

fn address(checker: &mut Checker, at: &At<'_>) -> Option<String> {
    let text = checker.text(at, "a host name or an IP address")?;
    if url::Host::parse(text).is_ok() || text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Some(text.to_owned());
    }
    let found = quoted(text);
    let text =
        format!("expected a host name or an IP address, without scheme and port, found {found}");
    checker.problem(at, text);
    None
}

fn mac(checker: &mut Checker, at: &At<'_>) -> Option<Mac> {
    let what = "a MAC address such as \"11:22:33:44:55:66\"";
    let text = checker.text(at, what)?;
    let Some(bytes) = mac_bytes(text) else {
        checker.problem(at, format!("expected {what}, found {}", quoted(text)));
        return None;
    };
    if bytes == [0; 6] || bytes == [0xff; 6] {
        checker.problem(at, format!("{} is no address of a single network card", quoted(text)));
        return None;
    }
    Some(Mac(bytes))
}

fn mac_bytes(text: &str) -> Option<[u8; 6]> {
    let separator = ['-', ':'].into_iter().find(|separator| text.contains(*separator));
    let groups: Vec<&str> = match separator {
        Some(separator) => text.split(separator).collect(),
        None if text.len() == 12 && text.is_ascii() => {
            (0..6).filter_map(|index| text.get(2 * index..2 * index + 2)).collect()
        }
        None => return None,
    };
    let bytes: Vec<u8> = groups
        .iter()
        .filter(|group| group.len() == 2 && group.chars().all(|c| c.is_ascii_hexdigit()))
        .filter_map(|group| u8::from_str_radix(group, 16).ok())
        .collect();
    if groups.len() == 6 { bytes.try_into().ok() } else { None }
}

fn wake(checker: &mut Checker, at: &At<'_>) -> Option<Wake> {
    let what = "{ by: magic-packet, broadcast: 192.168.1.255, timeout: 3m }";
    let fields = checker.fields(at, what, &["by", "broadcast", "timeout"]);
    if !matches!(at.node, Node::Map(_)) {
        return None;
    }
    if let Some(at) = fields.get("by")
        && let Some(by) = checker.text(at, "magic-packet")
        && by != "magic-packet"
    {
        let text = format!("expected magic-packet, found {}", quoted(by));
        checker.problem_near(at, text, nearest(by, ["magic-packet"]));
    }
    let broadcast = fields.get("broadcast").and_then(|at| {
        let what = "an IPv4 broadcast address such as 192.168.1.255";
        let text = checker.text(at, what)?;
        let parsed = text.parse::<Ipv4Addr>().ok();
        if parsed.is_none() {
            checker.problem(at, format!("expected {what}, found {}", quoted(text)));
        }
        parsed
    });
    let timeout = fields.get("timeout").and_then(|at| checker.positive_duration(at));
    Some(Wake {
        by: WakeBy::MagicPacket,
        broadcast,
        timeout: timeout.unwrap_or(Duration::from_mins(3)),
    })
}
