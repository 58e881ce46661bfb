use std::fs;

use executor_sdk::harness::{Harness, Outcome};
use executor_sdk::prelude::*;
use fenrir_executor::Fenrir;

use crate::stage::{
    Stage, completed, environment, everything, failed, git, node_tools, python_tools, skipped,
    works,
};

/// Returns the findings as `FILE:LINE SEVERITY RULE`.
fn found(outcome: &Outcome) -> Vec<String> {
    let word = |finding: &Value, name: &str| match &finding[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let line = |finding: &Value| {
        let [file, line, severity, rule] =
            ["file", "line", "severity", "rule"].map(|name| word(finding, name));
        format!("{file}:{line} {severity} {rule}")
    };
    outcome.data["findings"].as_array().unwrap().iter().map(line).collect()
}

fn state(outcome: &Outcome, tool: &str) -> Value {
    let linters = outcome.data["linters"].as_array().unwrap();
    let ran = linters.iter().find(|ran| ran["tool"] == tool);
    ran.map_or(Value::Null, |ran| ran["state"].clone())
}

#[tokio::test]
async fn scripts_and_yaml_are_reviewed_and_nothing_is_changed() {
    if !works("shellcheck", &["--version"]) || !works("yamllint", &["--version"]) {
        let test = "scripts_and_yaml_are_reviewed_and_nothing_is_changed";
        return skipped(test, "there is no shellcheck or no yamllint");
    }
    let stage = Stage::new().await;
    let tree = stage.work_tree("tree");
    stage.put("tree/deploy", "#!/bin/sh\necho $1\nlocal x=1\n");
    stage.put("tree/bro ken.sh", "#!/bin/sh\nif true; then\n");
    stage.put("tree/-x.yml", "---\na: 1\na: 2\n");
    stage.put("tree/.gitignore", "ignored.sh\n");
    stage.put("tree/ignored.sh", "#!/bin/sh\nif\n");
    std::os::unix::fs::symlink("/etc/profile", tree.join("link.sh")).unwrap();
    let before = everything(&tree);

    let outcome = stage.run("code-review", json!({"repo_path": tree})).await;

    let error = failed(&outcome);
    assert!(error.contains("errors") && error.contains("shellcheck, yamllint"), "{error}");
    let found = found(&outcome);
    for finding in
        ["-x.yml:3 error key-duplicates", "deploy:2 note SC2086", "bro ken.sh:2 error SC1073"]
    {
        assert!(found.iter().any(|it| it == finding), "{finding}: {found:#?}");
    }
    assert!(!found.iter().any(|it| it.contains("ignored") || it.contains("link")), "{found:#?}");
    assert!(outcome.output.contains("-x.yml:3: error: "), "{}", outcome.output);
    let runs = outcome.data["sarif"]["runs"].as_array().unwrap();
    assert_eq!(outcome.data["sarif"]["version"], json!("2.1.0"));
    assert_eq!(runs.len(), 2);
    let results: usize = runs.iter().map(|run| run["results"].as_array().unwrap().len()).sum();
    assert_eq!(results, found.len());
    assert_eq!(everything(&tree), before);
}

#[tokio::test]
async fn only_what_has_changed_since_the_base_counts() {
    if !works("shellcheck", &["--version"]) {
        return skipped("only_what_has_changed_since_the_base_counts", "there is no shellcheck");
    }
    let stage = Stage::new().await;
    let tree = stage.work_tree("tree");
    let old = "#!/bin/bash\necho $old\n:\n";
    stage.commit("tree", "old.sh", old);
    stage.commit("tree", "same.sh", old);
    git(&tree, &["checkout", "--quiet", "-b", "topic"]);
    stage.commit("tree", "old.sh", &format!("{old}echo $committed\n"));
    stage.put("tree/new file.sh", "#!/bin/bash\necho $untracked\n");
    git(&tree, &["config", "diff.noprefix", "true"]);
    git(&tree, &["config", "diff.mnemonicPrefix", "true"]);
    let order = |base: &str| json!({"repo_path": tree, "base": base});

    let topic = stage.run("code-review", order("main")).await;
    let nothing_committed = stage.run("code-review", order("topic")).await;
    fs::remove_file(tree.join("new file.sh")).unwrap();
    let clean = stage.run("code-review", order("HEAD")).await;
    let unknown = stage.run("code-review", order("nope")).await;
    let option = stage.run("code-review", order("--output=x")).await;

    let lines = |outcome: &Outcome| {
        completed(outcome);
        let found = found(outcome).into_iter();
        found.filter(|it| it.ends_with("SC2086")).collect::<Vec<_>>()
    };
    assert_eq!(lines(&topic), ["new file.sh:2 note SC2086", "old.sh:4 note SC2086"]);
    assert!(topic.data["elsewhere"].as_u64().unwrap() > 0);
    assert_eq!(topic.data["base"], json!(git(&tree, &["rev-parse", "main"])));
    assert_eq!(lines(&nothing_committed), ["new file.sh:2 note SC2086"]);
    assert!(completed(&clean)["findings"].as_array().unwrap().is_empty());
    assert!(clean.output.contains("nothing has changed"), "{clean:?}");
    assert!(failed(&unknown).contains("names no commit"), "{unknown:?}");
    assert!(failed(&option).contains("begins with `-`"), "{option:?}");
}

#[tokio::test]
async fn clippy_tells_what_does_not_build_and_what_could_be_better() {
    if !works("cargo", &["clippy", "--version"]) {
        let test = "clippy_tells_what_does_not_build_and_what_could_be_better";
        return skipped(test, "there is no clippy");
    }
    let stage = Stage::new().await;
    let tree = stage.work_tree("tree");
    let manifest =
        "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n";
    stage.put("tree/sub/Cargo.toml", manifest);
    stage.put("tree/sub/src/lib.rs", "pub fn f() -> u8 {\n    return 1;\n}\n");
    let before = everything(&tree);

    let fine = stage.run("code-review", json!({"repo_path": tree})).await;
    let strict = stage.run("code-review", json!({"repo_path": tree, "fail_on": "warning"})).await;
    let after = everything(&tree);
    git(&tree, &["add", "."]);
    git(&tree, &["commit", "--quiet", "--message=x"]);
    stage.put("tree/sub/src/other.rs", "// something new\n");
    stage.put("tree/sub/src/lib.rs", "pub fn f() -> u8 {\n    return \"\";\n}\n");
    let broken = stage.run("code-review", json!({"repo_path": tree, "base": "HEAD"})).await;
    let never = json!({"repo_path": tree, "fail_on": "never"});
    let never = stage.run("code-review", never).await;

    completed(&fine);
    assert_eq!(found(&fine), ["sub/src/lib.rs:2 warning clippy::needless_return"]);
    assert_eq!(found(&strict), found(&fine));
    assert!(failed(&strict).starts_with("0 errors, 1 warnings by clippy"), "{strict:?}");
    assert_eq!(after, before);
    assert!(failed(&broken).contains("E0308"), "{broken:?}");
    assert_eq!(found(&broken), ["sub/src/lib.rs:2 error E0308"]);
    assert_eq!(completed(&never)["counts"]["error"], json!(1));
}

#[tokio::test]
async fn go_vet_tells_what_is_wrong_and_what_does_not_build() {
    if !works("go", &["version"]) {
        return skipped("go_vet_tells_what_is_wrong_and_what_does_not_build", "there is no go");
    }
    let stage = Stage::new().await;
    let tree = stage.work_tree("tree");
    stage.put("tree/svc/go.mod", "module example.org/x\n\ngo 1.21\n");
    stage.put(
        "tree/svc/a.go",
        "package x\n\nimport \"fmt\"\n\nfunc F() { fmt.Printf(\"%d\\n\", \"x\") }\n",
    );
    stage.put("tree/svc/sub/b.go", "package sub\n\nfunc F() { nope() }\n");

    let red = stage.run("code-review", json!({"repo_path": tree})).await;
    stage.put("tree/svc/a.go", "package x\n");
    fs::remove_file(tree.join("svc/sub/b.go")).unwrap();
    let green = stage.run("code-review", json!({"repo_path": tree})).await;

    failed(&red);
    assert_eq!(found(&red), ["svc/a.go:5 error printf", "svc/sub/b.go:3 error build"]);
    completed(&green);
    assert_eq!(state(&green, "go vet"), json!("ran"));
}

#[tokio::test]
async fn python_is_reviewed_by_ruff_or_flake8() {
    let test = "python_is_reviewed_by_ruff_or_flake8";
    let Some(tools) = python_tools(&["ruff", "flake8"]) else {
        return skipped(test, "target/tools/python has no ruff or no flake8");
    };
    let stage = Stage::on_path(&tools).await;
    let ruff = stage.work_tree("ruff");
    stage.put("ruff/ruff.toml", "extend-exclude = [\"generated\"]\n");
    stage.put("ruff/generated/x.py", "import os\n");
    stage.put("ruff/a.py", "import os\n\n\ndef f():\n    return nope\n");
    let flake8 = stage.work_tree("flake8");
    stage.put("flake8/.flake8", "[flake8]\n");
    stage.put("flake8/a.py", "import os\n\n\ndef f():\n    return nope\n");
    stage.put("flake8/b.py", "def (:\n");

    let by_ruff = stage.run("code-review", json!({"repo_path": ruff})).await;
    let by_flake8 = stage.run("code-review", json!({"repo_path": flake8})).await;

    failed(&by_ruff);
    assert_eq!(found(&by_ruff), ["a.py:1 warning F401", "a.py:5 error F821"]);
    failed(&by_flake8);
    let found = found(&by_flake8);
    for finding in ["a.py:1 warning F401", "a.py:5 error F821", "b.py:1 error E999"] {
        assert!(found.iter().any(|it| it == finding), "{finding}: {found:?}");
    }
    assert_eq!(state(&by_flake8, "ruff"), Value::Null);
}

#[tokio::test]
async fn ansible_lint_reviews_roles() {
    let Some(tools) = python_tools(&["ansible-lint"]) else {
        return skipped("ansible_lint_reviews_roles", "target/tools/python has no ansible-lint");
    };
    let stage = Stage::on_path(&tools).await;
    let tree = stage.work_tree("tree");
    stage.put("tree/roles/x/tasks/main.yml", "---\n- shell: ls\n");
    stage.put("tree/.yamllint", "---\nrules: {}\n");

    let outcome = stage.run("code-review", json!({"repo_path": tree})).await;

    completed(&outcome);
    let found = found(&outcome);
    let finding = "roles/x/tasks/main.yml:2 warning name[missing]";
    assert!(found.iter().any(|it| it == finding), "{found:?}");
}

#[tokio::test]
async fn eslint_is_the_repositorys_own_and_what_is_not_here_is_told() {
    let stage = Stage::new().await;
    let tree = stage.work_tree("tree");
    stage.put("tree/.gitignore", "node_modules\n");
    stage.put("tree/eslint.config.js", "module.exports = [];\n");
    stage.put("tree/a.js", "nope();\n");
    // A stand-in for what `npm install` puts there.
    let says = json!([{"filePath": tree.join("a.js"), "messages": [
        {"ruleId": "no-undef", "severity": 2, "message": "'nope' is not defined.", "line": 1}
    ]}]);
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo v9.0.0 && exit\necho '{says}'\nexit 1\n"
    );
    stage.put("tree/node_modules/.bin/eslint", &script);
    let program = tree.join("node_modules/.bin/eslint");
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();

    let own = stage.run("code-review", json!({"repo_path": tree})).await;
    fs::write(
        &program,
        "#!/bin/sh\n[ \"$1\" = --version ] && echo v9 && exit\necho Oops; exit 2\n",
    )
    .unwrap();
    let crashes = stage.run("code-review", json!({"repo_path": tree})).await;
    fs::remove_dir_all(tree.join("node_modules")).unwrap();
    let missing = (!works("eslint", &["--version"])).then_some(());
    let without = stage.run("code-review", json!({"repo_path": tree})).await;

    failed(&own);
    assert_eq!(found(&own), ["a.js:1 error no-undef"]);
    assert!(
        failed(&crashes).contains("eslint could not review (exit code 2): Oops"),
        "{crashes:?}"
    );
    if missing.is_some() {
        assert_eq!(failed(&without), "nothing was reviewed; not here: eslint");
        assert_eq!(without.data["missing"], json!(["eslint"]));
    }
}

