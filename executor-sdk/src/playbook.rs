//! Running an Ansible playbook inside a task.

use std::ffi::OsString;
use std::future::{Future, IntoFuture};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use serde_json::{Map, Value};
use uuid::Uuid;

mod recap;
mod vars;

use self::recap::Recap;
use crate::policy::{VaultPassword, below};
use crate::tail::last_line;
use crate::{Context, Failure, Report, TaskResult};

/// Our callback plugin. ansible-core brings none that tells a program how a run went.
const CALLBACK: &str = include_str!("playbook/callback.py");

/// The limit of a playbook that names none.
pub(crate) const LIMIT: Duration = Duration::from_mins(10);

/// A playbook that is about to run; `.await` runs `ansible-playbook`.
///
/// Only playbooks below the policy's `playbooks` folder run. The report's data is
/// `{"hosts": {NAME: {ok, changed, unreachable, failed, skipped, rescued, ignored}}, "changed": N,
/// "failed_tasks": [{host, task, message, unreachable}]}`; a failure carries the same.
#[must_use = "a playbook runs when it is awaited"]
#[derive(Debug, Clone)]
pub struct RunPlaybook<'a> {
    cx: &'a Context,
    playbook: String,
    extra_vars: Map<String, Value>,
    inventory: Option<String>,
    limit_hosts: Option<String>,
    tags: Vec<String>,
    check: bool,
    diff: bool,
    limit: Duration,
}

impl<'a> RunPlaybook<'a> {
    pub(crate) fn new(cx: &'a Context, playbook: String) -> Self {
        Self {
            cx,
            playbook,
            extra_vars: Map::new(),
            inventory: None,
            limit_hosts: None,
            tags: Vec::new(),
            check: false,
            diff: false,
            limit: LIMIT,
        }
    }

    /// Gives it variables; they reach it as a file, never on the command line, and what looks like
    /// a template in them stays text.
    pub fn extra_vars(mut self, vars: Map<String, Value>) -> Self {
        self.extra_vars = vars;
        self
    }

    /// Sets the inventory: a file below the policy's `playbooks` folder, or host names with a
    /// comma after each (`thor,`).
    pub fn inventory(mut self, inventory: impl Into<String>) -> Self {
        self.inventory = Some(inventory.into());
        self
    }

    /// Runs it on these hosts of the inventory only (Ansible's `--limit`).
    pub fn limit_hosts(mut self, pattern: impl Into<String>) -> Self {
        self.limit_hosts = Some(pattern.into());
        self
    }

