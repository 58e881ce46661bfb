//! Sessions stay with their agent while it lives.

use std::time::Duration;

use reqwest::StatusCode;

use super::agents::Agent;
use super::stage::{Stage, header};

async fn two(stage: &Stage) -> [Option<Agent>; 2] {
    let agents = [Agent::new("a").await, Agent::new("b").await];
    stage.register("a", &agents[0].endpoint()).await;
    stage.register("b", &agents[1].endpoint()).await;
    agents.map(Some)
}

fn index(id: &str) -> usize {
    usize::from(id == "b")
}

#[tokio::test]
async fn a_session_that_names_itself_keeps_its_agent_and_moves_when_it_dies() {
    let stage = Stage::new().await;
    let mut agents = two(&stage).await;
    let ask = async || {
        let request = stage.post("/agent/any/process").header("x-session-id", "s-1");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(header(&answer, "set-cookie").is_none(), "it named itself");
        let moved = header(&answer, "x-session-moved").map(str::to_owned);
        (header(&answer, "x-agent-id").unwrap().to_owned(), moved)
    };

    let (first, moved) = ask().await;
    assert_eq!(moved, None);
    for _ in 0..6 {
        // Others come in between, so that the other agent would be next.
        stage.post("/agent/any/process").send().await.unwrap();
        assert_eq!(ask().await, (first.clone(), None));
    }
    // The process dies; its lease still runs.
    drop(agents[index(&first)].take());
    let (second, moved) = ask().await;

    assert_ne!(second, first);
    assert_eq!(moved.as_deref(), Some("true"));
    assert_eq!(ask().await, (second, None), "it is said once");
}

#[tokio::test]
async fn a_session_moves_when_its_runner_says_good_bye() {
    let stage = Stage::new().await;
    let _agents = two(&stage).await;
    let ask = async || {
        let request = stage.get("/agent/any/health").header("x-session-id", "s-1");
        let answer = request.send().await.unwrap();
        let id = header(&answer, "x-agent-id").unwrap().to_owned();
        (id, header(&answer, "x-session-moved").is_some())
    };
    let (first, _) = ask().await;

    stage.offline(&first).await;

    let (second, moved) = ask().await;
    assert!(second != first && moved);
}

#[tokio::test]
async fn a_cookie_keeps_a_client_with_its_agent() {
    let stage = Stage::new().await;
    let mut agents = two(&stage).await;
    let cookie_of = |answer: &reqwest::Response| {
        let cookie = header(answer, "set-cookie")?;
        let (value, attributes) = cookie.split_once(';').unwrap();
        assert_eq!(attributes, " Path=/agent/any; Max-Age=3600; HttpOnly; SameSite=Lax");
        Some(value.to_owned())
    };

    let answer = stage.post("/agent/any/process").send().await.unwrap();
    let first = header(&answer, "x-agent-id").unwrap().to_owned();
    let cookie = cookie_of(&answer).unwrap();
    assert!(cookie.starts_with("srv_id="), "{cookie}");
    for _ in 0..5 {
        let request = stage.post("/agent/any/process").header("cookie", &cookie);
        let answer = request.send().await.unwrap();
        assert_eq!(header(&answer, "x-agent-id"), Some(first.as_str()));
        assert_eq!(cookie_of(&answer), None, "it has it");
        assert!(header(&answer, "x-session-moved").is_none());
    }
    let seen = agents[index(&first)].as_ref().unwrap().manner.got();
    assert!(seen.iter().all(|got| !got.headers.contains_key("cookie")), "ours is not theirs");
    drop(agents[index(&first)].take());
    let answer = stage.post("/agent/any/process").header("cookie", &cookie).send().await.unwrap();

    assert_ne!(header(&answer, "x-agent-id"), Some(first.as_str()));
    assert_eq!(header(&answer, "x-session-moved"), Some("true"));
    assert!(cookie_of(&answer).is_some_and(|new| new != cookie));
}

#[tokio::test]
async fn one_runner_by_its_id_needs_no_session() {
    let stage = Stage::new().await;
    let _agents = two(&stage).await;

    let answer = stage.post("/agent/a/process").send().await.unwrap();

    assert!(header(&answer, "set-cookie").is_none());
}

#[tokio::test]
async fn an_agent_that_is_back_is_used_again() {
    let stage = Stage::new().await;
    let mut agents = two(&stage).await;
    let silent = agents[0].take().unwrap();
    let endpoint = silent.endpoint();
    drop(silent);
    // Until the other one has noticed that it is gone.
    let mut alone = 0;
    while alone < 4 {
        let answer = stage.post("/agent/any/process").send().await.unwrap();
        assert_eq!(header(&answer, "x-agent-id"), Some("b"));
        alone += 1;
    }
    let again = Agent::new("again").await;
    stage.register("a", &again.endpoint()).await;
    assert_ne!(again.endpoint(), endpoint);

    let start = std::time::Instant::now();
    while again.manner.got().is_empty() {
        assert!(start.elapsed() < super::stage::LONG, "it is never used again");
        stage.post("/agent/any/process").send().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
