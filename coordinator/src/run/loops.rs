//! The loops that run beside the beads for as long as the coordinator lives.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::app::App;
use crate::board::Source;
use crate::fleet::Registered;
use crate::ledger::LedgerError;
use crate::routing::ExecutorName;

/// Between two looks for attempts that can be deleted.
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// How long registrations gather before the fleet takes them over.
const TOGETHER: Duration = Duration::from_millis(50);

/// Begins them all; what is returned ends when everything is written, after `stop_serving`.
pub(super) fn begin(
    app: &Arc<App>,
    registered: Registered,
    lasting: Duration,
    stop_serving: &CancellationToken,
) -> TaskTracker {
    let shutdown = &app.shutdown;
    for name in app.fleet.names() {
        watch(app, name);
    }
    let keeping = TaskTracker::new();
    keeping.spawn(keep(Arc::clone(app), stop_serving.clone()));
    // Before the first plan: an order may name what has only registered.
    let presence = app.runners.presence();
    take_over(app, &registered);
    shutdown.spawn(follow_registrations(Arc::clone(app), registered, presence));
    shutdown.spawn(forget_old_attempts(Arc::clone(app), lasting));
    let watched = Arc::clone(app);
    shutdown.spawn(async move { watched.runners.watch(&watched.shutdown.draining).await });
    let watched = Arc::clone(app);
    shutdown.spawn(async move {
        let ledger_fails = || watched.board.has_trouble(&Source::Ledger);
        let draining = &watched.shutdown.draining;
        watched.admission.watch(&watched.runners, ledger_fails, draining).await;
    });
    let watched = Arc::clone(app);
    shutdown.spawn(async move { watched.gateway.watch(&watched.shutdown.draining).await });
    let watched = Arc::clone(app);
    shutdown.spawn(async move {
        watched.hook.watch(watched.runners.losses(), &watched.shutdown.draining).await;
    });
    let watched = Arc::clone(app);
    shutdown.spawn(async move {
        watched.keys.watch(&watched.runners, &watched.shutdown.draining).await;
    });
    let watched = Arc::clone(app);
    shutdown.spawn(async move { watched.update.watch(&watched.shutdown.draining).await });
    let watched = Arc::clone(app);
    shutdown.spawn(async move { watched.sessions.watch(&watched.shutdown.draining).await });
    keeping
}

/// Deletes what was settled long ago, so that the ledger does not grow for ever.
async fn forget_old_attempts(app: Arc<App>, lasting: Duration) {
    let mut beat = tokio::time::interval(FORGET_EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.shutdown.draining.cancelled() => return,
            _ = beat.tick() => {}
        }
        let Ok(lasting) = SignedDuration::try_from(lasting) else { return };
        let Ok(before) = Timestamp::now().checked_sub(lasting) else { return };
        match app.ledger.forget(before).await {
            Ok(0) => {}
            Ok(gone) => info!("{gone} old attempts are deleted from the ledger"),
            Err(problem) => crate::dispatch::ledger_trouble(&app, &problem),
        }
    }
}

/// Keeps the state of one executor.
fn watch(app: &Arc<App>, name: ExecutorName) {
    let watched = Arc::clone(app);
    let stop = app.shutdown.draining.clone();
    app.shutdown.spawn(async move { watched.fleet.watch(&name, stop).await });
}

/// Takes what has registered into the fleet.
fn take_over(app: &Arc<App>, registered: &Registered) {
    let stop = &app.shutdown.draining;
    for name in registered.sync(&app.fleet, &app.routing, &app.runners, stop) {
        watch(app, name);
    }
}

/// Takes everything that registers into the fleet.
async fn follow_registrations(
    app: Arc<App>,
    registered: Registered,
    mut presence: watch::Receiver<u64>,
) {
    let stop = &app.shutdown.draining;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = presence.changed() => take_over(&app, &registered),
        }
        // A thousand that come at once are taken over together.
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TOGETHER) => {}
        }
    }
}

/// Writes runners and sessions into the ledger until nobody is answered any more.
async fn keep(app: Arc<App>, stop: CancellationToken) {
    let report = |written: Result<(), &LedgerError>| match written {
        Ok(()) => app.board.mended(&Source::Ledger),
        Err(problem) => crate::dispatch::ledger_trouble(&app, problem),
    };
    app.keeper.run(&*app.ledger, &stop, report).await;
}
