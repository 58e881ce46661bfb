//! When to look at the beads, and what to do with what is there.
//!
//! One loop lists the beads when something was written (a change signal), somebody nudged
//! (`POST /poll`), a moment came, or the interval is over; makes a plan; and begins a line for
//! each bead that the plan decides about.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::app::{App, Ask};
use crate::beads::{Bead, Beads, BeadsError, Listing};
use crate::board::{Planned, Source};
use crate::dispatch::{self, Todo, Work};
use crate::fleet::{Condition, ExecutorState};
use crate::order::{self, Read};
use crate::plan::{self, Active, BrokenOrder, Decision, Listed, Reason, Snapshot};
use crate::routing::ExecutorName;

mod earlier;
mod when;

use when::{Came, When};

/// Between two looks at the change signal; one small read each.
const TICK: Duration = Duration::from_millis(100);
/// Between two tries to read the ledger at start.
const LEDGER_AGAIN: Duration = Duration::from_secs(2);
/// How many beads are blocked at a time for want of an executor or a route.
const BLOCKED_AT_A_TIME: usize = 2;
/// Between two tries to reopen a bead that could not be reopened.
const REOPEN_AGAIN: Duration = Duration::from_secs(5);

/// Lists, plans and begins, until the coordinator stops.
pub async fn run(app: Arc<App>, mut asks: mpsc::Receiver<Ask>) {
    let Some(beads) = open_door(&app).await else { return };
    while !earlier::take_up_holds(&app).await {
        tokio::select! {
            () = app.shutdown.draining.cancelled() => return,
            () = tokio::time::sleep(LEDGER_AGAIN) => {}
        }
    }
    let mut when = When::new();
    let mut is_first = true;
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.shutdown.draining.cancelled() => return,
            Some(ask) = asks.recv() => answer(&app, &beads, ask),
            () = app.nudge.notified() => when.nudged = true,
            () = app.board.changed.notified() => when.plan_is_due = true,
            _ = tick.tick() => when.look(beads.signal().read()),
        }
        if when.moments(&app) {
            check_ledger(&app);
        }
        if when.is_due(app.board.is_writing()) {
            if when.gates_are_due(app.poll_interval) {
                check_gates(&app, &beads).await;
            }
            when.listing_begins(beads.signal().read());
            let listed = list(&app, &beads).await;
            when.listing_ended(listed);
        }
        if when.plan_is_due {
            when.plan_is_due = false;
            let plan = make_plan(&app);
            when.planned(&plan);
            begin(&app, &plan);
            reopen_what_may(&app, &mut when);
        }
        if std::mem::take(&mut is_first) {
            // Beside the loop: what is ready comes first.
            let (app, beads) = (Arc::clone(&app), beads.clone());
            app.shutdown.clone().spawn(async move { earlier::take_up_strays(&app, &beads).await });
        }
    }
}

/// Opens the Beads door, for as long as that takes; says once what is wrong.
async fn open_door(app: &Arc<App>) -> Option<Beads> {
    loop {
        match Beads::open(app.beads_settings.clone()).await {
            Ok(beads) => {
                info!("beads: {}", beads.dialect());
                if let Some(warning) = beads.dialect().warning() {
                    warn!("{warning}");
                }
                app.board.mended(&Source::Beads);
                app.beads.send_replace(Some(beads.clone()));
                return Some(beads);
            }
            Err(error) => app.board.trouble(Source::Beads, trouble_text(&error)),
        }
        tokio::select! {
            () = app.shutdown.draining.cancelled() => return None,
            () = app.nudge.notified() => {}
            () = tokio::time::sleep(app.poll_interval.min(Duration::from_secs(5))) => {}
        }
    }
}

/// Finds out whether the ledger works again, when no line is there to notice.
fn check_ledger(app: &Arc<App>) {
    let app = Arc::clone(app);
    app.shutdown.clone().spawn(async move {
        if app.ledger.check().await.is_ok() {
            app.board.mended(&Source::Ledger);
        }
    });
}

/// Shows one bead to whoever asked, beside the loop.
fn answer(app: &Arc<App>, beads: &Beads, ask: Ask) {
    let signal = beads.signal().read();
    if let Some(known) = app.board.looks.still_true(&ask.bead, signal.as_deref()) {
        // Whoever asked may have gone; then nobody misses the answer.
        drop(ask.answer.send(Ok(Some(known))));
        return;
    }
    let begun = app.board.looks.begin(signal);
    let (app, beads) = (Arc::clone(app), beads.clone());
    app.shutdown.clone().spawn(async move {
        let shown = beads.show(&ask.bead).await;
        if let Ok(Some(bead)) = &shown {
            app.board.mended(&Source::Poisoned(bead.id.clone()));
            app.board.looks.keep(ask.bead, begun, bead.clone());
        }
        drop(ask.answer.send(shown));
    });
}

