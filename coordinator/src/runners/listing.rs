//! The list of all runners as JSON, written straight from the registry, and once per change.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use indexmap::IndexMap;
use protocol::runner::{RealmTemplate, RunnerStatus, SystemResources};
use serde::{Serialize, Serializer};

use super::record::{Runner, Task};

/// The last list that was written, and the edition of the registry that it shows.
#[derive(Debug, Default)]
pub(super) struct Listing(Mutex<Option<(u64, Bytes)>>);

impl Listing {
    /// Returns the list of this edition, if it was written already.
    pub(super) fn of(&self, edition: u64) -> Option<Bytes> {
        let written = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        written.as_ref().filter(|(of, _)| *of == edition).map(|(_, list)| list.clone())
    }

    pub(super) fn keep(&self, edition: u64, list: &Bytes) {
        let mut written = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if written.as_ref().is_none_or(|(of, _)| *of < edition) {
            *written = Some((edition, list.clone()));
        }
    }
}

/// `GET /api/runners`, as [`protocol::runner::RunnerList`] describes it.
#[derive(Serialize)]
struct Document<'a> {
    runners: Rows<'a>,
    count: usize,
}

/// [`Runner::listed`] without a copy.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    runner_id: &'a str,
    name: &'a str,
    endpoint: &'a str,
    version: &'a str,
    capabilities: &'a [String],
    realm_templates: &'a [RealmTemplate],
    labels: &'a BTreeMap<String, String>,
    last_heartbeat: String,
    status: RunnerStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<&'a SystemResources>,
    tasks: Tasks<'a>,
}

struct Rows<'a>(&'a [&'a Runner]);

struct Tasks<'a>(&'a IndexMap<String, Task>);

/// Writes the list.
pub(super) fn write<'a>(runners: impl Iterator<Item = &'a Runner>, guess: usize) -> Bytes {
    let runners: Vec<&Runner> = runners.collect();
    let mut text = Vec::with_capacity(guess);
    let document = Document { runners: Rows(&runners), count: runners.len() };
    // Text, numbers and maps with text keys: JSON can always hold them, and a Vec always grows.
    if let Err(problem) = serde_json::to_writer(&mut text, &document) {
        tracing::error!("the list of runners cannot be written: {problem}");
    }
    text.into()
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|runner| Row {
            runner_id: &runner.id,
            name: &runner.name,
            endpoint: &runner.endpoint,
            version: &runner.version,
            capabilities: &runner.capabilities,
            realm_templates: &runner.realm_templates,
            labels: &runner.labels,
            last_heartbeat: protocol::runner::iso(runner.last_heartbeat),
            status: runner.status,
            resources: runner.resources.as_ref(),
            tasks: Tasks(&runner.tasks),
        }))
    }
}

impl Serialize for Tasks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.values().map(|task| &task.wire))
    }
}

#[cfg(test)]
mod tests {
    use protocol::runner::{NewRunnerTask, RegisterRunner, RunnerList};
    use serde_json::json;

    use super::super::{Changes, Limits, Moment, Registry};
    use super::*;

    #[test]
    fn the_list_is_what_the_protocol_says_byte_for_byte() {
        let mut registry = Registry::new(Limits::default());
        let mut changes = Changes::default();
        let now = Moment::now();
        let body: RegisterRunner = serde_json::from_value(json!({
            "runnerId": "r1", "name": "one", "capabilities": ["http"],
            "labels": {"zone": "a"}, "realmTemplates": [{"id": "u", "type": "ubuntu"}],
            "resources": {"cpu": {"load1": 1.5, "cpus": 2}}
        }))
        .unwrap();
        registry.register(body, String::new, now, &mut changes).unwrap();
        let second = RegisterRunner { runner_id: Some("r2".to_owned()), ..Default::default() };
        registry.register(second, String::new, now, &mut changes).unwrap();
        let task = NewRunnerTask { task_id: Some("t".to_owned()), ..Default::default() };
        registry.create_task("r1", task, String::new, now, &mut changes).unwrap();

        let runners: Vec<_> = registry.all().map(Runner::listed).collect();
        let expected = RunnerList { count: runners.len(), runners };

        assert_eq!(
            String::from_utf8(write(registry.all(), 0).to_vec()).unwrap(),
            serde_json::to_string(&expected).unwrap()
        );
    }

    #[test]
    fn an_older_list_never_takes_the_place_of_a_newer_one() {
        let listing = Listing::default();
        listing.keep(2, &Bytes::from_static(b"new"));
        listing.keep(1, &Bytes::from_static(b"old"));

        assert_eq!((listing.of(1), listing.of(2)), (None, Some(Bytes::from_static(b"new"))));
    }
}
