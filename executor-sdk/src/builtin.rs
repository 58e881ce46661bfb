//! The two tasks that every executor has: `run-command` and `run-playbook`.
//!
//! Both are closed until the node's policy opens them.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::playbook::{LIMIT, is_host_list};
use crate::{Ask, Context, Executor, Failure, Task, TaskResult};

/// Runs a program that the node's policy lists under `allow.commands`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct RunCommand {
    /// The program: a name, or an absolute path.
    program: String,
    /// Its arguments, each as it is; there is no shell.
    #[serde(default)]
    args: Vec<String>,
    /// The working directory, absolute.
    #[serde(default)]
    cwd: Option<PathBuf>,
    /// What it reads on stdin.
    #[serde(default)]
    stdin: Option<String>,
}

impl<E: Executor> Task<E> for RunCommand {
    const TYPE: &'static str = "run-command";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(5));

    fn asks(params: &Map<String, Value>) -> Vec<Ask> {
        let mut asks = vec![Ask::Command(text(params, "program"))];
        asks.extend(Ask::paths(params, &["cwd"]));
        asks
    }

    async fn run(self, _: &E, cx: &Context) -> TaskResult {
        if let Some(cwd) = self.cwd.as_ref().filter(|cwd| !cwd.is_absolute()) {
            return Err(Failure::new(format!("`cwd` must be absolute: `{}`", cwd.display())));
        }
        let mut command = cx.run_command(self.program).args(self.args).limit(beyond(cx));
        if let Some(cwd) = self.cwd {
            command = command.cwd(cwd);
        }
        if let Some(stdin) = self.stdin {
            command = command.stdin(stdin);
        }
        command.await
    }
}

/// Runs an Ansible playbook from the folder that the node's policy names as `allow.playbooks`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct RunPlaybook {
    /// The playbook's path below the folder.
    playbook: String,
    /// Variables for it; text in them is never a template.
    #[serde(default)]
    extra_vars: Map<String, Value>,
    /// An inventory file below the folder, or host names with commas (`thor,`).
    #[serde(default)]
    inventory: Option<String>,
    /// The hosts of the inventory to run on, as a pattern.
    #[serde(default)]
    limit: Option<String>,
    /// Only what carries one of these tags.
    #[serde(default)]
    tags: Vec<String>,
    /// Changes nothing, and tells what would change.
    #[serde(default)]
    check: bool,
    /// Shows the differences it makes.
    #[serde(default)]
    diff: bool,
}

impl<E: Executor> Task<E> for RunPlaybook {
    const TYPE: &'static str = "run-playbook";
    const TIMEOUT: Option<Duration> = Some(LIMIT);
    const TOOLS: &'static [&'static str] = &["ansible-playbook"];

    fn asks(params: &Map<String, Value>) -> Vec<Ask> {
        let mut asks = vec![Ask::Playbook(text(params, "playbook"))];
        let inventory = text(params, "inventory");
        if !inventory.is_empty() && !is_host_list(&inventory) {
            asks.push(Ask::Playbook(inventory));
        }
        asks
    }

    async fn run(self, _: &E, cx: &Context) -> TaskResult {
        // Such variables name programs that Ansible then runs, beyond what the policy allows.
        if let Some(name) = self.extra_vars.keys().find(|name| name.starts_with("ansible_")) {
            return Err(Failure::new(format!(
                "`extra_vars.{name}` is refused: variables of Ansible itself belong to the node"
            )));
        }
        // `@FILE` would read any file of the node as a list of hosts.
        if self.limit.as_ref().is_some_and(|limit| limit.starts_with('@')) {
            return Err(Failure::new("`limit` must be a pattern of hosts, not a file"));
        }
        let mut playbook = cx
            .run_playbook(self.playbook)
            .extra_vars(self.extra_vars)
            .tags(self.tags)
            .check(self.check)
            .diff(self.diff)
            .limit(beyond(cx));
        if let Some(inventory) = self.inventory {
            playbook = playbook.inventory(inventory);
        }
        if let Some(pattern) = self.limit {
            playbook = playbook.limit_hosts(pattern);
        }
        playbook.await
    }
}

fn text(params: &Map<String, Value>, member: &str) -> String {
    params.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Returns a limit that the task's own comes before.
fn beyond(cx: &Context) -> Duration {
    cx.remaining().saturating_add(Duration::from_mins(1))
}
