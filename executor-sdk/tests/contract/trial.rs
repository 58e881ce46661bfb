//! An executor with one task for each thing that can happen.

use std::path::PathBuf;
use std::time::Duration;

use executor_sdk::prelude::*;

#[derive(Args, Debug, Default)]
#[group(skip)]
pub(crate) struct Trial {
    /// What `greet` says.
    #[arg(long, env = "TRIAL_GREETING", default_value = "hello")]
    pub(crate) greeting: String,
}

impl Executor for Trial {
    const NAME: &'static str = "trial-executor";
    const VERSION: &'static str = "1.2.3";

    fn tasks() -> Tasks<Self> {
        Tasks::new()
            .with::<Greet>()
            .with::<Look>()
            .with::<Shell>()
            .with::<Lines>()
            .with::<Forever>()
            .with::<Tidy>()
            .with::<Block>()
            .with::<Panic>()
            .with::<Fail>()
            .with::<Brief>()
            .with::<Scratch>()
            .with::<Touch>()
            .with::<Prove>()
            .with::<NeedsTool>()
    }
}

/// Greets somebody.
///
/// The second paragraph is for readers of the code.
#[derive(Deserialize, JsonSchema)]
struct Greet {
    /// Who is greeted.
    name: String,
    /// How often.
    #[serde(default = "once")]
    times: u8,
}

fn once() -> u8 {
    1
}

impl Task<Trial> for Greet {
    const TYPE: &'static str = "greet";
    const IDEMPOTENT: bool = true;

    async fn run(self, trial: &Trial, cx: &Context) -> TaskResult {
        for _ in 0..self.times {
            cx.log(format!("{} {}", trial.greeting, self.name));
        }
        Ok(Report::data(&json!({"greeted": self.name, "task_id": cx.task_id()})))
    }
}

/// Looks at hosts.
#[derive(Deserialize, JsonSchema)]
struct Look {
    hosts: Vec<Host>,
}

#[derive(Deserialize, JsonSchema)]
struct Host {
    name: String,
    port: u16,
}

impl Task<Trial> for Look {
    const TYPE: &'static str = "look";

    async fn run(self, _: &Trial, _: &Context) -> TaskResult {
        let seen: Vec<_> =
            self.hosts.iter().map(|host| format!("{}:{}", host.name, host.port)).collect();
        Ok(Report::data(&seen))
    }
}

/// Runs a script.
#[derive(Deserialize, JsonSchema)]
struct Shell {
    script: String,
    #[serde(default)]
    any_exit: bool,
    #[serde(default)]
    split: bool,
    #[serde(default)]
    limit_seconds: Option<f64>,
    #[serde(default)]
    stdin: Option<String>,
}

impl Task<Trial> for Shell {
    const TYPE: &'static str = "shell";
    const RETRYABLE: bool = true;

    async fn run(self, _: &Trial, cx: &Context) -> TaskResult {
        let mut command = cx.run_command("sh").arg("-c").arg(self.script).env("TRIAL", "set");
        if self.any_exit {
            command = command.any_exit();
        }
        if self.split {
            command = command.split();
        }
        if let Some(stdin) = self.stdin {
            command = command.stdin(stdin);
        }
        if let Some(seconds) = self.limit_seconds {
            command = command.limit(Duration::from_secs_f64(seconds));
        }
        let report = command.await?;
        let stdout = report.stdout().to_owned();
        Ok(if self.split { report.with_data(&json!({"stdout": stdout})) } else { report })
    }
}

/// Counts aloud, a line each time a file grows by a byte, until the file `stop` is there.
#[derive(Deserialize, JsonSchema)]
struct Lines {
    count: u32,
}

impl Task<Trial> for Lines {
    const TYPE: &'static str = "lines";

    async fn run(self, _: &Trial, cx: &Context) -> TaskResult {
        for n in 0..self.count {
            cx.log(format!("line {n}"));
        }
        Ok(Report::text("that was all"))
    }
}

/// Waits for something that never comes.
#[derive(Deserialize, JsonSchema)]
struct Forever {}

impl Task<Trial> for Forever {
    const TYPE: &'static str = "forever";

