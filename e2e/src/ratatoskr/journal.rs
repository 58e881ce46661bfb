//! What all daemons of a test did.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What many daemons did, over all their lives.
#[derive(Debug, Default)]
pub struct Journal {
    book: Mutex<Book>,
    file: Option<File>,
}

/// What is written in a journal.
#[derive(Debug, Clone, Default)]
pub struct Book {
    /// The runners on which each task was started, one entry for each start.
    pub started: BTreeMap<String, Vec<String>>,
    /// The tasks whose result was taken (2xx), with the status that was told last.
    pub reported: BTreeMap<String, String>,
    /// The updates that daemons were told about, first time and again.
    pub told: Vec<Told>,
    /// Each life that began.
    pub lives: Vec<Life>,
    /// Each life that ended because a result could not be told, by runner.
    pub crashed: BTreeMap<String, String>,
    /// Registrations that were taken.
    pub registrations: u64,
    /// Heartbeats that were taken.
    pub heartbeats: u64,
    /// Task lists that were read.
    pub lists: u64,
    /// Requests that failed, each try counted.
    pub failures: u64,
    /// What the last of them said.
    pub last_failure: String,
    /// The most that any one daemon had under way at a time.
    pub most_under_way: usize,
}

/// One life of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Its id in this life.
    pub runner: String,
    /// Its name, the same in each life.
    pub name: String,
    /// The version in this life.
    pub version: String,
}

/// An update that a daemon was told about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Who.
    pub runner: String,
    /// Its name.
    pub name: String,
    /// The version that it should have.
    pub version: String,
}

impl Book {
    /// Returns the tasks that were started more than once.
    pub fn doubled(&self) -> Vec<(&String, &Vec<String>)> {
        self.started.iter().filter(|(_, runners)| runners.len() > 1).collect()
    }
}

impl Journal {
    /// Makes one that also appends `start TASK` and `end TASK STATUS` to a file, for other
    /// processes to read.
    pub fn to_file(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { book: Mutex::default(), file: Some(file) })
    }

    /// Returns what is written so far.
    pub fn read(&self) -> Book {
        self.book().clone()
    }

    /// Looks at what is written so far; not across an await.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lives(&self, life: Life) {
        self.book().lives.push(life);
    }

    pub(super) fn starts(&self, task: &str, runner: &str) {
        self.line(&format!("start {task}"));
        self.book().started.entry(task.to_owned()).or_default().push(runner.to_owned());
    }

    pub(super) fn reports(&self, task: &str, status: &str) {
        self.line(&format!("end {task} {status}"));
        self.book().reported.insert(task.to_owned(), status.to_owned());
    }

    fn line(&self, text: &str) {
        let Some(mut file) = self.file.as_ref() else { return };
        // One write of one line to a file opened for appending: two of them never mix.
        let written = file.write_all(format!("{text}\n").as_bytes());
        written.expect("the journal can be written");
    }
}