#[tokio::test]
async fn the_real_eslint_reviews_too() {
    let Some(tools) = node_tools(&["eslint"]) else {
        return skipped("the_real_eslint_reviews_too", "target/tools/node has no eslint");
    };
    let stage = Stage::on_path(&tools).await;
    let tree = stage.work_tree("tree");
    let settings = "export default [{ignores: [\"old/\"]}, \
                    {rules: {\"no-undef\": \"error\", \"no-unused-vars\": \"warn\"}}];\n";
    stage.put("tree/eslint.config.js", settings);
    stage.put("tree/package.json", "{\"type\": \"module\"}\n");
    stage.put("tree/a.js", "var a = 1;\nnope();\n");
    stage.put("tree/b.js", "var (;\n");
    stage.put("tree/old/c.js", "var (;\n");

    let outcome = stage.run("code-review", json!({"repo_path": tree})).await;

    failed(&outcome);
    let expected =
        ["a.js:1 warning no-unused-vars", "a.js:2 error no-undef", "b.js:1 error syntax"];
    assert_eq!(found(&outcome), expected, "{outcome:?}");
}

#[tokio::test]
async fn the_name_of_a_file_is_never_more_than_a_name() {
    if !works("shellcheck", &["--version"]) || !works("yamllint", &["--version"]) {
        let test = "the_name_of_a_file_is_never_more_than_a_name";
        return skipped(test, "there is no shellcheck or no yamllint");
    }
    let stage = Stage::new().await;
    let tree = stage.work_tree("tree");
    for name in
        ["$(touch canary)", "; touch canary ;", "--help", "-o canary", "a\nb", "'\"`touch canary`"]
    {
        stage.put(&format!("tree/{name}.sh"), "#!/bin/bash\necho $x\n");
        stage.put(&format!("tree/{name}.yml"), "---\na: 1\n");
    }

    let outcome = stage.run("code-review", json!({"repo_path": tree})).await;

    completed(&outcome);
    let quotes = found(&outcome).iter().filter(|it| it.ends_with("SC2086")).count();
    assert_eq!(quotes, 6, "{outcome:?}");
    let names = everything(&stage.path(""));
    assert!(!names.iter().any(|(path, _)| path.file_name().is_some_and(|name| name == "canary")));
}

