use executor_sdk::harness::Harness;
use executor_sdk::prelude::*;
use fenrir_executor::Fenrir;

use crate::stage::{Stage, completed, environment, failed, skipped, works};

const MANIFEST: &str = "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n\
                        [lib]\ndoctest = false\n\n[workspace]\n";

#[tokio::test]
async fn cargo_counts_what_passes_and_names_what_fails() {
    let stage = Stage::new().await;
    stage.put("repo/Cargo.toml", MANIFEST);
    stage.put("repo/Makefile", "test:\n\tfalse\n");
    stage.put(
        "repo/src/lib.rs",
        "#[test]\nfn good() {}\n#[test]\n#[ignore]\nfn later() {}\n\
         #[cfg(not(fixed))]\n#[test]\nfn bad() { println!(\"test result: ok. 9 passed\"); panic!() }\n",
    );
    stage.put("repo/tests/other.rs", "#[test]\nfn also_good() {}\n");

    let params = json!({"repo_path": stage.text("repo")});
    let red = stage.run("run-tests", params.clone()).await;
    stage.put("repo/.cargo/config.toml", "[build]\nrustflags = [\"--cfg\", \"fixed\"]\n");
    let green = stage.run("run-tests", params).await;

    assert_eq!(failed(&red), "1 of 3 tests failed: bad");
    assert_eq!(red.exit_code, Some(101));
    assert_eq!(red.data["failed_tests"], json!(["bad"]));
    assert_eq!(red.data["passed"], json!(2));
    let data = completed(&green);
    assert_eq!(data["tool"], json!("cargo"));
    assert_eq!(data["found"], json!(["cargo", "make"]));
    assert_eq!(
        (&data["passed"], &data["failed"], &data["skipped"]),
        (&json!(2), &json!(0), &json!(1))
    );
}

#[tokio::test]
async fn a_crate_without_tests_and_one_that_does_not_build_are_no_success() {
    let stage = Stage::new().await;
    stage.put("empty/Cargo.toml", MANIFEST);
    stage.put("empty/src/lib.rs", "");
    stage.put("broken/Cargo.toml", MANIFEST);
    stage.put("broken/src/lib.rs", "fn x( {}\n");

    let empty = stage.run("run-tests", json!({"repo_path": stage.text("empty")})).await;
    let broken = stage.run("run-tests", json!({"repo_path": stage.text("broken")})).await;

    assert!(failed(&empty).contains("no test ran"), "{empty:?}");
    assert!(failed(&broken).contains("exit code 101"), "{broken:?}");
    assert_eq!(broken.data["passed"], json!(null));
    assert!(broken.output.contains("error"), "{broken:?}");
}

#[tokio::test]
async fn pytest_counts_what_passes_and_names_what_fails() {
    if !works("python3", &["-m", "pytest", "--version"]) {
        return skipped("pytest_counts_what_passes_and_names_what_fails", "python3 has no pytest");
    }
    let stage = Stage::new().await;
    let good = "def test_good():\n    pass\n\nimport pytest\n@pytest.mark.skip\ndef test_later():\n    pass\n";
    stage.put("red/test_a.py", &format!("{good}\ndef test_bad():\n    assert 1 > 2, '<&>'\n"));
    stage.put("green/tests/test_a.py", good);
    stage.put("none/conftest.py", "");

    let red = stage.run("run-tests", json!({"repo_path": stage.text("red")})).await;
    let green = stage.run("run-tests", json!({"repo_path": stage.text("green")})).await;
    let none = stage.run("run-tests", json!({"repo_path": stage.text("none")})).await;
    let params =
        json!({"repo_path": stage.text("red"), "command": ["python3", "-m", "pytest", "-q"]});
    let command = stage.run("run-tests", params).await;

    assert_eq!(failed(&red), "1 of 2 tests failed: test_a::test_bad");
    assert_eq!(red.exit_code, Some(1));
    let data = completed(&green);
    assert_eq!(data["tool"], json!("pytest"));
    assert_eq!(
        (&data["passed"], &data["failed"], &data["skipped"]),
        (&json!(1), &json!(0), &json!(1))
    );
    assert!(failed(&none).contains("no test ran"), "{none:?}");
    assert_eq!(failed(&command), failed(&red));
}

