//! `yggdrasil-coordinator`.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use yggdrasil_coordinator::run::run;
use yggdrasil_coordinator::settings::{DEFAULT_PORT, Settings};

fn main() -> ExitCode {
    let command = daemon::settings::Settings::with_port(Settings::command(), DEFAULT_PORT);
    let parsed = command.try_get_matches().and_then(|matches| Settings::from_arg_matches(&matches));
    let mut settings = match parsed {
        Ok(settings) => settings,
        Err(error) => return daemon::exit::unparsed(&error),
    };
    settings.beads_server = std::env::vars_os()
        .filter(|(name, _)| name.to_string_lossy().starts_with("BEADS_DOLT_"))
        .collect();
    settings.docker = std::env::vars_os()
        .filter(|(name, _)| {
            let name = name.to_string_lossy();
            name.starts_with("DOCKER_") && name != "DOCKER_UPDATE_COMMAND"
        })
        .collect();
    daemon::exit::report("yggdrasil-coordinator", run(settings))
}
