//! `dev-health-check`: what this machine is, and what it can build with.

use executor_sdk::host::{self, Disk, Facts};
use executor_sdk::prelude::*;
use futures::future::join_all;

use crate::{Fenrir, plain};

/// The programs that are looked for, with the argument that makes each tell its version.
const TOOLS: [(&str, &str); 20] = [
    ("git", "--version"),
    ("cargo", "--version"),
    ("rustc", "--version"),
    ("cargo-nextest", "--version"),
    ("gcc", "--version"),
    ("make", "--version"),
    ("python3", "--version"),
    ("pytest", "--version"),
    ("ruff", "--version"),
    ("flake8", "--version"),
    ("node", "--version"),
    ("npm", "--version"),
    ("eslint", "--version"),
    ("go", "version"),
    ("mvn", "--version"),
    ("shellcheck", "--version"),
    ("yamllint", "--version"),
    ("ansible-lint", "--version"),
    ("ansible-playbook", "--version"),
    ("docker", "--version"),
];

/// Tells the host's facts: kernel, uptime, load, memory, disks, and which development tools it
/// has, with their versions; fails when one of the given thresholds is crossed.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DevHealthCheck {
    /// The highest load of the last five minutes per CPU that is still well (default: any).
    #[serde(default)]
    max_load_per_cpu: Option<f64>,
    /// The least free space on each local disk that is still well, in percent (default: any).
    #[serde(default)]
    min_disk_free_percent: Option<f64>,
    /// The least available memory that is still well, in percent (default: any).
    #[serde(default)]
    min_memory_available_percent: Option<f64>,
    /// Programs that have to be here and tell their version, where they are among those that are
    /// looked for (default: none).
    #[serde(default)]
    require_tools: Vec<String>,
}

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
        self.check()?;
        let facts = Facts::read()?;
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
        let breaches = self.breaches(&facts, &disks, &tools, cx);
        let data = json!({
            "host": facts,
            "disks": disks,
            "tools": tools,
            "breaches": breaches,
        });
        if !breaches.is_empty() {
            let text = format!("{}: {}", facts.hostname, breaches.join("; "));
            return Err(Failure::new(text).with_data(&data));
        }
        let found = tools.iter().filter(|tool| tool.version.is_some()).count();
        let text = format!("{found} of {} tools found", tools.len());
        Ok(Report::text(text).with_data(&data))
    }
}

impl DevHealthCheck {
    /// Refuses thresholds that say nothing.
    fn check(&self) -> Result<(), Failure> {
        for (name, value, highest) in [
            ("max_load_per_cpu", self.max_load_per_cpu, f64::MAX),
            ("min_disk_free_percent", self.min_disk_free_percent, 100.0),
            ("min_memory_available_percent", self.min_memory_available_percent, 100.0),
        ] {
            if value.is_some_and(|value| !(0.0..=highest).contains(&value)) {
                return Err(Failure::new(format!("`{name}` must lie between 0 and {highest}")));
            }
        }
        for (index, tool) in self.require_tools.iter().enumerate() {
            let field = format!("require_tools[{index}]");
            plain::word(&field, tool)?;
            if tool.contains('/') {
                return Err(Failure::new(format!("`{field}` is a path, not a program's name")));
            }
        }
        Ok(())
    }

    /// Returns what is not as it should be, each in a few words.
    fn breaches(&self, facts: &Facts, disks: &[Disk], tools: &[Tool], cx: &Context) -> Vec<String> {
        let mut breaches = Vec::new();
        #[expect(clippy::cast_precision_loss, reason = "no machine has that many CPUs or bytes")]
        let (load, memory) = (
            facts.load[1] / facts.cpus.max(1) as f64,
            facts.memory_available_bytes as f64 * 100.0 / facts.memory_total_bytes.max(1) as f64,
        );
        if let Some(most) = self.max_load_per_cpu.filter(|most| load > *most) {
            breaches.push(format!("load per CPU is {load:.2}, above {most}"));
        }
        if let Some(least) = self.min_memory_available_percent.filter(|least| memory < *least) {
            breaches.push(format!("{memory:.1} % of the memory are available, below {least} %"));
        }
        if let Some(least) = self.min_disk_free_percent {
            for disk in disks.iter().filter(|disk| disk.free_percent < least) {
                let Disk { mount, free_percent, .. } = disk;
                breaches.push(format!("{mount} has {free_percent} % free, below {least} %"));
            }
        }
        for name in &self.require_tools {
            let known = tools.iter().find(|tool| tool.name == name);
            if cx.tool(name).is_none() {
                breaches.push(format!("`{name}` is not here"));
            } else if known.is_some_and(|tool| tool.version.is_none()) {
                breaches.push(format!("`{name}` is here, but does not run"));
            }
        }
        breaches
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
