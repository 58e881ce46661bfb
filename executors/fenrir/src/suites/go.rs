//! The counts of `go test -json`: one event on each line.

use std::collections::{BTreeMap, BTreeSet};

use executor_sdk::prelude::*;

use super::Counts;

/// What an event tells, as far as counting and showing need it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Event {
    action: String,
    package: String,
    test: String,
    failed_build: String,
    /// What was printed.
    pub(crate) output: String,
}

impl Event {
    /// Reads a line; one that is no event was printed by something else.
    pub(crate) fn read(line: &str) -> Option<Self> {
        Self::deserialize(line.parse::<Value>().ok()?).ok()
    }
}

/// Counts tests and the innermost of their subtests; `None` where there is no event at all.
///
/// A package that fails without a failed test (it does not build, it exits) counts as one failure.
pub(super) fn counts(events: &str) -> Option<Counts> {
    let mut ended: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut running = BTreeSet::new();
    let mut failed_packages = BTreeMap::new();
    let mut any = false;
    for event in events.lines().filter_map(Event::read) {
        any = true;
        let is_end = ["pass", "fail", "skip"].contains(&event.action.as_str());
        if event.test.is_empty() {
            if event.action == "fail" {
                failed_packages.insert(event.package, !event.failed_build.is_empty());
            }
        } else if is_end {
            let test = (event.package, event.test);
            running.remove(&test);
            ended.insert(test, event.action);
        } else if event.action == "run" {
            running.insert((event.package, event.test));
        }
    }
    // A test that panics, or runs when the time is up, has no end of its own.
    for test in running {
        ended.insert(test, "fail".to_owned());
    }
    any.then(|| add_up(&ended, failed_packages))
}

fn add_up(
    ended: &BTreeMap<(String, String), String>,
    mut failed_packages: BTreeMap<String, bool>,
) -> Counts {
    let mut counts = Counts::default();
    let mut outer = BTreeSet::new();
    // Those whose failure is told by a subtest.
    let mut told = BTreeSet::new();
    for ((package, test), action) in ended {
        for (slash, _) in test.match_indices('/') {
            let parent = (package.as_str(), &test[..slash]);
            outer.insert(parent);
            if action == "fail" {
                told.insert(parent);
            }
        }
    }
    for ((package, test), action) in ended {
        let key = (package.as_str(), test.as_str());
        match action.as_str() {
            "fail" => {
                failed_packages.remove(package);
                if !told.contains(&key) {
                    counts.failed += 1;
                    counts.failed_tests.push(format!("{package}.{test}"));
                }
            }
            _ if outer.contains(&key) => {}
            "pass" => counts.passed += 1,
            _ => counts.skipped += 1,
        }
    }
    for (package, is_build) in failed_packages {
        counts.failed += 1;
        let why = if is_build { " [does not build]" } else { "" };
        counts.failed_tests.push(format!("{package}{why}"));
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str, test: &str) -> String {
        let mut event = json!({"Action": action, "Package": "x/p"});
        if !test.is_empty() {
            event["Test"] = json!(test);
        }
        format!("{event}\n")
    }

    #[test]
    fn a_test_with_subtests_is_counted_by_them() {
        let events = [
            event("pass", "A"),
            event("pass", "B/one"),
            event("fail", "B/two"),
            event("fail", "B"),
            event("skip", "C"),
            event("fail", ""),
            "what is no event\n".to_owned(),
        ]
        .concat();

        let expected =
            Counts { passed: 2, failed: 1, skipped: 1, failed_tests: vec!["x/p.B/two".to_owned()] };
        assert_eq!(counts(&events), Some(expected));
    }

    #[test]
    fn what_fails_without_a_failed_test_is_one_failure() {
        let build = "{\"Action\": \"fail\", \"Package\": \"x/q\", \"FailedBuild\": \"x/q\"}\n";
        let panic = [event("run", "P"), event("output", "P"), event("fail", "")].concat();

        let build = counts(build).unwrap();
        let panic = counts(&panic).unwrap();

        assert_eq!(build.failed_tests, ["x/q [does not build]"]);
        assert_eq!((panic.failed, panic.failed_tests), (1, vec!["x/p.P".to_owned()]));
        assert_eq!(counts("no event\n"), None);
    }
}
