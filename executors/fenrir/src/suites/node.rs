//! JavaScript's test tools: node's own runner, jest, vitest and mocha, behind `npm test`.

use std::ffi::OsString;
use std::fs;

use executor_sdk::prelude::*;

use super::junit::Naming;
use super::{Counts, Plan, Source};

/// How `npm init` fills the script in.
const NONE: &str = "no test specified";

/// Whether the folder has a script `test`, or a package with files that node's runner finds.
pub(super) fn fits(folder: &Path) -> bool {
    let Some(package) = package(folder) else { return false };
    script(&package).is_some() || has_test_files(folder)
}

/// Returns the command that runs all tests, so that it writes its counts into a file.
///
/// Arguments and `NODE_OPTIONS` reach the tool through the script; the script stays as it is.
pub(super) fn plan(folder: &Path, temp: &Path) -> Plan {
    let script = package(folder).as_ref().and_then(script).unwrap_or_default();
    let words: Vec<&str> = script.split_whitespace().collect();
    let runs =
        |name: &str| words.iter().any(|word| *word == name || word.ends_with(&format!("/{name}")));
    // What `npm test -- …` appends reaches the last command of the script.
    let is_one_command = !script.contains(['&', ';', '|']);
    let option = |name: &str, file: &Path| {
        let mut option = OsString::from(name);
        option.push(file);
        option
    };
    let npm = |args: Vec<OsString>, source| {
        let args = ["test".into(), "--".into()].into_iter().chain(args);
        Plan::new("npm", args, source).with("CI", "true")
    };
    let json = temp.join("node.json");
    if is_one_command && runs("jest") {
        let args = vec!["--json".into(), option("--outputFile=", &json)];
        npm(args, Source::Jest(json))
    } else if is_one_command && runs("vitest") {
        let file = option("--outputFile.json=", &json);
        let args = vec!["--reporter=default".into(), "--reporter=json".into(), file];
        npm(args, Source::Jest(json))
    } else if is_one_command && runs("mocha") {
        let file = option("output=", &json);
        let args = ["--reporter", "json", "--reporter-option"].map(OsString::from);
        npm(args.into_iter().chain([file]).collect(), Source::Mocha(json))
    } else if script.is_empty() || is_one_command && words.contains(&"--test") {
        let xml = temp.join("node.xml");
        let file = option("--test-reporter-destination=", &xml);
        let reporters = ["--test-reporter=spec", "--test-reporter-destination=stdout"];
        let source = Source::Junit(xml, Naming::Suites);
        if script.is_empty() {
            let args = ["--test", "--test-reporter=junit"].map(OsString::from).into_iter();
            let args = args.chain([file]).chain(reporters.map(OsString::from));
            return Plan::new("node", args, source);
        }
        let mut options = OsString::from("--test-reporter=junit \"");
        options.push(&file);
        options.push("\" ");
        options.push(reporters.join(" "));
        Plan::new("npm", ["test"], source).with("CI", "true").with("NODE_OPTIONS", options)
    } else {
        Plan::new("npm", ["test"], Source::Unknown).with("CI", "true")
    }
}

