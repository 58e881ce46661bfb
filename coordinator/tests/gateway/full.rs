//! Agents that are full, and the line before them.

use std::time::Duration;

use reqwest::StatusCode;
use yggdrasil_coordinator::gateway::{Executors, Rules};

use super::agents::Agent;
use super::stage::{Stage, header, rules, until};

async fn stage(queue: usize, queue_timeout: Duration) -> Stage {
    let rules = Rules { max_concurrency: 1, queue, queue_timeout, ..rules() };
    Stage::with(rules, Executors::default()).await
}

#[tokio::test]
async fn who_waits_gets_the_place_that_comes_free() {
    let stage = stage(5, super::stage::LONG).await;
    let agent = Agent::held("agent").await;
    stage.register("agent", &agent.endpoint()).await;
    let ask = || async { stage.post("/agent/any/process").send().await.unwrap().status() };

    let all = async { tokio::join!(ask(), ask(), ask()) };
    let one_by_one = async {
        for count in 1..=3 {
            until("the next one is there", || agent.manner.got().len() == count).await;
            agent.manner.let_go(1);
        }
    };
    let (answers, ()) = tokio::join!(all, one_by_one);

    assert_eq!(answers, (StatusCode::OK, StatusCode::OK, StatusCode::OK));
}

#[tokio::test]
async fn who_waits_too_long_and_who_finds_the_line_full_is_told_when_to_come_back() {
    let stage = stage(1, Duration::from_millis(300)).await;
    let agent = Agent::held("agent").await;
    stage.register("agent", &agent.endpoint()).await;
    let ask = || async { stage.post("/agent/any/process").send().await.unwrap() };

    let first = ask();
    let others = async {
        until("the first one is there", || agent.manner.got().len() == 1).await;
        let (second, third) = tokio::join!(ask(), ask());
        agent.manner.let_go(1);
        [second, third]
    };
    let (first, others) = tokio::join!(first, others);

    assert_eq!(first.status(), StatusCode::OK);
    for refused in others {
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(header(&refused, "retry-after"), Some("1"));
        assert!(refused.text().await.unwrap().contains("is full"));
    }
    assert_eq!(agent.manner.got().len(), 1, "nobody else came through");
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back() {
    let stage = stage(5, super::stage::LONG).await;
    let agent = Agent::held("agent").await;
    stage.register("agent", &agent.endpoint()).await;

    {
        let first = stage.post("/agent/any/process").send();
        let arrived = until("the first one is there", || agent.manner.got().len() == 1);
        tokio::select! {
            answer = first => panic!("nobody let it go: {answer:?}"),
            () = arrived => {}
        }
    }
    agent.manner.let_go(2);
    let answer = stage.post("/agent/any/process").send().await.unwrap();

    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_newcomer_takes_from_the_line() {
    let stage = stage(5, super::stage::LONG).await;
    let first = Agent::held("first").await;
    stage.register("first", &first.endpoint()).await;
    let ask = || async { stage.post("/agent/any/process").send().await.unwrap() };

    let two = async { tokio::join!(ask(), ask()) };
    let second = async {
        until("one is there", || first.manner.got().len() == 1).await;
        let second = Agent::new("second").await;
        stage.register("second", &second.endpoint()).await;
        until("the line is served", || second.manner.got().len() == 1).await;
        first.manner.let_go(1);
        second
    };
    let ((one, other), _second) = tokio::join!(two, second);

    assert_eq!((one.status(), other.status()), (StatusCode::OK, StatusCode::OK));
}

#[tokio::test]
async fn health_is_answered_by_a_full_agent() {
    let stage = stage(0, Duration::ZERO).await;
    let agent = Agent::held("agent").await;
    stage.register("agent", &agent.endpoint()).await;

    let busy = stage.post("/agent/agent/process").send();
    let health = async {
        until("it works", || agent.manner.got().len() == 1).await;
        let asked = stage.get("/agent/agent/health").send();
        let let_go = async {
            until("it is asked", || agent.manner.got().len() == 2).await;
            agent.manner.let_go(2);
        };
        tokio::join!(asked, let_go).0.unwrap()
    };
    let (busy, health) = tokio::join!(busy, health);

    assert_eq!(health.status(), StatusCode::OK);
    assert_eq!(busy.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn an_executor_gets_no_more_than_it_says_and_passes_on_what_it_does_not_start() {
    let stage = Stage::new().await;
    let (busy, idle) = (Agent::new("busy").await, Agent::new("idle").await);
    stage.register_executor("busy", &busy.endpoint(), 9).await;
    stage.register_executor("idle", &idle.endpoint(), 1).await;
    busy.manner.answers(429, r#"{"status":"error","error":"full","code":"busy"}"#);

    for _ in 0..4 {
        let answer = stage.post("/agent/any/process").body("{}").send().await.unwrap();
        assert_eq!(header(&answer, "x-agent-id"), Some("idle"));
    }
    let alone = stage.post("/agent/busy/process").body("{}").send().await.unwrap();

    assert_eq!(alone.status(), StatusCode::TOO_MANY_REQUESTS, "its own word, in the end");
    assert_eq!(idle.manner.got().len(), 4);
}
