//! Secrets: named in the params, kept on the node, in no log.
//!
//! A bead says `secret:plex-token`. The value lies in a file of that name, in the folder that
//! systemd made for this service (`LoadCredential=`), else in `/etc/yggdrasil/credentials`.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

use crate::Failure;

/// How a reference begins.
const SCHEME: &str = "secret:";

/// The name under which systemd gives the executor the API key of its coordinator. It is the
/// executor's own: no order may name it.
pub(crate) const API_KEY: &str = "yggdrasil-api-key";

/// The largest secret; a key with its certificates fits.
const LARGEST: u64 = 64 * 1024;

/// A reference to a secret of the node, as a param: `secret:plex-token`.
///
/// Anything else is refused, and not repeated: a secret itself does not belong into an order.
/// [`crate::Context::secret`] gives the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    name: String,
}

impl Secret {
    /// Returns the reference to the secret of this name.
    ///
    /// # Panics
    /// When it is no name of a secret; it is the author's own word.
    pub fn named(name: &str) -> Self {
        assert!(is_name(name), "`{name}` is no name of a secret");
        Self { name: name.to_owned() }
    }

    /// Returns the name, without the `secret:` before it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.name)
    }
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=128).contains(&name.len())
        && name.bytes().all(fits)
        && name.as_bytes()[0].is_ascii_alphanumeric()
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By way of a value: the parser's own errors would repeat what they found.
        let value = Value::deserialize(deserializer)?;
        let name = value.as_str().and_then(|text| text.strip_prefix(SCHEME));
        match name.filter(|name| is_name(name)) {
            Some(name) => Ok(Self { name: name.to_owned() }),
            None => Err(D::Error::custom(
                "expected the name of a secret of the node, such as `secret:plex-token` (what was \
                 found is not repeated here)",
            )),
        }
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "The name of a secret of the node, such as `secret:plex-token`.",
            "type": "string",
            "pattern": "^secret:[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        })
    }
}

/// The value of a secret. It shows itself to nobody who does not ask with [`Revealed::expose`].
#[derive(Clone)]
pub struct Revealed(String);

impl Revealed {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the value.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where the node keeps its secrets, the first folder first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    pub(crate) folders: Vec<PathBuf>,
}

impl Credentials {
    /// Reads a secret. The line breaks that editors put at the end are no part of it.
    pub(crate) fn reveal(&self, secret: &Secret) -> Result<Revealed, Failure> {
        if secret.name == API_KEY {
            return Err(Failure::new(format!("`{secret}` is the executor's own, not for tasks")));
        }
        for folder in &self.folders {
            let path = folder.join(&secret.name);
            let cannot =
                |why: &dyn fmt::Display| Failure::new(format!("`{secret}` cannot be used: {why}"));
            let found = match std::fs::metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(cannot(&error)),
                Ok(found) => found,
            };
            if !found.is_file() || found.len() > LARGEST {
                return Err(cannot(&format!("`{}` is no small file", path.display())));
            }
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) => return Err(cannot(&error)),
            };
            let value = text.trim_end_matches(['\n', '\r']);
            if value.is_empty() {
                return Err(cannot(&format!("`{}` is empty", path.display())));
            }
            return Ok(Revealed(value.to_owned()));
        }
        let folders: Vec<_> =
            self.folders.iter().map(|folder| format!("`{}`", folder.display())).collect();
        let looked =
            if folders.is_empty() { "no folder".to_owned() } else { folders.join(" and ") };
        Err(Failure::new(format!("this node has no `{secret}`; looked in {looked}")))
    }
}

/// Puts `***` where a known secret would be, also where it comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct Mask {
    /// The longest first, so that the one that contains another goes first.
    secrets: Vec<Vec<u8>>,
    /// The end of what came, while it may be the beginning of a secret.
    held: Vec<u8>,
}

const MASKED: &str = "***";

