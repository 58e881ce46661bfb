//! One life of the coordinator: from its settings to its end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use daemon::exit::Exit;
use daemon::shutdown::Shutdown;
use daemon::state_dir::StateDir;
use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::admission::Admission;
use crate::api;
use crate::app::App;
use crate::beads::{Beads, BeadsSettings};
use crate::board::Board;
use crate::expected::Expected;
use crate::fleet::{ExecutorClient, Fleet, Registered};
use crate::gateway::{self, Gateway};
use crate::hook::{self, Hook};
use crate::keeper::Keeper;
use crate::keys::{Keys, Seal};
use crate::ledger::{Ledger, SqliteLedger, TimedLedger};
use crate::metrics::Metrics;
use crate::poll;
use crate::routing::{self, ExecutorName, Routing};
use crate::runners::Runners;
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::update::{SelfUpdate, latest};

mod loops;

const NAME: &str = "yggdrasil-coordinator";
const LOG_FILE: &str = "/var/log/yggdrasil-coordinator.log";
const LEDGER_FILE: &str = "ledger.sqlite";
/// A Beads command that takes longer is taken for hung.
const BEADS_LIMIT: Duration = Duration::from_secs(30);

/// Runs the coordinator until it is told to stop.
pub fn run(settings: Settings) -> Result<(), Exit> {
    // A second installation in one process (tests) is no harm.
    drop(rustls::crypto::ring::default_provider().install_default());
    settings.gateway.check()?;
    let routing = read_routing(&settings.routing)?;
    let http = ExecutorClient::http()
        .map_err(|error| Exit::software(format!("cannot make an HTTP client: {error}")))?;
    let clients = clients(&routing, &http)?;
    let token = settings.executor_token_file.as_deref().map(bearer).transpose()?;
    let latest = settings.latest_version_url.clone();
    let latest = latest.map(|url| latest::Door::new(http.clone(), url));
    let agents = gateway::Executors::new(routing.clone(), tokens(&routing)?, token.clone());
    let capacity = settings.gateway.max_concurrency;
    let registered = Registered::new(http, token, capacity);
    let state_path = settings.common.state_path("coordinator")?;
    let runtime = daemon::shutdown::runtime(2)?;
    if settings.common.check {
        let keys = settings.keys();
        settings.common.address(!(keys.api.is_empty() && keys.read.is_empty()))?;
        return runtime.block_on(check(&settings, &routing, &state_path));
    }
    let state_dir = StateDir::open(&state_path)?;
    let _logs = daemon::logs::init(&settings.common, NAME, Path::new(LOG_FILE), &state_path)?;
    let (drain, lasting) = (settings.common.drain_timeout, settings.attempt_retention);
    let ended = runtime.block_on(async {
        let shutdown = Shutdown::new();
        shutdown.listen()?;
        let common = settings.common.clone();
        let (app, asks) =
            start(settings, routing, clients, (latest, agents), shutdown.clone(), state_dir.path())
                .await?;
        // Keys that were added while it ran protect it as those of the settings do.
        let address = common.address(app.keys.is_protected())?;
        daemon::http::raise_file_limit();
        let listener = daemon::http::bind(address).await?;
        live(app, asks, listener, registered, lasting, drain).await;
        Ok(())
    });
    // Whatever still blocks a thread has had the whole drain time.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// Puts a coordinator together on a state folder and starts nothing: for whoever wants one in a
/// process of his own, such as on a paused clock. Nobody hears what its API asks of the poll loop.
pub async fn assemble(
    settings: Settings,
    shutdown: Shutdown,
    state_dir: &Path,
) -> Result<Arc<App>, Exit> {
    let routing = read_routing(&settings.routing)?;
    let agents = gateway::Executors::new(routing.clone(), tokens(&routing)?, None);
    let doors = (None, agents);
    let (app, _) = start(settings, routing, BTreeMap::new(), doors, shutdown, state_dir).await?;
    Ok(app)
}

async fn start(
    settings: Settings,
    routing: Routing,
    clients: BTreeMap<ExecutorName, ExecutorClient>,
    (latest, agents): (Option<latest::Door>, gateway::Executors),
    shutdown: Shutdown,
    state_dir: &Path,
) -> Result<(Arc<App>, mpsc::Receiver<crate::app::Ask>), Exit> {
    let ledger = SqliteLedger::open(&state_dir.join(LEDGER_FILE)).await.map_err(|error| {
        Exit::software(format!("cannot open the ledger in {}: {error}", state_dir.display()))
    })?;
    let identity = ledger.identity();
    let started = Timestamp::now();
    let board = Board::default();
    let fleet = Fleet::new(&routing, clients, Arc::clone(&board.changed), started);
    let (asks, asked) = mpsc::channel(16);
    let records = ledger.kept().await.map_err(|error| {
        Exit::software(format!("cannot read the ledger in {}: {error}", state_dir.display()))
    })?;
    let keeper = Arc::new(Keeper::default());
    let metrics = Arc::new(Metrics::new(settings.metrics.clone()));
    let runners = Runners::restore(settings.runner_limits(), &records, Arc::clone(&keeper));
    let seal = Seal::of(state_dir)?;
    let keys = Keys::restore(&settings.keys(), &records, Arc::clone(&keeper), seal);
    let update = SelfUpdate::restore(settings.update(), latest, &records, Arc::clone(&keeper));
    let runners = Arc::new(runners);
    let sessions = Sessions::restore(
        settings.session_limits(),
        &records,
        Arc::clone(&keeper),
        Arc::clone(&runners),
    );
    let admission = Arc::new(Admission::new(settings.admission.rules(), shutdown.draining.clone()));
    let ground = gateway::Ground {
        runners: Arc::clone(&runners),
        admission: Arc::clone(&admission),
        metrics: Arc::clone(&metrics),
        keeper: Arc::clone(&keeper),
        executors: agents,
        draining: shutdown.draining.clone(),
    };
    let gateway = Gateway::new(settings.gateway.rules(), ground, &records)
        .map_err(|error| Exit::software(format!("cannot make an HTTP client: {error}")))?;
    let app = Arc::new(App {
        keys: Arc::new(keys),
        update: Arc::new(update),
        fleet,
        runners,
        expected_version: Expected::restore(
            &settings.expected_runner_version,
            &records,
            Arc::clone(&keeper),
        ),
        sessions,
        gateway: Arc::new(gateway),
        admission,
        hook: offline_hook(&settings)?,
        metrics: Arc::clone(&metrics),
        keeper,
        board,
        routing,
        ledger: Arc::new(TimedLedger::new(ledger, metrics.work().ledger())),
        shutdown,
        beads_settings: beads_settings(&settings, state_dir, identity.ledger),
        beads: watch::Sender::new(None),
        nudge: Notify::new(),
        asks,
        task_timeout: settings.task_timeout,
        poll_interval: settings.poll_interval,
        started,
        state_dir: state_dir.to_owned(),
    });
    info!(
        ledger = %identity.ledger,
        epoch = identity.epoch,
        executors = app.routing.executors.len(),
        "{NAME} {} starts, claims as {}",
        env!("CARGO_PKG_VERSION"),
        app.beads_settings.actor
    );
    Ok((app, asked))
}

async fn live(
    app: Arc<App>,
    asks: mpsc::Receiver<crate::app::Ask>,
    listener: tokio::net::TcpListener,
    registered: Registered,
    lasting: Duration,
    drain: Duration,
) {
    let shutdown = app.shutdown.clone();
    if let Ok(address) = listener.local_addr() {
        info!("listening on http://{address}");
        app.gateway.listens_at(address);
    }
    // Answers go on while the rest drains, so that /health can say so.
    let stop_serving = CancellationToken::new();
    let serving = TaskTracker::new();
    serving.spawn(daemon::http::serve(
        listener,
        api::router(Arc::clone(&app)),
        stop_serving.clone(),
        Duration::from_secs(1),
    ));
    let keeping = loops::begin(&app, registered, lasting, &stop_serving);
    poll::resume_all(&app).await;
    shutdown.spawn(poll::run(Arc::clone(&app), asks));
    daemon::notify::watchdog(&shutdown);
    daemon::notify::ready();
    shutdown.draining.cancelled().await;
    daemon::notify::stopping();
    info!("stopping; running tasks run on");
    if !shutdown.finished(drain).await {
        warn!("stopped before everything was written down; the next start goes on from the ledger");
    }
    let beads = app.beads.borrow().clone();
    if let Some(beads) = beads
        && tokio::time::timeout(BEADS_LIMIT, beads.idle()).await.is_err()
    {
        warn!("the Beads CLI still runs; it is ended");
    }
    stop_serving.cancel();
    serving.close();
    serving.wait().await;
    // What was answered last is written last.
    keeping.close();
    keeping.wait().await;
    app.runners.put_beats();
    app.keeper.flush(&*app.ledger).await;
    app.ledger.close().await;
}

/// Validates everything that was given, and says what it found.
async fn check(settings: &Settings, routing: &Routing, state_path: &Path) -> Result<(), Exit> {
    let actor = settings.actor.clone().unwrap_or_else(|| format!("yggdrasil/{}/check", host()));
    let beads_settings =
        BeadsSettings { actor, ..beads_settings(settings, state_path, uuid::Uuid::nil()) };
    let beads = Beads::open(beads_settings)
        .await
        .map_err(|error| Exit::config(poll::trouble_text(&error)))?;
    for warning in settings.keys().warnings() {
        report(&format!("warning: {warning}\n"))?;
    }
    report(&format!(
        "ok: {} executors, {}, state in {}\n",
        routing.executors.len(),
        beads.dialect(),
        state_path.display()
    ))
}

fn report(text: &str) -> Result<(), Exit> {
    use std::io::Write as _;
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Exit::software(format!("cannot print: {error}")))
}