/// A gate that cannot be checked holds back its own bead only.
async fn check_gates(app: &App, beads: &Beads) {
    if let Err(error) = beads.check_gates().await {
        app.board.trouble(Source::Gates, trouble_text(&error));
    } else {
        app.board.mended(&Source::Gates);
    }
}

/// Lists the beads that are ready.
async fn list(app: &App, beads: &Beads) -> Came {
    let begun = Instant::now();
    let now = Timestamp::now();
    let listing = beads.ready(|bead| listed(bead, now)).await;
    let took = begun.elapsed();
    let came = match listing {
        Ok(Listing { items, dropped, poisoned, unreadable }) => {
            debug!(orders = items.len(), others = dropped, "listed");
            if unreadable > 0 {
                debug!("{unreadable} listed beads could not be read");
            }
            app.board.mended(&Source::Beads);
            app.board.mended(&Source::Listing);
            let stale = app.board.list(items, dropped, begun);
            for bead in poisoned {
                block_poisoned(app, beads, &bead).await;
            }
            if stale { Came::Stale } else { Came::Whole }
        }
        Err(error) => {
            app.board.trouble(Source::Listing, trouble_text(&error));
            Came::Failed
        }
    };
    app.metrics.work().listed(came.as_str(), took);
    came
}

fn listed(bead: Bead, now: Timestamp) -> Option<Listed> {
    let order = match order::read(&bead) {
        Read::NotOurs => return None,
        Read::Order(order) => Ok(order),
        Read::Broken { problem, .. } => {
            Err(BrokenOrder { bead: bead.id, title: bead.title, priority: bead.priority, problem })
        }
    };
    Some(Listed { order, first_seen: now })
}

/// The one exception to "a person's bead is never touched": it stops every listing.
async fn block_poisoned(app: &App, beads: &Beads, bead: &crate::beads::Poisoned) {
    let outcome = match beads.block_poisoned(&bead.id, &bead.error).await {
        Ok(()) => "it was set to blocked".to_owned(),
        Err(error) => format!("it could not be set to blocked: {error}"),
    };
    app.board.trouble(
        Source::Poisoned(bead.id.clone()),
        format!(
            "bead {} has a control character in its metadata and broke the listing of all beads; \
             {outcome} (write its metadata again, without control characters)",
            bead.id
        ),
    );
}

fn make_plan(app: &App) -> Arc<Planned> {
    let (active, recent_starts) = app.board.room();
    let (listed, _, _) = app.board.listing();
    let fleet = app.fleet.states();
    let now = Timestamp::now();
    let left_alone = left_alone(app, &fleet, now);
    let (intake, begun) = (app.intake(), Instant::now());
    let size_limit = app.beads.borrow().as_ref().and_then(|beads| beads.dialect().size_limit);
    let plan = plan::plan(&Snapshot {
        now,
        intake,
        listed: &listed,
        active: &active,
        fleet: &fleet,
        left_alone: &left_alone,
        routing: &app.routing,
        recent_starts,
        size_limit,
    });
    app.metrics.work().planned(begun.elapsed());
    let planned = Arc::new(Planned { at: now, listed, plan });
    app.board.keep_plan(Arc::clone(&planned));
    planned
}

type States = BTreeMap<ExecutorName, ExecutorState>;

/// Returns the runners whose circuit breaker lets nothing through, and until when.
fn left_alone(app: &App, fleet: &States, now: Timestamp) -> BTreeMap<ExecutorName, Timestamp> {
    let runners = fleet.iter().filter_map(|(name, state)| Some((name, state.runner_id()?)));
    let waits = runners.map(|(name, id)| (name, app.admission.wait(id)));
    waits
        .filter(|(_, wait)| !wait.is_zero())
        .map(|(name, wait)| (name.clone(), now + wait))
        .collect()
}

/// Whether a runner's circuit breaker lets this one through; while it is half open, one only.
fn is_admitted(app: &App, fleet: &States, executor: &ExecutorName) -> bool {
    let runner = fleet.get(executor).and_then(ExecutorState::runner_id);
    runner.is_none_or(|id| app.admission.admit(id).is_ok())
}

