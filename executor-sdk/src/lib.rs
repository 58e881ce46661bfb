//! What the author of a Yggdrasil executor imports.
//!
//! An executor is a struct (its settings) that implements [`Executor`], and one struct per task
//! (its params) that implements [`Task`]; [`run`] does the rest: flags and environment, logs, the
//! HTTP API, params checked with the field's path, a time limit that ends the whole process
//! group, the spool, the drain on SIGTERM, metrics and `--check`.
//!
//! - [`prelude`]: everything a task file needs, in one `use`.
//! - [`Context`]: what a running task may use; [`Context::run_command`] and
//!   [`Context::run_playbook`] start processes.
//! - [`Report`] and [`Failure`]: how a task ends.
//! - [`Ask`]: what the node's policy is asked before a task starts.
//! - [`Secret`] and [`Context::secret`]: what orders may name and no log shows.
//! - [`host`]: facts about the machine: load, memory, disks.
//! - [`yaml`]: files of the node's owner.
//! - [`harness`]: an executor in a test, over real HTTP.
//!
//! Inside: `settings` declares the settings, `program` reads them and starts everything, `api` is
//! the HTTP surface, `runner` owns the attempts, `spool` remembers them, `log` holds what they
//! print, `registration` speaks with the coordinator, `policy` is the node owner's word, `params`
//! turns JSON into a task.
#![warn(missing_docs)]

mod api;
mod builtin;
mod command;
mod context;
mod executor;
mod log;
mod metrics;
mod node;
mod params;
mod playbook;
mod policy;
mod presence;
mod program;
mod registration;
mod registry;
mod result;
mod runner;
mod secret;
mod service;
mod settings;
mod size;
mod spool;
mod stop;
mod tail;

pub mod harness;
pub mod host;
pub mod prelude;
pub mod yaml;

pub use command::RunCommand;
pub use context::Context;
pub use executor::{Ask, Executor, Task, Tasks};
pub use playbook::RunPlaybook;
pub use presence::Hold;
pub use program::run;
pub use result::{Failure, Report, TaskResult};
pub use secret::{Revealed, Secret};
