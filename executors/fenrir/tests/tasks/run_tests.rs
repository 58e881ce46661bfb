use executor_sdk::harness::Harness;
use executor_sdk::prelude::*;
use fenrir_executor::Fenrir;

use crate::stage::{
    Stage, completed, environment, failed, maven_repository, node_tools, python_tools, skipped,
    works,
};

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
    let stage = if works("python3", &["-m", "pytest", "--version"]) {
        Stage::new().await
    } else if let Some(tools) = python_tools(&["pytest"]) {
        Stage::on_path(&tools).await
    } else {
        return skipped("pytest_counts_what_passes_and_names_what_fails", "python3 has no pytest");
    };
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

#[tokio::test]
async fn go_counts_tests_and_subtests_and_names_what_fails() {
    if !works("go", &["version"]) {
        return skipped("go_counts_tests_and_subtests_and_names_what_fails", "there is no go");
    }
    let stage = Stage::new().await;
    let head = "package x\nimport \"testing\"\n\
                func TestGood(t *testing.T) {}\nfunc TestLater(t *testing.T) { t.Skip() }\n";
    for name in ["red", "green", "broken", "none"] {
        stage.put(&format!("{name}/go.mod"), "module example.org/x\n\ngo 1.21\n");
        stage.put(&format!("{name}/x.go"), "package x\n");
    }
    stage.put("green/x_test.go", head);
    let bad = "func TestBad(t *testing.T) {\n\tt.Run(\"fine\", func(t *testing.T) {})\n\
               \tt.Run(\"not fine\", func(t *testing.T) { t.Error(\"what a pity\") })\n}\n";
    stage.put("red/x_test.go", &format!("{head}{bad}"));
    stage.put("broken/x_test.go", &format!("{head}func TestBad(t *testing.T) {{ nope() }}\n"));

    let red = stage.run("run-tests", json!({"repo_path": stage.text("red")})).await;
    let green = stage.run("run-tests", json!({"repo_path": stage.text("green")})).await;
    let broken = stage.run("run-tests", json!({"repo_path": stage.text("broken")})).await;
    let none = stage.run("run-tests", json!({"repo_path": stage.text("none")})).await;

    assert_eq!(failed(&red), "1 of 3 tests failed: example.org/x.TestBad/not_fine");
    assert_eq!(red.exit_code, Some(1));
    assert!(red.output.contains("what a pity\n"), "{red:?}");
    let data = completed(&green);
    assert_eq!(data["tool"], json!("go"));
    assert_eq!(data["command"], json!(["go", "test", "-json", "./..."]));
    assert_eq!(
        (&data["passed"], &data["failed"], &data["skipped"]),
        (&json!(1), &json!(0), &json!(1))
    );
    assert_eq!(broken.data["failed_tests"], json!(["example.org/x [does not build]"]));
    failed(&broken);
    assert!(broken.output.contains("undefined: nope"), "{broken:?}");
    assert!(failed(&none).contains("no test ran"), "{none:?}");
}

#[tokio::test]
async fn node_counts_what_passes_and_names_what_fails() {
    if !works("npm", &["--version"])
        || !works("node", &["--test", "--test-reporter=junit", "/dev/null"])
    {
        let test = "node_counts_what_passes_and_names_what_fails";
        return skipped(test, "there is no npm, or no node with a JUnit reporter");
    }
    let stage = Stage::new().await;
    let good = "const {describe, it} = require('node:test');\n\
                describe('all', () => { it('good', () => {}); it('later', {skip: true}, () => {});\n";
    for name in ["red", "green", "none"] {
        let package = json!({"name": name, "scripts": {"test": "node --test"}});
        stage.put(&format!("{name}/package.json"), &package.to_string());
    }
    stage.put("green/a.test.js", &format!("{good}}});\n"));
    stage
        .put("red/a.test.js", &format!("{good}it('bad', () => {{ throw new Error('x') }}) }});\n"));
    stage.put("bare/package.json", "{\"name\": \"bare\"}");
    stage.put("bare/test/one.js", &format!("{good}}});\n"));
    stage.put("other/package.json", "{\"scripts\": {\"test\": \"echo fine\"}}");

    let red = stage.run("run-tests", json!({"repo_path": stage.text("red")})).await;
    let green = stage.run("run-tests", json!({"repo_path": stage.text("green")})).await;
    let none = stage.run("run-tests", json!({"repo_path": stage.text("none")})).await;
    let bare = stage.run("run-tests", json!({"repo_path": stage.text("bare")})).await;
    let other = stage.run("run-tests", json!({"repo_path": stage.text("other")})).await;

    assert_eq!(failed(&red), "1 of 2 tests failed: all > bad");
    assert_eq!(completed(&green)["tool"], json!("node"));
    for outcome in [&green, &bare] {
        let data = completed(outcome);
        assert_eq!(
            (&data["passed"], &data["failed"], &data["skipped"]),
            (&json!(1), &json!(0), &json!(1))
        );
    }
    assert!(failed(&none).contains("no test ran"), "{none:?}");
    assert_eq!(completed(&other)["counts_known"], json!(false));
}

