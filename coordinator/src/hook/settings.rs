//! What `RUNNER_OFFLINE_HOOK` may be.

use url::Url;

/// Whom to tell that a runner is gone.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// What to tell when a runner is gone: a URL that gets a POST, or a command for `sh -c`.
    ///
    /// Both get the same JSON: runnerId, name, endpoint, lastHeartbeat, cause, tasks, timestamp;
    /// a command gets it on its standard input, and the short ones as `YGGDRASIL_RUNNER_ID`,
    /// `_NAME`, `_ENDPOINT`, `_CAUSE`, `_LAST_HEARTBEAT` and `_TASKS` (how many). Tried up to four
    /// times.
    #[arg(long, env = "RUNNER_OFFLINE_HOOK", hide_env_values = true, value_name = "URL|COMMAND",
          value_parser = parse)]
    pub runner_offline_hook: Option<Target>,
}

/// Whom to tell.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    Url(Url),
    /// A line for the shell, to the letter as the owner wrote it.
    Command(String),
}

// Either may hold a token.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(url) => write!(f, "Url({})", url.host_str().unwrap_or_default()),
            Self::Command(_) => f.write_str("Command"),
        }
    }
}

/// Reads a hook; an empty one is none, and is taken for a command that does nothing.
fn parse(text: &str) -> Result<Target, String> {
    let text = text.trim();
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("http" | "https") => {
            let url = Url::parse(text).map_err(|error| format!("this is no URL: {error}"))?;
            Ok(Target::Url(url))
        }
        _ => Ok(Target::Command(text.to_owned())),
    }
}

impl Settings {
    /// Returns the target; an empty one is none.
    pub fn target(&self) -> Option<Target> {
        match &self.runner_offline_hook {
            Some(Target::Command(text)) if text.is_empty() => None,
            target => target.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_told_from_a_command() {
        let url = |text: &str| Target::Url(text.parse().unwrap());

        assert_eq!(parse(" HTTPS://hooks.lan/x?t=1 "), Ok(url("https://hooks.lan/x?t=1")));
        assert_eq!(
            parse("curl http://hooks.lan"),
            Ok(Target::Command("curl http://hooks.lan".to_owned()))
        );
        assert!(parse("http://").is_err());
    }

    #[test]
    fn debug_shows_no_token() {
        let shown = format!("{:?}", parse("https://hooks.lan/hunter2?t=hunter2").unwrap());

        assert_eq!(shown, "Url(hooks.lan)");
    }

    #[test]
    fn an_empty_one_is_none() {
        let settings = Settings { runner_offline_hook: Some(parse(" ").unwrap()) };

        assert_eq!(settings.target(), None);
    }
}
