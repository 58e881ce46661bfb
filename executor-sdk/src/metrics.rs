//! Counters, and how Prometheus reads them (text format 0.0.4).
//!
//! Labels are task types, statuses and refusal codes only: never a task id, an attempt or a URL.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::execute::Ending;
use protocol::refusal::RefusalCode;

/// The content type of the text format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the durations' buckets, in seconds.
const BUCKETS: [f64; 9] = [0.01, 0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];

/// What has happened since the process started.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    // No `.await` while it is held.
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    started: BTreeMap<String, u64>,
    ended: BTreeMap<(String, &'static str), u64>,
    durations: BTreeMap<String, Durations>,
    refused: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
struct Durations {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

/// What is true at the moment of a scrape.
#[derive(Debug)]
pub(crate) struct Now<'a> {
    pub(crate) executor: &'a str,
    pub(crate) version: &'a str,
    pub(crate) running: usize,
    pub(crate) capacity: u32,
    pub(crate) is_draining: bool,
    pub(crate) uptime: f64,
}

impl Metrics {
    pub(crate) fn started(&self, task_type: &str) {
        *self.counts().started.entry(task_type.to_owned()).or_default() += 1;
    }

    pub(crate) fn ended(&self, task_type: &str, ending: Ending, seconds: f64) {
        let mut counts = self.counts();
        *counts.ended.entry((task_type.to_owned(), ending.as_str())).or_default() += 1;
        let durations = counts.durations.entry(task_type.to_owned()).or_default();
        durations.count += 1;
        durations.sum += seconds;
        for (bucket, bound) in durations.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(seconds <= bound);
        }
    }

    pub(crate) fn refused(&self, code: RefusalCode) {
        // The word on the wire.
        let word = serde_json::to_value(code).ok();
        let word = word.as_ref().and_then(serde_json::Value::as_str).unwrap_or("unknown");
        *self.counts().refused.entry(word.to_owned()).or_default() += 1;
    }

    /// Writes everything for a scrape.
    pub(crate) fn text(&self, now: &Now<'_>) -> String {
        let mut page = Page::default();
        let counts = self.counts();

        page.family("info", "gauge", "The executor and its version.");
        page.line("info", &[("executor", now.executor), ("version", now.version)], 1.0);
        page.family("uptime_seconds", "gauge", "Seconds since the process started.");
        page.line("uptime_seconds", &[], now.uptime);
        page.family("draining", "gauge", "1 while it takes no new work.");
        page.line("draining", &[], f64::from(u8::from(now.is_draining)));
        page.family("capacity", "gauge", "How many tasks may run at a time.");
        page.line("capacity", &[], f64::from(now.capacity));
        page.family("running", "gauge", "How many tasks run.");
        page.line("running", &[], whole(now.running as u64));

        page.family("tasks_started_total", "counter", "Tasks that were started.");
        for (kind, count) in &counts.started {
            page.line("tasks_started_total", &[("type", kind)], whole(*count));
        }
        page.family("tasks_ended_total", "counter", "Tasks that ended, by how they did.");
        for ((kind, status), count) in &counts.ended {
            page.line("tasks_ended_total", &[("type", kind), ("status", status)], whole(*count));
        }
        page.family("refusals_total", "counter", "Orders that were refused, by code.");
        for (code, count) in &counts.refused {
            page.line("refusals_total", &[("code", code)], whole(*count));
        }
        page.family("task_duration_seconds", "histogram", "How long tasks ran.");
        for (kind, durations) in &counts.durations {
            page.histogram("task_duration_seconds", kind, durations);
        }
        page.text
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::cast_precision_loss, reason = "the format knows floating point only")]
fn whole(count: u64) -> f64 {
    count as f64
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let name = full(name);
        let _: Result<(), _> = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(&full(name));
        for (at, (label, value)) in labels.iter().enumerate() {
            self.text.push(if at == 0 { '{' } else { ',' });
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _: Result<(), _> = write!(self.text, "{label}=\"{value}\"");
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _: Result<(), _> = writeln!(self.text, " {value}");
    }

    fn histogram(&mut self, name: &str, kind: &str, durations: &Durations) {
        let bucket = format!("{name}_bucket");
        for (count, bound) in durations.buckets.iter().zip(BUCKETS) {
            self.line(&bucket, &[("type", kind), ("le", &bound.to_string())], whole(*count));
        }
        self.line(&bucket, &[("type", kind), ("le", "+Inf")], whole(durations.count));
        self.line(&format!("{name}_sum"), &[("type", kind)], durations.sum);
        self.line(&format!("{name}_count"), &[("type", kind)], whole(durations.count));
    }
}

fn full(name: &str) -> String {
    format!("yggdrasil_executor_{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_counts_by_type_status_and_code() {
        let metrics = Metrics::default();
        metrics.started("plex-scan");
        metrics.ended("plex-scan", Ending::TimedOut, 2.0);
        metrics.refused(RefusalCode::UnknownTask);

        let page = metrics.text(&Now {
            executor: "muninn-executor",
            version: "1.0 \"x\"",
            running: 0,
            capacity: 4,
            is_draining: false,
            uptime: 1.5,
        });

        for line in [
            "# TYPE yggdrasil_executor_tasks_ended_total counter",
            "yggdrasil_executor_info{executor=\"muninn-executor\",version=\"1.0 \\\"x\\\"\"} 1",
            "yggdrasil_executor_tasks_started_total{type=\"plex-scan\"} 1",
            "yggdrasil_executor_tasks_ended_total{type=\"plex-scan\",status=\"timed_out\"} 1",
            "yggdrasil_executor_refusals_total{code=\"unknown_task\"} 1",
            "yggdrasil_executor_task_duration_seconds_bucket{type=\"plex-scan\",le=\"1\"} 0",
            "yggdrasil_executor_task_duration_seconds_bucket{type=\"plex-scan\",le=\"5\"} 1",
            "yggdrasil_executor_task_duration_seconds_bucket{type=\"plex-scan\",le=\"+Inf\"} 1",
            "yggdrasil_executor_uptime_seconds 1.5",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
    }
}
