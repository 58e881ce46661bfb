//! Running an Ansible playbook inside a task.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::{Context, Failure, TaskResult};

/// The limit of a playbook that names none.
pub(crate) const LIMIT: Duration = Duration::from_secs(600);

/// A playbook that is about to run; `.await` runs `ansible-playbook`.
///
/// Only playbooks below the policy's `playbooks` folder run. The report's data is
/// `{"hosts": {NAME: {ok, changed, unreachable, failed, skipped, rescued, ignored}}, "changed": N,
/// "failed_tasks": [{host, task, message}]}`; a failure carries the same.
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

    /// Gives it variables; they reach it as a file, never on the command line.
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
        Err(Failure::new("playbooks cannot be run yet"))
    }
}
