//! When to look at the beads, and what to do with what is there.
//!
//! One loop lists the beads when something was written (a change signal), somebody nudged
//! (`POST /poll`), a moment came, or the interval is over; makes a plan; and begins a line for
//! each bead that the plan decides about.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info};

use crate::app::{App, Ask};
use crate::beads::{Adoption, Bead, Beads, BeadsError, Block, Listing};
use crate::board::{Held, Planned, Source};
use crate::dispatch::{self, Todo, Work};
use crate::fleet::Condition;
use crate::ledger::{Hold, Stage};
use crate::order::{self, Read};
use crate::plan::{self, Active, BrokenOrder, Decision, Intake, Listed, Plan, Reason, Snapshot};
use crate::routing::ExecutorName;
use crate::settle::Class;

/// Between two looks at the change signal; one small read each.
const TICK: Duration = Duration::from_millis(100);
/// A write is over when nothing has moved for this long.
const QUIET: Duration = Duration::from_millis(200);
/// A store that never comes to rest is listed all the same.
const RESTLESS: Duration = Duration::from_millis(800);
/// Between two listings.
const LEAST: Duration = Duration::from_millis(500);
/// Between two listings while more is known ready than can start.
const LEAST_WITH_BACKLOG: Duration = Duration::from_secs(5);
/// Between two listings while they fail.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Between two tries to reopen a bead that could not be reopened.
const REOPEN_AGAIN: Duration = Duration::from_secs(5);

/// Lists, plans and begins, until the coordinator stops.
pub async fn run(app: Arc<App>, mut asks: mpsc::Receiver<Ask>) {
    let Some(beads) = open_door(&app).await else { return };
    take_up_again(&app, &beads).await;
    let mut when = When::new();
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
        if when.is_due() {
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
    }
}

