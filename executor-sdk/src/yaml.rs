//! Reading the files that the node's owner writes.
//!
//! With the coordinator's `routing.yaml` this is the only place that reads YAML: the policy comes
//! through here, and so does a file of an executor's own, such as a table of hosts.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};

/// Why a file cannot be used; one line with its place.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// It cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It does not say what it should.
    #[error("{path}{place}: {text}")]
    Text {
        /// The file.
        path: String,
        /// Line and column, as `:3:7`.
        place: String,
        /// What is wrong there.
        text: String,
    },
}

impl YamlError {
    /// Whether the file is not there.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads a file; an empty one is `None`.
///
/// Put `deny_unknown_fields` on every struct, and take maps as [`Named`]: the parser itself keeps
/// the last of two equal keys without a word.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, YamlError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, path),
        Err(source) => Err(YamlError::Read { path: path.to_owned(), source }),
    }
}

/// Parses the text of `path`.
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<Option<T>, YamlError> {
    serde_yaml::from_str(text).map_err(|error| {
        let place = error
            .location()
            .map(|at| format!(":{}:{}", at.line(), at.column()))
            .unwrap_or_default();
        YamlError::Text { path: path.display().to_string(), place, text: words(&error) }
    })
}

/// A map whose keys are names; one that is there twice is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<T>(
    /// The values by their names.
    pub BTreeMap<String, T>,
);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of names")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Named<T>, M::Error> {
                let mut named = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if named.contains_key(&name) {
                        let text = format!("`{name}` is there twice; keep one of them");
                        return Err(M::Error::custom(text));
                    }
                    let value = map.next_value()?;
                    named.insert(name, value);
                }
                Ok(Named(named))
            }
        }
        deserializer.deserialize_map(Each(PhantomData))
    }
}

/// Returns the parser's text without the place, which stands before it already, and with the
/// nearest of the names that it lists.
fn words(error: &serde_yaml::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text).to_owned();
    let Some((_, rest)) = text.split_once("unknown field `") else { return text };
    // `NAME`, expected one of `a`, `b`: every second piece is a name.
    let mut names = rest.split('`').step_by(2);
    let Some(unknown) = names.next() else { return text };
    let nearest = names
        .filter(|name| !name.is_empty())
        .map(|name| (strsim::damerau_levenshtein(name, unknown), name))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    match nearest {
        Some((_, name)) => format!("{text}; did you mean `{name}`?"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Host {
        #[serde(default)]
        address: Option<String>,
        #[serde(default)]
        broadcast: Option<String>,
    }

    fn refused(text: &str) -> String {
        parse::<Named<Host>>(text, Path::new("hosts.yaml")).unwrap_err().to_string()
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused_with_its_place() {
        let error = refused("nas: {address: a}\nthor: {}\nnas: {address: b}\n");

        assert!(error.starts_with("hosts.yaml:"), "{error}");
        assert!(error.contains("`nas` is there twice"), "{error}");
    }

    #[test]
    fn an_unknown_field_is_refused_with_the_nearest_name() {
        let error = refused("nas:\n  adress: a\n");

        assert!(error.starts_with("hosts.yaml:2:3: "), "{error}");
        assert!(error.ends_with("did you mean `address`?"), "{error}");
    }

    #[test]
    fn an_empty_file_says_nothing_and_a_missing_one_is_told_apart() {
        let empty = parse::<Named<Host>>("", Path::new("hosts.yaml")).unwrap();
        let absent = read::<Named<Host>>(Path::new("/nonexistent/hosts.yaml")).unwrap_err();
        let full = parse::<Named<Host>>("nas: {broadcast: x}", Path::new("h")).unwrap().unwrap();

        assert!(empty.is_none());
        assert!(absent.is_absent());
        assert_eq!(full.0["nas"].broadcast.as_deref(), Some("x"));
        assert_eq!(full.0["nas"].address, None);
    }
}
