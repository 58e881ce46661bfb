//! An executor whose tasks behave and misbehave on command.
//!
//! What a task did is written to files that its params name, so that a test can count it and can
//! say when a task may end.

use executor_sdk::prelude::*;

/// The executor of the tests.
#[derive(Debug, Args)]
struct TestExecutor;

impl Executor for TestExecutor {
    const NAME: &'static str = "test-executor";

    fn tasks() -> Tasks<Self> {
        Tasks::new()
            .with::<Echo>()
            .with::<Count>()
            .with::<Hold>()
            .with::<HoldAgain>()
            .with::<Fail>()
            .with::<Flaky>()
            .with::<Flood>()
            .with::<Fork>()
            .with::<IgnoreSigterm>()
            .with::<Panicking>()
            .with::<Crash>()
    }
}

/// Says something, and returns it as data.
#[derive(Deserialize, JsonSchema)]
struct Echo {
    text: String,
}

impl Task<TestExecutor> for Echo {
    const TYPE: &'static str = "echo";
    const IDEMPOTENT: bool = true;

    async fn run(self, _: &TestExecutor, cx: &Context) -> TaskResult {
        cx.log(&self.text);
        Ok(Report::text(&self.text).with_data(&json!({ "text": self.text })))
    }
}

/// Appends one line to a file: proves that something ran once, and in which order.
#[derive(Deserialize, JsonSchema)]
struct Count {
    file: String,
    line: String,
    /// How long the command takes, in seconds.
    #[serde(default)]
    seconds: f64,
}

impl Task<TestExecutor> for Count {
    const TYPE: &'static str = "count";

    async fn run(self, _: &TestExecutor, cx: &Context) -> TaskResult {
        // One write of one line to a file opened for appending: two of them never mix.
        let script = r#"printf '%s\n' "$1" >> "$2" && sleep "$3""#;
        let seconds = self.seconds.to_string();
        cx.run_command("sh").args(["-c", script, "sh", &self.line, &self.file, &seconds]).await
    }
}

const HOLD: &str =
    r#"printf '%s\n' "$$" >> "$1"; while [ ! -e "$2" ]; do sleep 0.05; done; echo let go"#;

/// Appends its process id to one file, and runs until another one exists.
#[derive(Deserialize, JsonSchema)]
struct Hold {
    started: String,
    until: String,
}

impl Task<TestExecutor> for Hold {
    const TYPE: &'static str = "hold";

    async fn run(self, _: &TestExecutor, cx: &Context) -> TaskResult {
        cx.run_command("sh").args(["-c", HOLD, "sh", &self.started, &self.until]).await
    }
}

/// The same, but it may run again after its executor was lost.
#[derive(Deserialize, JsonSchema)]
struct HoldAgain {
    started: String,
    until: String,
}

impl Task<TestExecutor> for HoldAgain {
    const TYPE: &'static str = "hold-again";
    const IDEMPOTENT: bool = true;

    async fn run(self, _: &TestExecutor, cx: &Context) -> TaskResult {
        cx.run_command("sh").args(["-c", HOLD, "sh", &self.started, &self.until]).await
    }
}

/// Prints a text, with its escapes such as `\\033` made real, and fails with an exit code.
#[derive(Deserialize, JsonSchema)]
struct Fail {
    #[serde(default = "something_broke")]
    text: String,
    #[serde(default = "three")]
    code: u8,
}

fn something_broke() -> String {
    "something broke".to_owned()
}

fn three() -> u8 {
    3
}

impl Task<TestExecutor> for Fail {
    const TYPE: &'static str = "fail";

    async fn run(self, _: &TestExecutor, cx: &Context) -> TaskResult {
        let script = r#"printf '%b\n' "$1"; exit "$2""#;
        cx.run_command("sh").args(["-c", script, "sh", &self.text, &self.code.to_string()]).await
    }
}

/// Fails until its file has so many lines; a failure is worth another attempt.
#[derive(Deserialize, JsonSchema)]
struct Flaky {
    file: String,
    lines: u32,
}

impl Task<TestExecutor> for Flaky {
    const TYPE: &'static str = "flaky";
    const RETRYABLE: bool = true;

    async fn run(self, _: &TestExecutor, cx: &Context) -> TaskResult {
        let script = r#"echo try >> "$1"; test "$(wc -l < "$1")" -ge "$2""#;
        cx.run_command("sh").args(["-c", script, "sh", &self.file, &self.lines.to_string()]).await
    }
}

/// Prints many bytes.
#[derive(Deserialize, JsonSchema)]
struct Flood {
    bytes: u64,
}

impl Task<TestExecutor> for Flood {
    const TYPE: &'static str = "flood";

    async fn run(self, _: &TestExecutor, cx: &Context) -> TaskResult {
        let script = r#"yes 'all work and no play' | head -c "$1""#;
        cx.run_command("sh").args(["-c", script, "sh", &self.bytes.to_string()]).await
    }
}

/// Leaves processes behind: one in its group, and one in a session of its own.
#[derive(Deserialize, JsonSchema)]
struct Fork {
    /// Where their process ids are written, one in a line.
    pids: String,
}

impl Task<TestExecutor> for Fork {
    const TYPE: &'static str = "fork";

    async fn run(self, _: &TestExecutor, cx: &Context) -> TaskResult {
        let script = r#"sleep 1000 & echo $! > "$1"; setsid sh -c 'echo $$ >> "$0"; exec sleep 1000' "$1" &
            while [ "$(wc -l < "$1")" -lt 2 ]; do sleep 0.02; done; echo forked"#;
        cx.run_command("sh").args(["-c", script, "sh", &self.pids]).await
    }
}

/// Runs for ever and does not hear SIGTERM.
#[derive(Deserialize, JsonSchema)]
struct IgnoreSigterm {
    /// Where its process id is written.
    started: String,
}

impl Task<TestExecutor> for IgnoreSigterm {
    const TYPE: &'static str = "ignore-sigterm";

    async fn run(self, _: &TestExecutor, cx: &Context) -> TaskResult {
        let script = r#"trap '' TERM; echo before; echo $$ > "$1"; while :; do sleep 0.1; done"#;
        cx.run_command("sh").args(["-c", script, "sh", &self.started]).await
    }
}

/// Panics.
#[derive(Deserialize, JsonSchema)]
struct Panicking {}

impl Task<TestExecutor> for Panicking {
    const TYPE: &'static str = "panic";

    async fn run(self, _: &TestExecutor, _: &Context) -> TaskResult {
        panic!("this task panics, as it was asked to");
    }
}

/// Takes the whole executor down, as often as its file says nothing yet.
#[derive(Deserialize, JsonSchema)]
struct Crash {
    /// Gets a line before the crash; a second run sees it and ends well.
    file: PathBuf,
}

impl Task<TestExecutor> for Crash {
    const TYPE: &'static str = "crash";
    const IDEMPOTENT: bool = true;

    async fn run(self, _: &TestExecutor, _: &Context) -> TaskResult {
        if self.file.exists() {
            return Ok(Report::text("survived"));
        }
        std::fs::write(&self.file, "crashed\n")?;
        std::process::abort();
    }
}

fn main() -> ExitCode {
    executor_sdk::run::<TestExecutor>()
}
