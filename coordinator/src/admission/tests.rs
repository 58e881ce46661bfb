use std::sync::Arc;
use std::time::Duration;

use protocol::runner::{NewRunnerTask, RegisterRunner, RunnerOffline};

use super::*;
use crate::keeper::Keeper;
use crate::runners::Limits;

const RULES: Rules = Rules { threshold: 2, recovery: Duration::from_secs(30) };

fn admission() -> (Admission, CancellationToken) {
    let draining = CancellationToken::new();
    (Admission::new(RULES, draining.clone()), draining)
}

/// What these tests ask of the registry need not be on disk.
fn runners() -> Arc<Runners> {
    Arc::new(Runners::restore(Limits::default(), &[], Arc::new(Keeper::default())))
}

/// The registry answers late without a ledger, and has changed at once.
fn register(runners: &Runners, id: &str) {
    let body = RegisterRunner { runner_id: Some(id.to_owned()), ..RegisterRunner::default() };
    at_once(runners.register(body, None));
}

fn at_once(change: impl Future) {
    use futures::FutureExt as _;
    // The change is made before the wait for the disk begins.
    drop(change.now_or_never());
}

#[test]
fn an_open_breaker_refuses_with_a_cause_and_a_time() {
    let (admission, _) = admission();

    admission.failed("r1", "no answer");
    assert_eq!(admission.check("r1"), Ok(()));
    admission.failed("r1", "no answer");
    let refused = admission.check("r1").unwrap_err();

    assert_eq!(refused.cause, "runner `r1` failed 2 times in a row and is left alone (no answer)");
    assert!((29..=30).contains(&refused.retry_after_seconds()), "{refused:?}");
    assert_eq!(admission.check("r2"), Ok(()), "others are not concerned");
}

#[test]
fn a_coordinator_that_stops_takes_nothing() {
    let (admission, draining) = admission();
    draining.cancel();

    let refused = admission.check("r1").unwrap_err();

    assert_eq!(refused.cause, "the coordinator is stopping");
    let shown = admission.view(&runners());
    assert_eq!(shown.global.state, BreakerState::Open);
    assert_eq!(shown.global.counts.refused, 1);
    assert_eq!(shown.events.len(), 1);
}

#[tokio::test]
async fn losses_with_running_tasks_open_it_and_others_do_not() {
    let (admission, stop) = admission();
    let runners = runners();
    let admission = Arc::new(admission);
    register(&runners, "idle");
    register(&runners, "busy");
    at_once(runners.create_task("busy", NewRunnerTask::default()));
    let watched = (Arc::clone(&admission), Arc::clone(&runners), stop.clone());
    let mut watch =
        Box::pin(async move { watched.0.watch(&watched.1, || false, &watched.2).await });
    // Subscribed with the first poll.
    assert!(futures::poll!(&mut watch).is_pending());

    for _ in 0..2 {
        for id in ["idle", "busy"] {
            at_once(runners.offline(RunnerOffline { runner_id: Some(id.to_owned()) }));
            register(&runners, id);
        }
    }
    let open = async {
        while admission.state("busy") != BreakerState::Open {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = &mut watch => unreachable!("nobody stopped it"),
        () = open => {}
    }

    assert_eq!(admission.state("idle"), BreakerState::Closed);
    let shown = admission.view(&runners);
    let busy = shown.runners.iter().find(|runner| runner.runner_id == "busy").unwrap();
    assert_eq!(busy.cause.as_deref(), Some("lost with 1 running tasks (offline_requested)"));
    assert_eq!(shown.global.counts.open, 1);
    assert_eq!(shown.events.last().unwrap().runner_id.as_deref(), Some("busy"));
}

// The registry waits for its disk with a timer.
#[tokio::test]
async fn the_global_one_opens_while_the_ledger_or_most_runners_fail() {
    let (admission, _) = admission();
    let runners = runners();
    for id in ["r1", "r2", "r3"] {
        register(&runners, id);
    }

    admission.look(&runners, true);
    let by_ledger = admission.check("r1").unwrap_err();
    admission.look(&runners, false);
    let mended = admission.check("r1");
    for id in ["r1", "r1", "r2", "r2"] {
        admission.failed(id, "no answer");
    }
    admission.look(&runners, false);
    let by_runners = admission.check("r3").unwrap_err();

    assert_eq!(by_ledger.cause, "the ledger cannot be written");
    assert_eq!(mended, Ok(()));
    assert_eq!(by_runners.cause, "most runners fail: 2 of 3 are left alone");
}

#[test]
fn a_hundred_transitions_are_remembered() {
    let (admission, _) = admission();

    for number in 0..150 {
        let id = format!("r{number}");
        admission.failed(&id, "no answer");
        admission.failed(&id, "no answer");
    }

    let events = admission.view(&runners()).events;
    assert_eq!(events.len(), 100);
    assert_eq!(events[0].runner_id.as_deref(), Some("r50"));
}

// The registry waits for its disk with a timer.
#[tokio::test]
async fn a_forgotten_runner_leaves_no_breaker() {
    let (admission, _) = admission();
    let runners = runners();
    register(&runners, "known");
    admission.failed("known", "no answer");
    admission.failed("gone", "no answer");

    admission.forget(&runners);

    let left: Vec<_> = admission.states().into_iter().map(|(id, _)| id).collect();
    assert_eq!(left, [Subject::from("known")]);
}
