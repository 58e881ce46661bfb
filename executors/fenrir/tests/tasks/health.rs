use executor_sdk::prelude::*;

use crate::stage::{Stage, completed};

#[tokio::test]
async fn the_host_and_its_tools_are_told() {
    let stage = Stage::new().await;

    let outcome = stage.run("dev-health-check", json!({})).await;

    let data = completed(&outcome);
    assert!(data["host"]["kernel"].as_str().is_some_and(|kernel| !kernel.is_empty()));
    assert!(data["host"]["uptime_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
    assert!(data["disks"].as_array().is_some_and(|disks| !disks.is_empty()), "{data}");
    let tool = |name: &str| {
        let tools = data["tools"].as_array().unwrap();
        tools.iter().find(|tool| tool["name"] == name).unwrap().clone()
    };
    assert!(tool("git")["version"].as_str().is_some_and(|text| text.starts_with("git version")));
    assert!(tool("cargo")["version"].as_str().is_some_and(|text| text.starts_with("cargo ")));
    assert!(outcome.output.contains("git version"), "{}", outcome.output);
}

#[tokio::test]
async fn what_is_not_on_the_path_is_told_as_not_found() {
    let stage = Stage::new().await;

    let outcome = stage.run("dev-health-check", json!({})).await;

    for tool in completed(&outcome)["tools"].as_array().unwrap() {
        let is_found = !tool["path"].is_null();
        assert!(is_found || tool["version"].is_null(), "{tool}");
    }
}

#[tokio::test]
async fn each_task_has_a_description_and_a_schema_that_names_its_params() {
    let stage = Stage::new().await;

    let status = stage.fenrir.status().await;

    for (task, params) in [
        ("dev-health-check", &[][..]),
        ("git-clone", &["repo_url", "dest_path", "branch", "depth"]),
        ("git-commit", &["repo_path", "message", "paths", "files", "push"]),
        ("run-tests", &["repo_path", "command"]),
    ] {
        let spec = status.tasks.iter().find(|spec| spec.task_type == task).unwrap();
        assert!(spec.description.len() > 20, "{task}: {}", spec.description);
        assert!(spec.idempotent, "{task}");
        assert_eq!(spec.params_schema["additionalProperties"], json!(false), "{task}");
        for param in params {
            let description = &spec.params_schema["properties"][*param]["description"];
            assert!(description.is_string(), "{task}: {param}: {}", spec.params_schema);
        }
    }
}
