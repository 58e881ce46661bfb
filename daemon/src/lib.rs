//! How a process of Yggdrasil lives. Knows no bead and no task.
//!
//! - [`settings`], [`duration`]: what every program of ours can be told, and how times are written.
//! - [`exit`]: one clear line and an exit code, when a program cannot go on.
//! - [`state_dir`]: the folder that belongs to one process at a time.
//! - [`logs`]: the console and one appended file.
//! - [`shutdown`]: the runtime, the signals, and who is waited for.
//! - [`http`], [`token`]: serving with limits, and who may ask.
//! - [`notify`]: what systemd is told.
//! - [`process`]: child processes, run to their true end; [`leftovers`]: the ones that got away.
//! - [`store`]: SQLite with one writer and group commit.

pub mod duration;
pub mod exit;
pub mod http;
pub mod leftovers;
pub mod logs;
pub mod notify;
pub mod process;
mod procfs;
pub mod settings;
pub mod shutdown;
pub mod state_dir;
pub mod store;
pub mod token;
