//! What is sent again, and what is not; and who is left alone.

use std::sync::atomic::Ordering;

use protocol::admission::BreakerState;
use reqwest::StatusCode;
use yggdrasil_coordinator::admission::Subject;

use super::agents::{Agent, breaks_off, nobody};
use super::stage::{Stage, header, until};

#[tokio::test]
async fn work_that_may_have_arrived_is_not_sent_again() {
    let stage = Stage::new().await;
    let (endpoint, seen) = breaks_off(usize::MAX).await;
    let other = Agent::new("other").await;
    stage.register("breaks", &endpoint).await;

    let answer = stage.post("/agent/breaks/process").body("pay").send().await.unwrap();
    stage.register("other", &other.endpoint()).await;

    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert!(answer.text().await.unwrap().contains("it is not asked again"));
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    assert!(other.manner.got().is_empty());
}

#[tokio::test]
async fn a_question_is_asked_again_and_keyed_work_is_sent_again_to_the_same_agent() {
    let stage = Stage::new().await;
    let (endpoint, seen) = breaks_off(3).await;
    let other = Agent::new("other").await;
    stage.register("breaks", &endpoint).await;

    let keyed = stage.post("/agent/breaks/process").header("idempotency-key", "k-1").body("pay");
    let keyed = keyed.send().await.unwrap();
    assert_eq!(keyed.status(), StatusCode::OK);
    assert_eq!(keyed.text().await.unwrap(), "later");
    assert_eq!(seen.load(Ordering::SeqCst), 3);

    let (endpoint, seen) = breaks_off(usize::MAX).await;
    stage.register("breaks", &endpoint).await;
    stage.register("other", &other.endpoint()).await;
    let mut broken = 0;
    while broken == 0 {
        let asked = stage.get("/agent/capability:echo/health").send().await.unwrap();
        assert_eq!(asked.status(), StatusCode::OK, "the other one answers");
        broken = seen.load(Ordering::SeqCst);
    }
}

#[tokio::test]
async fn an_attempt_with_an_id_may_go_to_the_same_executor_again() {
    let stage = Stage::new().await;
    let (endpoint, seen) = breaks_off(2).await;
    stage.register_executor("executor", &endpoint, 4).await;
    let order = r#"{"task_id":"t","type":"echo","attempt":"0199d2f0-0000-7000-8000-000000000000"}"#;

    let answer = stage.post("/agent/executor/process").body(order).send().await.unwrap();
    let (endpoint, seen_again) = breaks_off(2).await;
    stage.register_executor("executor", &endpoint, 4).await;
    let nameless = r#"{"task_id":"t","type":"echo"}"#;
    let without = stage.post("/agent/executor/process").body(nameless).send().await.unwrap();

    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    assert_eq!(without.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(seen_again.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn work_that_never_arrived_goes_elsewhere() {
    let stage = Stage::new().await;
    let agent = Agent::new("agent").await;
    stage.register("dead", &nobody().await).await;
    stage.register("agent", &agent.endpoint()).await;

    for size in [1, 1_000_000] {
        for _ in 0..2 {
            let request = stage.post("/agent/any/process").body(vec![b'x'; size]);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(header(&answer, "x-agent-id"), Some("agent"));
        }
    }

    assert_eq!(agent.manner.got().len(), 4);
}

#[tokio::test]
async fn one_that_fails_again_and_again_is_left_alone_and_then_tried_once() {
    let stage = Stage::new().await;
    let agent = Agent::new("agent").await;
    agent.manner.answers(500, "broken");
    stage.register("agent", &agent.endpoint()).await;
    let ask = async || stage.post("/agent/agent/process").body("x").send().await.unwrap();

    for _ in 0..3 {
        assert_eq!(ask().await.status(), StatusCode::INTERNAL_SERVER_ERROR, "its own word");
    }
    assert_eq!(stage.admission.state(Subject::agent("agent")), BreakerState::Open);
    let refused = ask().await;
    let count = agent.manner.got().len();

    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(header(&refused, "retry-after"), Some("1"));
    assert!(refused.text().await.unwrap().contains("failed 3 times in a row"));
    assert_eq!(count, 3, "it was not asked");
    until("its time is over", || stage.admission.wait(Subject::agent("agent")).is_zero()).await;
    assert_eq!(ask().await.status(), StatusCode::INTERNAL_SERVER_ERROR, "the try");
    assert_eq!(stage.admission.state(Subject::agent("agent")), BreakerState::Open, "that decides");
    agent.manner.answers(200, "well");
    until("its time is over", || stage.admission.wait(Subject::agent("agent")).is_zero()).await;
    assert_eq!(ask().await.status(), StatusCode::OK);
    assert_eq!(stage.admission.state(Subject::agent("agent")), BreakerState::Closed);
}

#[tokio::test]
async fn a_pool_goes_on_without_the_one_that_is_left_alone() {
    let stage = Stage::new().await;
    let (broken, well) = (Agent::new("broken").await, Agent::new("well").await);
    broken.manner.answers(500, "broken");
    stage.register("broken", &broken.endpoint()).await;
    stage.register("well", &well.endpoint()).await;
    while stage.admission.state(Subject::agent("broken")) != BreakerState::Open {
        stage.post("/agent/broken/process").send().await.unwrap();
    }

    let answer = stage.post("/agent/any/process").send().await.unwrap();

    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, "x-agent-id"), Some("well"));
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_one_failure_and_closes_no_task_list() {
    let stage = Stage::new().await;
    stage.register("lister", &nobody().await).await;

    for asked in 1..=3 {
        let answer = stage.get("/agent/lister/health").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY, "{asked}");
    }

    assert_eq!(stage.admission.state(Subject::agent("lister")), BreakerState::Open);
    assert_eq!(stage.admission.check("lister"), Ok(()), "its list needs no endpoint");
}
