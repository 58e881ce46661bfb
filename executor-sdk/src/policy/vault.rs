//! Where the password of Ansible's vault comes from: never from an order.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StringDeserializer};

use crate::Secret;

/// A secret of the node by its name, or a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum VaultPassword {
    Secret(Secret),
    /// Ansible reads it; one that may be executed is run, and prints the password.
    File(PathBuf),
}

impl TryFrom<String> for VaultPassword {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        if text.starts_with('/') {
            return Ok(Self::File(PathBuf::from(text)));
        }
        let text: StringDeserializer<Error> = text.into_deserializer();
        Secret::deserialize(text).map(Self::Secret)
    }
}
