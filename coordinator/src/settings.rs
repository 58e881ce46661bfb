//! The coordinator's settings: one declaration for each flag and environment variable.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use daemon::duration;
use daemon::settings::Settings as Common;
use url::Url;

use crate::keys::{KeySettings, LONGEST_GRACE};
use crate::runners::Limits;
use crate::update::{self, UpdateSettings};

/// Finds ready beads, sends each to an executor on the right machine, and writes the truth back.
///
/// Beads says WHAT is to be done, routing.yaml says WHERE, the executors know HOW. The
/// coordinator needs a Beads workspace, a Beads CLI (`bd`, or `mb` to try things out) and a
/// routing.yaml. Stop it at any moment: running tasks run on, and it goes on where it was.
#[derive(Debug, Clone, Parser)]
#[command(name = "yggdrasil-coordinator", version, after_help = EXAMPLES)]
#[group(id = "coordinator")]
pub struct Settings {
    #[command(flatten)]
    pub common: Common,

    /// The file that says which executors there are and what goes where.
    #[arg(long, env = "ROUTING", default_value = "routing.yaml", value_name = "FILE")]
    pub routing: PathBuf,

    /// The Beads workspace, or the store folder in it. Default: found from the working folder
    /// upwards.
    #[arg(long, env = "BEADS_DIR", value_name = "DIR")]
    pub beads_dir: Option<PathBuf>,

    /// The Beads CLI. Default: `bd` on PATH, else `mb`.
    #[arg(long, env = "BD", value_name = "PROGRAM")]
    pub bd: Option<PathBuf>,

    /// How often the beads are listed when nothing says that they changed.
    #[arg(long, env = "POLL_INTERVAL", default_value = "30s", value_name = "DURATION",
          value_parser = duration::parse)]
    pub poll_interval: Duration,

    /// The time limit of a task for which neither its bead nor its executor names one.
    #[arg(long, env = "TASK_TIMEOUT", default_value = "600s", value_name = "DURATION",
          value_parser = duration::parse)]
    pub task_timeout: Duration,

    /// The name under which beads are claimed. Default: `yggdrasil/HOST/LEDGER-ID`.
    ///
    /// Two coordinators must never share one.
    #[arg(long, env = "YGGDRASIL_ACTOR", value_name = "NAME")]
    pub actor: Option<String>,

    /// Comma-separated keys; once set, every route but /health and /metrics needs one.
    #[arg(
        long,
        env = "API_KEYS",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true,
        value_name = "KEYS"
    )]
    pub api_keys: String,

    /// Comma-separated keys that may read and nothing else (GET and HEAD), for dashboards.
    #[arg(
        long,
        env = "READ_API_KEYS",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true,
        value_name = "KEYS"
    )]
    pub read_api_keys: String,

    /// The key for /api/admin, and for nothing else; unset: those routes are closed.
    #[arg(long, env = "ADMIN_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub admin_api_key: Option<String>,

    /// The file with the token for executors that register by themselves and that routing.yaml
    /// does not name.
    #[arg(long, env = "EXECUTOR_TOKEN_FILE", value_name = "FILE")]
    pub executor_token_file: Option<PathBuf>,

    /// How long a key stays valid after another was put in its place.
    #[arg(long, env = "API_KEY_GRACE", default_value = "24h", value_name = "DURATION",
          value_parser = grace)]
    pub api_key_grace: Duration,

    /// How many requests per second one API key may send; unset: any number.
    #[arg(long, env = "API_KEY_RATE_LIMIT", value_name = "NUMBER")]
    pub api_key_rate_limit: Option<NonZeroU32>,

    /// How many requests without a valid key one address may send per minute before it is told to
    /// wait; 0: any number. A valid key is let in at any time.
    #[arg(long, env = "AUTH_FAILURE_LIMIT", default_value_t = 30, value_name = "NUMBER")]
    pub auth_failure_limit: u32,

    /// The command by which the owner of this machine updates the coordinator, for
    /// POST /api/admin/self-update; run by `sh -c`.
    #[arg(long, env = "DOCKER_UPDATE_COMMAND", value_name = "COMMAND")]
    pub docker_update_command: Option<String>,

    /// Where the latest version of the coordinator is asked for: JSON with a member `version`.
    #[arg(long, env = "LATEST_VERSION_URL", value_name = "URL", value_parser = web_address)]
    pub latest_version_url: Option<Url>,

    /// How many milliseconds a runner's heartbeat is believed, unless its registration says
    /// otherwise.
    #[arg(long, env = "LEASE_TTL_MS", default_value_t = 60_000, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(1000..=86_400_000))]
    pub lease_ttl_ms: u64,

    /// How many milliseconds lie between two heartbeats of a runner; a lease lasts for two at
    /// least.
    #[arg(long, env = "HEARTBEAT_INTERVAL_MS", value_name = "MS",
          value_parser = clap::value_parser!(u64).range(100..=43_200_000))]
    pub heartbeat_interval_ms: Option<u64>,

    /// How long a settled attempt stays in the ledger, for `ygg why` and for results that other
    /// beads take.
    #[arg(long, env = "ATTEMPT_RETENTION", default_value = "2160h", value_name = "DURATION",
          value_parser = duration::parse)]
    pub attempt_retention: Duration,

    /// The version that runners should have; empty: any. POST /api/admin/expected-version sets
    /// another while running, which holds until this setting is changed.
    #[arg(
        long,
        env = "EXPECTED_RUNNER_VERSION",
        default_value = "",
        hide_default_value = true,
        value_name = "VERSION"
    )]
    pub expected_runner_version: String,

    /// How long a runner that went offline is remembered, and what has ended of sessions and realms.
    #[arg(long, env = "RUNNER_RETENTION", default_value = "168h", value_name = "DURATION",
          value_parser = duration::parse)]
    pub runner_retention: Duration,

    #[command(flatten)]
    pub admission: crate::admission::Settings,

    #[command(flatten)]
    pub hook: crate::hook::Settings,

    #[command(flatten)]
    pub gateway: crate::gateway::Settings,

    #[command(flatten)]
    pub metrics: crate::metrics::Options,

    /// How long a runner may take to start a realm before the sessions that wait for it fail.
    #[arg(long, env = "REALM_START_TIMEOUT", default_value = "60s", value_name = "DURATION",
          value_parser = duration::parse)]
    pub realm_start_timeout: Duration,

    #[arg(long, env = "PATH", hide = true)]
    pub path: Option<OsString>,

    /// How to reach Docker: the other `DOCKER_*` variables, handed on to the update command.
    #[arg(skip)]
    pub docker: BTreeMap<OsString, OsString>,

    /// How to reach a Dolt server: the `BEADS_DOLT_*` variables, handed on to `bd`.
    #[arg(skip)]
    pub beads_server: BTreeMap<OsString, OsString>,
}