    async fn run(self, _: &Trial, cx: &Context) -> TaskResult {
        cx.log("waiting");
        std::future::pending().await
    }
}

/// Waits until it is told to stop, and tidies up.
#[derive(Deserialize, JsonSchema)]
struct Tidy {}

impl Task<Trial> for Tidy {
    const TYPE: &'static str = "tidy";

    async fn run(self, _: &Trial, cx: &Context) -> TaskResult {
        cx.log("working");
        cx.cancelled().await;
        cx.log("tidied up");
        Ok(Report::data(&json!({"tidy": true})))
    }
}

/// Blocks its thread.
#[derive(Deserialize, JsonSchema)]
struct Block {}

impl Task<Trial> for Block {
    const TYPE: &'static str = "block";

    async fn run(self, _: &Trial, _: &Context) -> TaskResult {
        let (_open, never) = std::sync::mpsc::channel::<()>();
        Ok(Report::text(format!("{:?}", never.recv_timeout(Duration::from_secs(5)))))
    }
}

/// Has a bug.
#[derive(Deserialize, JsonSchema)]
struct Panic {}

impl Task<Trial> for Panic {
    const TYPE: &'static str = "panic";

    async fn run(self, _: &Trial, cx: &Context) -> TaskResult {
        cx.log("before");
        panic!("index {} out of bounds", 7)
    }
}

/// Fails.
#[derive(Deserialize, JsonSchema)]
struct Fail {
    error: String,
}

impl Task<Trial> for Fail {
    const TYPE: &'static str = "fail";

    async fn run(self, _: &Trial, _: &Context) -> TaskResult {
        Err(Failure::new(self.error).with_data(&json!({"known": 1})))
    }
}

/// Has a short limit of its own.
#[derive(Deserialize, JsonSchema)]
struct Brief {}

impl Task<Trial> for Brief {
    const TYPE: &'static str = "brief";
    const TIMEOUT: Option<Duration> = Some(Duration::from_millis(300));

    async fn run(self, _: &Trial, cx: &Context) -> TaskResult {
        cx.run_command("sh").arg("-c").arg("echo begun; sleep 600 & sleep 600").await
    }
}

/// Writes into its temporary folder.
#[derive(Deserialize, JsonSchema)]
struct Scratch {}

impl Task<Trial> for Scratch {
    const TYPE: &'static str = "scratch";

    async fn run(self, _: &Trial, cx: &Context) -> TaskResult {
        let file = cx.temp_dir()?.join("note");
        std::fs::write(&file, "x")?;
        let is_there = file.exists();
        Ok(Report::data(&json!({"file": file, "is_there": is_there})))
    }
}

/// Makes a file.
#[derive(Deserialize, JsonSchema)]
struct Touch {
    path: PathBuf,
}

impl Task<Trial> for Touch {
    const TYPE: &'static str = "touch";

    fn asks(params: &Map<String, Value>) -> Vec<Ask> {
        Ask::paths(params, &["path"])
    }

    async fn run(self, _: &Trial, _: &Context) -> TaskResult {
        std::fs::write(&self.path, "")?;
        Ok(Report::done())
    }
}

/// Runs a test command.
#[derive(Deserialize, JsonSchema)]
struct Prove {
    #[serde(default)]
    command: Option<String>,
}

impl Task<Trial> for Prove {
    const TYPE: &'static str = "prove";

    fn asks(params: &Map<String, Value>) -> Vec<Ask> {
        Ask::test_command(params, "command").into_iter().collect()
    }

    async fn run(self, _: &Trial, _: &Context) -> TaskResult {
        Ok(Report::text(self.command.unwrap_or_default()))
    }
}

/// Needs what nobody has.
#[derive(Deserialize, JsonSchema)]
struct NeedsTool {}

impl Task<Trial> for NeedsTool {
    const TYPE: &'static str = "needs-tool";
    const TOOLS: &'static [&'static str] =
        &["sh", "surely-nobody-has-this-tool", "nor-this|sh", "nor-this|nor-that"];

    async fn run(self, _: &Trial, _: &Context) -> TaskResult {
        Ok(Report::done())
    }
}
