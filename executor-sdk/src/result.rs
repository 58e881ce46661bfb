//! How a task ends: a [`Report`] or a [`Failure`].

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

/// What [`crate::Task::run`] returns. The executor makes the outcome of it; `timed_out`,
/// `cancelled` and `interrupted` are its to say.
pub type TaskResult = Result<Report, Failure>;

/// The task did what it was asked to do.
///
/// Commands return one too: [`Report::exit_code`], [`Report::stdout`] and [`Report::output`]
/// then say how it went. A report that carries an exit code other than 0 (see
/// [`crate::RunCommand::any_exit`]) becomes a failed outcome when a task returns it as its own.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub(crate) text: Option<String>,
    pub(crate) data: Option<Result<Value, String>>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) output: String,
    pub(crate) program: Option<String>,
    pub(crate) duration: Duration,
}

impl Report {
    /// Says that it is done, and nothing else.
    pub fn done() -> Self {
        Self::default()
    }

    /// Says it in one line for people, which is added to the task's log.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// Carries a structured result, the `data` of the outcome.
    pub fn data<T: Serialize + ?Sized>(data: &T) -> Self {
        Self::default().with_data(data)
    }

    /// Adds, or replaces, the structured result.
    #[must_use]
    pub fn with_data<T: Serialize + ?Sized>(mut self, data: &T) -> Self {
        self.data = Some(to_value(data));
        self
    }

    /// Adds, or replaces, the line for people.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Returns the exit code of the command; `None` on a report that comes from no command.
    pub fn exit_code(&self) -> Option<i32> {
        self.exit_code
    }

    /// Returns what the command printed to stdout, after [`crate::RunCommand::split`]; bytes
    /// that are not UTF-8 are replaced. Without `split` it is empty.
    pub fn stdout(&self) -> &str {
        &self.stdout
    }

    /// Returns the last 64 KiB of what the command printed.
    pub fn output(&self) -> &str {
        &self.output
    }

    /// Returns how long the command ran.
    pub fn duration(&self) -> Duration {
        self.duration
    }
}

/// The task says that it did not do what it was asked to do.
///
/// Any error turns into one with `?`, with its chain of causes as the text.
#[derive(Debug, Clone)]
pub struct Failure {
    pub(crate) error: String,
    pub(crate) data: Option<Result<Value, String>>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) output: String,
    /// A limit below the task's own was reached: the outcome is `timed_out`.
    pub(crate) timed_out: bool,
}

impl Failure {
    /// Says what went wrong, in one line that a person understands.
    pub fn new(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            data: None,
            exit_code: None,
            output: String::new(),
            timed_out: false,
        }
    }

    /// Adds a structured result: what is known although it failed.
    #[must_use]
    pub fn with_data<T: Serialize + ?Sized>(mut self, data: &T) -> Self {
        self.data = Some(to_value(data));
        self
    }

    /// Adds the exit code of the command that decided it.
    #[must_use]
    pub fn with_exit_code(mut self, code: i32) -> Self {
        self.exit_code = Some(code);
        self
    }

    /// Puts words before the text: `context: text`.
    #[must_use]
    pub fn context(mut self, context: impl std::fmt::Display) -> Self {
        self.error = format!("{context}: {}", self.error);
        self
    }

    /// Returns the text.
    pub fn error(&self) -> &str {
        &self.error
    }

    /// Returns the exit code of the command that decided it.
    pub fn exit_code(&self) -> Option<i32> {
        self.exit_code
    }

    /// Returns the last 64 KiB of what the command that decided it printed.
    pub fn output(&self) -> &str {
        &self.output
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(chain(&error))
    }
}

/// Returns the text of an error and of its causes, `a: b: c`.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _: Result<(), _> = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

fn to_value<T: Serialize + ?Sized>(data: &T) -> Result<Value, String> {
    serde_json::to_value(data).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read `inventory`")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn an_error_becomes_a_failure_with_its_chain() {
        fn task() -> TaskResult {
            Err(Outer(std::io::Error::other("the disk is gone")))?;
            Ok(Report::done())
        }

        let failure = task().unwrap_err();

        assert_eq!(failure.error(), "cannot read `inventory`: the disk is gone");
    }

    #[test]
    fn data_that_is_no_json_is_kept_as_an_error() {
        let odd = std::collections::HashMap::from([(vec![1], 2)]);

        let report = Report::data(&odd);

        assert!(report.data.unwrap().is_err());
    }
}
