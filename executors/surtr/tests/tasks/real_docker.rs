//! `ollama-deploy` on the real Docker: the real Ollama in a container.

use executor_sdk::harness::{Ending, Harness};
use executor_sdk::prelude::*;
use surtr_executor::Surtr;

use crate::common::{closed, completed, failed, surtr_at};
use crate::docker_stage::{Docker, Stage, usable};
use crate::real::Real;

async fn surtr(docker: &Docker, address: &str) -> Harness {
    let surtr = surtr_at(format!("http://{address}").parse().unwrap());
    Harness::start(Surtr { docker_host: docker.host.clone(), ..surtr }).await
}

#[tokio::test]
async fn ollama_is_deployed_on_the_real_docker() {
    let test = "ollama_is_deployed_on_the_real_docker";
    let Some(docker) = usable(test) else { return };
    let Some(real) = Real::with_tiny(test).await else { return };
    let address = closed().to_string();
    let Some(stage) = Stage::new(test, &real, &docker, &address) else { return };
    // Only its model goes on, in the container.
    let models = real.stop();
    let surtr = surtr(&docker, &address).await;

    let order = json!({"compose_file": stage.file, "service": "llm", "models": ["tiny"]});
    let first = surtr.execute("ollama-deploy", order.clone()).await.unwrap();
    let second = surtr.execute("ollama-deploy", order).await.unwrap();
    let prompt = json!({"model": "tiny", "prompt": "Hello"});
    let answer = surtr.execute("llm-inference", prompt).await.unwrap();
    let absent = json!({"compose_file": stage.file, "service": "nope"});
    let absent = surtr.execute("ollama-deploy", absent).await.unwrap();

    let data = completed(&first);
    assert_eq!((&data["changed"], &data["models"][0]["pulled"]), (&json!(true), &json!(false)));
    assert_eq!(data["containers"].as_array().unwrap().len(), 1, "{data}");
    assert_eq!(completed(&second)["changed"], json!(false));
    assert_eq!(second.data["containers"], data["containers"]);
    assert_eq!(completed(&answer)["whole"], json!(true));
    assert!(failed(&absent).contains("nope"), "{absent:?}");
    drop((stage, models));
}

#[tokio::test]
async fn a_container_that_answers_elsewhere_is_no_deployed_ollama() {
    let test = "a_container_that_answers_elsewhere_is_no_deployed_ollama";
    let Some(docker) = usable(test) else { return };
    let Some(real) = Real::with_tiny(test).await else { return };
    let address = closed().to_string();
    let Some(stage) = Stage::new(test, &real, &docker, &address) else { return };
    let models = real.stop();
    let surtr = surtr(&docker, &address).await;
    let order =
        |wait: u32| json!({"compose_file": stage.file, "service": "mute", "wait_seconds": wait});

    let outcome = surtr.execute("ollama-deploy", order(5)).await.unwrap();
    let mut limited = Harness::new_order("ollama-deploy", order(600));
    limited.timeout_seconds = Some(10.0);
    let limited = surtr.order(&limited).await.unwrap();
    let waits = surtr.execute_async("ollama-deploy", order(600)).await.unwrap();
    surtr.log_contains(waits.attempt, "waiting until Ollama answers").await;
    surtr.cancel(waits.attempt).await.unwrap();
    let cancelled = surtr.outcome(waits.attempt).await;

    let error = failed(&outcome);
    assert!(error.starts_with("`mute` is up, but after 5 s: Ollama does not answer"), "{error}");
    // The container's own words.
    assert!(outcome.output.contains("/api/generate"), "{}", outcome.output);
    assert_eq!(limited.status, Ending::TimedOut, "{limited:?}");
    assert_eq!(cancelled.status, Ending::Cancelled, "{cancelled:?}");
    drop((stage, models));
}