impl Mask {
    pub(crate) fn add(&mut self, secret: &Revealed) {
        let bytes = secret.0.as_bytes().to_vec();
        if !bytes.is_empty() && !self.secrets.contains(&bytes) {
            self.secrets.push(bytes);
            self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    /// Takes what was printed and returns what may be shown of it by now.
    pub(crate) fn pass<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.secrets.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut shown = Vec::with_capacity(all.len());
        let mut at = 0;
        while at < all.len() {
            let rest = &all[at..];
            if let Some(secret) = self.secrets.iter().find(|secret| rest.starts_with(secret)) {
                shown.extend_from_slice(MASKED.as_bytes());
                at += secret.len();
            } else if self.secrets.iter().any(|secret| secret.starts_with(rest)) {
                self.held = rest.to_vec();
                break;
            } else {
                shown.push(all[at]);
                at += 1;
            }
        }
        Cow::Owned(shown)
    }

    /// Returns what was held back: nothing more comes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets.iter().filter_map(|secret| std::str::from_utf8(secret).ok()) {
            if text.contains(secret) {
                text = text.replace(secret, MASKED);
            }
        }
        text
    }

    /// Masks every text in a value, however deep, the names of members included.
    pub(crate) fn value(&self, value: Value) -> Value {
        if self.secrets.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(list) => list.into_iter().map(|value| self.value(value)).collect(),
            Value::Object(map) => map
                .into_iter()
                .map(|(name, value)| (self.text(&name), self.value(value)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mask(secrets: &[&str]) -> Mask {
        let mut mask = Mask::default();
        for secret in secrets {
            mask.add(&Revealed((*secret).to_owned()));
        }
        mask
    }

    fn shown(mask: &mut Mask, pieces: &[&str]) -> String {
        let mut shown = Vec::new();
        for piece in pieces {
            shown.extend_from_slice(&mask.pass(piece.as_bytes()));
        }
        shown.extend(mask.rest());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn a_secret_is_masked_however_it_is_cut() {
        let text = "user hunter22 hunter2 hunt";
        for at in 0..text.len() {
            let mut mask = mask(&["hunter2", "hunter22"]);
            let whole = shown(&mut mask, &[&text[..at], &text[at..]]);
            assert!(!whole.contains("hunter2"), "{at}: {whole}");
            assert!(whole.starts_with("user ***"), "{at}: {whole}");
            assert!(whole.ends_with(" *** hunt"), "{at}: {whole}");
        }
    }

    #[test]
    fn without_a_secret_nothing_is_held_back() {
        assert!(matches!(Mask::default().pass(b"x"), Cow::Borrowed(b"x")));
    }

    #[test]
    fn a_secret_is_masked_at_any_depth() {
        let mask = mask(&["hunter2"]);

        let value = mask.value(json!({"a": ["x hunter2", 7], "hunter2": {"b": "hunter2"}}));

        assert_eq!(value, json!({"a": ["x ***", 7], "***": {"b": "***"}}));
    }

    #[test]
    fn only_names_are_taken_and_nothing_is_repeated() {
        assert_eq!(
            serde_json::from_value::<Secret>(json!("secret:plex-token")).unwrap(),
            Secret::named("plex-token")
        );
        for bad in [
            json!("hunter2"),
            json!("secret:"),
            json!("secret:../hunter2"),
            json!("secret:hunter2/x"),
            json!("secret:.hunter2"),
            json!("secret:-hunter2"),
            json!("secret:hunter2\0"),
            json!("secret:hunter2\n"),
            json!(["hunter2"]),
            json!({"hunter2": 1}),
            json!(4_242_424),
        ] {
            let error = serde_json::from_value::<Secret>(bad.clone()).unwrap_err().to_string();
            assert!(error.contains("secret:plex-token"), "{bad}: {error}");
            assert!(!error.contains("hunter2") && !error.contains("424"), "{bad}: {error}");
        }
    }

    #[test]
    fn the_first_folder_that_has_it_counts() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let paths = folders.iter().map(|folder| folder.path().to_owned()).collect();
        std::fs::write(folders[0].path().join("one"), "first\r\n").unwrap();
        std::fs::write(folders[1].path().join("one"), "second").unwrap();
        std::fs::write(folders[1].path().join("two"), "two words\n").unwrap();
        std::fs::write(folders[1].path().join("empty"), "\n").unwrap();
        std::fs::create_dir(folders[1].path().join("folder")).unwrap();
        std::fs::write(folders[1].path().join(API_KEY), "the executor's").unwrap();
        let credentials = Credentials { folders: paths };
        let reveal = |name: &str| credentials.reveal(&Secret::named(name));

        assert_eq!(reveal("one").unwrap().expose(), "first");
        assert_eq!(reveal("two").unwrap().expose(), "two words");
        assert!(reveal("empty").unwrap_err().error().contains("is empty"));
        assert!(reveal("folder").unwrap_err().error().contains("no small file"));
        assert!(reveal(API_KEY).unwrap_err().error().contains("the executor's own"));
        let absent = reveal("absent").unwrap_err();
        assert!(absent.error().starts_with("this node has no `secret:absent`"), "{absent:?}");
        assert_eq!(format!("{:?}", reveal("one").unwrap()), "***");
    }
}
