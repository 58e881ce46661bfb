//! The settings that every daemon of ours has, each declared once.
//!
//! Precedence: flag, environment, default. Reading them has no side effect.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::duration;
use crate::exit::Exit;

/// Flags and environment variables shared by the coordinator and the executors.
#[derive(clap::Args, Debug, Clone)]
pub struct Settings {
    /// Address to listen on [default: 127.0.0.1; all interfaces once a token or key is set].
    #[arg(long, env = "YGGDRASIL_HOST", value_name = "ADDRESS")]
    pub host: Option<String>,

    /// Port to listen on.
    #[arg(long, env = "PORT")]
    pub port: u16,

    /// Folder for what must survive a restart; made when absent
    /// [default: /var/lib/yggdrasil/NAME for root, else ~/.local/state/yggdrasil/NAME].
    #[arg(long, env = "STATE_DIRECTORY", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// How log lines look.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Simple, value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// error, warn, info, debug, trace, or levels per target such as `info,daemon=debug`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    pub log_level: String,

    /// File that log lines are appended to, besides the console.
    #[arg(long, env = "LOG_FILE", value_name = "FILE")]
    pub log_file: Option<PathBuf>,

    /// How long running work may go on after the first SIGTERM.
    #[arg(long, env = "DRAIN_TIMEOUT", default_value = "30s", value_parser = duration::parse, value_name = "DURATION")]
    pub drain_timeout: Duration,

    /// Check everything given, say what is wrong, and exit.
    #[arg(long)]
    pub check: bool,

    /// The user's home, where a state folder is put when nothing else is said.
    #[arg(long, env = "HOME", hide = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
}

/// How a log line is written.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people.
    Simple,
    /// One JSON object per line.
    Json,
}

impl Settings {
    /// Gives the flag `--port` the default of this program.
    #[must_use]
    pub fn with_port(command: clap::Command, default: u16) -> clap::Command {
        command.mut_arg("port", |arg| arg.required(false).default_value(default.to_string()))
    }

    /// Returns where to listen: loopback unless told, all interfaces once `protected` by a token
    /// or key. An address that others can reach is refused without one.
    pub fn address(&self, protected: bool) -> Result<SocketAddr, Exit> {
        let Some(host) = &self.host else {
            let ip = if protected { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
            return Ok(SocketAddr::new(IpAddr::V4(ip), self.port));
        };
        let address = resolve(host, self.port)?;
        if protected || address.ip().to_canonical().is_loopback() {
            return Ok(address);
        }
        Err(Exit::config(format!(
            "listening on `{host}` without a token would let the whole network in"
        ))
        .hinted("set a token or API key, or leave out --host (YGGDRASIL_HOST) to serve this machine only"))
    }

    /// Returns the state folder of the program `name`; nothing is made yet.
    pub fn state_path(&self, name: &str) -> Result<PathBuf, Exit> {
        state_path(
            self.state_dir.as_deref(),
            nix::unistd::geteuid().is_root(),
            self.home.as_deref(),
            name,
        )
    }
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, Exit> {
    if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let found = (host, port).to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| {
        Exit::config(format!("`{host}` is no address of this machine"))
            .hinted("--host (YGGDRASIL_HOST) wants an IP address or a name, without a port")
    })
}

fn state_path(
    given: Option<&Path>,
    root: bool,
    home: Option<&Path>,
    name: &str,
) -> Result<PathBuf, Exit> {
    if let Some(given) = given {
        return Ok(first_of(given));
    }
    if root {
        return Ok(Path::new("/var/lib/yggdrasil").join(name));
    }
    match home {
        Some(home) if home.is_absolute() => Ok(home.join(".local/state/yggdrasil").join(name)),
        _ => Err(Exit::config("there is no HOME to keep state in")
            .hinted("name a folder with --state-dir (STATE_DIRECTORY)")),
    }
}

// systemd puts all folders of a unit with several into STATE_DIRECTORY, separated by colons.
fn first_of(given: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;

    let bytes = given.as_os_str().as_bytes();
    let first = bytes.split(|b| *b == b':').find(|part| !part.is_empty()).unwrap_or(bytes);
    PathBuf::from(std::ffi::OsStr::from_bytes(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, FromArgMatches as _};

    fn settings(args: &[&str]) -> Result<Settings, clap::Error> {
        let command = Settings::augment_args(clap::Command::new("t").no_binary_name(true));
        let matches = Settings::with_port(command, 5000).try_get_matches_from(args)?;
        Settings::from_arg_matches(&matches)
    }

    fn address(args: &[&str], protected: bool) -> Result<String, Exit> {
        settings(args).unwrap().address(protected).map(|address| address.to_string())
    }

    #[test]
    fn loopback_unless_a_token_protects() {
        assert_eq!(address(&[], false).unwrap(), "127.0.0.1:5000");
        assert_eq!(address(&[], true).unwrap(), "0.0.0.0:5000");
        assert_eq!(address(&["--host", "127.0.0.1", "--port", "0"], true).unwrap(), "127.0.0.1:0");
        assert_eq!(address(&["--host", "::1"], false).unwrap(), "[::1]:5000");
        assert_eq!(address(&["--host", "[::1]"], false).unwrap(), "[::1]:5000");
        assert_eq!(address(&["--host", "192.0.2.1"], true).unwrap(), "192.0.2.1:5000");
    }

    #[test]
    fn an_open_address_without_a_token_is_refused_with_the_remedy() {
        for host in ["0.0.0.0", "192.168.1.10", "::"] {
            let exit = address(&["--host", host], false).unwrap_err();

            assert_eq!(exit.code, 78);
            assert!(exit.error.contains(host), "{}", exit.error);
            assert!(exit.hint.unwrap().contains("token"));
        }
    }

    #[test]
    fn a_host_that_is_none_is_refused() {
        for host in ["", "not an address", "127.0.0.1:80"] {
            assert_eq!(address(&["--host", host], false).unwrap_err().code, 78, "{host}");
        }
    }

    #[test]
    fn the_state_folder_follows_the_user() {
        let home = Some(Path::new("/home/ann"));

        assert_eq!(
            state_path(None, false, home, "surtr").unwrap(),
            Path::new("/home/ann/.local/state/yggdrasil/surtr")
        );
        assert_eq!(
            state_path(None, true, home, "surtr").unwrap(),
            Path::new("/var/lib/yggdrasil/surtr")
        );
        assert_eq!(
            state_path(Some(Path::new("/a:/b")), true, home, "surtr").unwrap(),
            Path::new("/a")
        );
        assert_eq!(state_path(None, false, None, "surtr").unwrap_err().code, 78);
        assert_eq!(state_path(None, false, Some(Path::new("")), "surtr").unwrap_err().code, 78);
    }

    #[test]
    fn flags_have_their_defaults_and_bad_values_are_refused() {
        let defaults = settings(&["--log-level", "debug"]).unwrap();

        assert_eq!(defaults.drain_timeout, Duration::from_secs(30));
        assert_eq!(defaults.log_level, "debug");
        assert!(!defaults.check);
        assert!(settings(&["--drain-timeout", "soon"]).is_err());
        assert!(settings(&["--log-format", "xml"]).is_err());
        assert!(settings(&["--port", "65536"]).is_err());
    }
}
