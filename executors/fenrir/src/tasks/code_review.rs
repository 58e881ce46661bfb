//! `code-review`: the linters that fit a repository are run, and their findings are data.

use executor_sdk::prelude::*;

use crate::files::Files;
use crate::git::Git;
use crate::review::sarif::{self, Tool};
use crate::review::{Finding, Run, Scope, Severity, wanted};
use crate::{Fenrir, plain};

/// How many findings the result holds; `counts` tells of all, and so does the file.
const SHOWN: usize = 1000;
/// How many of the worst findings the one line for people names.
const NAMED: usize = 3;

/// Reviews a repository with the linters that fit it and that this node has: clippy, ruff or
/// flake8, eslint, shellcheck, go vet, yamllint, ansible-lint. Fails on errors.
///
/// Severities are the tools' own. Python's linters have none: what cannot work (E9, F63, F7, F82)
/// is an error there, the rest a warning; what `go vet` tells is an error.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CodeReview {
    /// The top of the work tree: an absolute path.
    repo_path: String,
    /// Review only the lines that have changed since the work left this branch, tag or commit;
    /// what keeps a tool from reading a file counts anywhere (default: everything).
    #[serde(default)]
    base: Option<String>,
    /// Fail from this severity on.
    #[serde(default)]
    fail_on: FailOn,
    /// Write the findings as SARIF 2.1.0 into this file, a path below the top (default: into
    /// `data.sarif`).
    #[serde(default)]
    sarif_file: Option<String>,
}

/// From which severity on a review fails.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FailOn {
    /// On errors.
    #[default]
    Error,
    /// On errors and warnings.
    Warning,
    /// On no finding: they are data.
    Never,
}

/// What came of one linter.
#[derive(Debug, Serialize)]
struct Ran {
    tool: &'static str,
    /// `ran`, `missing` or `failed`.
    state: &'static str,
    version: Option<String>,
    files: usize,
    error: Option<String>,
}

impl Task<Fenrir> for CodeReview {
    const TYPE: &'static str = "code-review";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(30));
    const IDEMPOTENT: bool = true;
    const TOOLS: &'static [&'static str] = &["git"];

    fn asks(params: &Map<String, Value>) -> Vec<Ask> {
        Ask::paths(params, &["repo_path"])
    }

    async fn run(self, executor: &Fenrir, cx: &Context) -> TaskResult {
        let top = plain::absolute("repo_path", &self.repo_path)?;
        let git = Git::at_top(&top, executor, cx).await?;
        let sarif_file = match &self.sarif_file {
            Some(path) => Some(plain::below("sarif_file", path)?),
            None => None,
        };
        let scope = Scope::find(&git, self.base.as_deref()).await?;
        let runs = {
            let (top, files) = (git.folder().to_owned(), scope.files.clone());
            tokio::task::spawn_blocking(move || wanted(&top, &files)).await?
        };
        if runs.is_empty() && scope.since.is_none() {
            let error = "nothing was reviewed: there is no file that a known linter is for";
            return Err(Failure::new(error));
        }
        let mut review = Review { ran: Vec::new(), findings: Vec::new(), elsewhere: 0 };
        for run in runs {
            review.with(run, &scope, &git, executor, cx).await;
        }
        review.findings.sort();
        for finding in review.findings.iter().take(SHOWN) {
            cx.log(finding.to_string());
        }
        let mut data = review.data(&scope, git.commit().await?.as_deref());
        let document = sarif::document(&review.tools(), &review.findings);
        match sarif_file {
            None => data["sarif"] = sarif::document(&review.tools(), review.shown()),
            Some(path) => {
                data["sarif_file"] = json!(git.folder().join(&path));
                let _turn = executor.changing.hold(git.folder()).await;
                let mut files = Files::new(git.folder());
                files.add(path, format!("{document:#}\n"))?;
                tokio::task::spawn_blocking(move || files.write()).await??;
            }
        }
        review.verdict(self.fail_on, &scope, &data)
    }
}

