//! What to run, and under which limits.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// One command: a program with its arguments, never a line for a shell.
///
/// It inherits nothing: the environment is what is set here, and stdin is empty unless given.
#[derive(Clone)]
pub struct Command {
    /// A name, looked for in the `PATH` of [`env`](Self::env) (without one in the system's usual
    /// folders), or a path; a relative path counts from [`cwd`](Self::cwd).
    pub program: OsString,
    pub args: Vec<OsString>,
    pub cwd: Option<PathBuf>,
    /// The whole environment.
    pub env: BTreeMap<OsString, OsString>,
    pub stdin: Option<Vec<u8>>,
    pub limit: Option<Duration>,
    /// How long the group may take to end after SIGTERM, before SIGKILL.
    pub grace: Duration,
    /// Value of `YGGDRASIL_ATTEMPT`; whatever carries it after the end is ended too.
    pub mark: Option<String>,
    /// Stdout and stderr apart.
    pub split: bool,
    /// False: never signalled, also not when the future is dropped.
    pub kill: bool,
}

impl Command {
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            cwd: None,
            env: BTreeMap::new(),
            stdin: None,
            limit: None,
            grace: Duration::from_secs(5),
            mark: None,
            split: false,
            kill: true,
        }
    }

    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    #[must_use]
    pub fn cwd(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// What the child reads; it may also not read it.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    #[must_use]
    pub fn mark(mut self, mark: impl Into<String>) -> Self {
        self.mark = Some(mark.into());
        self
    }

    #[must_use]
    pub fn split(mut self) -> Self {
        self.split = true;
        self
    }

    /// For programs that lose data when they are ended: a limit is only reported, a cancellation
    /// is not heard, and a dropped future leaves the command running.
    #[must_use]
    pub fn never_kill(mut self) -> Self {
        self.kill = false;
        self
    }
}

// Arguments, values and stdin may hold secrets, and this may end in a log.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("args", &self.args.len())
            .field("cwd", &self.cwd)
            .field("env", &self.env.keys())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_arguments_and_no_values() {
        let command = Command::new("curl").arg("hunter1").env("TOKEN", "hunter2").stdin("hunter3");

        let text = format!("{command:?}");

        assert!(text.contains("curl") && text.contains("TOKEN"), "{text}");
        assert!(!text.contains("hunter"), "{text}");
    }
}
