//! How a container is brought up: by `docker compose`, `docker-compose` or `podman compose`.

use std::fmt;

use executor_sdk::prelude::*;

/// What is tried, in this order: a program, and the words before the command.
const KNOWN: [(&str, &[&str]); 3] =
    [("docker", &["compose"]), ("docker-compose", &[]), ("podman", &["compose"])];

/// How long a question may take that needs no image.
const SHORT: Duration = Duration::from_secs(30);

/// The longest name of a service that is taken.
const LONGEST: usize = 200;

/// The name of a service of a compose file.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline)]
pub(crate) struct Service(String);

impl TryFrom<String> for Service {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins_well || text.len() > LONGEST || !text.chars().all(is_fit) {
            return Err(
                "no name of a service; it is made of letters, digits, `.`, `_` and `-`".to_owned()
            );
        }
        Ok(Self(text))
    }
}

impl Service {
    /// Returns what it is called as a rule.
    pub(crate) fn ollama() -> Self {
        Self("ollama".to_owned())
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a service is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) is_running: bool,
    /// The ids of its containers.
    pub(crate) containers: Vec<String>,
}

/// A compose program of this node, and the file it works on.
#[derive(Debug)]
pub(crate) struct Compose<'a> {
    cx: &'a Context,
    program: &'static str,
    words: &'static [&'static str],
    version: String,
    file: PathBuf,
    host: Option<String>,
}

impl<'a> Compose<'a> {
    /// Finds the first program that works; `host` is where it finds what it drives, if not at the
    /// usual place.
    pub(crate) async fn find(
        cx: &'a Context,
        file: &Path,
        host: Option<&str>,
    ) -> Result<Self, Failure> {
        if !file.is_absolute() {
            let text = format!("`{}` is no absolute path of a compose file", file.display());
            return Err(Failure::new(text));
        }
        if !file.is_file() {
            let text = format!("there is no compose file at `{}` on this node", file.display());
            return Err(Failure::new(text));
        }
        let mut tried = Vec::with_capacity(KNOWN.len());
        for (program, words) in KNOWN {
            let called = called(program, words);
            if cx.tool(program).is_none() {
                tried.push(format!("{called}: `{program}` is not installed"));
                continue;
            }
            let asked =
                cx.run_command(program).args(words).arg("version").limit(SHORT).split().quiet();
            match asked.await {
                Ok(report) => {
                    let version = report.stdout().lines().next().unwrap_or_default().to_owned();
                    let file = file.to_owned();
                    let host = host.map(str::to_owned);
                    return Ok(Self { cx, program, words, version, file, host });
                }
                Err(failure) => tried.push(format!("{called}: {}", failure.error())),
            }
        }
        Err(Failure::new(format!(
            "no compose program works on this node ({}): install Docker's compose plugin, \
             docker-compose or podman-compose",
            tried.join("; ")
        ))
        .with_data(&json!({"tried": tried})))
    }

    /// Returns what it is called on a command line.
    pub(crate) fn called(&self) -> String {
        called(self.program, self.words)
    }

    /// Returns what it says of its version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Brings a service up; one that is up as the file says is left alone.
    pub(crate) async fn up(&self, service: &Service) -> TaskResult {
        // Its images may have to be fetched first: only the task's limit applies.
        let up = self.command().args(["up", "--detach"]).arg(&service.0);
        up.limit(self.cx.remaining()).await.map_err(hinted)
    }

    /// Returns how a service is, if the program can tell; not each can.
    pub(crate) async fn state(&self, service: &Service) -> Option<State> {
        // The ids alone would not do: docker-compose lists containers that have ended, too.
        let running = self.lines(&["ps", "--services", "--filter", "status=running"]).await?;
        let containers = self.lines(&["ps", "--quiet", &service.0]).await?;
        Some(State { is_running: running.contains(&service.0), containers })
    }

    async fn lines(&self, words: &[&str]) -> Option<Vec<String>> {
        let asked = self.command().args(words).limit(SHORT).split().quiet();
        let report = asked.await.ok()?;
        let lines = report.stdout().lines().map(str::trim);
        Some(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    /// Writes the last lines of a service into the task's log.
    pub(crate) async fn tell_logs(&self, service: &Service) {
        let logs = self.command().args(["logs", "--tail", "20"]).arg(&service.0);
        if let Err(failure) = logs.limit(SHORT).await {
            self.cx.log(format!("[no log of `{service}`: {}]", failure.error()));
        }
    }

    fn command(&self) -> executor_sdk::RunCommand<'a> {
        let folder = self.file.parent().unwrap_or(Path::new("/"));
        let mut command = self.cx.run_command(self.program).args(self.words).cwd(folder);
        if let Some(host) = &self.host {
            // Podman's own name for it, and Docker's.
            command = command.env("DOCKER_HOST", host).env("CONTAINER_HOST", host);
        }
        command.arg("--file").arg(&self.file)
    }
}

/// Adds a way out to the commonest failures.
fn hinted(failure: Failure) -> Failure {
    let text = failure.error();
    // docker-compose tells of both in the words of Python.
    let way_out = if text.contains("permission denied") || text.contains("PermissionError(13") {
        "let the user of this executor use it, as by adding it to the group `docker`"
    } else if text.contains("docker daemon running") || text.contains("fetching server API") {
        "start Docker, as by `systemctl start docker`"
    } else {
        return failure;
    };
    let hinted = Failure::new(format!("{text}; {way_out}"));
    match failure.exit_code() {
        Some(code) => hinted.with_exit_code(code),
        None => hinted,
    }
}

fn called(program: &str, words: &[&str]) -> String {
    [&[program], words].concat().join(" ")
}