/// Reads the JSON of jest, which vitest writes as well.
pub(super) fn jest(json: &str) -> Option<Counts> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Written {
        test_results: Vec<TestFile>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct TestFile {
        name: String,
        status: String,
        assertion_results: Vec<Test>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Test {
        full_name: String,
        status: String,
    }
    let written = Written::deserialize(json.parse::<Value>().ok()?).ok()?;
    let mut counts = Counts::default();
    for file in written.test_results {
        let failed_before = counts.failed;
        for test in file.assertion_results {
            match test.status.as_str() {
                "passed" => counts.passed += 1,
                "failed" => {
                    counts.failed += 1;
                    counts.failed_tests.push(test.full_name);
                }
                _ => counts.skipped += 1,
            }
        }
        // A file that cannot be loaded has no tests to tell.
        if file.status == "failed" && counts.failed == failed_before {
            counts.failed += 1;
            counts.failed_tests.push(file.name);
        }
    }
    Some(counts)
}

/// Reads the JSON of mocha.
pub(super) fn mocha(json: &str) -> Option<Counts> {
    #[derive(Deserialize)]
    struct Written {
        stats: Stats,
        failures: Vec<Test>,
    }
    #[derive(Deserialize)]
    struct Stats {
        passes: u64,
        pending: u64,
        failures: u64,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Test {
        full_title: String,
    }
    let written = Written::deserialize(json.parse::<Value>().ok()?).ok()?;
    Some(Counts {
        passed: written.stats.passes,
        failed: written.stats.failures,
        skipped: written.stats.pending,
        failed_tests: written.failures.into_iter().map(|test| test.full_title).collect(),
    })
}

fn package(folder: &Path) -> Option<Value> {
    fs::read_to_string(folder.join("package.json")).ok()?.parse().ok()
}

fn script(package: &Value) -> Option<String> {
    let script = package.get("scripts")?.get("test")?.as_str()?;
    (!script.contains(NONE) && !script.trim().is_empty()).then(|| script.to_owned())
}

/// Whether a file lies where node's runner looks first. Deeper ones want a script.
fn has_test_files(folder: &Path) -> bool {
    let is_test = |name: &str| {
        [".js", ".mjs", ".cjs"].iter().filter_map(|ending| name.strip_suffix(ending)).any(|stem| {
            stem == "test"
                || stem.starts_with("test-")
                || [".test", "-test", "_test"].iter().any(|ending| stem.ends_with(ending))
        })
    };
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let is_script = |name: &String| [".js", ".mjs", ".cjs"].iter().any(|end| name.ends_with(end));
    names(folder).iter().any(|name| is_test(name))
        || names(&folder.join("test")).iter().any(is_script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_decides_who_counts() {
        let cases = [
            ("jest", "Jest", &["test", "--", "--json", "--outputFile=/t/node.json"][..]),
            ("NODE_ENV=test npx vitest run", "Jest", &["test", "--", "--reporter=default"]),
            ("node_modules/.bin/mocha t", "Mocha", &["test", "--", "--reporter", "json"]),
            ("node --test", "Junit", &["test"]),
            ("eslint . && jest", "Unknown", &["test"]),
            ("tap", "Unknown", &["test"]),
        ];
        for (script, source, args) in cases {
            let folder = tempfile::tempdir().unwrap();
            let package = json!({"scripts": {"test": script}}).to_string();
            fs::write(folder.path().join("package.json"), package).unwrap();
            assert!(fits(folder.path()));

            let plan = plan(folder.path(), Path::new("/t"));

            assert!(format!("{:?}", plan.source).starts_with(source), "{script}: {plan:?}");
            assert_eq!(plan.args[..args.len()], *args, "{script}");
        }
    }

    #[test]
    fn a_package_without_tests_is_none_to_test() {
        let folder = tempfile::tempdir().unwrap();
        let package = r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}}"#;
        fs::write(folder.path().join("package.json"), package).unwrap();
        assert!(!fits(folder.path()));

        fs::write(folder.path().join("a.test.mjs"), "").unwrap();
        assert!(fits(folder.path()));
        assert_eq!(plan(folder.path(), Path::new("/t")).program, "node");
    }

    #[test]
    fn the_json_of_jest_and_of_mocha_is_counted() {
        let test = |name: &str, status: &str| json!({"fullName": name, "status": status});
        let tests = [test("a good", "passed"), test("a bad", "failed"), test("a later", "pending")];
        let jest_json = json!({"testResults": [
            {"name": "/a.js", "status": "failed", "assertionResults": tests},
            {"name": "/b.js", "status": "failed", "assertionResults": []},
        ]});
        let mocha_json = json!({
            "stats": {"passes": 1, "pending": 2, "failures": 1},
            "failures": [{"fullTitle": "a bad"}],
        });

        let jest = jest(&jest_json.to_string()).unwrap();
        let mocha = mocha(&mocha_json.to_string()).unwrap();

        assert_eq!((jest.passed, jest.failed, jest.skipped), (1, 2, 1));
        assert_eq!(jest.failed_tests, ["a bad", "/b.js"]);
        assert_eq!((mocha.passed, mocha.failed, mocha.skipped), (1, 1, 2));
        assert_eq!(mocha.failed_tests, ["a bad"]);
    }
}