/// Begins a line for every bead that the plan decided about.
fn begin(app: &Arc<App>, planned: &Planned) {
    let mut blocking = app.board.blocking();
    let fleet = app.fleet.states();
    for (listed, decision) in planned.listed.iter().zip(&planned.plan.decisions) {
        let todo = match decision {
            Decision::Wait(_) | Decision::Active => continue,
            // The next plan says that it waits.
            Decision::Start { executor } if !is_admitted(app, &fleet, executor) => continue,
            Decision::Start { executor } => Todo::Offer(executor.clone()),
            // Each costs several Beads commands, and work must not wait behind thousands of them.
            Decision::Park { .. } | Decision::Block { .. } if blocking >= BLOCKED_AT_A_TIME => {
                continue;
            }
            Decision::Park { reason, candidates } => {
                let view = Reason { wait: *reason, names: &planned.plan.names }.view();
                Todo::Park { error: view.text, candidates: candidates.clone() }
            }
            Decision::Block { error, hint } => {
                Todo::Block { error: error.clone(), hint: hint.clone() }
            }
        };
        if !matches!(todo, Todo::Offer(_)) {
            blocking += 1;
        }
        if let (Todo::Offer(_), Ok(order)) = (&todo, &listed.order) {
            app.metrics.work().planned_start(&order.bead, order.created_at, listed.first_seen);
        }
        app.board.reserve(reservation(listed, &todo));
        let work = Work { order: listed.order.clone(), todo };
        app.shutdown.spawn(dispatch::begin(Arc::clone(app), work));
    }
}

/// The room that a start takes until the ledger knows it.
fn reservation(listed: &Listed, todo: &Todo) -> Active {
    let executor = match todo {
        Todo::Offer(executor) => Some(executor.clone()),
        Todo::Park { .. } | Todo::Block { .. } => None,
    };
    let (task_type, labels) = match &listed.order {
        Ok(order) => (order.task_type.clone(), order.labels.clone()),
        Err(_) => (String::new(), Vec::new()),
    };
    Active { bead: listed.bead().clone(), executor, task_type, labels }
}

/// Opens the beads again that we blocked for a reason that is gone.
fn reopen_what_may(app: &Arc<App>, when: &mut When) {
    let now = Timestamp::now();
    let fleet = app.fleet.states();
    let is_up =
        |name: &ExecutorName| fleet.get(name).is_some_and(|state| state.condition == Condition::Up);
    let can = |name: &ExecutorName, task_type: &str| {
        is_up(name) && fleet.get(name).is_some_and(|state| state.task(task_type).is_some())
    };
    for held in app.board.held() {
        if held.hold.not_before > now {
            when.plan_at(held.hold.not_before);
            continue;
        }
        // With all of them up and none that can, the plan says what is wrong.
        let names = &held.hold.executors;
        // A runner may have come in the place of one that is gone for good.
        let replaced = || {
            !names.iter().any(|name| app.routing.executors.contains_key(name))
                && plan::on_route(&app.routing, &fleet, &held.task_type)
                    .into_iter()
                    .any(|name| can(name, &held.task_type))
        };
        let may = names.iter().any(|name| can(name, &held.task_type))
            || names.iter().all(is_up)
            || replaced();
        if !may {
            continue;
        }
        let Some(held) = app.board.unhold(&held.bead) else { continue };
        let app = Arc::clone(app);
        app.shutdown.clone().spawn(async move {
            if let Err(error) = dispatch::reopen(&app, &held).await {
                app.board.trouble(Source::Beads, trouble_text(&error));
                let mut again = held;
                again.hold.not_before = Timestamp::now() + REOPEN_AGAIN;
                app.board.hold(again);
            }
        });
    }
}

/// Begins again every line that an earlier life left open, for as long as it takes to read them.
pub async fn resume_all(app: &Arc<App>) {
    let open = loop {
        match app.ledger.open().await {
            Ok(open) => break open,
            Err(error) => app.board.trouble(Source::Ledger, error.to_string()),
        }
        tokio::select! {
            () = app.shutdown.draining.cancelled() => return,
            () = tokio::time::sleep(LEDGER_AGAIN) => {}
        }
    };
    app.board.mended(&Source::Ledger);
    for attempt in open {
        info!(stage = attempt.stage.as_str(), "goes on with {}", attempt.bead);
        app.board.update(&attempt);
        app.shutdown.spawn(dispatch::resume(Arc::clone(app), attempt));
    }
}

/// Returns a trouble of the Beads CLI with its remedy, in one line.
pub fn trouble_text(error: &BeadsError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    match error.remedy() {
        Some(remedy) => format!("{text} ({remedy})"),
        None => text,
    }
}
