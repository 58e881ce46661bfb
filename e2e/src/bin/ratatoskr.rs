//! A simulated Ratatoskr as a process of its own, with the variables of the real one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use daemon::exit::{Exit, report};
use daemon::shutdown::{Shutdown, runtime};
use e2e::ratatoskr::{self, CAPABILITIES, Journal, Ratatoskr, Settings, Target, VERSION};

/// Acts as a Ratatoskr does.
#[derive(Debug, Parser)]
struct Args {
    /// Where the coordinator is.
    #[arg(long, env = "YGGDRASIL_URL", default_value = "http://orchestration-controller:3000")]
    url: String,
    /// Sent with each request; empty: no header.
    #[arg(long, env = "API_KEY", hide_env_values = true, default_value = "")]
    api_key: String,
    /// Its name. Default: `ratatoskr-` and the host's name.
    #[arg(long, env = "RUNNER_NAME")]
    name: Option<String>,
    #[arg(long, env = "HOSTNAME", hide = true, default_value = "unknown")]
    host: String,
    /// What it says that it can do, with commas between.
    #[arg(long, env = "CAPABILITIES", default_value = CAPABILITIES, value_delimiter = ',')]
    capabilities: Vec<String>,
    /// Seconds between two looks at its task list; 0: never.
    #[arg(long, env = "TASK_POLL_INTERVAL", default_value_t = 10.0)]
    poll_interval: f64,
    /// The version that it says it has.
    #[arg(long, env = "RATATOSKR_VERSION", default_value = VERSION)]
    version: String,
    /// How many times faster than a real one its clocks go.
    #[arg(long, env = "RATATOSKR_SPEED", default_value_t = 1.0)]
    speed: f64,
    /// A file to which it writes which task it starts and which it has told.
    #[arg(long, env = "RATATOSKR_JOURNAL")]
    journal: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = runtime(2).and_then(|runtime| runtime.block_on(live(args)));
    report("ratatoskr", result)
}

async fn live(args: Args) -> Result<(), Exit> {
    let journal = match &args.journal {
        Some(path) => Journal::to_file(path).map_err(|error| {
            Exit::config(format!("cannot write the journal `{}`: {error}", path.display()))
        })?,
        None => Journal::default(),
    };
    let settings = Settings {
        api_key: Some(args.api_key).filter(|key| !key.is_empty()),
        name: args.name.unwrap_or_else(|| format!("ratatoskr-{}", args.host)),
        version: args.version,
        capabilities: args.capabilities,
        poll_interval: Duration::try_from_secs_f64(args.poll_interval)
            .map_err(|error| Exit::usage(format!("TASK_POLL_INTERVAL: {error}")))?,
        speed: args.speed,
    };
    let shutdown = Shutdown::new();
    shutdown.listen()?;
    let mut life = Ratatoskr::start(settings, &Target::Url(args.url), &Arc::new(journal));
    let exit = tokio::select! {
        exit = life.ended() => exit,
        () = shutdown.draining.cancelled() => {
            life.terminate();
            life.ended().await
        }
    };
    match exit {
        ratatoskr::Exit::Stopped | ratatoskr::Exit::Updated(_) => Ok(()),
        ratatoskr::Exit::Crashed(error) => {
            Err(Exit::software(format!("a result could not be told: {error}")))
        }
    }
}
