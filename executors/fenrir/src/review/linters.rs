//! How each linter is run.
//!
//! None of them fixes anything, and none leaves its cache in the work tree.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;

use executor_sdk::RunCommand;
use executor_sdk::prelude::*;

use super::{Finding, read};
use crate::Fenrir;
use crate::git::Git;

/// How many bytes of file names one command gets.
const ARGUMENTS: usize = 100_000;

/// A tool that reviews.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Linter {
    Clippy,
    Ruff,
    Flake8,
    Eslint,
    Shellcheck,
    GoVet,
    Yamllint,
    AnsibleLint,
}

/// A linter that fits, and what it is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) linter: Linter,
    /// The files below the top that made it fit.
    pub(crate) files: Vec<String>,
    // The folders of workspaces or modules, for tools that take nothing smaller.
    pub(super) roots: BTreeSet<String>,
}

impl Linter {
    /// Returns what findings call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Clippy => "clippy",
            Self::Ruff => "ruff",
            Self::Flake8 => "flake8",
            Self::Eslint => "eslint",
            Self::Shellcheck => "shellcheck",
            Self::GoVet => "go vet",
            Self::Yamllint => "yamllint",
            Self::AnsibleLint => "ansible-lint",
        }
    }

    /// Returns the words that make it tell its version, the program first.
    fn version_words(self, top: &Path) -> Vec<OsString> {
        let words: &[&str] = match self {
            Self::Clippy => &["cargo", "clippy", "--version"],
            Self::GoVet => &["go", "version"],
            Self::Eslint => return vec![eslint(top), "--version".into()],
            Self::Ruff | Self::Flake8 | Self::Shellcheck | Self::Yamllint | Self::AnsibleLint => {
                return vec![self.name().into(), "--version".into()];
            }
        };
        words.iter().map(OsString::from).collect()
    }

    /// Returns its version; `None` where the node does not have it.
    pub(crate) async fn version(
        self,
        git: &Git<'_>,
        executor: &Fenrir,
        cx: &Context,
    ) -> Option<String> {
        let mut words = self.version_words(git.folder()).into_iter();
        let command = command(words.next()?, git.folder(), executor, cx).args(words);
        let told = command.limit(Duration::from_mins(1)).split().quiet().await.ok()?;
        // ShellCheck has its name on the first line.
        let line = told.stdout().lines().find(|line| line.chars().any(|c| c.is_ascii_digit()));
        Some(line.unwrap_or_default().trim().to_owned())
    }

    pub(super) fn takes_files(self) -> bool {
        !matches!(self, Self::Clippy | Self::GoVet | Self::AnsibleLint)
    }

    fn reads(self, code: i32) -> bool {
        match self {
            // A workspace that does not build, and one that does.
            Self::Clippy => matches!(code, 0 | 101),
            Self::AnsibleLint => matches!(code, 0 | 2),
            _ => matches!(code, 0 | 1),
        }
    }

    fn args(self) -> Vec<&'static str> {
        match self {
            Self::Clippy => {
                vec!["clippy", "--workspace", "--all-targets", "--message-format=json", "--quiet"]
            }
            Self::Ruff => vec![
                "check",
                "--output-format=json",
                "--no-fix",
                "--no-cache",
                "--force-exclude",
                "--",
            ],
            Self::Flake8 => vec![read::FLAKE8, "--"],
            Self::Eslint => vec!["--format", "json", "--no-fix", "--"],
            Self::Shellcheck => vec!["--format=json1", "--"],
            Self::GoVet => vec!["vet", "-json", "./..."],
            Self::Yamllint => vec!["--format", "parsable", "--"],
            Self::AnsibleLint => vec!["--offline", "--nocolor", "--format", "codeclimate"],
        }
    }

    fn read(self, report: &Report, root: &str) -> Option<Vec<Finding>> {
        let stdout = report.stdout();
        match self {
            Self::Clippy => read::clippy(stdout, root),
            Self::Ruff => read::ruff(stdout),
            Self::Flake8 => read::flake8(stdout),
            Self::Eslint => read::eslint(stdout),
            Self::Shellcheck => read::shellcheck(stdout),
            Self::GoVet => read::go_vet(stdout, report.output(), root),
            Self::Yamllint => read::yamllint(stdout),
            Self::AnsibleLint => read::ansible_lint(stdout),
        }
    }
}