/// Opens the Beads door, for as long as that takes; says once what is wrong.
async fn open_door(app: &Arc<App>) -> Option<Beads> {
    loop {
        match Beads::open(app.beads_settings.clone()).await {
            Ok(beads) => {
                info!("beads: {}", beads.dialect());
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

/// Goes on with what earlier lives of a coordinator began, ours and others'.
async fn take_up_again(app: &Arc<App>, beads: &Beads) {
    match app.ledger.held().await {
        Ok(held) => {
            for attempt in held {
                if let Some(hold) = attempt.hold.clone() {
                    app.board.hold(Held {
                        bead: attempt.bead.clone(),
                        title: attempt.title.clone(),
                        hold,
                        attempt: Some(attempt),
                    });
                }
            }
        }
        Err(error) => app.board.trouble(Source::Ledger, error.to_string()),
    }
    match beads.labelled_blocked(Class::Waiting.label()).await {
        Ok(waiting) => {
            for bead in waiting {
                if app.board.held_of(&bead.id).is_none() {
                    app.board.hold(foreign_hold(app, bead));
                }
            }
        }
        Err(error) => app.board.trouble(Source::Beads, trouble_text(&error)),
    }
    match beads.mine().await {
        Ok(mine) => {
            for bead in mine {
                settle_stray(app, beads, &bead).await;
            }
        }
        Err(error) => app.board.trouble(Source::Beads, trouble_text(&error)),
    }
}

/// A bead that is claimed under our name, and that no open attempt of the ledger accounts for.
async fn settle_stray(app: &App, beads: &Beads, bead: &Bead) {
    let Some(attempt) = bead.attempt() else { return };
    if app.board.active_of(&bead.id).is_some() {
        return;
    }
    let known = match app.ledger.attempt(attempt).await {
        Ok(known) => known,
        Err(error) => return app.board.trouble(Source::Ledger, error.to_string()),
    };
    let claim = match beads.adopt(&bead.id, attempt).await {
        Ok(Adoption::Ours(claim, _)) => claim,
        Ok(Adoption::NotOurs { .. } | Adoption::Gone) => return,
        Err(error) => return app.board.trouble(Source::Beads, trouble_text(&error)),
    };
    let written = match known {
        // Given back in the ledger, and the write was lost on the way.
        Some(known) if known.stage == Stage::Dropped => beads.release(claim).await,
        Some(_) => return,
        // A ledger from a backup: nobody knows whether it runs.
        None => {
            let note = format!(
                "claimed under this coordinator's name, but its ledger does not know attempt \
                 {attempt}: make sure that it does not run any more, then set the status to open \
                 and clear the assignee"
            );
            let block = Block { label: Class::Lost.label(), note, metadata: Vec::new() };
            beads.block(claim, &block).await
        }
    };
    match written {
        Ok(()) => info!("{} was claimed and forgotten: settled", bead.id),
        Err(unsettled) => app.board.trouble(Source::Beads, trouble_text(&unsettled.error)),
    }
}

/// A bead that the coordinator of another ledger would have reopened.
fn foreign_hold(app: &App, bead: Bead) -> Held {
    let retry_at = bead.metadata.get("retry_at").and_then(|at| at.as_str());
    let executors = match order::read(&bead) {
        Read::Order(order) => match order.executor.as_deref().map(|name| app.routing.named(name)) {
            Some(named) => named.cloned().into_iter().collect(),
            None => app.routing.route(&order.task_type).unwrap_or_default().to_vec(),
        },
        Read::NotOurs | Read::Broken { .. } => Vec::new(),
    };
    Held {
        hold: Hold {
            not_before: retry_at.and_then(|at| at.parse().ok()).unwrap_or(app.started),
            executors,
            label: Class::Waiting.label().to_owned(),
        },
        bead: bead.id,
        title: bead.title,
        attempt: None,
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
    let beads = beads.clone();
    app.shutdown.spawn(async move {
        // Whoever asked may have gone; then nobody misses the answer.
        drop(ask.answer.send(beads.show(&ask.bead).await));
    });
}

/// Lists the beads that are ready; whether that worked.
async fn list(app: &App, beads: &Beads) -> bool {
    let begun = Instant::now();
    let now = Timestamp::now();
    let listing = beads.ready(|bead| listed(bead, now)).await;
    match listing {
        Ok(Listing { items, dropped, poisoned, unreadable }) => {
            debug!(orders = items.len(), others = dropped, "listed");
            if unreadable > 0 {
                debug!("{unreadable} listed beads could not be read");
            }
            app.board.mended(&Source::Beads);
            app.board.list(items, dropped, begun);
            let ids: HashSet<_> = poisoned.iter().map(|bead| bead.id.clone()).collect();
            app.board.still_poisoned(&ids);
            for bead in poisoned {
                block_poisoned(app, beads, &bead).await;
            }
            true
        }
        Err(error) => {
            app.board.trouble(Source::Beads, trouble_text(&error));
            false
        }
    }
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
    let intake =
        if app.shutdown.draining.is_cancelled() { Intake::Draining } else { app.board.intake() };
    let size_limit = app.beads.borrow().as_ref().and_then(|beads| beads.dialect().size_limit);
    let plan = plan::plan(&Snapshot {
        now,
        intake,
        listed: &listed,
        active: &active,
        fleet: &fleet,
        routing: &app.routing,
        recent_starts,
        size_limit,
    });
    let planned = Arc::new(Planned { at: now, listed, plan });
    app.board.keep_plan(Arc::clone(&planned));
    planned
}

/// Begins a line for every bead that the plan decided about.
fn begin(app: &Arc<App>, planned: &Planned) {
    for (listed, decision) in planned.listed.iter().zip(&planned.plan.decisions) {
        let todo = match decision {
            Decision::Wait(_) | Decision::Active => continue,
            Decision::Start { executor } => Todo::Offer(executor.clone()),
            Decision::Park { reason, candidates } => {
                let view = Reason { wait: *reason, names: &planned.plan.names }.view();
                Todo::Park { error: view.text, candidates: candidates.clone() }
            }
            Decision::Block { error, hint } => {
                Todo::Block { error: error.clone(), hint: hint.clone() }
            }
        };
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
    for held in app.board.held() {
        if held.hold.not_before > now {
            when.plan_at(held.hold.not_before);
            continue;
        }
        if !held.hold.executors.is_empty() && !held.hold.executors.iter().any(is_up) {
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

/// Begins again every line that an earlier life left open.
pub async fn resume_all(app: &Arc<App>) {
    match app.ledger.open().await {
        Ok(open) => {
            for attempt in open {
                info!(stage = attempt.stage.as_str(), "goes on with {}", attempt.bead);
                debug_assert!(!matches!(attempt.stage, Stage::Settled | Stage::Dropped));
                app.board.update(&attempt);
                app.shutdown.spawn(dispatch::resume(Arc::clone(app), attempt));
            }
        }
        Err(error) => app.board.trouble(Source::Ledger, error.to_string()),
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

/// When the next listing and the next plan are due.
#[expect(clippy::struct_excessive_bools, reason = "five events that come and go by themselves")]
#[derive(Debug)]
struct When {
    plan_is_due: bool,
    plan_at: Option<Timestamp>,
    has_backlog: bool,
    /// What the change signal said before the last listing.
    known: Option<Vec<u8>>,
    /// What it said at the last look, and since when.
    seen: Option<Vec<u8>>,
    seen_since: Instant,
    /// Since when it says something that no listing knows.
    changed_since: Option<Instant>,
    last_begun: Option<Instant>,
    /// The interval is over, or a moment has come.
    asked: bool,
    /// Somebody wants a listing now.
    nudged: bool,
    /// The last listing did not work.
    failed: bool,
    ledger_tried: Option<Instant>,
}

impl When {
    fn new() -> Self {
        Self {
            plan_is_due: true,
            plan_at: None,
            has_backlog: false,
            known: None,
            seen: None,
            seen_since: Instant::now(),
            changed_since: None,
            last_begun: None,
            asked: true,
            nudged: false,
            failed: false,
            ledger_tried: None,
        }
    }

    /// Takes note of the change signal.
    fn look(&mut self, signal: Option<Vec<u8>>) {
        if signal != self.seen {
            self.seen = signal;
            self.seen_since = Instant::now();
        }
        if self.seen.is_none() || self.seen == self.known {
            self.changed_since = None;
        } else if self.changed_since.is_none() {
            self.changed_since = Some(Instant::now());
        }
    }

    /// Takes note of moments that come without an event; whether the ledger should be tried.
    fn moments(&mut self, app: &App) -> bool {
        let now = Timestamp::now();
        let interval =
            if self.failed { app.poll_interval.min(AFTER_FAILURE) } else { app.poll_interval };
        if self.last_begun.is_none_or(|at| at.elapsed() >= interval)
            || app.board.moment_has_come(now)
        {
            self.asked = true;
        }
        if self.plan_at.is_some_and(|at| at <= now) {
            self.plan_at = None;
            self.plan_is_due = true;
        }
        let try_ledger = app.board.has_trouble(&Source::Ledger)
            && self.ledger_tried.is_none_or(|at| at.elapsed() >= AFTER_FAILURE);
        if try_ledger {
            self.ledger_tried = Some(Instant::now());
        }
        try_ledger
    }

    fn is_due(&self) -> bool {
        let settled = self
            .changed_since
            .is_some_and(|since| self.seen_since.elapsed() >= QUIET || since.elapsed() >= RESTLESS);
        let patient = self.has_backlog && !self.nudged;
        let least = if patient { LEAST_WITH_BACKLOG } else { LEAST };
        (self.nudged || self.asked || settled)
            && self.last_begun.is_none_or(|at| at.elapsed() >= least)
    }

    fn listing_begins(&mut self, signal: Option<Vec<u8>>) {
        self.known.clone_from(&signal);
        self.seen = signal;
        self.changed_since = None;
        self.last_begun = Some(Instant::now());
        self.asked = false;
        self.nudged = false;
    }

    fn listing_ended(&mut self, worked: bool) {
        self.failed = !worked;
        self.plan_is_due = true;
    }

    fn planned(&mut self, planned: &Planned) {
        let plan: &Plan = &planned.plan;
        self.has_backlog = plan.has_backlog();
        self.plan_at = plan.wake_at;
    }

    fn plan_at(&mut self, at: Timestamp) {
        self.plan_at = Some(self.plan_at.map_or(at, |known| known.min(at)));
    }
}
