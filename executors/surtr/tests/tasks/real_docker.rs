//! `ollama-deploy` on the real Docker: the real Ollama in a container.

use executor_sdk::harness::Harness;
use executor_sdk::prelude::*;

use crate::common::{closed, completed, failed, surtr_at};
use crate::docker_stage::{Stage, usable};
use crate::real::Real;

const TEST: &str = "ollama_is_deployed_on_the_real_docker";

#[tokio::test]
async fn ollama_is_deployed_on_the_real_docker() {
    let Some(compose) = usable(TEST) else { return };
    let Some(real) = Real::with_tiny(TEST).await else { return };
    let address = closed();
    let stage = Stage::new(&real, compose, &address.to_string());
    // Only its model goes on, in the container.
    let models = real.stop();
    let surtr = Harness::start(surtr_at(format!("http://{address}").parse().unwrap())).await;

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
