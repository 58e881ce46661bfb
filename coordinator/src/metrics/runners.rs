//! The families about what registered at the runner API.

use jiff::Timestamp;
use protocol::runner::RunnerStatus;
use tokio::time::Instant;

use super::Options;
use super::families as f;
use super::text::Page;
use crate::runners::{Ended, Registry, Runner};

/// The most of an update's log that is shown, from its end.
const LOG_CHARS: usize = 2000;
/// How a runner's update is called that has not been spoken of.
const IDLE: &str = "idle";

/// What is known beside the registry.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) api_keys: usize,
    pub(super) expected_version: Option<String>,
    pub(super) latest_version: Option<String>,
}

/// What the page shows of the registry: copied out, so that the registry is locked for no longer
/// than that takes.
#[derive(Debug)]
pub(super) struct Snapshot {
    rows: Vec<Row>,
    pub(super) dispatched: u64,
    pub(super) ended: Ended,
    pub(super) changes: [(&'static str, u64); 4],
}

#[derive(Debug)]
struct Row {
    id: String,
    name: String,
    version: String,
    status: RunnerStatus,
    /// Percent of the processors, percent and bytes of the memory, uptime.
    load: Option<(f64, f64, u64, f64)>,
    lease_ends: Option<f64>,
    running: usize,
    target: Option<String>,
    has_new_key: bool,
    update_status: Option<String>,
    update_log: Option<String>,
}

impl Snapshot {
    pub(super) fn of(registry: &Registry, with_log: bool) -> Self {
        let (wall, mono) = (Timestamp::now(), Instant::now());
        let comings = registry.comings;
        Self {
            rows: registry.all().map(|runner| Row::of(runner, with_log, wall, mono)).collect(),
            dispatched: registry.dispatched,
            ended: registry.ended,
            changes: [
                ("registered", comings.registered),
                ("returned", comings.returned),
                ("left", comings.left),
                ("lost", comings.lost),
            ],
        }
    }

    /// The families that existing dashboards query.
    pub(super) fn as_before(&self, page: &mut Page, known: &Known, uptime: f64) {
        let online = self.rows.iter().filter(|row| row.is_online()).count();
        page.one(&f::RUNNERS_TOTAL, self.rows.len());
        page.one(&f::RUNNERS_ONLINE, online);
        page.one(&f::RUNNERS_OFFLINE, self.rows.len() - online);
        page.one(&f::UPTIME, uptime);
        page.one(&f::TASKS_RUNNING, self.rows.iter().map(|row| row.running).sum::<usize>());
        page.one(&f::API_KEYS, known.api_keys);
        let own = env!("CARGO_PKG_VERSION");
        page.sample(&f::VERSION, &[("version", own)], 1_u64);
        if let Some(latest) = &known.latest_version {
            page.sample(&f::LATEST_VERSION, &[("current", own), ("latest", latest)], 1_u64);
        }
        if let Some(expected) = &known.expected_version {
            page.sample(&f::EXPECTED_VERSION, &[("version", expected)], 1_u64);
        }
        self.load(page);
        self.updates(page, known.expected_version.as_deref());
    }

    fn load(&self, page: &mut Page) {
        let loaded = || {
            let online = self.rows.iter().filter(|row| row.is_online());
            online.filter_map(|row| row.load.map(|load| (row, load)))
        };
        // Two documents, two label sets: one series with all of them.
        for (row, (cpu, ..)) in loaded() {
            page.sample(&f::RUNNER_CPU, &row.both_names(), cpu);
        }
        for (row, (_, memory, ..)) in loaded() {
            page.sample(&f::RUNNER_MEMORY, &row.both_names(), memory);
        }
        for (row, (_, _, used, _)) in loaded() {
            page.sample(&f::RUNNER_MEMORY_USED, &row.names(), used);
        }
    }

    fn updates(&self, page: &mut Page, expected: Option<&str>) {
        for row in &self.rows {
            let [runner, name] = row.names();
            page.sample(&f::RUNNER_VERSION, &[runner, name, ("version", &row.version)], 1_u64);
        }
        if let Some(expected) = expected {
            for row in self.rows.iter().filter(|row| row.version != expected) {
                let [runner, name] = row.names();
                let versions = [("current", row.version.as_str()), ("expected", expected)];
                let [current, expected] = versions;
                page.sample(&f::RUNNER_OUTDATED, &[runner, name, current, expected], 1_u64);
            }
        }
        for row in &self.rows {
            let Some(target) = &row.target else { continue };
            let [runner, name] = row.names();
            let labels =
                [runner, name, ("current_version", &row.version), ("target_version", target)];
            page.sample(&f::RUNNER_PENDING_UPDATE, &labels, 1_u64);
        }
        for row in self.rows.iter().filter(|row| row.has_new_key) {
            page.sample(&f::RUNNER_PENDING_KEY, &row.names(), 1_u64);
        }
        for row in &self.rows {
            let Some(status) = row.update_status.as_deref().filter(|word| *word != IDLE) else {
                continue;
            };
            let [runner, name] = row.names();
            page.sample(&f::RUNNER_UPDATE_STATUS, &[runner, name, ("status", status)], 1_u64);
        }
        for row in &self.rows {
            let Some(log) = row.update_log.as_deref().filter(|log| !log.is_empty()) else {
                continue;
            };
            let status = row.update_status.as_deref().unwrap_or(IDLE);
            let [runner, name] = row.names();
            let labels = [runner, name, ("status", status), ("log", log)];
            page.sample(&f::RUNNER_UPDATE_LOG, &labels, 1_u64);
        }
    }

    /// The families that the documents promised.
    pub(super) fn as_promised(&self, page: &mut Page) {
        page.one(&f::RUNNERS_REGISTERED, self.rows.len());
        for row in &self.rows {
            let labels = [
                ("runner_id", row.id.as_str()),
                ("name", &row.name),
                ("version", &row.version),
                ("status", row.status.as_str()),
            ];
            page.sample(&f::RUNNER_INFO, &labels, 1_u64);
        }
        for row in self.rows.iter().filter(|row| row.is_online()) {
            if let Some((.., uptime)) = row.load {
                page.sample(&f::RUNNER_UPTIME, &[("runner_id", &row.id)], uptime);
            }
        }
        for row in self.rows.iter().filter(|row| row.is_online()) {
            if let Some(ends) = row.lease_ends {
                page.sample(&f::RUNNER_LEASES, &[("runner_id", &row.id)], ends);
            }
        }
        for row in &self.rows {
            page.sample(&f::RUNNER_TASKS, &[("runner_id", &row.id)], row.running);
        }
    }
}

impl Row {
    fn of(runner: &Runner, with_log: bool, wall: Timestamp, mono: Instant) -> Self {
        let load = runner.resources.as_ref().map(|resources| {
            let memory = &resources.memory;
            (resources.cpu.percent, memory.percent, memory.used, resources.uptime)
        });
        let lease_ends = runner.lease_ends.map(|ends| {
            let left = ends.saturating_duration_since(mono).as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "a time in this age fits")]
            let now = wall.as_millisecond() as f64 / 1000.0;
            ((now + left) * 1000.0).round() / 1000.0
        });
        let log = runner.update_log.as_deref().filter(|_| with_log);
        Self {
            id: runner.id.clone(),
            name: runner.name.clone(),
            version: runner.version.clone(),
            status: runner.status,
            load,
            lease_ends,
            running: runner.running,
            target: runner.pending_update().map(|update| update.version),
            has_new_key: runner.key_push.is_some(),
            update_status: runner.update_status.clone(),
            update_log: log.map(|log| tail(log).to_owned()),
        }
    }

    fn is_online(&self) -> bool {
        self.status == RunnerStatus::Online
    }

    fn names(&self) -> [(&str, &str); 2] {
        [("runner", &self.id), ("name", &self.name)]
    }

    fn both_names(&self) -> [(&str, &str); 3] {
        [("runner", &self.id), ("name", &self.name), ("runner_id", &self.id)]
    }
}

fn tail(log: &str) -> &str {
    let before = log.chars().count().saturating_sub(LOG_CHARS);
    log.char_indices().nth(before).map_or("", |(at, _)| &log[at..])
}

/// Takes a copy of the registry for one page.
pub(super) fn snapshot(registry: &Registry, options: &Options) -> Snapshot {
    Snapshot::of(registry, options.update_log)
}