/// Reads routing.yaml; every problem is named.
fn read_routing(path: &Path) -> Result<Routing, Exit> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Exit::config(format!("cannot read routes from `{shown}`: {error}"))
            .hinted("name the file with --routing; the shipped routing.yaml is an example")
    })?;
    routing::parse(&text, &shown).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        Exit::config(lines.join("\n"))
    })
}

fn clients(
    routing: &Routing,
    http: &reqwest::Client,
) -> Result<BTreeMap<ExecutorName, ExecutorClient>, Exit> {
    let mut clients = BTreeMap::new();
    for (name, entry) in &routing.executors {
        let token = entry.token_file.as_deref().map(bearer).transpose()?;
        clients.insert(name.clone(), ExecutorClient::new(http.clone(), entry.url.clone(), token));
    }
    Ok(clients)
}

/// Reads what the executors of routing.yaml want to see.
fn tokens(routing: &Routing) -> Result<BTreeMap<ExecutorName, reqwest::header::HeaderValue>, Exit> {
    let files = routing
        .executors
        .iter()
        .filter_map(|(name, entry)| Some((name.clone(), entry.token_file.as_deref()?)));
    files.map(|(name, file)| Ok((name, bearer(file)?))).collect()
}

/// Reads a token file into what a request carries.
fn bearer(file: &Path) -> Result<reqwest::header::HeaderValue, Exit> {
    let token = daemon::token::read_secret(file)?;
    let mut value = reqwest::header::HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| Exit::config(format!("the token in `{}` is not text", file.display())))?;
    value.set_sensitive(true);
    Ok(value)
}

fn offline_hook(settings: &Settings) -> Result<Hook, Exit> {
    let environment =
        hook::Environment { path: settings.path.clone(), home: settings.common.home.clone() };
    Hook::new(settings.hook.target(), environment)
        .map_err(|error| Exit::software(format!("cannot make an HTTP client: {error}")))
}

fn beads_settings(settings: &Settings, state_dir: &Path, ledger: uuid::Uuid) -> BeadsSettings {
    let actor = settings.actor.clone().unwrap_or_else(|| format!("yggdrasil/{}/{ledger}", host()));
    BeadsSettings {
        program: settings.bd.clone(),
        beads_dir: settings.beads_dir.clone(),
        actor,
        home: state_dir.to_owned(),
        path: settings.path.clone(),
        user_home: settings.common.home.clone(),
        passthrough: settings.beads_server.clone(),
        limit: BEADS_LIMIT,
    }
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}
