//! Running one program inside a task.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::future::{Future, IntoFuture};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use crate::{Context, Failure, TaskResult};

/// The limit of a command that names none.
const LIMIT: Duration = Duration::from_secs(300);

/// A command that is about to run; `.await` runs it.
///
/// It gets a process group of its own, stdin null unless [`RunCommand::stdin`] is called, and a
/// clean environment: `PATH`, `HOME`, `LANG=C.UTF-8`, `TZ` where the executor has one, and what
/// [`RunCommand::env`] sets. What it prints is streamed to the task's log. It is ended with its
/// whole group when its limit, the task's limit or a cancellation says so.
///
/// An exit code other than 0 is a [`Failure`] that carries the code and the last lines.
#[must_use = "a command runs when it is awaited"]
#[derive(Debug, Clone)]
pub struct RunCommand<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) env: BTreeMap<OsString, OsString>,
    pub(crate) stdin: Option<Vec<u8>>,
    pub(crate) limit: Duration,
    pub(crate) split: bool,
    pub(crate) quiet: bool,
    pub(crate) any_exit: bool,
}

impl<'a> RunCommand<'a> {
    pub(crate) fn new(cx: &'a Context, program: &OsStr) -> Self {
        Self {
            cx,
            program: program.to_owned(),
            args: Vec::new(),
            cwd: None,
            env: BTreeMap::new(),
            stdin: None,
            limit: LIMIT,
            split: false,
            quiet: false,
            any_exit: false,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets the working directory; without it `/` is used.
    pub fn cwd(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// Sets one variable of the environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Gives it these bytes on stdin.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Sets its own time limit, 300 s without it. The task's limit ends it as well.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Takes stdout and stderr apart, so that [`crate::Report::stdout`] can be parsed. In the log
    /// the order between the two is then approximate.
    pub fn split(mut self) -> Self {
        self.split = true;
        self
    }

    /// Keeps what it prints out of the task's log.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Makes every exit code a [`crate::Report`]; the author looks at
    /// [`crate::Report::exit_code`].
    pub fn any_exit(mut self) -> Self {
        self.any_exit = true;
        self
    }
}

impl<'a> IntoFuture for RunCommand<'a> {
    type Output = TaskResult;
    type IntoFuture = Pin<Box<dyn Future<Output = TaskResult> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl RunCommand<'_> {
    async fn run(self) -> TaskResult {
        let _counted = self.cx.stop().command();
        Err(Failure::new("commands cannot be run yet"))
    }
}
