//! Which tools test a folder, and how their counts are read.
//!
//! The first of [`Suite::ALL`] that fits is used, unless the order names one.

mod cargo;
mod go;
mod junit;
mod maven;
mod node;
mod python;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::time::SystemTime;

use executor_sdk::prelude::*;

pub(crate) use go::Event as GoEvent;
use junit::Naming;

/// A tool that runs tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Suite {
    /// `cargo nextest run`, where the repository is set up for it and the node has it.
    Nextest,
    /// `cargo test`.
    Cargo,
    /// `python -m pytest`.
    Pytest,
    /// Python's own unittest.
    Unittest,
    /// `npm test`, or node's own runner.
    Node,
    /// `go test`.
    Go,
    /// `mvn test`.
    Maven,
    /// `make test`.
    Make,
}

/// What a run of tests came to, as the tool itself counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// The names of the failed ones, where the tool gives them.
    pub(crate) failed_tests: Vec<String>,
}

/// A command that runs tests, and where its counts come from.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(&'static str, OsString)>,
    pub(crate) source: Source,
}

/// Where the counts of a run come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// libtest's summary lines on stdout.
    Libtest,
    /// A JUnit XML file.
    Junit(PathBuf, Naming),
    /// The JSON file of jest or vitest.
    Jest(PathBuf),
    /// The JSON file of mocha.
    Mocha(PathBuf),
    /// The events of `go test -json`, in a file.
    Go(PathBuf),
    /// Surefire's files in this project, written since then.
    Surefire(PathBuf, SystemTime),
    /// The JSON file of our own unittest runner.
    Unittest(PathBuf),
    /// The tool tells nobody; its exit code decides.
    Unknown,
}

impl Counts {
    fn add(&mut self, mut more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.skipped += more.skipped;
        self.failed_tests.append(&mut more.failed_tests);
    }
}

impl Suite {
    /// All of them, in the order in which they are tried: `make` may do more than one of the
    /// others would, but it does not count.
    pub(crate) const ALL: [Self; 8] = [
        Self::Nextest,
        Self::Cargo,
        Self::Pytest,
        Self::Unittest,
        Self::Node,
        Self::Go,
        Self::Maven,
        Self::Make,
    ];

    /// Returns those that fit the folder, in the order in which they are tried. Blocks on the disk.
    pub(crate) fn find(folder: &Path, has_nextest: bool) -> Vec<Self> {
        let python = python::Found::look(folder);
        Self::ALL
            .into_iter()
            .filter(|suite| match suite {
                Self::Nextest => has_nextest && folder.join(".config/nextest.toml").is_file(),
                Self::Cargo => folder.join("Cargo.toml").is_file(),
                Self::Pytest => python.pytest,
                Self::Unittest => python.unittest,
                Self::Node => node::fits(folder),
                Self::Go => folder.join("go.mod").is_file() || folder.join("go.work").is_file(),
                Self::Maven => folder.join("pom.xml").is_file(),
                Self::Make => has_make_target(folder, "test"),
            })
            .collect()
    }

    /// Returns the command that runs all tests of the folder. Blocks on the disk.
    pub(crate) fn plan(self, folder: &Path, temp: &Path) -> Result<Plan, Failure> {
        Ok(match self {
            Self::Nextest => cargo::nextest(temp)?,
            Self::Cargo => Plan::new(
                "cargo",
                ["test", "--workspace", "--no-fail-fast", "--color=never"],
                Source::Libtest,
            ),
            Self::Pytest => {
                let report = temp.join("pytest.xml");
                let mut option = OsString::from("--junit-xml=");
                option.push(&report);
                let args = [OsStr::new("-m"), OsStr::new("pytest"), &option];
                let source = Source::Junit(report, Naming::Class);
                Plan::new(python::interpreter(folder), args, source)
            }
            Self::Unittest => {
                let report = temp.join("unittest.json");
                let args = [OsStr::new("-c"), OsStr::new(python::RUNNER), report.as_os_str()];
                Plan::new(python::interpreter(folder), args, Source::Unittest(report.clone()))
            }
            Self::Node => node::plan(folder, temp),
            Self::Go => {
                let events = temp.join("go-test.json");
                // The shell only sets the file up: go has no option for it, and events that go
                // through a pipe would be all that is kept in memory.
                let script = "exec go test -json ./... > \"$1\"";
                let args = [OsStr::new("-c"), script.as_ref(), "sh".as_ref(), events.as_os_str()];
                Plan::new("sh", args, Source::Go(events.clone()))
            }
            Self::Maven => {
                let args = ["--batch-mode", "--no-transfer-progress", "--fail-at-end", "test"];
                // A file system may keep whole seconds only.
                let since = SystemTime::now() - Duration::from_secs(1);
                Plan::new("mvn", args, Source::Surefire(folder.to_owned(), since))
            }
            Self::Make => Plan::new("make", ["test"], Source::Unknown),
        })
    }
}

impl Plan {
    fn new<A: AsRef<OsStr>>(
        program: impl Into<OsString>,
        args: impl IntoIterator<Item = A>,
        source: Source,
    ) -> Self {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        Self { program: program.into(), args, env: Vec::new(), source }
    }

