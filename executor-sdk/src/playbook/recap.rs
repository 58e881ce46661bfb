//! What our callback plugin wrote during a playbook run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The result of a playbook, the `data` of its outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Recap {
    /// The counts per host; empty until the end of the run.
    pub(super) hosts: BTreeMap<String, Counts>,
    /// How many tasks changed something, over all hosts.
    pub(super) changed: u64,
    /// What failed, in the order in which it did.
    pub(super) failed_tasks: Vec<FailedTask>,
    #[serde(skip)]
    pub(super) is_complete: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Counts {
    ok: u64,
    changed: u64,
    unreachable: u64,
    failed: u64,
    skipped: u64,
    rescued: u64,
    ignored: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct FailedTask {
    pub(super) host: String,
    pub(super) task: String,
    pub(super) message: String,
    pub(super) unreachable: bool,
}

#[derive(Deserialize)]
struct Line {
    event: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    task: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    hosts: BTreeMap<String, Counts>,
}

impl Recap {
    /// Reads the plugin's lines; a line that was cut by a kill is left out.
    pub(super) fn read(text: &str) -> Self {
        let mut recap = Self::default();
        for line in text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
            match line.event.as_str() {
                "failed" | "unreachable" => recap.failed_tasks.push(FailedTask {
                    host: line.host,
                    task: line.task,
                    message: line.message,
                    unreachable: line.event == "unreachable",
                }),
                "stats" => {
                    recap.changed = line.hosts.values().map(|counts| counts.changed).sum();
                    recap.hosts = line.hosts;
                    recap.is_complete = true;
                }
                _ => {}
            }
        }
        recap
    }

    /// Says in one line what went wrong.
    ///
    /// A failure inside a `block` with a `rescue` is told by the plugin as well, so the last one
    /// is the one that ended the run.
    pub(super) fn trouble(&self) -> Option<String> {
        let last = self.failed_tasks.last()?;
        let what = if last.unreachable {
            format!("host `{}` is unreachable", last.host)
        } else {
            format!("task `{}` failed on `{}`", last.task, last.host)
        };
        let colon = if last.message.is_empty() { "" } else { ": " };
        Some(format!("{what}{colon}{}", last.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_a_recap() {
        let recap = Recap::read(concat!(
            "{\"event\": \"start\"}\n",
            "{\"event\":\"failed\",\"host\":\"thor\",\"task\":\"copy\",\"message\":\"disk full\"}\n",
            "{\"event\":\"stats\",\"hosts\":{\"thor\":{\"ok\":1,\"changed\":2,\"failed\":1},",
            "\"loki\":{\"changed\":1}}}\n",
            "{\"event\":\"fai",
        ));

        assert!(recap.is_complete);
        assert_eq!(recap.changed, 3);
        assert_eq!(recap.hosts["thor"].failed, 1);
        assert_eq!(recap.trouble().unwrap(), "task `copy` failed on `thor`: disk full");
    }

    #[test]
    fn an_unreachable_host_is_named() {
        let recap = Recap::read(
            "{\"event\":\"unreachable\",\"host\":\"thor\",\"task\":\"x\",\"message\":\"no route\"}",
        );

        assert!(!recap.is_complete);
        assert_eq!(recap.trouble().unwrap(), "host `thor` is unreachable: no route");
    }
}
