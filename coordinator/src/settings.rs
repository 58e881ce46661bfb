//! The coordinator's settings: one declaration for each flag and environment variable.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use daemon::duration;
use daemon::settings::Settings as Common;

use crate::runners::Limits;

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

    /// The key for /api/admin, and for nothing else; unset: those routes are closed.
    #[arg(long, env = "ADMIN_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub admin_api_key: Option<String>,

    /// The file with the token for executors that register by themselves and that routing.yaml
    /// does not name.
    #[arg(long, env = "EXECUTOR_TOKEN_FILE", value_name = "FILE")]
    pub executor_token_file: Option<PathBuf>,

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

    /// How long a runner that went offline is remembered.
    #[arg(long, env = "RUNNER_RETENTION", default_value = "168h", value_name = "DURATION",
          value_parser = duration::parse)]
    pub runner_retention: Duration,

    #[command(flatten)]
    pub admission: crate::admission::Settings,

    #[command(flatten)]
    pub hook: crate::hook::Settings,

    #[arg(long, env = "PATH", hide = true)]
    pub path: Option<OsString>,

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
}