#[tokio::test]
async fn a_missing_linter_is_told_beside_what_the_others_found() {
    if !works("shellcheck", &["--version"]) {
        let test = "a_missing_linter_is_told_beside_what_the_others_found";
        return skipped(test, "there is no shellcheck");
    }
    let home = Stage::new().await;
    let tree = home.work_tree("tree");
    home.put("tree/a.sh", "#!/bin/sh\n:\n");
    home.put("tree/a.yml", "---\na: 1\n");
    let fenrir = Harness::with(Fenrir::new(environment()))
        .program("yamllint", "echo no such tool >&2; exit 127")
        .start()
        .await;

    let outcome = fenrir.execute("code-review", json!({"repo_path": tree})).await.unwrap();

    assert_eq!(completed(&outcome)["missing"], json!(["yamllint"]));
    assert_eq!(state(&outcome, "shellcheck"), json!("ran"));
    assert!(outcome.output.contains("not here: yamllint"), "{}", outcome.output);
}

#[tokio::test]
async fn the_findings_can_go_into_a_file_and_a_repository_without_code_is_no_success() {
    if !works("shellcheck", &["--version"]) {
        let test = "the_findings_can_go_into_a_file";
        return skipped(test, "there is no shellcheck");
    }
    let stage = Stage::new().await;
    let tree = stage.work_tree("tree");
    let nothing = stage.run("code-review", json!({"repo_path": tree})).await;
    stage.put("tree/a.sh", "#!/bin/bash\necho $x\n");
    let order = |file: &str| json!({"repo_path": tree, "sarif_file": file});

    let outcome = stage.run("code-review", order("out/review.sarif")).await;
    let outside = stage.run("code-review", order("../review.sarif")).await;
    let hooks = stage.run("code-review", order(".git/hooks/post-commit")).await;

    assert!(failed(&nothing).contains("nothing was reviewed"), "{nothing:?}");
    let data = completed(&outcome);
    assert_eq!(data["sarif"], json!(null));
    let file = tree.join("out/review.sarif");
    assert_eq!(data["sarif_file"], json!(file));
    let written: Value = fs::read_to_string(file).unwrap().parse().unwrap();
    assert_eq!(written["version"], json!("2.1.0"));
    assert_eq!(written["runs"][0]["results"].as_array().unwrap().len(), found(&outcome).len());
    failed(&outside);
    failed(&hooks);
    assert!(!stage.path("review.sarif").exists());
}
