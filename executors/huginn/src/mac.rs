//! The hardware address of one machine.

use std::fmt;

use executor_sdk::prelude::*;

/// The MAC address of one machine's network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mac(pub(crate) [u8; 6]);

impl Mac {
    /// Reads it in any of the usual forms.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().take(40).flat_map(char::escape_default).collect();
        let bytes = six_bytes(text)
            .ok_or_else(|| format!("`{shown}` is no MAC address such as aa:bb:cc:dd:ee:ff"))?;
        // The lowest bit of the first byte means a group of machines.
        if bytes == [0; 6] || bytes[0] & 1 == 1 {
            return Err(format!("`{shown}` is not the address of one machine"));
        }
        Ok(Self(bytes))
    }
}

/// Reads six bytes as `aa:bb:cc:dd:ee:ff`, with `-` or `.`, as `aabb.ccdd.eeff`, or bare.
pub(crate) fn six_bytes(text: &str) -> Option<[u8; 6]> {
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
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let mut bytes = [0; 6];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map(|byte| format!("{byte:02x}")).join(":"))
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Mac {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Mac".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A MAC address: `aa:bb:cc:dd:ee:ff`, with `-`, `aabb.ccdd.eeff`, or bare.",
            "type": "string",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_is_read_in_each_usual_form() {
        for form in [
            "aa:bb:cc:0d:0e:0f",
            "AA-BB-CC-0D-0E-0F",
            "aabb.cc0d.0e0f",
            "aa.bb.cc.0d.0e.0f",
            "aabbcc0d0e0f",
        ] {
            let mac = Mac::parse(form).unwrap();
            assert_eq!(mac, Mac([0xaa, 0xbb, 0xcc, 0x0d, 0x0e, 0x0f]), "{form}");
            assert_eq!(mac.to_string(), "aa:bb:cc:0d:0e:0f");
        }
    }

    #[test]
    fn what_is_no_address_of_one_machine_is_refused() {
        for text in [
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
        ] {
            assert!(Mac::parse(text).is_err(), "{text}");
        }
    }
}
