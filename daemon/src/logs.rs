//! Log lines: to the console, and to one file that several programs may share. The only user of
//! `tracing-appender`.
//!
//! Writing never holds up the program: each target has a short queue and a thread of its own, and
//! when a queue is full lines are dropped, counted, and the count is logged. The file is opened for
//! appending only, so that several programs can write it, and an outside `copytruncate` shortens it
//! under them without harm.

mod fields;
mod file;
mod filter;
mod line;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{Subscriber, warn};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::exit::Exit;
use crate::settings::{LogFormat, Settings};

use line::Lines;

/// Lines that wait to be written. The default of the library, 128,000, takes 4 MB at once.
const QUEUE: usize = 4096;

/// Keeps the log going. Dropped at the end of `main`, it writes what still waits.
#[must_use = "without it the last lines are lost"]
#[derive(Debug)]
pub struct LogGuard {
    file: Option<PathBuf>,
    _workers: Vec<WorkerGuard>,
}

impl LogGuard {
    /// The file that lines are appended to, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// Starts logging for this process. Each line names the program, `name`.
///
/// A file that cannot be written is replaced by one of the same name in `fallback_dir`, and that is
/// said once; when that fails too, the console is all there is.
pub fn init(
    settings: &Settings,
    name: &str,
    default_file: &Path,
    fallback_dir: &Path,
) -> Result<LogGuard, Exit> {
    let wanted = settings.log_file.as_deref().unwrap_or(default_file);
    let opened = file::open(wanted, fallback_dir);
    let (console, console_worker) = queue("ygg-log-console", std::io::stderr());
    let mut targets = vec![console];
    let mut workers = vec![console_worker];
    if let Some(file) = opened.file {
        let (target, worker) = queue("ygg-log-file", file);
        targets.push(target);
        workers.push(worker);
    }
    let subscriber = subscriber(&settings.log_level, settings.log_format, name, targets)?;
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|_| Exit::software("logging was started twice"))?;
    log_panics();
    if let Some(trouble) = opened.trouble {
        warn!("{trouble}");
    }
    Ok(LogGuard { file: opened.path, _workers: workers })
}

fn queue(thread: &str, to: impl std::io::Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().buffered_lines_limit(QUEUE).thread_name(thread).finish(to)
}

fn subscriber(
    level: &str,
    format: LogFormat,
    name: &str,
    targets: Vec<NonBlocking>,
) -> Result<impl Subscriber + Send + Sync + use<>, Exit> {
    let filter = filter::parse(level).map_err(|problem| {
        Exit::usage(problem)
            .hinted("--log-level (LOG_LEVEL) is error, warn, info, debug or trace, or for example `info,daemon=debug`")
    })?;
    let lines = Lines::new(format, Arc::from(name), targets);
    Ok(tracing_subscriber::registry().with(filter).with(lines))
}

// The hook of the standard library prints a stack where RUST_BACKTRACE is set, which takes 100 ms
// and 35 MB; and it prints past the log.
fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("(no message)");
        let place = info.location().map_or_else(|| "somewhere".to_owned(), ToString::to_string);
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(target: "panic", "thread `{thread}` panicked at {place}: {message}");
    }));
}

#[cfg(test)]
mod tests;
