//! What the owner decides about the page.

use clap::{ArgAction, Args, builder::BoolishValueParser};

/// What every name begins with, unless told.
const PREFIX: &str = "yggdrasil_";

/// What the owner decides about the page.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Options {
    /// What the names on /metrics begin with.
    ///
    /// The shipped dashboards and alert rules ask for names that begin with `yggdrasil_`.
    #[arg(id = "metrics_prefix", long = "metrics-prefix", env = "METRICS_PREFIX",
          default_value = PREFIX, value_name = "TEXT", value_parser = prefix)]
    pub prefix: String,

    /// Whether /metrics shows the end of each runner's update log.
    ///
    /// That is what the update command printed, and everybody who can reach the port can read it.
    #[arg(id = "metrics_update_log", long = "metrics-update-log", env = "METRICS_UPDATE_LOG",
          default_value_t = true, value_name = "BOOL", action = ArgAction::Set,
          value_parser = BoolishValueParser::new())]
    pub update_log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { prefix: PREFIX.to_owned(), update_log: true }
    }
}

fn prefix(text: &str) -> Result<String, String> {
    match text {
        // An empty variable is one that is not set.
        "" => Ok(PREFIX.to_owned()),
        text if is_prefix(text) => Ok(text.to_owned()),
        _ => Err("letters, digits, `_` and `:`, no digit first, at most 100".to_owned()),
    }
}

/// Whether every name that begins with this is one that Prometheus takes.
fn is_prefix(prefix: &str) -> bool {
    let mut chars = prefix.chars();
    let first = chars.next();
    first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == ':')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
        && prefix.len() <= 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_makes_valid_names() {
        for good in ["yggdrasil_", "_", "home:ygg_"] {
            assert_eq!(prefix(good).as_deref(), Ok(good));
        }
        for bad in ["9lives_", "my-", "a b", "ü_"] {
            assert!(prefix(bad).is_err(), "{bad}");
        }
        assert_eq!(prefix("").as_deref(), Ok(PREFIX));
    }
}
