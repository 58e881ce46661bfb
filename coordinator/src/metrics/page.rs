//! The whole page, from what was counted and from what is true now.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use jiff::Timestamp;
use protocol::admission::BreakerState;

use super::families as f;
use super::text::{Format, Page};
use super::{Family, Gateway, Labelled, Metrics, runners};
use crate::app::App;
use crate::ledger::Stage;
use crate::plan::{Decision, Intake, Wait};

/// Stages of an attempt that is not over.
const OPEN_STAGES: [Stage; 6] =
    [Stage::Recorded, Stage::Claimed, Stage::Offered, Stage::Running, Stage::Ended, Stage::Lost];

/// Writes everything for one scrape.
pub fn page(app: &App, format: Format) -> String {
    let metrics = &app.metrics;
    let known = runners::Known {
        api_keys: app.keys.count(),
        expected_version: app.expected_version.current(),
        latest_version: app.update.latest(),
    };
    let snapshot = runners::snapshot(&app.runners.read(), &metrics.options);
    let uptime = Timestamp::now().duration_since(app.started).as_secs_f64();
    let mut page = Page::new(&metrics.options.prefix, format);
    snapshot.as_before(&mut page, &known, uptime);
    snapshot.as_promised(&mut page);
    tasks(&mut page, metrics, &snapshot);
    fleet(&mut page, app);
    beads(&mut page, app);
    attempts(&mut page, app);
    doors(&mut page, app);
    guards(&mut page, app);
    gateway(&mut page, &metrics.gateway);
    if let Some(bytes) = resident_memory() {
        page.one(&f::MEMORY, bytes);
    }
    page.finish()
}

/// Tasks of both kinds of runners: those with a list, and those that take `POST /execute`.
fn tasks(page: &mut Page, metrics: &Metrics, snapshot: &runners::Snapshot) {
    let work = &metrics.work;
    page.one(&f::TASKS_DISPATCHED, snapshot.dispatched + work.executed.load(Relaxed));
    let mut ended = BTreeMap::from([
        ("completed".to_owned(), snapshot.ended.completed),
        ("failed".to_owned(), snapshot.ended.failed),
    ]);
    work.executed_ends.each(|[status], count| {
        *ended.entry(status.to_owned()).or_default() += count;
    });
    for (status, count) in ended {
        page.sample(&f::TASKS_COMPLETED, &[("status", &status)], count);
    }
    for (change, count) in snapshot.changes {
        page.sample(&f::RUNNER_CHANGES, &[("change", change)], count);
    }
}

fn fleet(page: &mut Page, app: &App) {
    let states = app.fleet.states();
    let mut running: BTreeMap<&str, u64> = BTreeMap::new();
    let (active, _) = app.board.room();
    for name in active.iter().filter_map(|active| active.executor.as_ref()) {
        *running.entry(name.as_str()).or_default() += 1;
    }
    for (name, state) in states.iter() {
        let labels = [("executor", name.as_str()), ("state", state.condition.as_str())];
        page.sample(&f::FLEET_STATE, &labels, 1_u64);
    }
    for name in states.keys() {
        let count = running.get(name.as_str()).copied().unwrap_or_default();
        page.sample(&f::FLEET_RUNNING, &[("executor", name.as_str())], count);
    }
    for (name, state) in states.iter() {
        let limit = app.routing.executors.get(name).and_then(|entry| entry.limit);
        // The smaller of what the owner allows and what the executor says.
        let capacity = limit.into_iter().chain(state.capacity).min();
        if let Some(capacity) = capacity {
            page.sample(&f::FLEET_CAPACITY, &[("executor", name.as_str())], u64::from(capacity));
        }
    }
}

fn beads(page: &mut Page, app: &App) {
    let (listed, without_task_type, _) = app.board.listing();
    page.one(&f::BEADS_LISTED, listed.len() as u64 + without_task_type);
    page.one(&f::BEADS_READY, listed.len());
    let mut waiting: BTreeMap<&str, u64> = Wait::CODES.iter().map(|code| (*code, 0)).collect();
    if let Some(planned) = app.board.planned() {
        for decision in &planned.plan.decisions {
            if let Decision::Wait(wait) = decision {
                *waiting.entry(wait.code()).or_default() += 1;
            }
        }
    }
    for (reason, count) in waiting {
        page.sample(&f::BEADS_WAITING, &[("reason", reason)], count);
    }
    let open = app.board.stages();
    page.one(&f::BEADS_ACTIVE, open.iter().filter(|(stage, _)| *stage != Stage::Lost).count());
    page.one(&f::BEADS_HELD, app.board.held_count());
    let now = Timestamp::now();
    let oldest = listed.iter().map(|listed| listed.first_seen).min();
    page.one(&f::BEADS_OLDEST, oldest.map_or(0.0, |at| seconds_between(at, now)));
    for (since, times) in ["created", "listed"].iter().zip(&app.metrics.work.queue_times) {
        page.spread(&f::BEAD_QUEUE, &[("since", since)], &times.read());
    }
}