/// A review that is going on.
struct Review {
    ran: Vec<Ran>,
    findings: Vec<Finding>,
    // How many findings are in lines that have not changed.
    elsewhere: usize,
}

impl Review {
    /// Runs a linter, or says why it did not run.
    async fn with(
        &mut self,
        run: Run,
        scope: &Scope,
        git: &Git<'_>,
        executor: &Fenrir,
        cx: &Context,
    ) {
        let mut ran = Ran {
            tool: run.linter.name(),
            state: "missing",
            version: run.linter.version(git, executor, cx).await,
            files: run.files.len(),
            error: None,
        };
        if ran.version.is_none() {
            cx.log(format!("{} is wanted for {} files and is not here", ran.tool, ran.files));
            self.ran.push(ran);
            if let Some(other) = run.instead()
                && other.linter.version(git, executor, cx).await.is_some()
            {
                Box::pin(self.with(other, scope, git, executor, cx)).await;
            }
            return;
        }
        cx.log(format!("{} reviews {} files", ran.tool, ran.files));
        match run.findings(git, executor, cx).await {
            Ok(findings) => {
                let all = findings.len();
                let before = self.findings.len();
                self.findings.extend(findings.into_iter().filter(|finding| scope.holds(finding)));
                self.elsewhere += all - (self.findings.len() - before);
                ran.state = "ran";
            }
            Err(failure) => {
                ran.state = "failed";
                ran.error = Some(failure.error().to_owned());
            }
        }
        self.ran.push(ran);
    }

    fn tools(&self) -> Vec<Tool<'_>> {
        let ran = self.ran.iter().filter(|ran| ran.state == "ran");
        ran.map(|ran| Tool { name: ran.tool, version: ran.version.as_deref().unwrap_or_default() })
            .collect()
    }

    fn shown(&self) -> &[Finding] {
        &self.findings[..self.findings.len().min(SHOWN)]
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    fn of_state(&self, state: &str) -> Vec<&'static str> {
        self.ran.iter().filter(|ran| ran.state == state).map(|ran| ran.tool).collect()
    }

    fn data(&self, scope: &Scope, commit: Option<&str>) -> Value {
        json!({
            "commit": commit,
            "base": scope.since.as_ref().map(|since| &since.commit),
            "files": scope.files.len(),
            "linters": self.ran,
            "missing": self.of_state("missing"),
            "findings": self.shown(),
            "counts": {
                "error": self.count(Severity::Error),
                "warning": self.count(Severity::Warning),
                "note": self.count(Severity::Note),
            },
            "elsewhere": self.elsewhere,
        })
    }

    fn verdict(&self, fail_on: FailOn, scope: &Scope, data: &Value) -> TaskResult {
        let ran = self.of_state("ran");
        let missing = self.of_state("missing");
        let lacks = match missing.as_slice() {
            [] => String::new(),
            missing => format!("; not here: {}", missing.join(", ")),
        };
        let failed = |text: String| Err(Failure::new(text).with_data(data));
        if let Some(broken) = self.ran.iter().find(|ran| ran.state == "failed") {
            return failed(broken.error.clone().unwrap_or_default());
        }
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let told = format!("{errors} errors, {warnings} warnings by {}{lacks}", ran.join(", "));
        let is_bad = match fail_on {
            FailOn::Error => errors > 0,
            FailOn::Warning => errors + warnings > 0,
            FailOn::Never => false,
        };
        if is_bad {
            let mut worst: Vec<_> = self.findings.iter().collect();
            worst.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
            let worst = worst.iter().take(NAMED).map(ToString::to_string).collect::<Vec<_>>();
            return failed(format!("{told}: {}", worst.join("; ")));
        }
        let files = scope.files.len();
        if ran.is_empty() && !missing.is_empty() {
            return failed(format!("nothing was reviewed{lacks}"));
        }
        Ok(Report::text(match (files, ran.is_empty()) {
            (0, _) => "nothing has changed, so there is nothing to review".to_owned(),
            (_, true) => format!("no known linter is for the {files} changed files"),
            (_, false) => format!("{files} files reviewed: {told}"),
        })
        .with_data(data))
    }
}
