use serde_json::json;

use super::*;

fn told(version: &str) -> PendingUpdate {
    serde_json::from_value(json!({"version": version})).unwrap()
}

struct Case {
    updates: Updates,
    link: Link,
    _state: tempfile::TempDir,
}

fn case() -> Case {
    let state = tempfile::tempdir().unwrap();
    let kept = Kept::open(state.path());
    let url = url::Url::parse("http://127.0.0.1:1").unwrap();
    Case {
        updates: Updates::new(None, Duration::from_secs(1), &kept, "1.0.0"),
        link: Link::new(url, None, kept),
        _state: state,
    }
}

impl Case {
    /// A heartbeat that is answered.
    async fn beat(&self, answer: Option<PendingUpdate>) -> (Option<Status>, bool) {
        let report = self.updates.report(&self.link);
        let status = report.as_ref().map(|report| report.status);
        (status, self.updates.heard(report, answer).await)
    }

    async fn fail(&self) {
        self.updates.change(|update| update.status = Status::Failed).await;
    }
}

#[tokio::test]
async fn a_failure_is_told_until_it_is_understood_and_a_new_request_counts_again() {
    let case = case();
    assert_eq!(case.beat(Some(told("2"))).await, (None, true));
    assert_eq!(case.beat(Some(told("2"))).await, (Some(Status::Pending), false));
    case.fail().await;

    // The same request in the answer to it is the old one.
    assert_eq!(case.beat(Some(told("2"))).await, (Some(Status::Failed), false));
    assert_eq!(case.beat(None).await, (Some(Status::Failed), false));
    assert_eq!(case.beat(None).await, (None, false));
    assert_eq!(case.beat(Some(told("2"))).await, (None, true));
}

#[tokio::test]
async fn a_new_request_replaces_a_waiting_one_and_waits_for_one_in_its_middle() {
    let case = case();
    case.beat(Some(told("2"))).await;
    assert_eq!(case.beat(Some(told("3"))).await, (Some(Status::Pending), true));

    case.updates.change(|update| update.status = Status::Applying).await;
    assert_eq!(case.beat(Some(told("4"))).await, (Some(Status::Applying), false));

    assert_eq!(case.updates.state().current.as_ref().unwrap().version, "3");
}

#[tokio::test]
async fn the_version_that_runs_is_applied_without_a_deed() {
    let case = case();

    assert_eq!(case.beat(Some(told("1.0.0"))).await, (None, true));
    assert!(case.updates.wants_registration());
    case.updates.registered();

    assert_eq!(case.beat(None).await, (Some(Status::Applied), false));
    assert_eq!(case.beat(None).await, (None, false));
}

#[test]
fn the_next_life_knows_how_it_went() {
    let left = |status| Update {
        version: "2".to_owned(),
        command: None,
        status,
        log: "so far\n".to_owned(),
    };

    for (status, version, expected) in [
        (Status::Pending, "1", Status::Pending),
        (Status::Pending, "2", Status::Applied),
        (Status::Applying, "1", Status::Failed),
        (Status::Applying, "2", Status::Applied),
        (Status::Applied, "1", Status::Failed),
        (Status::Applied, "2", Status::Applied),
        (Status::Failed, "1", Status::Failed),
    ] {
        let taken = take_up(left(status), version);
        assert_eq!(taken.status, expected, "{status:?} as {version}");
        assert!(taken.log.starts_with("so far\n"));
    }
}

#[test]
fn the_end_of_a_log_is_what_counts() {
    let log = format!("{}ü{}\n", "x".repeat(5000), "y".repeat(REPORTED - 1));

    assert_eq!(end_of(&log), format!("ü{}", "y".repeat(REPORTED - 1)));
    assert_eq!(end_of("short\n"), "short");
}
