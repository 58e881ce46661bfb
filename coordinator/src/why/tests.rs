use serde_json::json;

use super::*;

const ME: &str = "yggdrasil/box/1";

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

/// An open bead with a task type.
pub(crate) fn bead(change: impl FnOnce(&mut Bead)) -> Bead {
    let mut bead = Bead {
        id: "hl-1".parse().unwrap(),
        title: "x".to_owned(),
        description: String::new(),
        status: Status::Open,
        priority: 2,
        issue_type: "task".to_owned(),
        assignee: None,
        labels: Vec::new(),
        metadata: json!({"task_type": "echo"}).as_object().unwrap().clone(),
        created_at: None,
        due_at: None,
        defer_until: None,
        closed_at: None,
        dependencies: Vec::new(),
        dependency_count: None,
        dependent_count: None,
        notes: String::new(),
        close_reason: String::new(),
        size: 100,
    };
    change(&mut bead);
    bead
}

fn waits_on(id: &str, status: Status) -> Dependency {
    Dependency { id: id.parse().unwrap(), kind: "blocks".to_owned(), status: Some(status) }
}

fn code(change: impl FnOnce(&mut Bead)) -> String {
    of_bead(&bead(change), None, ME, now()).code
}

#[test]
fn each_state_of_a_bead_has_its_reason() {
    let status = |status| move |bead: &mut Bead| bead.status = status;
    let assigned = |status, name: &'static str| {
        move |bead: &mut Bead| {
            bead.status = status;
            bead.assignee = Some(name.to_owned());
        }
    };

    assert_eq!(code(status(Status::Closed)), "closed");
    assert_eq!(code(status(Status::Deferred)), "deferred");
    assert_eq!(code(status(Status::Pinned)), "status");
    assert_eq!(code(status(Status::Blocked)), "blocked_by_person");
    assert_eq!(code(assigned(Status::InProgress, "anna")), "held_by_person");
    assert_eq!(code(assigned(Status::InProgress, ME)), "in_progress");
    assert_eq!(code(assigned(Status::Open, "anna")), "held_by_person");
    assert_eq!(code(|bead| bead.metadata.clear()), "no_task_type");
    assert_eq!(code(|bead| bead.dependencies = vec![waits_on("hl-2", Status::Open)]), "dependency");
    assert_eq!(code(|bead| bead.defer_until = Some(Timestamp::MAX)), "deferred");
    assert_eq!(code(|bead| bead.issue_type = "epic".to_owned()), "epic");
    assert_eq!(code(|_| {}), "not_listed");
    let labelled = code(|bead| {
        bead.status = Status::Blocked;
        bead.labels = vec!["task-failed".to_owned()];
    });
    assert_eq!(labelled, "blocked");
}

#[test]
fn a_dependency_names_what_it_waits_for_and_why_that_is_stuck() {
    let waiting = bead(|bead| {
        bead.dependencies =
            vec![waits_on("hl-2", Status::Closed), waits_on("hl-3", Status::Blocked)];
    });

    let reason = of_bead(&waiting, None, ME, now());

    assert_eq!(reason.text, "it waits for hl-3 (blocked)");
    assert!(reason.hint.unwrap().contains("ygg why hl-3"));
}

#[test]
fn a_held_bead_says_when_it_comes_back() {
    let held = |executors: Vec<crate::routing::ExecutorName>, not_before| Held {
        bead: "hl-1".parse().unwrap(),
        title: "x".to_owned(),
        task_type: "echo".to_owned(),
        mark: uuid::Uuid::nil(),
        hold: Hold { not_before, executors, label: "task-waiting".to_owned() },
        attempt: None,
    };

    let by_executor = of_hold(&held(vec!["surtr".into()], now()), now());
    let by_time = of_hold(&held(Vec::new(), Timestamp::MAX), now());

    assert!(by_executor.text.ends_with("reopened by itself when surtr is up"), "{by_executor:?}");
    assert!(by_time.text.contains("reopened by itself at 9999-"), "{by_time:?}");
}
