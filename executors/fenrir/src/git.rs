//! How `git` is run: the user's own, with the user's keys and hooks, but never asking a person.
//!
//! A question (a password, an unknown host key) fails at once: nobody would answer it. Transports
//! that run a program of the URL's choice (`ext::`) are not allowed.

use std::ffi::{OsStr, OsString};

use executor_sdk::RunCommand;
use executor_sdk::prelude::*;

use crate::Fenrir;

mod push;

pub(crate) use push::Push;

/// The transports that a URL may name.
const PROTOCOLS: &str = "file:git:http:https:ssh";

/// A folder, and the `git` that works in it.
#[derive(Debug)]
pub(crate) struct Git<'a> {
    cx: &'a Context,
    executor: &'a Fenrir,
    folder: PathBuf,
}

impl<'a> Git<'a> {
    /// Returns the `git` that works in `folder`, whatever that is.
    pub(crate) fn within(folder: &Path, executor: &'a Fenrir, cx: &'a Context) -> Self {
        Self { cx, executor, folder: folder.to_owned() }
    }

    /// Returns the `git` of the work tree whose top `folder` is.
    pub(crate) async fn at_top(
        folder: &Path,
        executor: &'a Fenrir,
        cx: &'a Context,
    ) -> Result<Self, Failure> {
        let shown = folder.display();
        let folder = tokio::fs::canonicalize(folder)
            .await
            .map_err(|error| Failure::new(format!("cannot use `{shown}`: {error}")))?;
        let git = Self::within(&folder, executor, cx);
        let top = git.command(["rev-parse", "--show-toplevel"]).split().quiet().any_exit().await?;
        if top.exit_code() != Some(0) {
            let words = top.output().trim().lines().next_back().unwrap_or_default();
            return Err(Failure::new(format!(
                "`{shown}` is not the top of a git work tree: {words}"
            )));
        }
        if Path::new(top.stdout().trim_end_matches('\n')) != folder {
            return Err(Failure::new(format!(
                "`{shown}` is not the top of a git work tree: {} is",
                top.stdout().trim()
            )));
        }
        Ok(git)
    }

    /// Returns the folder that it works in.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a `git` command with these arguments, ready to run.
    pub(crate) fn command<I>(&self, args: I) -> RunCommand<'a>
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let mut command = self.cx.run_command("git");
        for (name, value) in self.executor.environment.pairs() {
            command = command.env(name, value);
        }
        for arg in args {
            command = command.arg(arg.as_ref());
        }
        command
            .cwd(&self.folder)
            .limit(self.cx.remaining())
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "/bin/false")
            .env("SSH_ASKPASS", "/bin/false")
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("GCM_INTERACTIVE", "never")
            .env("GIT_EDITOR", "/bin/false")
            .env("GIT_ALLOW_PROTOCOL", PROTOCOLS)
            .env("GIT_CEILING_DIRECTORIES", self.folder.parent().unwrap_or(&self.folder))
    }

    /// Asks git, outside of the log; `None` when it answers with an exit code other than 0.
    pub(crate) async fn ask<I>(&self, args: I) -> Result<Option<String>, Failure>
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let report = self.command(args).split().quiet().any_exit().await?;
        let answer = report.stdout().trim_end_matches('\n').to_owned();
        Ok((report.exit_code() == Some(0)).then_some(answer))
    }

    /// Returns a command that may talk to another machine.
    ///
    /// `ssh` is told never to ask, unless the user has configured how to reach machines.
    pub(crate) async fn remote_command<I>(&self, args: I) -> Result<RunCommand<'a>, Failure>
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let configured = self.ask(["config", "--get", "core.sshCommand"]).await?;
        let command = self.command(args);
        Ok(match configured {
            Some(_) => command,
            None => command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=10"),
        })
    }

    /// Returns the commit that is checked out; `None` in a repository without one.
    pub(crate) async fn commit(&self) -> Result<Option<String>, Failure> {
        self.ask(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).await
    }

    /// Returns how many commits only `one` has, and how many only `other` has.
    pub(crate) async fn apart(&self, one: &str, other: &str) -> Result<(u64, u64), Failure> {
        let range = format!("{one}...{other}");
        let counts = self.command(["rev-list", "--left-right", "--count", &range]).split().quiet();
        let counts = counts.await?;
        let mut counts = counts.stdout().split_whitespace().map(str::parse);
        match (counts.next(), counts.next()) {
            (Some(Ok(one)), Some(Ok(other))) => Ok((one, other)),
            _ => Err(Failure::new("git does not count the commits between two of them")),
        }
    }

    /// Returns how many commits lead to this one, with it.
    pub(crate) async fn count(&self, commit: &str) -> Result<u64, Failure> {
        let count = self.command(["rev-list", "--count", commit]).split().quiet().await?;
        Ok(count.stdout().trim().parse()?)
    }

    /// Returns the branch that is checked out; `None` where a bare commit is.
    pub(crate) async fn branch(&self) -> Result<Option<String>, Failure> {
        self.ask(["symbolic-ref", "--quiet", "--short", "HEAD"]).await
    }
}

/// Returns the pathspec that means this path and what is below it, whatever characters it holds.
///
/// The environment could say the same for all pathspecs, but it reaches the user's hooks as well.
pub(crate) fn pathspec(path: &Path) -> OsString {
    let mut spec = OsString::from(":(literal)");
    spec.push(path);
    spec
}

/// Returns the URL without the password that may be in it.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let host_end = rest.find('/').unwrap_or(rest.len());
    let Some(at) = rest[..host_end].rfind('@') else { return url.to_owned() };
    match rest[..at].split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:***@{}", &rest[at + 1..]),
        // A lone name over HTTP is as a rule a token.
        None if scheme.starts_with("http") => format!("{scheme}://***@{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_password_is_never_shown() {
        let cases = [
            ("https://me:secret@host/a", "https://me:***@host/a"),
            ("https://token@host/a@b", "https://***@host/a@b"),
            ("ssh://git@host/a", "ssh://git@host/a"),
            ("git@host:a/b", "git@host:a/b"),
            ("https://host/a", "https://host/a"),
            ("/srv/a@b:c", "/srv/a@b:c"),
        ];
        for (url, shown) in cases {
            assert_eq!(without_password(url), shown);
        }
    }
}
