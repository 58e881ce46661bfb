//! `make docs`: writes `docs/openapi.json` from the routes of the coordinator.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use daemon::exit::{Exit, report};
use yggdrasil_coordinator::api::document;

/// Writes the description of the coordinator's HTTP API.
#[derive(Debug, Parser)]
struct OpenApi {
    /// The file.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json"))]
    file: PathBuf,
}

fn main() -> ExitCode {
    let OpenApi { file } = OpenApi::parse();
    let written = fs::write(&file, document::text())
        .map_err(|error| Exit::software(format!("cannot write `{}`: {error}", file.display())));
    report("openapi", written)
}
