//! One executor from its opened state to its end; in the program and in the harness alike.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use daemon::exit::Exit;
use daemon::shutdown::Shutdown;
use daemon::state_dir::StateDir;
use daemon::token::Tokens;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Executor;
use crate::api::{self, App};
use crate::builtin::{RunCommand, RunPlaybook};
use crate::node::{Environment, Node};
use crate::policy::Policy;
use crate::registration::Registration;
use crate::registry::{Registry, build};
use crate::result::chain;
use crate::runner::{Limits, Runner};
use crate::secret::Credentials;
use crate::settings::Coordinator;
use crate::spool::{Opened, Retention, Spool, SpoolError};

/// How long what an earlier life left running may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// How long answers may take to be sent once nothing runs any more.
const ANSWERS: Duration = Duration::from_secs(3);

/// What an executor is made of, all of it checked.
pub(crate) struct Parts {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) registry: Registry,
    pub(crate) tidy: Tidy,
    pub(crate) policy: Policy,
    pub(crate) tokens: Tokens,
    pub(crate) environment: Environment,
    pub(crate) credentials: Credentials,
    pub(crate) limits: Limits,
    pub(crate) retention: Retention,
    pub(crate) drain_timeout: Duration,
    /// Where it takes part; none: it waits for orders.
    pub(crate) coordinator: Option<Coordinator>,
}

/// An executor that is about to serve.
pub(crate) struct Service {
    app: Arc<App>,
    shutdown: Shutdown,
    coordinator: Option<Coordinator>,
    // Held for as long as the executor lives.
    state: StateDir,
}

/// The author's [`Executor::tidy`].
pub(crate) type Tidy = Box<dyn FnOnce(&Path) + Send>;

/// Joins the author's tasks with those that every executor has.
pub(crate) fn registry<E: Executor>(mut executor: E) -> Result<(Registry, Tidy), Exit> {
    executor.prepare().map_err(|failure| Exit::config(failure.error()))?;
    let executor = Arc::new(executor);
    let tidy = {
        let executor = Arc::clone(&executor);
        Box::new(move |state: &Path| executor.tidy(state))
    };
    let common = [build::<E, RunCommand>, build::<E, RunPlaybook>];
    let tasks = E::tasks();
    let builders = tasks.entries.iter().chain(&common);
    let entries = builders.map(|build| build(Arc::clone(&executor))).collect();
    let registry = Registry::new(entries).map_err(|twice| {
        Exit::config(format!("the task type `{twice}` is there twice"))
            .hinted("each task of an executor needs a type name of its own")
    })?;
    Ok((registry, tidy))
}

impl Service {
    /// Opens the spool, ends what earlier lives left running, and settles what they left
    /// unfinished. Nothing listens yet.
    pub(crate) async fn open(
        parts: Parts,
        state: StateDir,
        shutdown: Shutdown,
    ) -> Result<Self, Exit> {
        let started = Instant::now();
        let temp = state.path().join("tmp");
        let opened = Spool::open(state.path(), Uuid::new_v4(), parts.retention).await;
        let Opened { spool, epochs, had_a_life } = opened.map_err(|error| unusable(&error))?;
        if had_a_life {
            let mark = format!("{}/", spool.id());
            let ended = daemon::leftovers::end(&mark, GRACE).await;
            if !ended.is_empty() {
                let count = ended.len();
                tracing::warn!(count, "ended {count} processes that the last life left running");
            }
            let count = spool.interrupt_unfinished().await.map_err(|error| unusable(&error))?;
            if count > 0 {
                tracing::warn!(count, "{count} attempts of the last life were interrupted");
            }
        }
        make_empty(&temp)?;
        (parts.tidy)(state.path());
        let node = Node::new(
            parts.environment,
            parts.credentials,
            temp,
            spool.id(),
            spool.life(),
            &parts.policy,
        );
        let runner = Arc::new(Runner::new(
            parts.registry,
            parts.policy,
            Arc::new(node),
            spool,
            parts.limits,
            epochs,
            shutdown.clone(),
        ));
        for entry in runner.registry.entries() {
            let missing = runner.missing(entry);
            if !missing.is_empty() {
                let (kind, tools) = (entry.task_type, missing.join(", "));
                tracing::warn!(task.kind = kind, "{kind} cannot run: this node lacks {tools}");
            }
        }
        let app = Arc::new(App {
            name: parts.name,
            version: parts.version,
            runner,
            tokens: parts.tokens,
            drain_timeout: parts.drain_timeout,
            started,
        });
        Ok(Self { app, shutdown, coordinator: parts.coordinator, state })
    }

    /// Serves until the process drains, ends what runs, and returns when all of it is on disk.
    ///
    /// The listener stays open while the process drains: whoever asks hears that it does.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let Self { app, shutdown, coordinator, state } = self;
        let runner = Arc::clone(&app.runner);
        let drain_timeout = app.drain_timeout;
        let spool = runner.spool.clone();
        drop(shutdown.spawn(spool.clone().forget_regularly(shutdown.draining.clone())));
        let stop = CancellationToken::new();
        let registration = listener.local_addr().ok().zip(coordinator).map(|(at, settings)| {
            let program = (app.name, app.version);
            let runner = Arc::clone(&runner);
            Registration::start(settings, program, at, state.path(), runner, &shutdown)
        });
        let router = api::router(app);
        let serving = shutdown.spawn(daemon::http::serve(listener, router, stop.clone(), ANSWERS));

        shutdown.draining.cancelled().await;
        daemon::notify::stopping();
        let updated = async {
            if let Some(registration) = &registration {
                registration.drain(drain_timeout).await;
            }
        };
        tokio::join!(runner.drain(drain_timeout), updated);
        if let Some(registration) = registration {
            registration.close();
        }
        stop.cancel();
        tokio::select! {
            _ = serving => {}
            () = shutdown.now.cancelled() => {}
        }
        if !shutdown.finished(ANSWERS).await {
            tracing::warn!("some tasks did not end in time");
        }
        drop(runner);
        spool.close().await;
        drop(state);
    }
}

fn unusable(error: &SpoolError) -> Exit {
    Exit::cannot_create(format!("the spool cannot be used: {}", chain(error)))
}

/// Makes the folder of the temporary folders, without what a killed life left in it.
fn make_empty(folder: &std::path::Path) -> Result<(), Exit> {
    use std::os::unix::fs::DirBuilderExt as _;
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %folder.display(), %error, "cannot empty a folder");
        }
        _ => {}
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| {
        Exit::cannot_create(format!("cannot make the folder `{}`: {error}", folder.display()))
    })
}
