//! What goes through, and to whom.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::StatusCode;
use yggdrasil_coordinator::gateway::{Executors, Rules};
use yggdrasil_coordinator::routing;

use super::agents::{Agent, nobody};
use super::stage::{Stage, header, rules};

#[tokio::test]
async fn each_call_has_its_path_at_an_agent_and_at_an_executor() {
    let stage = Stage::new().await;
    let (agent, executor) = (Agent::new("agent").await, Agent::new("executor").await);
    stage.register("agent", &format!("{}/base/", agent.endpoint())).await;
    stage.register_executor("executor", &executor.endpoint(), 4).await;

    for id in ["agent", "executor"] {
        for path in ["health?x=1", "metrics"] {
            let answer = stage.get(&format!("/agent/{id}/{path}")).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
        }
        let process = stage.post(&format!("/agent/{id}/process")).body("work");
        let answer = process.send().await.unwrap();
        assert_eq!(header(&answer, "x-agent-id"), Some(id));
        assert_eq!(answer.text().await.unwrap(), id);
    }

    let paths = |agent: &Agent| {
        let got = agent.manner.got();
        got.iter().map(|got| format!("{} {}", got.method, got.uri)).collect::<Vec<_>>()
    };
    assert_eq!(paths(&agent), ["GET /base/health?x=1", "GET /base/metrics", "POST /base/process"]);
    assert_eq!(paths(&executor), ["GET /health?x=1", "GET /metrics", "POST /execute"]);
    assert_eq!(agent.manner.got()[2].body, "work");
}

#[tokio::test]
async fn keys_stay_here_and_an_executor_gets_its_own_token() {
    let named = Agent::new("named").await;
    let other = Agent::new("other").await;
    let foreign = Agent::new("foreign").await;
    let text = format!("executors:\n  named: {}\nroutes: {{}}\n", named.endpoint());
    let routing = routing::parse(&text, "routing.yaml").unwrap();
    let name = routing.executors.keys().next().unwrap().clone();
    let tokens = BTreeMap::from([(name, "Bearer of-named".parse().unwrap())]);
    let registered = Some("Bearer of-all-others".parse().unwrap());
    let stage = Stage::with(rules(), Executors::new(routing, tokens, registered)).await;
    // The name alone does not lead the token of routing.yaml anywhere else.
    stage.register_executor("named", &nobody().await, 4).await;
    stage.register_executor("other", &other.endpoint(), 4).await;
    stage.register("foreign", &foreign.endpoint()).await;

    for id in ["named", "other", "foreign"] {
        let answer = stage
            .post(&format!("/agent/{id}/process"))
            .header("x-api-key", "our secret")
            .header("authorization", "Bearer our-secret")
            .header("x-request-id", "r-1")
            .header("prefer", "respond-async")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{id}");
        assert_eq!(header(&answer, "x-request-id"), Some("r-1"));
    }

    let got = |agent: &Agent, name: &str| {
        let headers = &agent.manner.got()[0].headers;
        assert!(!headers.contains_key("x-api-key") && !headers.contains_key("prefer"));
        headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(got(&named, "authorization").as_deref(), Some("Bearer of-named"));
    assert_eq!(got(&other, "authorization").as_deref(), Some("Bearer of-all-others"));
    assert_eq!(got(&foreign, "authorization"), None);
    assert_eq!(got(&foreign, "x-request-id").as_deref(), Some("r-1"));
    assert_eq!(got(&foreign, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(got(&foreign, "x-forwarded-proto").as_deref(), Some("http"));
}

#[tokio::test]
async fn a_pool_shares_the_work_and_a_capability_chooses() {
    let stage = Stage::new().await;
    let agents = [Agent::new("a").await, Agent::new("b").await];
    stage.register("a", &agents[0].endpoint()).await;
    stage.register("b", &agents[1].endpoint()).await;
    stage.register_executor("c", &nobody().await, 4).await;

    let work = |agent: &Agent| agent.manner.got().len();
    let ask = async || {
        let answer = stage.post("/agent/capability:echo/process").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    };
    // The first that answers is preferred until a probe has found the other.
    while agents.iter().any(|agent| work(agent) == 0) {
        ask().await;
    }

    let before = agents.each_ref().map(work);
    for _ in 0..10 {
        ask().await;
    }

    let after = agents.each_ref().map(work);
    assert_eq!([after[0] - before[0], after[1] - before[1]], [5, 5]);
}

#[tokio::test]
async fn who_cannot_be_asked_is_said_with_the_reason() {
    let stage = Stage::new().await;
    stage.gateway.listens_at(stage.address);
    let own = format!("http://{}", stage.address);
    for (id, endpoint) in [
        ("silent", "unknown"),
        ("cloud", "http://169.254.169.254/latest"),
        ("mirror", &own),
        ("text", "not a url"),
    ] {
        stage.register(id, endpoint).await;
    }
    stage.register("gone", "http://127.0.0.1:9").await;
    stage.offline("gone").await;

    for (id, status, part) in [
        ("silent", 502, "registered no endpoint"),
        ("cloud", 502, "never sent to"),
        ("mirror", 502, "own address"),
        ("text", 502, "no URL"),
        ("gone", 503, "offline"),
        ("nosuch", 404, "no agent `nosuch`"),
        ("capability:nosuch", 503, "no runner is"),
        ("label:x", 400, "KEY=VALUE"),
    ] {
        let answer = stage.get(&format!("/agent/{id}/health")).send().await.unwrap();
        assert_eq!(answer.status(), status, "{id}");
        assert_eq!(answer.headers().contains_key("retry-after"), status == 503, "{id}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(part), "{id}: {text}");
    }
}

#[tokio::test]
async fn a_request_that_comes_back_is_stopped() {
    let stage = Stage::new().await;
    let back = stage.url("/agent/mirror");
    stage.register("mirror", &back).await;

    let answer = stage.post("/agent/mirror/process").send().await.unwrap();

    assert_eq!(answer.status(), StatusCode::LOOP_DETECTED);
}

#[tokio::test]
async fn a_large_body_goes_through_and_one_beyond_the_limit_does_not() {
    let stage = Stage::new().await;
    let agent = Agent::new("agent").await;
    stage.register("agent", &agent.endpoint()).await;
    let limit = usize::try_from(Rules::default().body_limit).unwrap();

    let whole = vec![b'x'; limit];
    let sent = stage.post("/agent/agent/process").body(whole).send().await.unwrap();
    let long = vec![b'x'; limit + 1];
    let refused = stage.post("/agent/agent/process").body(long).send().await.unwrap();

    assert_eq!(sent.status(), StatusCode::OK);
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let got = agent.manner.got();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].body.len(), limit);
    assert_eq!(got[0].headers["content-length"], limit.to_string().as_str());
}

#[tokio::test]
async fn an_agent_that_takes_too_long_is_a_timeout() {
    let quick = Rules { timeout: Duration::from_millis(200), ..rules() };
    let stage = Stage::with(quick, Executors::default()).await;
    let agent = Agent::held("agent").await;
    stage.register("agent", &agent.endpoint()).await;

    let answer = stage.post("/agent/agent/process").body("x").send().await.unwrap();

    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(header(&answer, "x-agent-id"), Some("agent"));
    assert_eq!(agent.manner.got().len(), 1);
}
