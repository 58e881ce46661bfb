use std::time::Duration;

use jiff::Timestamp;
use protocol::execute::{Ending, Outcome};
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::routing::Backoff;

fn now() -> Timestamp {
    "2026-11-21T10:00:00.5Z".parse().unwrap()
}

fn retry() -> Retry {
    Retry {
        attempts: 3,
        backoff: Backoff {
            first: Duration::from_secs(10),
            factor: 2.0,
            max: Duration::from_mins(10),
        },
        grace: Duration::from_mins(2),
    }
}

fn outcome(status: Ending) -> Outcome {
    Outcome {
        task_id: "hl-1".to_owned(),
        task_type: "run-tests".to_owned(),
        attempt: Uuid::nil(),
        status,
        output: "first\nsecond\u{1b}[31m red\u{1b}[0m\n".to_owned(),
        duration_seconds: 1.25,
        exit_code: Some(i32::from(status != Ending::Completed)),
        data: json!({"passed": 3}),
        error: (status != Ending::Completed).then(|| "2 tests failed".to_owned()),
        log_bytes: 20,
        truncated: false,
        timestamp: now(),
    }
}

struct Case {
    idempotent: bool,
    retryable: bool,
    failures: u32,
}

const PLAIN: Case = Case { idempotent: false, retryable: false, failures: 0 };

fn decide(case: &Case, end: &End) -> Verdict {
    let executor = ExecutorName::from("fenrir");
    let facts = Facts {
        attempt: Uuid::nil(),
        executor: Some(&executor),
        task: TaskFacts {
            idempotent: case.idempotent,
            retryable: case.retryable,
            limit_seconds: 60.0,
        },
        has_dependents: true,
        before: Streak { failures: case.failures, not_started: 2 },
        candidates: vec![executor.clone()],
        log_url: Some("http://fenrir:5000/attempts/x/log".to_owned()),
    };
    verdict(&facts, end, now(), &retry())
}

fn ended(status: Ending) -> End {
    End::Outcome(Box::new(outcome(status)))
}

#[test]
fn a_success_closes_with_who_how_and_the_last_lines() {
    let Verdict::Close { reason, result } = decide(&PLAIN, &ended(Ending::Completed)) else {
        panic!("not closed");
    };

    for part in
        ["completed", "executor fenrir", "exit 0", "1.2 s", "log http://fenrir:5000/", "second red"]
    {
        assert!(reason.contains(part), "{part:?} is missing in {reason:?}");
    }
    assert!(!reason.contains('\u{1b}'));
    let result = result.expect("others depend on it");
    assert_eq!(result["data"]["passed"], 3);
    assert!(!result.to_string().contains("u001b"));
}

#[test]
fn nothing_but_a_success_closes() {
    for status in [Ending::Failed, Ending::TimedOut, Ending::Cancelled, Ending::Interrupted] {
        for idempotent in [false, true] {
            for retryable in [false, true] {
                for failures in 0..4 {
                    let case = Case { idempotent, retryable, failures };
                    let verdict = decide(&case, &ended(status));
                    assert!(!matches!(verdict, Verdict::Close { .. }), "{status:?}: {verdict:?}");
                }
            }
        }
    }
}

#[test]
fn a_failure_is_tried_again_only_if_the_task_says_so_and_three_times_in_all() {
    let retryable = |failures| Case { retryable: true, failures, ..PLAIN };

    let plain = decide(&PLAIN, &ended(Ending::Failed));
    let first = decide(&retryable(0), &ended(Ending::Failed));
    let second = decide(&retryable(1), &ended(Ending::TimedOut));
    let third = decide(&retryable(2), &ended(Ending::Failed));

    assert!(matches!(plain, Verdict::Block { class: Class::Failed, hold: None, .. }));
    let Verdict::Retry { at, failures, .. } = first else { panic!("{first:?}") };
    assert_eq!((at.to_string().as_str(), failures), ("2026-11-21T10:00:11Z", 1));
    let Verdict::Retry { class, failures, at, .. } = second else { panic!("{second:?}") };
    assert_eq!((class, failures), (Class::TimedOut, 2));
    assert_eq!(at.to_string(), "2026-11-21T10:00:21Z");
    assert!(matches!(third, Verdict::Block { class: Class::Failed, failures: 3, hold: None, .. }));
}