fn attempts(page: &mut Page, app: &App) {
    let (open, now) = (app.board.stages(), Timestamp::now());
    for stage in OPEN_STAGES {
        let count = open.iter().filter(|(other, _)| *other == stage).count();
        page.sample(&f::ATTEMPTS_OPEN, &[("stage", stage.as_str())], count);
    }
    let work = &app.metrics.work;
    counts(page, &f::ATTEMPTS_STARTED, ["executor"], &work.started);
    counts(page, &f::ATTEMPTS_ENDED, ["ending", "class"], &work.ended);
    counts(page, &f::ATTEMPTS_SETTLED, ["verdict"], &work.settled);
    work.durations.each(|[executor], spread| {
        page.spread(&f::ATTEMPT_TIMES, &[("executor", executor)], spread);
    });
    let outbox = open.iter().filter(|(stage, _)| *stage == Stage::Ended);
    page.one(&f::OUTBOX_WAITING, outbox.clone().count());
    let oldest = outbox.filter_map(|(_, ended)| *ended).min();
    page.one(&f::OUTBOX_OLDEST, oldest.map_or(0.0, |at| seconds_between(at, now)));
}

/// What the coordinator works through: the listing, the plan, the Beads CLI, the ledger.
fn doors(page: &mut Page, app: &App) {
    let work = &app.metrics.work;
    counts(page, &f::LISTINGS, ["result"], &work.listings);
    page.spread(&f::LISTING_TIMES, &[], &work.listing_times.read());
    if let (_, _, Some(at)) = app.board.listing() {
        page.one(&f::LISTED_AT, at.as_duration().as_secs_f64());
    }
    page.spread(&f::PLAN_TIMES, &[], &work.plan_times.read());

    let intake = app.intake();
    page.one(&f::INTAKE_OPEN, intake == Intake::Open);
    for state in Intake::ALL {
        page.sample(&f::INTAKE_STATE, &[("state", state.as_str())], state == intake);
    }
    page.one(&f::TROUBLES, app.board.troubles().len());

    let beads = app.beads.borrow().clone();
    if let Some(times) = beads.as_ref().map(crate::beads::Beads::times) {
        times.times.each(|[command], spread| {
            page.spread(&f::BEADS_COMMANDS, &[("command", command)], spread);
        });
        counts(page, &f::BEADS_FAILURES, ["command", "trouble"], &times.failures);
        page.one(&f::BEADS_QUEUE, times.waiting.load(Relaxed));
    }
    work.ledger.times.each(|[operation], spread| {
        page.spread(&f::LEDGER_TIMES, &[("operation", operation)], spread);
    });
    counts(page, &f::LEDGER_FAILURES, ["operation"], &work.ledger.failures);
}

fn guards(page: &mut Page, app: &App) {
    let number = |state| match state {
        BreakerState::Closed => 0_u64,
        BreakerState::HalfOpen => 1,
        BreakerState::Open => 2,
    };
    let global = app.admission.global_state();
    page.sample(&f::BREAKER_STATE, &[("scope", "global"), ("runner", "")], number(global));
    for (of, state) in app.admission.states() {
        let labels = [("scope", of.scope.as_str()), ("runner", of.runner.as_str())];
        page.sample(&f::BREAKER_STATE, &labels, number(state));
    }
    for state in [BreakerState::Closed, BreakerState::HalfOpen, BreakerState::Open] {
        let entered = app.admission.entered(state);
        page.sample(&f::BREAKER_CHANGES, &[("to", state.as_str())], entered);
    }
    let refused = app.keys.refused();
    for (why, count) in [
        ("unauthorized", refused.unauthorized),
        ("forbidden", refused.forbidden),
        ("throttled", refused.throttled),
        ("too_fast", refused.too_fast),
    ] {
        page.sample(&f::KEY_REFUSALS, &[("why", why)], count);
    }
    let hook = app.hook.counts();
    for (result, count) in [
        ("delivered", hook.delivered),
        ("failed", hook.failed),
        ("retried", hook.retried),
        ("dropped", hook.dropped),
    ] {
        page.sample(&f::HOOKS, &[("result", result)], count);
    }
}

fn gateway(page: &mut Page, gateway: &Gateway) {
    counts(page, &f::GATEWAY_REQUESTS, ["agent", "result"], &gateway.requests);
    gateway.times.each(|[agent], spread| {
        page.spread(&f::GATEWAY_TIMES, &[("agent", agent)], spread);
    });
    counts(page, &f::GATEWAY_RETRIES, ["agent"], &gateway.retries);
    counts(page, &f::GATEWAY_IN_FLIGHT, ["agent"], &gateway.in_flight);
    counts(page, &f::GATEWAY_AGENT_UP, ["agent"], &gateway.agent_up);
    let level = |value: &AtomicU64| value.load(Relaxed);
    page.one(&f::GATEWAY_QUEUE, level(&gateway.queued));
    page.one(&f::GATEWAY_QUEUE_LIMIT, level(&gateway.queue_limit));
    page.spread(&f::GATEWAY_QUEUE_TIMES, &[], &gateway.queue_times.read());
    page.one(&f::GATEWAY_CONCURRENCY, level(&gateway.concurrency));
    page.one(&f::GATEWAY_SESSIONS, level(&gateway.sessions));
    counts(page, &f::GATEWAY_HITS, ["agent"], &gateway.affinity_hits);
    counts(page, &f::GATEWAY_MOVES, ["agent"], &gateway.affinity_moves);
    let [least, most] = &gateway.instances;
    page.one(&f::GATEWAY_LEAST, level(least));
    page.one(&f::GATEWAY_MOST, level(most));
}

fn counts<const N: usize>(
    page: &mut Page,
    family: &'static Family,
    names: [&str; N],
    counts: &Labelled<u64, N>,
) {
    counts.each(|values, count| {
        let mut labels = [("", ""); N];
        for (label, pair) in labels.iter_mut().zip(names.into_iter().zip(values)) {
            *label = pair;
        }
        page.sample(family, &labels, *count);
    });
}

fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

/// Reads how much memory this process has; none where there is no `/proc`.
fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