#[tokio::test]
async fn unittest_counts_what_passes_and_names_what_fails() {
    if !works("python3", &["-c", "import unittest"]) {
        return skipped("unittest_counts_what_passes_and_names_what_fails", "there is no python3");
    }
    let stage = Stage::new().await;
    let head = "import unittest\n\nclass A(unittest.TestCase):\n";
    let good = "    def test_good(self):\n        self.assertTrue(True)\n\
                \x20   @unittest.skip('x')\n    def test_later(self):\n        pass\n";
    let bad = "    def test_bad(self):\n        self.fail('x')\n";
    stage.put("red/test_a.py", &format!("{head}{good}{bad}"));
    stage.put("green/tests/test_a.py", &format!("{head}{good}"));
    stage.put("broken/test_a.py", "import unittest\nimport no_such_module\n");
    stage.put("none/test_a.py", "import unittest\n");

    let red = stage.run("run-tests", json!({"repo_path": stage.text("red")})).await;
    let green = stage.run("run-tests", json!({"repo_path": stage.text("green")})).await;
    let broken = stage.run("run-tests", json!({"repo_path": stage.text("broken")})).await;
    let none = stage.run("run-tests", json!({"repo_path": stage.text("none")})).await;

    assert_eq!(failed(&red), "1 of 2 tests failed: test_a.A.test_bad");
    let data = completed(&green);
    assert_eq!(data["tool"], json!("unittest"));
    assert_eq!(
        (&data["passed"], &data["failed"], &data["skipped"]),
        (&json!(1), &json!(0), &json!(1))
    );
    assert!(failed(&broken).contains("1 of 1 tests failed"), "{broken:?}");
    assert!(failed(&none).contains("no test ran"), "{none:?}");
}

#[tokio::test]
async fn make_is_judged_by_its_exit_code_and_says_that_it_does_not_count() {
    if !works("make", &["--version"]) {
        return skipped("make_is_judged_by_its_exit_code", "there is no make");
    }
    let stage = Stage::new().await;
    stage.put("green/Makefile", "test:\n\techo fine\n");
    stage.put("red/Makefile", "test:\n\techo bad\n\tfalse\n");

    let green = stage.run("run-tests", json!({"repo_path": stage.text("green")})).await;
    let red = stage.run("run-tests", json!({"repo_path": stage.text("red")})).await;

    assert_eq!(completed(&green)["counts_known"], json!(false));
    assert_eq!(green.data["passed"], json!(null));
    assert_eq!(failed(&red), "`make` ended with exit code 2; it tells no counts");
    assert_eq!(red.exit_code, Some(2));
}

#[tokio::test]
async fn a_command_of_the_order_decides_by_its_exit_code() {
    let stage = Stage::new().await;
    stage.put("repo/README", "nothing to test\n");
    let order = |command: Value| json!({"repo_path": stage.text("repo"), "command": command});

    let good = stage.run("run-tests", order(json!(["sh", "-c", "test -f README"]))).await;
    let bad = stage.run("run-tests", order(json!(["sh", "-c", "exit 3"]))).await;
    let killed = stage.run("run-tests", order(json!(["sh", "-c", "kill -9 $$"]))).await;
    let missing = stage.run("run-tests", order(json!(["no-such-program"]))).await;
    let empty = stage.run("run-tests", order(json!([]))).await;
    let none = stage.run("run-tests", json!({"repo_path": stage.text("repo")})).await;

    completed(&good);
    failed(&bad);
    assert_eq!(bad.exit_code, Some(3));
    assert!(failed(&killed).contains("signal"), "{killed:?}");
    assert!(failed(&missing).contains("no-such-program"), "{missing:?}");
    assert!(failed(&empty).contains("names no program"), "{empty:?}");
    assert!(failed(&none).contains("found no tests"), "{none:?}");
}

#[tokio::test]
async fn the_nodes_policy_decides_about_commands_and_paths() {
    let home = tempfile::tempdir().unwrap();
    let allowed = home.path().join("allowed");
    std::fs::create_dir(&allowed).unwrap();
    let policy = format!("allow:\n  paths: [{}]\n  test_commands: [\"true\"]\n", allowed.display());
    let fenrir = Harness::with(Fenrir::new(environment())).policy(&policy).start().await;
    let order = |path: &Path, command: &str| json!({"repo_path": path, "command": [command]});

    let fine = fenrir.execute("run-tests", order(&allowed, "true")).await.unwrap();
    let command = fenrir.execute("run-tests", order(&allowed, "false")).await.unwrap_err();
    let path = fenrir.execute("run-tests", order(home.path(), "true")).await.unwrap_err();
    let clone = json!({"repo_url": "/x", "dest_path": home.path().join("x")});
    let clone = fenrir.execute("git-clone", clone).await.unwrap_err();
    let commit = json!({"repo_path": home.path(), "message": "x"});
    let commit = fenrir.execute("git-commit", commit).await.unwrap_err();

    completed(&fine);
    for refusal in [command, path, clone, commit] {
        assert_eq!(refusal.code.http_status(), 403, "{refusal:?}");
    }
}
