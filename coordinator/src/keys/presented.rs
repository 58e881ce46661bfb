//! What a request shows, and how it is compared.

use std::fmt;
use std::str::FromStr;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The SHA-256 of a key. Equality takes the same time wherever two of them differ.
#[derive(Clone)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes a key.
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key.trim_ascii()).into())
    }

    /// Returns what people see of a key: the first 16 hexadecimal characters.
    pub fn id(&self) -> String {
        hex::encode(&self.0[..8])
    }
}

impl ConstantTimeEq for Digest {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for Digest {}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.id())
    }
}

impl FromStr for Digest {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The keys that a request shows, hashed. A header that came twice shows none.
#[derive(Debug)]
pub(super) struct Presented {
    digests: [Option<Digest>; 3],
}

impl Presented {
    /// What opens the API: `X-API-Key: KEY` or `Authorization: Bearer KEY`.
    pub(super) fn api(headers: &HeaderMap) -> Self {
        Self { digests: [plain(headers, "x-api-key"), bearer(headers), None] }
    }

    /// What opens /api/admin: `X-Admin-Api-Key: KEY`, or the admin key where an API key goes.
    pub(super) fn admin(headers: &HeaderMap) -> Self {
        let of_admin = plain(headers, "x-admin-api-key");
        Self { digests: [of_admin, plain(headers, "x-api-key"), bearer(headers)] }
    }

    /// Whether this key is among them.
    pub(super) fn has(&self, known: &Digest) -> bool {
        let mut found = Choice::from(0);
        for shown in self.digests.iter().flatten() {
            found |= shown.ct_eq(known);
        }
        found.into()
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes().trim_ascii())
}

fn plain(headers: &HeaderMap, name: &str) -> Option<Digest> {
    single(headers, name).filter(|key| !key.is_empty()).map(Digest::of)
}

fn bearer(headers: &HeaderMap) -> Option<Digest> {
    let (scheme, key) = single(headers, AUTHORIZATION.as_str())?.split_at_checked(7)?;
    let key = key.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !key.is_empty()).then(|| Digest::of(key))
}

/// Whether a path is one that needs the admin key, however it is spelled.
pub(super) fn is_admin(path: &str) -> bool {
    const ADMIN: &[u8] = b"/api/admin";
    let mut rest = path.as_bytes();
    for expected in ADMIN {
        let Some((byte, after)) = first(rest) else { return false };
        if !byte.eq_ignore_ascii_case(expected) {
            return false;
        }
        rest = after;
    }
    first(rest).is_none_or(|(byte, _)| byte == b'/')
}

/// The first byte of a path, percent-decoded.
fn first(path: &[u8]) -> Option<(u8, &[u8])> {
    if let [b'%', high, low, rest @ ..] = path {
        let mut byte = [0];
        if hex::decode_to_slice([*high, *low], &mut byte).is_ok() {
            return Some((byte[0], rest));
        }
    }
    path.split_first().map(|(byte, rest)| (*byte, rest))
}