impl Run {
    /// Runs the linter and returns what it finds, each finding once.
    pub(crate) async fn findings(
        &self,
        git: &Git<'_>,
        executor: &Fenrir,
        cx: &Context,
    ) -> Result<Vec<Finding>, Failure> {
        let top = git.folder();
        let program = match self.linter {
            Linter::Clippy => "cargo".into(),
            Linter::GoVet => "go".into(),
            Linter::Eslint => eslint(top),
            other => other.name().into(),
        };
        let mut found = BTreeSet::new();
        if self.linter.takes_files() {
            for files in batches(&self.files) {
                let command = command(program.clone(), top, executor, cx).args(self.linter.args());
                found.extend(self.ended(command.args(files), "", cx).await?);
            }
        } else if self.linter == Linter::AnsibleLint {
            let command = command(program, top, executor, cx).args(self.linter.args());
            found.extend(self.ended(command, "", cx).await?);
        } else {
            for root in &self.roots {
                let folder = top.join(root);
                let mut command =
                    command(program.clone(), &folder, executor, cx).args(self.linter.args());
                let lock = folder.join("Cargo.lock");
                let had_lock = lock.exists();
                if self.linter == Linter::Clippy && !is_target_ignored(git, root, executor).await? {
                    command = command.env("CARGO_TARGET_DIR", cx.temp_dir()?.join("target"));
                }
                let ended = self.ended(command, root, cx).await;
                if !had_lock {
                    drop(fs::remove_file(&lock));
                }
                found.extend(ended?);
            }
        }
        let prefix = format!("{}/", top.display());
        let plain = found.into_iter().map(|mut finding| {
            if let Some(file) = finding.file.strip_prefix(&prefix) {
                finding.file = file.to_owned();
            }
            finding
        });
        Ok(plain.collect::<BTreeSet<_>>().into_iter().collect())
    }

    async fn ended(
        &self,
        command: RunCommand<'_>,
        root: &str,
        cx: &Context,
    ) -> Result<Vec<Finding>, Failure> {
        let name = self.linter.name();
        let report = command.split().quiet().any_exit().await?;
        let code = report.exit_code().unwrap_or(-1);
        let failed = |what: &str| {
            let output = report.output().trim();
            cx.log(output);
            let said = output.lines().find(|line| line.to_lowercase().contains("error"));
            let said = said.or_else(|| output.lines().next_back()).unwrap_or_default().trim();
            Failure::new(format!("{name} {what} (exit code {code}): {said}"))
        };
        if !self.linter.reads(code) {
            return Err(failed("could not review").with_exit_code(code));
        }
        let findings = self.linter.read(&report, root);
        let findings = findings.ok_or_else(|| failed("told what is not understood"))?;
        if code != 0 && findings.is_empty() && !matches!(self.linter, Linter::Eslint) {
            return Err(failed("failed without a finding").with_exit_code(code));
        }
        Ok(findings)
    }
}

impl Run {
    /// Returns the same for the other of Python's linters, where this is one of them.
    pub(crate) fn instead(&self) -> Option<Self> {
        let linter = match self.linter {
            Linter::Ruff => Linter::Flake8,
            Linter::Flake8 => Linter::Ruff,
            _ => return None,
        };
        Some(Self { linter, files: self.files.clone(), roots: BTreeSet::new() })
    }
}

fn command<'a>(
    program: OsString,
    folder: &Path,
    executor: &Fenrir,
    cx: &'a Context,
) -> RunCommand<'a> {
    let mut command = cx.run_command(program).cwd(folder).limit(cx.remaining());
    for (name, value) in executor.environment.pairs() {
        command = command.env(name, value);
    }
    command.env("NO_COLOR", "1").env("PYTHONDONTWRITEBYTECODE", "1")
}

/// Whether what cargo builds stays out of commits: elsewhere, or ignored.
async fn is_target_ignored(git: &Git<'_>, root: &str, executor: &Fenrir) -> Result<bool, Failure> {
    if executor.environment.cargo_target_dir.is_some() {
        return Ok(true);
    }
    let target = Path::new(".").join(root).join("target/x");
    let args = ["check-ignore".as_ref(), "--quiet".as_ref(), "--".as_ref(), target.as_os_str()];
    Ok(git.ask(args).await?.is_some())
}

/// Splits names into commands of a bearable length. `./` keeps a name from being an option.
fn batches(files: &[String]) -> Vec<Vec<String>> {
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut length = 0;
    for file in files {
        if length + file.len() > ARGUMENTS && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            length = 0;
        }
        length += file.len() + 3;
        batch.push(format!("./{file}"));
    }
    batches.extend((!batch.is_empty()).then_some(batch));
    batches
}

/// Returns the repository's own eslint, else the node's.
fn eslint(top: &Path) -> OsString {
    let own = top.join("node_modules/.bin/eslint");
    if own.is_file() { own.into() } else { "eslint".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_files_are_many_commands_and_none_is_an_option() {
        let files: Vec<_> = (0..3000).map(|n| format!("-{n}{}", "x".repeat(90))).collect();

        let batches = batches(&files);

        assert!(batches.len() > 2);
        assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), 3000);
        assert!(batches.iter().flatten().all(|name| name.starts_with("./-")));
    }
}