#[tokio::test]
async fn jest_vitest_and_mocha_count_behind_npm() {
    let test = "jest_vitest_and_mocha_count_behind_npm";
    let Some(tools) = node_tools(&["jest", "vitest", "mocha"]) else {
        return skipped(test, "target/tools/node has no jest, no vitest or no mocha");
    };
    let stage = Stage::on_path(&tools).await;
    let tests = "describe('all', () => { it('good', () => {}); \
                it('bad', () => { throw new Error('x') }); it.skip('later', () => {}); });\n";
    for script in ["jest", "vitest --globals", "mocha test"] {
        let name = script.split(' ').next().unwrap();
        let package = json!({"name": name, "scripts": {"test": script}});
        stage.put(&format!("{name}/package.json"), &package.to_string());
        stage.put(&format!("{name}/test/a.test.js"), tests);

        let outcome = stage.run("run-tests", json!({"repo_path": stage.text(name)})).await;

        assert_eq!(failed(&outcome), "1 of 2 tests failed: all bad", "{outcome:?}");
        assert_eq!(outcome.data["skipped"], json!(1), "{name}");
    }
}

#[tokio::test]
async fn maven_is_counted_by_the_reports_of_this_run() {
    // Maven's plugins come from the network, so its stand-in writes what surefire writes.
    let report = "<testsuite name=\"a.ATest\" tests=\"2\"><testcase name=\"good\" classname=\"a.ATest\"/>\
                  <testcase name=\"bad\" classname=\"a.ATest\"><failure/></testcase></testsuite>";
    let script = format!(
        "test -e silent && exit 0\nmkdir -p core/target/surefire-reports\n\
         echo '{report}' > core/target/surefire-reports/TEST-a.ATest.xml\nexit 1"
    );
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("pom.xml"), "<project/>\n").unwrap();
    let fenrir = Harness::with(Fenrir::new(environment())).program("mvn", script).start().await;

    let params = json!({"repo_path": home.path()});
    let red = fenrir.execute("run-tests", params.clone()).await.unwrap();
    std::fs::write(home.path().join("silent"), "").unwrap();
    let old = home.path().join("core/target/surefire-reports/TEST-a.ATest.xml");
    let long_ago = std::time::SystemTime::now() - Duration::from_mins(5);
    std::fs::File::options().write(true).open(old).unwrap().set_modified(long_ago).unwrap();
    let nothing = fenrir.execute("run-tests", params).await.unwrap();

    assert_eq!(failed(&red), "1 of 2 tests failed: a.ATest::bad");
    assert_eq!(red.data["tool"], json!("maven"));
    assert!(failed(&nothing).contains("counted no test"), "{nothing:?}");
}

#[tokio::test]
async fn the_real_maven_counts_too() {
    let stage = Stage::new().await;
    stage.put("repo/pom.xml", include_str!("maven-pom.xml"));
    let test = "import static org.junit.Assert.*;\npublic class ATest {\n\
                @org.junit.Test public void good() {}\n\
                @org.junit.Test public void bad() { fail(); }\n}\n";
    stage.put("repo/src/test/java/ATest.java", test);
    if let Some(repository) = maven_repository() {
        let option = format!("-Dmaven.repo.local={}\n", repository.display());
        stage.put("repo/.mvn/maven.config", &format!("--offline\n{option}"));
    }
    let pom = stage.text("repo/pom.xml");
    if !works("mvn", &["--offline", "--quiet", "--file", &pom, "-Dtest=ATest#good", "test"]) {
        let why = "there is no mvn with surefire and JUnit, in ~/.m2 or in target/tools/m2";
        return skipped("the_real_maven_counts_too", why);
    }

    let outcome = stage.run("run-tests", json!({"repo_path": stage.text("repo")})).await;

    assert_eq!(failed(&outcome), "1 of 2 tests failed: ATest::bad");
}

#[tokio::test]
async fn nextest_is_used_where_the_repository_and_the_node_have_it() {
    if !works("cargo", &["nextest", "--version"]) {
        let test = "nextest_is_used_where_the_repository_and_the_node_have_it";
        return skipped(test, "there is no cargo-nextest");
    }
    let stage = Stage::new().await;
    stage.put("repo/Cargo.toml", MANIFEST);
    stage.put("repo/.config/nextest.toml", "[profile.default]\nretries = 0\n");
    stage.put("repo/src/lib.rs", "#[test]\nfn good() {}\n#[test]\nfn bad() { panic!() }\n");

    let outcome = stage.run("run-tests", json!({"repo_path": stage.text("repo")})).await;

    assert!(failed(&outcome).starts_with("1 of 2 tests failed: small::bad"), "{outcome:?}");
    assert_eq!(outcome.data["tool"], json!("nextest"));
}

#[tokio::test]
async fn the_order_may_name_one_of_the_tools_that_fit() {
    if !works("make", &["--version"]) {
        return skipped("the_order_may_name_one_of_the_tools_that_fit", "there is no make");
    }
    let stage = Stage::new().await;
    stage.put("repo/Makefile", "test:\n\techo fine\n");
    stage.put("repo/go.mod", "module example.org/x\n");
    let order = |tool: &str| json!({"repo_path": stage.text("repo"), "tool": tool});

    let make = stage.run("run-tests", order("make")).await;
    let pytest = stage.run("run-tests", order("pytest")).await;
    let unknown = stage.fenrir.execute("run-tests", order("bazel")).await;

    assert_eq!(completed(&make)["tool"], json!("make"));
    assert!(failed(&pytest).contains("does not fit"), "{pytest:?}");
    unknown.unwrap_err();
}
