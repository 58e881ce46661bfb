//! The beads of the demo, and how each ought to end.

use std::path::Path;

use e2e::NewBead;
use serde_json::{Value, json};

use crate::stage::Stage;

/// How a bead ought to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Its task succeeds: the bead is closed.
    Closed,
    /// Its task fails: the bead is blocked and labelled `task-failed`.
    Failed,
    /// Either of the two, as the machine is.
    ClosedOrFailed,
    /// Its executor is lost in the middle: the bead is blocked and labelled `task-lost`.
    Lost,
    /// It stays open, since what it waits for never succeeds.
    Waiting,
    /// It stays exactly as it was written.
    Untouched,
}

/// One bead of the story.
#[derive(Debug)]
pub(crate) struct Step {
    /// Its name in the story.
    pub(crate) key: &'static str,
    /// What is written.
    pub(crate) bead: NewBead,
    /// Its task type; empty for a person's bead.
    pub(crate) task: &'static str,
    /// The steps it waits for.
    pub(crate) after: &'static [&'static str],
    /// How it ought to end.
    pub(crate) expected: Expected,
}

/// The step during which the executor is killed, and that executor.
pub(crate) const KILLED_IN: &str = "tide";
pub(crate) const KILLED: &str = "huginn";

impl Step {
    fn new(key: &'static str, title: &str, task: &'static str, params: Value) -> Self {
        let bead = NewBead::task(task, params).named(title);
        Self { key, bead, task, after: &[], expected: Expected::Closed }
    }

    fn after(self, after: &'static [&'static str]) -> Self {
        Self { after, ..self }
    }

    fn ends(self, expected: Expected) -> Self {
        Self { expected, ..self }
    }
}

/// Returns the beads in the order in which they are written.
pub(crate) fn steps(stage: &Stage, coordinator_port: u16) -> Vec<Step> {
    let mut steps = machine(stage, coordinator_port);
    steps.extend(code(stage));
    steps.push(Step {
        key: "plants",
        bead: NewBead::titled("Water the plants (yours: no task type)"),
        task: "",
        after: &[],
        expected: Expected::Untouched,
    });
    steps
}

/// The machine and what runs on it. The first bead is the one that is cut off.
fn machine(stage: &Stage, coordinator_port: u16) -> Vec<Step> {
    let tide = json!({"program": "sleep", "args": ["120"]});
    let net = json!({"hosts": ["localhost"], "ports": [coordinator_port]});
    let poem = json!({"model": "llama3.2", "prompt": "Two short lines about the sea."});
    let mut steps = vec![
        Step::new("tide", "Watch the tide for a while", "run-command", tide).ends(Expected::Lost),
        Step::new("net", "Is the coordinator in reach?", "network-check", net),
        Step::new("dev", "Look after the workbench", "dev-health-check", json!({})),
        Step::new("ops", "Look after the machine", "ops-health-check", json!({}))
            .ends(Expected::ClosedOrFailed),
        Step::new("poem", "Two lines about the sea", "llm-inference", poem)
            .ends(Expected::ClosedOrFailed),
    ];
    if let Some(playbook) = &stage.playbook {
        let note = stage.work.join("note.txt");
        let vars = json!({"text": "The demo was here.", "dest": note});
        let params = json!({"playbook": playbook, "extra_vars": vars});
        steps.push(Step::new("note", "Leave a note by Ansible", "run-playbook", params));
    }
    steps
}

/// Two projects: one whose tests pass, and one whose tests fail.
fn code(stage: &Stage) -> Vec<Step> {
    let lighthouse = stage.work.join("lighthouse");
    let ship = stage.work.join("ship");
    let fetch = |from: &Path, to: &Path| json!({"repo_url": from, "dest_path": to});
    let tests = |at: &Path| json!({"repo_path": at});
    let commit = |at: &Path, message: &str| json!({"repo_path": at, "message": message});
    vec![
        Step::new(
            "fetch",
            "Fetch the lighthouse project",
            "git-clone",
            fetch(&stage.lighthouse, &lighthouse),
        ),
        Step::new("tests", "Test the lighthouse", "run-tests", tests(&lighthouse))
            .after(&["fetch"]),
        Step::new(
            "report",
            "Commit the test report",
            "git-commit",
            commit(&lighthouse, "Report of the lamp and the horn"),
        )
        .after(&["tests"]),
        Step::new("ship", "Fetch the ship project", "git-clone", fetch(&stage.ship, &ship)),
        Step::new("hull", "Test the ship", "run-tests", tests(&ship))
            .after(&["ship"])
            .ends(Expected::Failed),
        Step::new("sail", "Release the ship", "git-commit", commit(&ship, "Sail"))
            .after(&["hull"])
            .ends(Expected::Waiting),
    ]
}
