//! Who may ask: tokens, stored as hashes and compared in constant time.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use ::http::HeaderMap;
use ::http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use tracing::warn;

use crate::exit::Exit;

/// The tokens that open a door. Several at once let one be replaced without a pause.
#[derive(Clone)]
pub struct Tokens {
    hashes: Arc<[[u8; 32]]>,
}

impl Tokens {
    /// No tokens at all: [`accepts`](Self::accepts) nobody; a caller that serves everybody then asks
    /// [`is_empty`](Self::is_empty) first.
    pub fn none() -> Self {
        Self { hashes: Arc::new([]) }
    }

    /// Blank ones are left out, so that an empty variable does not let everybody in.
    pub fn new<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Self {
        let tokens = tokens.into_iter().map(str::trim).filter(|token| !token.is_empty());
        Self { hashes: tokens.map(|token| hash(token.as_bytes())).collect() }
    }

    /// Reads a file with one token per line; `#` begins a comment line.
    pub fn from_file(path: &Path) -> Result<Self, Exit> {
        Ok(Self::new(lines_of(path)?.iter().map(String::as_str)))
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Tells whether the request brings one of the tokens, as `Authorization: Bearer T` or
    /// `X-API-Key: T`.
    pub fn accepts(&self, headers: &HeaderMap) -> bool {
        let bearer =
            headers.get_all(AUTHORIZATION).iter().filter_map(|value| bearer(value.as_bytes()));
        let key = headers.get_all("x-api-key").iter().map(|value| value.as_bytes().trim_ascii());
        let mut found = Choice::from(0);
        for presented in bearer.chain(key).take(4) {
            let presented = hash(presented);
            for known in self.hashes.iter() {
                found |= known.ct_eq(&presented);
            }
        }
        found.into()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.hashes.len())
    }
}

/// Reads the first token of a file, for a client.
pub fn read_secret(path: &Path) -> Result<String, Exit> {
    Ok(lines_of(path)?.swap_remove(0))
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.trim_ascii().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii())
}

fn hash(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

// At least one line.
fn lines_of(path: &Path) -> Result<Vec<String>, Exit> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Exit::config(format!("cannot read the token file `{shown}`: {error}")))?;
    if path.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
        warn!("everybody on this machine can read the token file `{shown}`; chmod 600 helps");
    }
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    if lines.is_empty() {
        return Err(Exit::config(format!("the token file `{shown}` holds no token"))
            .hinted("write one token per line; 32 random bytes in hex are a good one"));
    }
    if let Some(bad) = lines.iter().position(|line| !line.bytes().all(|b| b.is_ascii_graphic())) {
        return Err(Exit::config(format!(
            "token {} of `{shown}` has characters that fit no header: only printable ASCII, no blanks",
            bad + 1
        )));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_token_comes_in_either_header() {
        let tokens = Tokens::new(["old", "new"]);

        for good in [
            headers(&[("authorization", "Bearer old")]),
            headers(&[("authorization", "bearer  new ")]),
            headers(&[("x-api-key", "new")]),
            headers(&[("authorization", "Bearer wrong"), ("x-api-key", "new")]),
        ] {
            assert!(tokens.accepts(&good), "{good:?}");
        }
        for bad in [
            headers(&[]),
            headers(&[("authorization", "Bearer")]),
            headers(&[("authorization", "Bearer ol")]),
            headers(&[("authorization", "Basic old")]),
            headers(&[("authorization", "old")]),
            headers(&[("x-api-key", "")]),
            headers(&[("x-api-key", "OLD")]),
        ] {
            assert!(!tokens.accepts(&bad), "{bad:?}");
        }
    }

    #[test]
    fn blank_tokens_let_nobody_in() {
        let tokens = Tokens::new(["", "  "]);

        assert!(tokens.is_empty());
        assert!(!tokens.accepts(&headers(&[("x-api-key", "")])));
        assert!(!Tokens::none().accepts(&headers(&[("authorization", "Bearer ")])));
    }

    #[test]
    fn debug_never_shows_a_token() {
        assert_eq!(format!("{:?}", Tokens::new(["secret"])), "Tokens(1)");
    }

    #[test]
    fn a_file_has_comments_and_several_tokens() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "# of the coordinator\n\nfirst\n  second  \r\n").unwrap();

        let tokens = Tokens::from_file(file.path()).unwrap();

        assert!(tokens.accepts(&headers(&[("x-api-key", "second")])));
        assert!(!tokens.accepts(&headers(&[("x-api-key", "# of the coordinator")])));
        assert_eq!(read_secret(file.path()).unwrap(), "first");
    }

    #[test]
    fn a_file_without_a_usable_token_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["", "# only a comment\n", "two words\n", "umlautä\n"] {
            std::fs::write(&file, text).unwrap();

            assert_eq!(Tokens::from_file(file.path()).unwrap_err().code, 78, "{text:?}");
        }
        assert_eq!(read_secret(Path::new("/nonexistent/token")).unwrap_err().code, 78);
    }
}