    /// Sets a variable of its environment.
    fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Returns the plan that runs a command of the order's choice; its counts are read where the
    /// tool is known.
    pub(crate) fn of_command(command: &[String], temp: &Path) -> Option<Self> {
        let (program, args) = command.split_first()?;
        let mut plan = Self::new(program, args, Source::Unknown);
        let name = Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or_default();
        let runs = |module: &str| {
            name.starts_with("python")
                && args.windows(2).any(|two| two[0] == "-m" && two[1] == module)
        };
        if name == "cargo" && args.iter().any(|arg| arg == "test" || arg == "t") {
            plan.source = Source::Libtest;
        } else if name == "pytest" || name == "py.test" || runs("pytest") {
            let report = temp.join("pytest.xml");
            let mut option = OsString::from("--junit-xml=");
            option.push(&report);
            plan.env.push(("PYTEST_ADDOPTS", option));
            plan.source = Source::Junit(report, Naming::Class);
        }
        Some(plan)
    }

    /// Returns the command as a person would write it.
    pub(crate) fn shown(&self) -> Vec<String> {
        if matches!(self.source, Source::Go(_)) {
            return ["go", "test", "-json", "./..."].map(str::to_owned).to_vec();
        }
        let program = self.program.to_string_lossy().into_owned();
        let args = self.args.iter().map(|arg| {
            let arg = arg.to_string_lossy();
            if arg == python::RUNNER { "RUNNER".to_owned() } else { arg.into_owned() }
        });
        std::iter::once(program).chain(args).collect()
    }
}

impl Source {
    /// Reads the counts after the command has ended; `None` where there are none to read. Blocks
    /// on the disk.
    pub(crate) fn read(&self, stdout: &str) -> Option<Counts> {
        match self {
            Self::Libtest => cargo::counts(stdout),
            Self::Junit(path, naming) => junit::counts(&fs::read_to_string(path).ok()?, *naming),
            Self::Jest(path) => node::jest(&fs::read_to_string(path).ok()?),
            Self::Mocha(path) => node::mocha(&fs::read_to_string(path).ok()?),
            Self::Go(path) => go::counts(&fs::read_to_string(path).ok()?),
            Self::Surefire(project, since) => maven::counts(project, *since),
            Self::Unittest(path) => python::counts(&fs::read_to_string(path).ok()?),
            Self::Unknown => None,
        }
    }
}

/// Whether the folder's makefile has a rule for this target.
fn has_make_target(folder: &Path, target: &str) -> bool {
    let makefile = ["GNUmakefile", "makefile", "Makefile"]
        .into_iter()
        .find_map(|name| fs::read_to_string(folder.join(name)).ok());
    makefile.is_some_and(|text| {
        text.lines().any(|line| {
            let Some((targets, rest)) = line.split_once(':') else { return false };
            !line.starts_with(['\t', '#'])
                && !targets.contains('=')
                && !rest.starts_with('=')
                && targets.split_whitespace().any(|word| word == target)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_order_decides() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(Suite::find(folder.path(), true), []);

        put("Makefile", "all:\n\ttrue\ntest: all\n\ttrue\n");
        put("test_a.py", "import unittest\n");
        put("pytest.ini", "[pytest]\n");
        put("Cargo.toml", "[package]\n");
        put("package.json", r#"{"scripts": {"test": "node --test"}}"#);
        put("go.mod", "module x\n");
        put("pom.xml", "<project/>\n");
        fs::create_dir(folder.path().join(".config")).unwrap();
        put(".config/nextest.toml", "");

        assert_eq!(Suite::find(folder.path(), true), Suite::ALL);
        assert_eq!(Suite::find(folder.path(), false), Suite::ALL[1..]);
    }

    #[test]
    fn a_make_target_is_a_rule_and_nothing_else() {
        let cases = [
            ("test:\n", true),
            ("test check: all\n", true),
            (".PHONY: test\n", false),
            ("test := x\n", false),
            ("test = a:b\n", false),
            ("\ttest: x\n", false),
            ("# test: x\n", false),
            ("tests:\n", false),
        ];
        for (text, expected) in cases {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("Makefile"), text).unwrap();
            assert_eq!(has_make_target(folder.path(), "test"), expected, "{text:?}");
        }
    }

    #[test]
    fn a_command_of_the_order_is_read_where_its_tool_is_known() {
        let source = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            Plan::of_command(&words, Path::new("/t")).map(|plan| format!("{:?}", plan.source))
        };
        let is = |words: &[&str], name: &str| source(words).unwrap().starts_with(name);

        assert!(is(&["cargo", "test", "-p", "x"], "Libtest"));
        assert!(is(&["/usr/bin/python3", "-m", "pytest", "-q"], "Junit"));
        assert!(is(&["pytest"], "Junit"));
        assert!(is(&["cargo", "build"], "Unknown"));
        assert!(is(&["sh", "-c", "cargo test"], "Unknown"));
        assert_eq!(source(&[]), None);
    }
}
