//! What a network check connects to: `name`, `name:port`, or `{host, port}`.

use std::fmt;

use executor_sdk::prelude::*;
use serde::de::{Error, MapAccess, Visitor};

/// A host, and a port where one is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

impl Target {
    /// Reads `name`, `name:port`, an IPv6 address, or `[address]:port`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or_default())),
            None => match text.split_once(':') {
                // More than one colon without brackets is an IPv6 address.
                Some((host, port)) if !port.contains(':') => (host, Some(port)),
                _ => (text, None),
            },
        };
        let port = match port {
            None => None,
            Some(digits) => Some(port_number(digits).ok_or_else(|| {
                format!("`{text}` ends in no port number; write name, name:port or [address]:port")
            })?),
        };
        Self::new(host, port)
    }

    fn new(host: &str, port: Option<u16>) -> Result<Self, String> {
        is_host(host)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

/// Refuses what is neither a host name nor an address.
pub(crate) fn is_host(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if text.is_empty() || text.len() > 253 || text.starts_with('-') || !text.chars().all(fits) {
        let shown: String = text.chars().take(80).flat_map(char::escape_default).collect();
        return Err(format!("`{shown}` is neither a host name nor an address"));
    }
    Ok(())
}

fn port_number(digits: &str) -> Option<u16> {
    digits.parse().ok().filter(|port| *port > 0)
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TargetVisitor)
    }
}

struct TargetVisitor;

impl<'de> Visitor<'de> for TargetVisitor {
    type Value = Target;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"name\", \"name:port\" or {\"host\": …, \"port\": …}")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Target, E> {
        Target::parse(text).map_err(E::custom)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Target, M::Error> {
        let mut host: Option<String> = None;
        let mut port: Option<u16> = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "host" => host = Some(map.next_value()?),
                "port" => port = map.next_value()?,
                _ => return Err(M::Error::unknown_field(&key, &["host", "port"])),
            }
        }
        let host = host.ok_or_else(|| M::Error::missing_field("host"))?;
        if port == Some(0) {
            return Err(M::Error::custom("port 0 cannot be connected to"));
        }
        Target::new(&host, port).map_err(M::Error::custom)
    }
}

impl JsonSchema for Target {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A host: `name`, `name:port`, `[address]:port`, or an object.",
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {
                        "host": {"type": "string"},
                        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                    },
                    "required": ["host"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_in_each_form() {
        let cases = [
            (json!("nas"), "nas", None),
            (json!("nas:22"), "nas", Some(22)),
            (json!("10.0.0.1:443"), "10.0.0.1", Some(443)),
            (json!("fe80::1%eth0"), "fe80::1%eth0", None),
            (json!("[::1]:80"), "::1", Some(80)),
            (json!("[::1]"), "::1", None),
            (json!({"host": "nas", "port": 22}), "nas", Some(22)),
            (json!({"host": "nas"}), "nas", None),
        ];
        for (value, host, port) in cases {
            let expected = Target { host: host.to_owned(), port };
            assert_eq!(Target::deserialize(&value).unwrap(), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let cases = [
            json!(""),
            json!("-x"),
            json!("a b"),
            json!("a\nb"),
            json!("$(x)"),
            json!("../a"),
            json!("a\0"),
            json!("nas:"),
            json!("nas:0"),
            json!("nas:99999"),
            json!("[::1]80"),
            json!({"host": "nas", "port": 0}),
            json!({"host": "nas", "prot": 1}),
            json!({"port": 1}),
            json!(7),
        ];
        for value in cases {
            assert!(Target::deserialize(&value).is_err(), "{value}");
        }
    }
}
