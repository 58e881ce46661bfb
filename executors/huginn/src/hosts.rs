//! The node's host table: which machines there are, where, and how they are woken.
//!
//! ```yaml
//! hosts:
//!   thor: {address: 192.168.1.10, mac: "aa:bb:cc:dd:ee:ff", broadcast: 192.168.1.255, port: 22}
//! ```
//! All but the name is optional. `port` is one that answers when the machine is up.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use executor_sdk::prelude::*;
use executor_sdk::yaml::{self, Named};

use crate::mac::Mac;
use crate::target::is_host;

/// Where the table is unless `--hosts` says otherwise.
const FILE: &str = "/etc/yggdrasil/hosts.yaml";

/// The machines that this node knows by name.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    hosts: BTreeMap<String, Host>,
}

/// What is known of one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Host {
    pub(crate) address: Option<String>,
    pub(crate) mac: Option<Mac>,
    pub(crate) broadcast: Option<Ipv4Addr>,
    pub(crate) port: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    hosts: Named<Host>,
}

impl Hosts {
    /// Reads the table: the given one, which must be there, or the usual one, if it is.
    pub(crate) fn load(given: Option<&Path>) -> Result<Self, Failure> {
        let path = given.unwrap_or(Path::new(FILE));
        match yaml::read(path) {
            Ok(document) => Self::check(document, path),
            Err(error) if given.is_none() && error.is_absent() => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    fn check(document: Option<Document>, path: &Path) -> Result<Self, Failure> {
        let hosts = document.map_or_else(BTreeMap::new, |document| document.hosts.0);
        for (name, host) in &hosts {
            let wrong = |at: &str, error: &str| {
                let path = path.display();
                Failure::new(format!("{path}: `hosts.{name}{at}`: {error}"))
            };
            is_host(name).map_err(|error| wrong("", &error))?;
            if let Some(address) = &host.address {
                is_host(address).map_err(|error| wrong(".address", &error))?;
            }
            if host.port == Some(0) {
                return Err(wrong(".port", "port 0 cannot be connected to"));
            }
        }
        Ok(Self { hosts })
    }

    /// Returns what is known of a machine; the error lists the names that are.
    pub(crate) fn get(&self, name: &str) -> Result<&Host, Failure> {
        self.hosts.get(name).ok_or_else(|| {
            let shown: String = name.chars().take(80).flat_map(char::escape_default).collect();
            let known = if self.hosts.is_empty() {
                format!("it is empty; the node's owner may fill `{FILE}`")
            } else {
                format!("it has {}", self.names().collect::<Vec<_>>().join(", "))
            };
            Failure::new(format!("the host table of this node has no `{shown}`: {known}"))
        })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(String::as_str)
    }

    /// Returns the address of a name of the table, or the name itself.
    pub(crate) fn address<'a>(&'a self, name: &'a str) -> &'a str {
        self.hosts.get(name).and_then(|host| host.address.as_deref()).unwrap_or(name)
    }

    /// Whether a machine of the table is called so, or has this address.
    pub(crate) fn knows(&self, name: &str) -> bool {
        let mut hosts = self.hosts.iter();
        hosts.any(|(known, host)| known == name || host.address.as_deref() == Some(name))
    }

    #[cfg(test)]
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let path = Path::new("hosts.yaml");
        let document = yaml::parse(text, path).map_err(Failure::from)?;
        Self::check(document, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read() {
        let hosts = Hosts::parse(
            "hosts:\n  thor: {address: 10.0.0.2, mac: aa:bb:cc:dd:ee:ff, broadcast: 10.0.0.255}\n  nas:\n    port: 22\n",
        )
        .unwrap();

        let thor = hosts.get("thor").unwrap();
        assert_eq!(thor.mac.unwrap().to_string(), "aa:bb:cc:dd:ee:ff");
        assert_eq!(thor.broadcast, Some(Ipv4Addr::new(10, 0, 0, 255)));
        assert_eq!(hosts.get("nas").unwrap().port, Some(22));
        assert_eq!(hosts.address("thor"), "10.0.0.2");
        assert_eq!(hosts.address("nas"), "nas");
        assert_eq!(hosts.address("elsewhere"), "elsewhere");
        assert!(hosts.knows("10.0.0.2") && hosts.knows("nas") && !hosts.knows("evil"));
        let unknown = hosts.get("loki").unwrap_err();
        assert_eq!(unknown.error(), "the host table of this node has no `loki`: it has nas, thor");
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        for (text, part) in [
            ("hosts: {thor: {mac: zz}}", "no MAC address"),
            ("hosts: {thor: {mac: ff:ff:ff:ff:ff:ff}}", "not the address of one machine"),
            ("hosts: {thor: {}, thor: {}}", "`thor` is there twice"),
            ("hosts: {thor: {adress: x}}", "did you mean `address`"),
            ("host: {}", "did you mean `hosts`"),
            ("hosts: {thor: {address: a b}}", "`hosts.thor.address`"),
            ("hosts: {\"-x\": {}}", "`hosts.-x`"),
            ("hosts: {thor: {port: 0}}", "`hosts.thor.port`"),
            ("hosts: {thor: {broadcast: x}}", "hosts.thor.broadcast"),
        ] {
            let error = Hosts::parse(text).unwrap_err();
            assert!(error.error().starts_with("hosts.yaml:"), "{}", error.error());
            assert!(error.error().contains(part), "{text}: {}", error.error());
        }
    }

    #[test]
    fn only_the_usual_table_may_be_absent() {
        let absent = Hosts::load(Some(Path::new("/nonexistent/hosts.yaml"))).unwrap_err();

        assert!(absent.error().starts_with("cannot read `/nonexistent/hosts.yaml`"));
        assert!(Hosts::parse("").unwrap().names().next().is_none());
    }
}