impl Settings {
    /// Returns what runners may be and take up.
    pub fn runner_limits(&self) -> Limits {
        let least = self.heartbeat_interval_ms.map_or(0, |ms| ms * 2);
        Limits {
            lease: Duration::from_millis(self.lease_ttl_ms.max(least)),
            keep_offline: self.runner_retention,
            ..Limits::default()
        }
    }

    /// Returns what sessions and realms may be and take up.
    pub fn session_limits(&self) -> crate::sessions::Limits {
        crate::sessions::Limits {
            start: self.realm_start_timeout,
            keep: self.runner_retention,
            ..crate::sessions::Limits::default()
        }
    }
}

impl Settings {
    /// Returns what opens what.
    pub fn keys(&self) -> KeySettings {
        let keys = |text: &str| {
            let keys = text.split(',').map(str::trim).filter(|key| !key.is_empty());
            keys.map(str::to_owned).collect()
        };
        let admin = self.admin_api_key.as_ref().map(|key| key.trim().to_owned());
        KeySettings {
            api: keys(&self.api_keys),
            read: keys(&self.read_api_keys),
            admin: admin.filter(|key| !key.is_empty()),
            grace: self.api_key_grace,
            rate: self.api_key_rate_limit,
            failures: NonZeroU32::new(self.auth_failure_limit),
        }
    }

    /// Returns how the coordinator itself is updated.
    pub fn update(&self) -> UpdateSettings {
        let command = self.docker_update_command.as_ref().map(|command| command.trim().to_owned());
        let mut env = self.docker.clone();
        let own = [("PATH", self.path.clone()), ("HOME", self.common.home.clone().map(Into::into))];
        for (name, value) in own {
            env.extend(value.map(|value| (OsString::from(name), value)));
        }
        UpdateSettings {
            command: command.filter(|command| !command.is_empty()),
            env,
            limit: update::LIMIT,
        }
    }
}

fn grace(text: &str) -> Result<Duration, String> {
    let grace = duration::parse(text)?;
    if grace > LONGEST_GRACE {
        return Err(format!("at most {}", duration::show(LONGEST_GRACE)));
    }
    Ok(grace)
}

fn web_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("`{other}` is not http or https")),
    }
}

/// The port of a coordinator, unless told.
pub const DEFAULT_PORT: u16 = 3000;

const EXAMPLES: &str = "\
Examples:
  yggdrasil-coordinator --routing routing.yaml --beads-dir ~/homelab
  yggdrasil-coordinator --check          validate everything and exit
  bd create \"Look around\" --metadata '{\"task_type\":\"ops-health-check\"}'
  ygg plan                               what starts now, and why the rest waits

Durations: 90s, 10m, 1h30m; a bare number is seconds.
Exit codes: 0 stopped as asked, 64 bad usage, 69 port taken, 75 state folder in use,
78 something in the configuration is wrong.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_flag_is_declared_once() {
        Common::with_port(Settings::command(), DEFAULT_PORT).debug_assert();
    }

    #[test]
    fn a_lease_lasts_for_two_heartbeats() {
        let lease = |args: &[&str]| {
            let command = Common::with_port(Settings::command(), DEFAULT_PORT);
            let matches = command.get_matches_from([&["yggdrasil-coordinator"], args].concat());
            let settings = <Settings as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
            settings.runner_limits().lease
        };

        assert_eq!(lease(&[]), Duration::from_mins(1));
        assert_eq!(lease(&["--lease-ttl-ms", "20000"]), Duration::from_secs(20));
        let both = ["--lease-ttl-ms", "20000", "--heartbeat-interval-ms", "15000"];
        assert_eq!(lease(&both), Duration::from_secs(30));
    }
}
