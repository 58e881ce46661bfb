//! Running one program inside a task.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::future::{Future, IntoFuture};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemon::process::{Command, Ended, ExitKind, SpawnError, Stream, Why};

use crate::log::AttemptLog;
use crate::result::chain;
use crate::tail::{Tail, last_line};
use crate::{Context, Failure, Report, TaskResult};

/// The limit of a command that names none.
const LIMIT: Duration = Duration::from_mins(5);

/// How much of a stdout that is taken apart is kept for the task to parse.
const STDOUT: usize = 16 * 1024 * 1024;

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
        let program = self.program.to_string_lossy().into_owned();
        if self.cx.stop().why().is_some() {
            return Err(Failure::new(format!("`{program}` was not started: the task is to stop")));
        }
        let _counted = self.cx.stop().command();
        let mut env = self.cx.node().environment.for_commands();
        env.extend(self.env);
        let mut command = Command::new(self.program)
            .args(self.args)
            .cwd(self.cwd.unwrap_or_else(|| PathBuf::from("/")))
            .limit(self.limit)
            .mark(self.cx.next_mark());
        command.env = env;
        command.stdin = self.stdin;
        command.split = self.split;

        let printed = Arc::new(Mutex::new(Printed::default()));
        let sink = sink(&printed, self.cx.attempt_log(), self.split, self.quiet);
        let ended = daemon::process::run(command, sink, self.cx.stop().token())
            .await
            .map_err(|error| not_started(&program, &error))?;
        let printed = std::mem::take(&mut *printed.lock().unwrap_or_else(PoisonError::into_inner));
        if ended.escaped {
            self.cx.log(format!("[`{program}` left a process behind; it was ended]"));
        }
        verdict(&program, self.limit, self.any_exit, &ended, &printed)
    }
}

/// What a command printed, as far as it is kept.
#[derive(Debug, Default)]
struct Printed {
    tail: Tail,
    stdout: Vec<u8>,
    is_too_much: bool,
}

/// Returns what takes the output: the attempt's log, the command's tail, its stdout.
fn sink(
    printed: &Arc<Mutex<Printed>>,
    log: &Arc<AttemptLog>,
    split: bool,
    quiet: bool,
) -> impl FnMut(Stream, &[u8]) + Send + 'static {
    let printed = Arc::clone(printed);
    let log = (!quiet).then(|| Arc::clone(log));
    move |stream, bytes| {
        if let Some(log) = &log {
            log.append(bytes);
        }
        let mut printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
        printed.tail.push(bytes);
        if split && stream == Stream::Out {
            if printed.stdout.len() + bytes.len() > STDOUT {
                printed.is_too_much = true;
            } else {
                printed.stdout.extend_from_slice(bytes);
            }
        }
    }
}

fn not_started(program: &str, error: &SpawnError) -> Failure {
    match error {
        SpawnError::NotFound { .. } => {
            Failure::new(format!("`{program}` is not installed on this node"))
        }
        other => Failure::new(chain(other)),
    }
}

fn verdict(
    program: &str,
    limit: Duration,
    any_exit: bool,
    ended: &Ended,
    printed: &Printed,
) -> TaskResult {
    let output = printed.tail.text();
    let fail = |error: String| Failure { output: output.clone(), ..Failure::new(error) };
    match ended.why {
        Why::Limit => {
            let limit = daemon::duration::show(limit);
            let error = format!("`{program}` was ended: its limit of {limit} was reached");
            return Err(Failure { timed_out: true, ..fail(error) });
        }
        Why::Cancelled => return Err(fail(format!("`{program}` was ended with its task"))),
        Why::Exited => {}
    }
    let exit_code = match ended.exit {
        ExitKind::Code(code) => code,
        ExitKind::Signal(signal) => {
            return Err(fail(format!("`{program}` was killed by signal {signal}")));
        }
    };
    if exit_code != 0 && !any_exit {
        let last = last_line(&output, 500);
        let colon = if last.is_empty() { "" } else { ": " };
        let error = format!("`{program}` exited with {exit_code}{colon}{last}");
        return Err(fail(error).with_exit_code(exit_code));
    }
    if printed.is_too_much {
        let limit = STDOUT / (1024 * 1024);
        return Err(fail(format!("`{program}` printed more than {limit} MiB to stdout")));
    }
    Ok(Report {
        exit_code: Some(exit_code),
        stdout: String::from_utf8_lossy(&printed.stdout).into_owned(),
        program: Some(program.to_owned()),
        duration: ended.duration,
        output,
        ..Report::default()
    })
}
