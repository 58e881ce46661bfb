//! Where the coordinator reaches this executor.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;
use url::{Host, Url};

/// Finds the address that others reach `listening` at, seen from the coordinator's side.
///
/// `Err` says why it is not known now: as a rule the coordinator's name cannot be resolved.
pub(super) async fn find(listening: SocketAddr, coordinator: &Url) -> Result<Url, String> {
    let own = listening.ip();
    if !own.is_unspecified() && !own.to_canonical().is_loopback() {
        return Ok(at(own, listening.port()));
    }
    let (local, remote) = route(coordinator).await?;
    // Whoever listens on loopback is reached from its own machine only.
    let is_here = local.is_loopback() || local == remote;
    let ip = if own.is_unspecified() || !is_here { local } else { own };
    Ok(at(ip, listening.port()))
}

/// Whether the endpoint can only be a wrong one: others cannot reach what listens on loopback.
pub(super) fn is_out_of_reach(listening: SocketAddr, endpoint: &Url) -> bool {
    let is_loopback = match endpoint.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    listening.ip().to_canonical().is_loopback() && !is_loopback
}

/// Returns the two addresses of a connection to the coordinator. Connecting a UDP socket chooses
/// the route and sends nothing.
async fn route(coordinator: &Url) -> Result<(IpAddr, IpAddr), String> {
    let port = coordinator.port_or_known_default().unwrap_or(80);
    let cannot = |error: std::io::Error| format!("no way to the coordinator: {error}");
    let remotes: Vec<SocketAddr> = match coordinator.host() {
        Some(Host::Ipv4(ip)) => vec![(ip, port).into()],
        Some(Host::Ipv6(ip)) => vec![(ip, port).into()],
        Some(Host::Domain(name)) => {
            tokio::net::lookup_host((name, port)).await.map_err(cannot)?.collect()
        }
        None => Vec::new(),
    };
    let mut last = "no way to the coordinator: its name has no address".to_owned();
    for remote in remotes {
        let any: IpAddr = match remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let connected = async {
            let socket = UdpSocket::bind((any, 0)).await?;
            socket.connect(remote).await?;
            socket.local_addr()
        };
        match connected.await {
            Ok(local) => return Ok((local.ip().to_canonical(), remote.ip().to_canonical())),
            Err(error) => last = cannot(error),
        }
    }
    Err(last)
}

fn at(ip: IpAddr, port: u16) -> Url {
    let text = format!("http://{}", SocketAddr::new(ip.to_canonical(), port));
    Url::parse(&text).expect("an address makes a URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(listening: &str, coordinator: &str) -> String {
        let coordinator = Url::parse(coordinator).unwrap();
        find(listening.parse().unwrap(), &coordinator).await.unwrap().to_string()
    }

    #[tokio::test]
    async fn an_address_of_its_own_is_told_as_it_is() {
        assert_eq!(
            found("192.0.2.7:5000", "http://127.0.0.1:3000").await,
            "http://192.0.2.7:5000/"
        );
        assert_eq!(found("[2001:db8::7]:5000", "http://[::1]").await, "http://[2001:db8::7]:5000/");
    }

    #[tokio::test]
    async fn with_a_coordinator_on_loopback_it_is_loopback() {
        for listening in ["127.0.0.1:5000", "0.0.0.0:5000"] {
            let endpoint = found(listening, "http://127.0.0.1:3000/ygg").await;
            assert_eq!(endpoint, "http://127.0.0.1:5000/", "{listening}");
        }
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_told() {
        let coordinator = Url::parse("http://nobody.invalid:3000").unwrap();

        let error = find("0.0.0.0:5000".parse().unwrap(), &coordinator).await.unwrap_err();

        assert!(error.starts_with("no way to the coordinator: "), "{error}");
    }

    #[test]
    fn what_listens_on_loopback_is_out_of_reach_for_others() {
        let is_out = |listening: &str, endpoint: &str| {
            is_out_of_reach(listening.parse().unwrap(), &Url::parse(endpoint).unwrap())
        };

        assert!(is_out("127.0.0.1:5000", "http://192.0.2.7:5000"));
        assert!(!is_out("127.0.0.1:5000", "http://127.0.0.1:5000"));
        assert!(!is_out("127.0.0.1:5000", "http://localhost:5000"));
        assert!(!is_out("0.0.0.0:5000", "http://192.0.2.7:5000"));
    }
}