#[test]
fn an_interrupted_task_runs_again_only_if_it_is_idempotent() {
    let idempotent = Case { idempotent: true, ..PLAIN };

    let again = decide(&idempotent, &ended(Ending::Interrupted));
    let person = decide(&PLAIN, &ended(Ending::Interrupted));

    assert!(matches!(again, Verdict::GiveBack { class: Class::Interrupted, failures: 1, .. }));
    let Verdict::Block { class, hold, note, .. } = person else { panic!("{person:?}") };
    assert_eq!((class.label(), hold), ("task-lost", None));
    assert!(note.contains("not declared idempotent"), "{note}");
}

#[test]
fn what_never_started_is_reopened_by_itself_and_never_counts() {
    let end = |class| End::NotStarted { class, error: "cannot reach it".to_owned() };

    let away = decide(&Case { failures: 2, ..PLAIN }, &end(Class::Waiting));
    let refused = decide(&Case { failures: 2, ..PLAIN }, &end(Class::Infrastructure));

    let Verdict::Block { class, hold: Some(hold), failures, .. } = away else { panic!("{away:?}") };
    assert_eq!((class.label(), hold.not_before, failures), ("task-waiting", now(), 2));
    let Verdict::Block { hold: Some(hold), .. } = refused else { panic!("{refused:?}") };
    assert!(hold.not_before > now());
    assert_eq!(hold.executors, vec![ExecutorName::from("fenrir")]);
}

#[test]
fn a_permanent_failure_names_the_way_out_last() {
    let end = End::Permanent {
        error: "no route for task type `x`\nsecond line".to_owned(),
        hint: Some("Add a route.".to_owned()),
    };

    let Verdict::Block { class, note, error, .. } = decide(&PLAIN, &end) else { panic!() };

    assert_eq!(class, Class::Permanent);
    assert_eq!(error, "no route for task type `x` second line");
    assert!(note.contains("Add a route."), "{note}");
}

#[test]
fn a_note_keeps_its_size_and_the_end_of_a_long_output() {
    let mut long = outcome(Ending::Failed);
    long.output = format!("{}the very last line", "é line\n".repeat(20_000));

    let verdict = decide(&PLAIN, &End::Outcome(Box::new(long)));

    let Verdict::Block { note, .. } = verdict else { panic!() };
    assert!(note.len() <= NOTE_BYTES + 1, "{}", note.len());
    assert!(note.contains("the very last line"));
    assert!(note.ends_with("clear the assignee."));
}

#[test]
fn a_streak_begins_anew_after_a_success_and_after_a_person_was_asked() {
    let failed = decide(&Case { retryable: true, ..PLAIN }, &ended(Ending::Failed));
    let stopped = decide(&PLAIN, &ended(Ending::Failed));
    let waits = decide(
        &Case { failures: 1, ..PLAIN },
        &End::NotStarted { class: Class::Infrastructure, error: "away".to_owned() },
    );
    let closed = decide(&PLAIN, &ended(Ending::Completed));

    assert_eq!(Streak::of([&failed].into_iter()), Streak { failures: 1, not_started: 0 });
    assert_eq!(
        Streak::of([&failed, &waits, &waits].into_iter()),
        Streak { failures: 1, not_started: 2 }
    );
    assert_eq!(Streak::of([&failed, &stopped].into_iter()), Streak::default());
    assert_eq!(Streak::of([&failed, &closed].into_iter()), Streak::default());
}

#[test]
fn every_verdict_survives_the_ledger() {
    for verdict in [
        decide(&PLAIN, &ended(Ending::Completed)),
        decide(&PLAIN, &ended(Ending::Failed)),
        decide(&Case { retryable: true, ..PLAIN }, &ended(Ending::Failed)),
        decide(&Case { idempotent: true, ..PLAIN }, &ended(Ending::Interrupted)),
    ] {
        let text = serde_json::to_string(&verdict).unwrap();

        assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
    }
}

#[test]
fn the_last_line_is_the_last_one_that_says_something() {
    assert_eq!(last_line("a\nb \u{1b}[1mc\u{1b}[0m\n\n  \n"), "b c");
    assert_eq!(last_line(""), "");
}