    /// Runs only what carries one of these tags.
    pub fn tags<I, S>(mut self, tags: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// Changes nothing, and tells what would change.
    pub fn check(mut self, check: bool) -> Self {
        self.check = check;
        self
    }

    /// Shows the differences it makes.
    pub fn diff(mut self, diff: bool) -> Self {
        self.diff = diff;
        self
    }

    /// Sets its own time limit, 600 s without it. The task's limit ends it as well.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

impl<'a> IntoFuture for RunPlaybook<'a> {
    type Output = TaskResult;
    type IntoFuture = Pin<Box<dyn Future<Output = TaskResult> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl RunPlaybook<'_> {
    async fn run(self) -> TaskResult {
        let Some(folder) = self.cx.node().playbooks.clone() else {
            return Err(Failure::new("the policy of this node names no `playbooks` folder"));
        };
        let place = |name: &str| below(&folder, name).map_err(Failure::new);
        let playbook = place(&self.playbook)?;
        if !playbook.is_file() {
            let error = format!("there is no playbook `{}`", self.playbook);
            return Err(Failure::new(format!("{error} in `{}`", folder.display())));
        }
        let inventory = match &self.inventory {
            Some(hosts) if is_host_list(hosts) => Some(OsString::from(hosts)),
            Some(file) => Some(place(file)?.into_os_string()),
            None => None,
        };
        let files = Files::write(self.cx, &self.extra_vars)?;

        let mut command = self
            .cx
            .run_command("ansible-playbook")
            .cwd(&folder)
            .limit(self.limit)
            .any_exit()
            // What Ansible prints to a pipe would else come in blocks.
            .env("PYTHONUNBUFFERED", "1")
            .env("ANSIBLE_NOCOLOR", "1")
            .env("ANSIBLE_RETRY_FILES_ENABLED", "0")
            .env("ANSIBLE_LOCAL_TEMP", files.folder.join("ansible"))
            .env("ANSIBLE_CALLBACK_PLUGINS", &files.folder)
            .env("YGGDRASIL_RECAP", &files.recap);
        for (flag, value) in [
            ("--inventory=", inventory),
            ("--vault-password-file=", files.vault_password.clone().map(PathBuf::into_os_string)),
            ("--limit=", self.limit_hosts.clone().map(OsString::from)),
            ("--tags=", (!self.tags.is_empty()).then(|| self.tags.join(",").into())),
            ("--extra-vars=@", files.vars.clone().map(PathBuf::into_os_string)),
        ] {
            if let Some(value) = value {
                let mut arg = OsString::from(flag);
                arg.push(value);
                command = command.arg(arg);
            }
        }
        for (flag, is_set) in [("--check", self.check), ("--diff", self.diff)] {
            if is_set {
                command = command.arg(flag);
            }
        }
        let ended = command.arg(&playbook).await;

        let recap = Recap::read(&std::fs::read_to_string(&files.recap).unwrap_or_default());
        match ended {
            Ok(report) => verdict(&self.playbook, report, &recap),
            Err(failure) => Err(failure.with_data(&recap)),
        }
    }
}

/// Says how a run ended. Ansible tells `ignore_errors` as failed tasks too, so the exit code and
/// the recap decide.
fn verdict(playbook: &str, report: Report, recap: &Recap) -> TaskResult {
    let code = report.exit_code().unwrap_or(-1);
    if code == 0 {
        if recap.is_complete && recap.hosts.is_empty() {
            let error = format!("`{playbook}` matched no host: nothing was done");
            return Err(Failure::new(error).with_exit_code(0).with_data(recap));
        }
        return Ok(report.with_data(recap));
    }
    let meaning = match code {
        2 => "tasks failed",
        4 => "hosts are unreachable, or the playbook cannot be read",
        5 => "Ansible does not know an option",
        _ => "Ansible failed",
    };
    let said = recap.trouble().unwrap_or_else(|| {
        let is_error = |line: &&str| line.starts_with("ERROR!") || line.starts_with("[ERROR]");
        let line = report.output().lines().find(is_error).map(str::to_owned);
        line.unwrap_or_else(|| last_line(report.output(), 500))
    });
    let error = format!("`{playbook}` exited with {code} ({meaning}): {said}");
    let failure = Failure { output: report.output, ..Failure::new(error) };
    Err(failure.with_exit_code(code).with_data(recap))
}

/// Tells host names (`thor,loki` or `thor,`) from an inventory file, as Ansible does.
pub(crate) fn is_host_list(inventory: &str) -> bool {
    inventory.contains(',')
}

/// What a run reads and writes besides the playbook, in the attempt's temporary folder.
struct Files {
    folder: PathBuf,
    vars: Option<PathBuf>,
    vault_password: Option<PathBuf>,
    recap: PathBuf,
}

impl Files {
    fn write(cx: &Context, extra_vars: &Map<String, Value>) -> Result<Self, Failure> {
        // A task may run several playbooks.
        let folder = cx.temp_dir()?.join(format!("playbook-{}", Uuid::new_v4()));
        std::fs::create_dir_all(folder.join("ansible"))?;
        std::fs::write(folder.join("yggdrasil_recap.py"), CALLBACK)?;
        let vars = if extra_vars.is_empty() {
            None
        } else {
            let path = folder.join("extra-vars.json");
            std::fs::write(&path, vars::text(extra_vars))?;
            Some(path)
        };
        let vault_password = match &cx.node().vault_password {
            None => None,
            Some(VaultPassword::File(path)) => Some(path.clone()),
            Some(VaultPassword::Secret(secret)) => {
                // The attempt's folder is nobody else's, and goes with the attempt.
                let path = folder.join("vault-password");
                std::fs::write(&path, cx.secret(secret)?.expose())?;
                Some(path)
            }
        };
        Ok(Self { vars, vault_password, recap: folder.join("recap.jsonl"), folder })
    }
}
