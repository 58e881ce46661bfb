//! Flags, environment and `--check`.

use executor_sdk::harness::tokio;

use crate::program::Program;

async fn start(args: &[&str]) -> (Option<i32>, String) {
    let state = tempfile::tempdir().unwrap();
    Program::try_start(state.path(), args).await
}

#[tokio::test]
async fn check_validates_and_starts_nothing() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("not-made");

    let (code, said) = Program::try_start(&folder, &["--check"]).await;

    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("valid"), "{said}");
    assert!(!folder.exists());
}

#[tokio::test]
async fn what_is_wrong_is_said_in_one_line() {
    let files = tempfile::tempdir().unwrap();
    let policy = files.path().join("policy.yaml");
    std::fs::write(&policy, "allow:\n  comands: []\n").unwrap();
    let policy = policy.to_str().unwrap();

    for (args, code, part) in [
        (&["--policy", policy][..], 78, "policy.yaml:2:3: allow: unknown field `comands`"),
        (&["--policy", "/nonexistent"], 78, "cannot read the policy `/nonexistent`"),
        (&["--token-file", "/nonexistent"], 78, "/nonexistent"),
        (&["--coordinator", "ftp://x"], 78, "`ftp://x/` is no address of a coordinator"),
        (&["--coordinator", "not a url"], 64, "not a url"),
        (&["--coordinator", "http://a:hunter2@x"], 78, "must not hold a user or a password"),
        (&["--endpoint", "thor:5000"], 78, "is no address of an executor"),
        (&["--labels", "gpu"], 64, "`gpu` is no label"),
        (&["--heartbeat-interval", "0"], 78, "--heartbeat-interval (HEARTBEAT_INTERVAL)"),
        (&["--task-poll-interval", "1ms"], 78, "--task-poll-interval (TASK_POLL_INTERVAL)"),
        (&["--lease-ttl", "20s"], 78, "two heartbeats"),
        (&["--api-key-file", "/nonexistent"], 78, "/nonexistent"),
        (&["--host", "0.0.0.0"], 78, "0.0.0.0"),
        (&["--capacity", "0"], 64, "0"),
        (&["--task-timeout", "0"], 78, "--task-timeout"),
        (&["--keep", "1m"], 78, "--keep"),
        (&["--task-timeout", "soon"], 64, "soon"),
        (&["--log-cap", "much"], 64, "much"),
        (&["--nonsense"], 64, "--nonsense"),
    ] {
        for check in [&[][..], &["--check"]] {
            let (found, said) = start(&[args, check].concat()).await;

            assert_eq!(found, Some(code), "{args:?}: {said}");
            assert!(said.contains(part), "{args:?}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}

#[tokio::test]
async fn help_names_every_setting_with_its_variable() {
    let (code, said) = start(&["--help"]).await;

    assert_eq!(code, Some(0));
    for name in [
        "YGGDRASIL_HOST",
        "PORT",
        "STATE_DIRECTORY",
        "LOG_FORMAT",
        "LOG_LEVEL",
        "YGGDRASIL_URL",
        "API_KEY_FILE",
        "API_KEY",
        "RUNNER_NAME",
        "RUNNER_ENDPOINT",
        "RUNNER_LABELS",
        "RUNNER_LEASE_TTL",
        "HEARTBEAT_INTERVAL",
        "TASK_POLL_INTERVAL",
        "UPDATE_COMMAND",
        "UPDATE_TIMEOUT",
        "TASK_TIMEOUT",
        "TOKEN_FILE",
        "POLICY",
        "DRAIN_TIMEOUT",
        "CAPACITY",
        "--check",
        "TRIAL_GREETING",
    ] {
        assert!(said.contains(name), "{name} is not in\n{said}");
    }
    assert!(!said.contains("--search-path") && !said.contains("--time-zone"), "{said}");
}

#[tokio::test]
async fn the_version_is_the_executors() {
    let (code, said) = start(&["--version"]).await;

    assert_eq!((code, said.trim()), (Some(0), "trial-executor 1.2.3"));
}

#[tokio::test]
async fn a_taken_port_is_69() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();

    let (code, said) = start(&["--port", &port]).await;

    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("is taken"), "{said}");
}
