//! `run-tests`: the tests of a folder are run, and counted by the tool's own count.

use executor_sdk::RunCommand;
use executor_sdk::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::suites::{Counts, GoEvent, Plan, Source, Suite};
use crate::{Fenrir, plain};

/// How many names of failed tests the one line for people holds.
const NAMES_SHOWN: usize = 5;

/// Runs the tests of a folder; the run fails when a test fails, and when none ran.
///
/// Without `command` and `tool` the tool is found by what lies in the folder, the first of: nextest
/// (its configuration), cargo (Cargo.toml), pytest (its configuration, or tests that need it),
/// unittest (tests that import it), npm or node (package.json), go (go.mod), maven (pom.xml), make
/// (a rule `test`).
#[derive(Debug, Deserialize, JsonSchema)]
pub struct RunTests {
    /// The folder to test: an absolute path.
    repo_path: String,
    /// The command that runs the tests, as a program and its arguments (default: found by what
    /// lies in the folder). The node's policy has to allow it.
    #[serde(default)]
    command: Option<Vec<String>>,
    /// The tool to use, where more than one fits the folder (default: the first of them).
    #[serde(default)]
    tool: Option<Suite>,
}

impl Task<Fenrir> for RunTests {
    const TYPE: &'static str = "run-tests";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(30));
    const IDEMPOTENT: bool = true;

    fn asks(params: &Map<String, Value>) -> Vec<Ask> {
        let mut asks = Ask::paths(params, &["repo_path"]);
        asks.extend(Ask::test_command(params, "command"));
        asks
    }

    async fn run(self, executor: &Fenrir, cx: &Context) -> TaskResult {
        let folder = plain::absolute("repo_path", &self.repo_path)?;
        let folder = tokio::fs::canonicalize(&folder)
            .await
            .map_err(|error| Failure::new(format!("cannot use `{}`: {error}", folder.display())))?;
        let found = {
            let (folder, has_nextest) = (folder.clone(), cx.tool("cargo-nextest").is_some());
            tokio::task::spawn_blocking(move || Suite::find(&folder, has_nextest)).await?
        };
        let (plan, suite) = self.plan(&folder, &found, cx)?;

        cx.log(format!("running {}", plan.shown().join(" ")));
        let mut command = cx.run_command(&plan.program).args(&plan.args).cwd(&folder);
        for (name, value) in executor.environment.pairs() {
            command = command.env(name, value);
        }
        for (name, value) in &plan.env {
            command = command.env(name, value);
        }
        command = command
            .env("PYTHONUNBUFFERED", "1")
            // Tests leave nothing behind that a `git-commit` after them would take.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .limit(cx.remaining())
            .any_exit();
        if matches!(plan.source, Source::Libtest) {
            command = command.split();
        }
        let report = match &plan.source {
            Source::Go(events) => Follow::new(events).beside(command, cx).await?,
            _ => command.await?,
        };

        let stdout = report.stdout().to_owned();
        let shown = plan.shown();
        let is_counted = !matches!(plan.source, Source::Unknown);
        let counts = tokio::task::spawn_blocking(move || plan.source.read(&stdout)).await?;
        let exit_code = report.exit_code().unwrap_or(-1);
        Run { suite, found, command: shown, exit_code, is_counted, counts }.verdict()
    }
}

impl RunTests {
    fn plan(
        &self,
        folder: &Path,
        found: &[Suite],
        cx: &Context,
    ) -> Result<(Plan, Option<Suite>), Failure> {
        let temp = cx.temp_dir()?;
        if let Some(command) = &self.command {
            if command.iter().any(|word| word.contains('\0')) {
                return Err(Failure::new("`command` contains NUL"));
            }
            let plan = Plan::of_command(command, temp)
                .filter(|plan| !plan.program.is_empty())
                .ok_or_else(|| Failure::new("`command` names no program"))?;
            return Ok((plan, None));
        }
        let wanted = self.tool.filter(|tool| found.contains(tool));
        if let (Some(tool), None) = (self.tool, wanted) {
            let shown = folder.display();
            let error = format!("`tool` names {}, which does not fit `{shown}`", json!(tool));
            return Err(Failure::new(error));
        }
        let Some(suite) = wanted.or_else(|| found.first().copied()) else {
            return Err(Failure::new(format!(
                "found no tests in `{}`: no Cargo.toml, package.json, go.mod or pom.xml, no Python \
                 tests, no make rule `test`; `command` can say how to test it",
                folder.display()
            )));
        };
        Ok((suite.plan(folder, temp)?, Some(suite)))
    }
}

