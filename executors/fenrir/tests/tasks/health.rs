use executor_sdk::harness::Harness;
use executor_sdk::prelude::*;
use fenrir_executor::Fenrir;

use crate::stage::{Stage, completed, environment, failed};

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
async fn a_crossed_threshold_is_a_failure_that_tells_it() {
    let fenrir = Harness::with(Fenrir::new(environment())).program("ruff", "exit 1").start().await;
    let run = async |params: Value| fenrir.execute("dev-health-check", params).await.unwrap();

    let well = run(json!({
        "max_load_per_cpu": 1e9,
        "min_disk_free_percent": 0,
        "min_memory_available_percent": 0,
        "require_tools": ["git", "sh"],
    }))
    .await;
    let cases = [
        (json!({"min_memory_available_percent": 100}), "% of the memory are available"),
        (json!({"min_disk_free_percent": 100}), "% free, below 100 %"),
        (json!({"require_tools": ["no-such-tool"]}), "`no-such-tool` is not here"),
        (json!({"require_tools": ["ruff"]}), "`ruff` is here, but does not run"),
    ];

    assert_eq!(completed(&well)["breaches"], json!([]));
    for (params, breach) in cases {
        let outcome = run(params).await;
        assert!(failed(&outcome).contains(breach), "{outcome:?}");
        assert!(outcome.data["breaches"][0].as_str().unwrap().contains(breach));
        assert!(outcome.data["host"]["kernel"].is_string());
    }
    let no_percentage = run(json!({"min_disk_free_percent": 101})).await;
    assert!(failed(&no_percentage).contains("between 0 and 100"), "{no_percentage:?}");
    let path = run(json!({"require_tools": ["/bin/sh"]})).await;
    assert!(failed(&path).contains("is a path"), "{path:?}");
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_not_well() {
    let blind = Harness::with(Fenrir::new(environment())).program("df", "echo 'no such device'");
    let fenrir = blind.start().await;

    let outcome = fenrir.execute("dev-health-check", json!({})).await.unwrap();

    assert_eq!(failed(&outcome), "`df` lists no disk: no such device");
}

#[tokio::test]
async fn each_task_has_a_description_and_a_schema_that_names_its_params() {
    let stage = Stage::new().await;

    let status = stage.fenrir.status().await;

    for (task, params) in [
        (
            "dev-health-check",
            &[
                "max_load_per_cpu",
                "min_disk_free_percent",
                "min_memory_available_percent",
                "require_tools",
            ][..],
        ),
        ("git-clone", &["repo_url", "dest_path", "branch", "depth"]),
        ("git-commit", &["repo_path", "message", "paths", "files", "push"]),
        ("git-status", &["repo_path", "fetch", "require_clean", "require_synced"]),
        ("git-pull", &["repo_path", "remote", "branch"]),
        ("git-push", &["repo_path", "branch", "remote"]),
        ("code-review", &["repo_path", "base", "fail_on", "sarif_file"]),
        ("run-tests", &["repo_path", "command", "tool"]),
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
