//! `dev-health-check`: what this machine is, and what it can build with.

use executor_sdk::host;
use executor_sdk::prelude::*;
use futures::future::join_all;

use crate::Fenrir;

/// The programs that are looked for, with the argument that makes each tell its version.
const TOOLS: [(&str, &str); 16] = [
    ("git", "--version"),
    ("cargo", "--version"),
    ("rustc", "--version"),
    ("cargo-nextest", "--version"),
    ("gcc", "--version"),
    ("make", "--version"),
    ("python3", "--version"),
    ("pytest", "--version"),
    ("ruff", "--version"),
    ("node", "--version"),
    ("npm", "--version"),
    ("go", "version"),
    ("mvn", "--version"),
    ("shellcheck", "--version"),
    ("ansible-playbook", "--version"),
    ("docker", "--version"),
];

/// Tells the host's facts: kernel, uptime, load, memory, disks, and which development tools it
/// has, with their versions.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DevHealthCheck {}

#[derive(Debug, Serialize)]
struct Tool {
    name: &'static str,
    path: Option<PathBuf>,
    version: Option<String>,
}

impl Task<Fenrir> for DevHealthCheck {
    const TYPE: &'static str = "dev-health-check";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(1));
    const IDEMPOTENT: bool = true;
    const TOOLS: &'static [&'static str] = &["df"];

    async fn run(self, executor: &Fenrir, cx: &Context) -> TaskResult {
        let facts = host::Facts::read()?;
        let disks = host::disks(cx).await?;
        let tools = join_all(TOOLS.map(|(name, arg)| look(name, arg, executor, cx))).await;

        let [load, ..] = facts.load;
        cx.log(format!("{}, kernel {}", facts.hostname, facts.kernel));
        cx.log(format!("up {:.1} hours, load {load}", facts.uptime_seconds / 3600.0));
        for disk in &disks {
            cx.log(format!("{}: {} % free", disk.mount, disk.free_percent));
        }
        for tool in &tools {
            let told = match (&tool.path, &tool.version) {
                (None, _) => "not found",
                (Some(_), None) => "found, but tells no version",
                (Some(_), Some(version)) => version,
            };
            cx.log(format!("{}: {told}", tool.name));
        }
        let found = tools.iter().filter(|tool| tool.version.is_some()).count();
        let text = format!("{found} of {} tools found", tools.len());
        Ok(Report::text(text).with_data(&json!({
            "host": facts,
            "disks": disks,
            "tools": tools,
        })))
    }
}

/// Looks for a program and asks for its version. One that does not answer has none.
async fn look(name: &'static str, arg: &str, executor: &Fenrir, cx: &Context) -> Tool {
    let path = cx.tool(name);
    let mut version = None;
    if let Some(path) = &path {
        let mut command = cx.run_command(path).arg(arg);
        for (variable, value) in executor.environment.pairs() {
            command = command.env(variable, value);
        }
        let answer = command.limit(Duration::from_secs(10)).quiet().await;
        version = answer.ok().and_then(|report| version_line(report.output()));
    }
    Tool { name, path, version }
}

/// Returns the first line with a number in it, without colours.
fn version_line(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.chars().any(|c| c.is_ascii_digit()))?;
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // `ESC [ … letter`.
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else if !c.is_control() {
            plain.push(c);
        }
    }
    Some(plain.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::version_line;

    #[test]
    fn the_version_is_found_among_titles_and_colours() {
        let cases = [
            ("git version 2.39.5\n", Some("git version 2.39.5")),
            ("ShellCheck - shell script analysis tool\nversion: 0.9.0\n", Some("version: 0.9.0")),
            ("\u{1b}[1mApache Maven 3.8.7\u{1b}[m\nMaven home: /usr\n", Some("Apache Maven 3.8.7")),
            ("\n", None),
        ];
        for (text, version) in cases {
            assert_eq!(version_line(text).as_deref(), version, "{text:?}");
        }
    }
}
