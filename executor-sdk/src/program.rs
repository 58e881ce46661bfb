//! From flags and environment to a serving executor.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use daemon::exit::Exit;
use daemon::settings::Settings;
use daemon::shutdown::Shutdown;
use daemon::state_dir::StateDir;
use daemon::token::Tokens;

use crate::Executor;
use crate::node::Environment;
use crate::policy::Policy;
use crate::result::chain;
use crate::runner::Limits;
use crate::secret::Credentials;
use crate::service::{Parts, Service, registry};
use crate::settings::{Own, Registering};
use crate::spool::Retention;

const PORT: u16 = 5000;
const SHORTEST_KEEP: Duration = Duration::from_hours(1);
const LOG_FILE: &str = "/var/log/yggdrasil-agent.log";
const POLICY: &str = "/etc/yggdrasil/policy.yaml";
const CREDENTIALS: &str = "/etc/yggdrasil/credentials";

#[derive(Parser)]
struct Cli<E: clap::Args> {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    registering: Registering,
    #[command(flatten, next_help_heading = "Of this executor")]
    executor: E,
}

/// Runs an executor: the whole `main` of its program.
///
/// Flags and environment variables fill the executor's struct. The first SIGTERM or SIGINT drains,
/// the second ends at once.
pub fn run<E: Executor>() -> ExitCode {
    let command = Settings::with_port(Cli::<E>::command(), PORT).name(E::NAME).version(E::VERSION);
    let parsed = command
        .try_get_matches()
        .and_then(|mut matches| Cli::<E>::from_arg_matches_mut(&mut matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return daemon::exit::unparsed(&error),
    };
    daemon::exit::report(E::NAME, start(cli))
}

fn start<E: Executor>(cli: Cli<E>) -> Result<(), Exit> {
    // First of all: whatever makes a client without it panics. A second one is not needed.
    drop(rustls::crypto::ring::default_provider().install_default());
    let Cli { settings, own, registering, executor } = cli;
    let coordinator = registering.check(own.credentials.as_deref())?;
    if own.task_timeout.is_zero() {
        return Err(Exit::config(
            "--task-timeout (TASK_TIMEOUT) of 0 would end every task at once",
        ));
    }
    if own.keep < SHORTEST_KEEP {
        // An attempt older than this is refused, since it may have run and been forgotten.
        return Err(Exit::config("--keep (KEEP) must be at least 1h"));
    }
    let tokens = match &own.token_file {
        Some(path) => Tokens::from_file(path)?,
        None => Tokens::none(),
    };
    let address = settings.address(!tokens.is_empty())?;
    let (registry, tidy) = registry(executor)?;
    let parts = Parts {
        name: E::NAME,
        version: E::VERSION,
        registry,
        tidy,
        policy: policy(own.policy.as_deref())?,
        tokens,
        environment: Environment {
            path: own.search_path,
            home: settings.home.clone(),
            tz: own.time_zone,
        },
        credentials: Credentials {
            folders: own.credentials.into_iter().chain([PathBuf::from(CREDENTIALS)]).collect(),
        },
        limits: Limits {
            task_timeout: own.task_timeout,
            capacity: own.capacity.unwrap_or_else(default_capacity),
            log_cap: own.log_cap,
        },
        retention: Retention { keep: own.keep, keep_bytes: own.keep_bytes },
        drain_timeout: settings.drain_timeout,
        coordinator,
    };
    let short_name = E::NAME.strip_suffix("-executor").unwrap_or(E::NAME);
    let state_path = settings.state_path(short_name)?;
    if settings.check {
        return said_valid(E::NAME);
    }

    let state = StateDir::open(&state_path)?;
    let _log = daemon::logs::init(&settings, E::NAME, Path::new(LOG_FILE), state.path())?;
    let runtime = daemon::shutdown::runtime(workers())?;
    let served = runtime.block_on(async {
        let shutdown = Shutdown::new();
        shutdown.listen()?;
        let service = Service::open(parts, state, shutdown.clone()).await?;
        let listener = daemon::http::bind(address).await?;
        let address = listener.local_addr().unwrap_or(address);
        tracing::info!(%address, "{} {} listens on {address}", E::NAME, E::VERSION);
        daemon::notify::ready();
        daemon::notify::watchdog(&shutdown);
        service.serve(listener).await;
        Ok(())
    });
    // Blocking work that still runs is not worth waiting for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

fn policy(given: Option<&Path>) -> Result<Policy, Exit> {
    Policy::load(given.unwrap_or(Path::new(POLICY)), given.is_none())
        .map_err(|error| Exit::config(chain(&error)))
}

fn default_capacity() -> u32 {
    cores().max(4)
}

/// Few: the work is done by child processes, and each thread costs memory.
fn workers() -> usize {
    cores().clamp(2, 4) as usize
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(64))
}

#[expect(clippy::print_stdout, reason = "the answer of --check, before there is a log")]
#[expect(clippy::unnecessary_wraps, reason = "the last step of a start that only checks")]
fn said_valid(name: &str) -> Result<(), Exit> {
    println!("{name}: the settings, the policy and the token file are valid");
    Ok(())
}