/// Shows what tests print while `go test` writes it into a file of events.
struct Follow<'a> {
    events: &'a Path,
    shown: usize,
}

impl<'a> Follow<'a> {
    fn new(events: &'a Path) -> Self {
        Self { events, shown: 0 }
    }

    async fn beside(mut self, command: RunCommand<'_>, cx: &Context) -> TaskResult {
        let mut command = command.into_future();
        loop {
            tokio::select! {
                ended = &mut command => {
                    self.show(cx).await;
                    return ended;
                }
                () = tokio::time::sleep(Duration::from_millis(500)) => self.show(cx).await,
            }
        }
    }

    /// Prints the whole lines that are new since the last time.
    async fn show(&mut self, cx: &Context) {
        let Ok(mut file) = tokio::fs::File::open(self.events).await else { return };
        let mut bytes = Vec::new();
        let offset = std::io::SeekFrom::Start(self.shown as u64);
        if file.seek(offset).await.is_err() || file.read_to_end(&mut bytes).await.is_err() {
            return;
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.shown += whole;
        for line in String::from_utf8_lossy(&bytes[..whole]).lines() {
            if let Some(event) = GoEvent::read(line) {
                cx.print(event.output);
            }
        }
    }
}

/// A run of tests that has ended by itself.
struct Run {
    suite: Option<Suite>,
    found: Vec<Suite>,
    command: Vec<String>,
    exit_code: i32,
    // The tool is one that counts, so that no count means no test.
    is_counted: bool,
    counts: Option<Counts>,
}

impl Run {
    /// Says whether the tests passed. Doubt is a failure: no count without tests, no success
    /// beside an exit code that says otherwise.
    fn verdict(&self) -> TaskResult {
        let data = self.data();
        let program = self.command.first().map_or("the command", String::as_str);
        let exit_code = self.exit_code;
        let ended = format!("`{program}` ended with exit code {exit_code}");
        let failed =
            |text: String| Err(Failure::new(text).with_data(&data).with_exit_code(exit_code));
        let Some(counts) = &self.counts else {
            let uncounted = format!("{ended}; it tells no counts");
            return match exit_code {
                0 if self.is_counted => failed(format!("{ended}, but counted no test")),
                0 => Ok(Report::text(uncounted).with_data(&data)),
                _ if self.suite == Some(Suite::Pytest) => {
                    failed(format!("{ended}, without a report; is pytest installed for it?"))
                }
                _ => failed(uncounted),
            };
        };
        let ran = counts.passed + counts.failed;
        if counts.failed > 0 {
            let names = &counts.failed_tests;
            let mut shown = names[..names.len().min(NAMES_SHOWN)].join(", ");
            if names.len() > NAMES_SHOWN {
                shown = format!("{shown} and {} more", names.len() - NAMES_SHOWN);
            }
            return failed(format!("{} of {ran} tests failed: {shown}", counts.failed));
        }
        if ran == 0 {
            return failed(format!("no test ran ({} skipped); {ended}", counts.skipped));
        }
        if exit_code != 0 {
            return failed(format!("{ended}, although {ran} tests passed and none failed"));
        }
        let text = format!("{ran} tests passed, {} skipped", counts.skipped);
        Ok(Report::text(text).with_data(&data))
    }

    fn data(&self) -> Value {
        let counts = self.counts.as_ref();
        json!({
            "tool": self.suite,
            "found": self.found,
            "command": self.command,
            "exit_code": self.exit_code,
            "counts_known": counts.is_some(),
            "passed": counts.map(|counts| counts.passed),
            "failed": counts.map(|counts| counts.failed),
            "skipped": counts.map(|counts| counts.skipped),
            "failed_tests": counts.map_or(&[][..], |counts| &counts.failed_tests),
        })
    }
}
