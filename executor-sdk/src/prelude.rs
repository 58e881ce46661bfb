//! Everything a task file needs: `use executor_sdk::prelude::*;`.
//!
//! The derives of clap and schemars find their crates through this module; serde's derive wants
//! `serde` in the executor's own Cargo.toml.

pub use std::path::{Path, PathBuf};
pub use std::process::ExitCode;
pub use std::time::Duration;

pub use clap::{self, Args};
pub use schemars::{self, JsonSchema};
pub use serde::{Deserialize, Serialize};
pub use serde_json::{Map, Value, json};
pub use url::Url;

pub use crate::{Ask, Context, Executor, Failure, Report, Secret, Task, TaskResult, Tasks};
