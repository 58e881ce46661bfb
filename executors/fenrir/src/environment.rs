//! What of the executor's own environment its commands see, beside `PATH` and `HOME`.

use std::ffi::{OsStr, OsString};

use executor_sdk::prelude::*;

/// Variables that are handed on to `git`, `cargo`, `python` and their like.
///
/// The environment of a command is clean; without these, a user's keys, proxies and toolchains
/// would not be found.
#[derive(Args, Debug, Default, Clone)]
pub struct Environment {
    /// The agent that holds the SSH keys.
    #[arg(long, env = "SSH_AUTH_SOCK", hide = true)]
    pub ssh_auth_sock: Option<OsString>,
    /// Another file than `~/.gitconfig`.
    #[arg(long, env = "GIT_CONFIG_GLOBAL", hide = true)]
    pub git_config_global: Option<OsString>,
    /// The certificates that git trusts.
    #[arg(long, env = "GIT_SSL_CAINFO", hide = true)]
    pub git_ssl_cainfo: Option<OsString>,
    /// The certificates that other programs trust.
    #[arg(long, env = "SSL_CERT_FILE", hide = true)]
    pub ssl_cert_file: Option<OsString>,
    /// The proxy for `http://`.
    #[arg(long, env = "http_proxy", hide = true, hide_env_values = true)]
    pub http_proxy: Option<OsString>,
    /// The proxy for `https://`.
    #[arg(long, env = "https_proxy", hide = true, hide_env_values = true)]
    pub https_proxy: Option<OsString>,
    /// The hosts that need no proxy.
    #[arg(long, env = "no_proxy", hide = true)]
    pub no_proxy: Option<OsString>,
    /// Where cargo keeps what it downloaded.
    #[arg(long, env = "CARGO_HOME", hide = true)]
    pub cargo_home: Option<OsString>,
    /// Where cargo builds.
    #[arg(long, env = "CARGO_TARGET_DIR", hide = true)]
    pub cargo_target_dir: Option<OsString>,
    /// Where the Rust toolchains lie.
    #[arg(long, env = "RUSTUP_HOME", hide = true)]
    pub rustup_home: Option<OsString>,
    /// The Rust toolchain to use where a project names none.
    #[arg(long, env = "RUSTUP_TOOLCHAIN", hide = true)]
    pub rustup_toolchain: Option<OsString>,
    /// Where go keeps what it downloaded.
    #[arg(long, env = "GOPATH", hide = true)]
    pub gopath: Option<OsString>,
    /// Where go downloads from.
    #[arg(long, env = "GOPROXY", hide = true, hide_env_values = true)]
    pub goproxy: Option<OsString>,
    /// Where Java lies.
    #[arg(long, env = "JAVA_HOME", hide = true)]
    pub java_home: Option<OsString>,
    /// Where the Python versions lie.
    #[arg(long, env = "PYENV_ROOT", hide = true)]
    pub pyenv_root: Option<OsString>,
}

impl Environment {
    /// Returns the variables that are set, with their values.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'static str, &OsStr)> {
        [
            ("SSH_AUTH_SOCK", &self.ssh_auth_sock),
            ("GIT_CONFIG_GLOBAL", &self.git_config_global),
            ("GIT_SSL_CAINFO", &self.git_ssl_cainfo),
            ("SSL_CERT_FILE", &self.ssl_cert_file),
            ("http_proxy", &self.http_proxy),
            ("https_proxy", &self.https_proxy),
            ("no_proxy", &self.no_proxy),
            ("CARGO_HOME", &self.cargo_home),
            ("CARGO_TARGET_DIR", &self.cargo_target_dir),
            ("RUSTUP_HOME", &self.rustup_home),
            ("RUSTUP_TOOLCHAIN", &self.rustup_toolchain),
            ("GOPATH", &self.gopath),
            ("GOPROXY", &self.goproxy),
            ("JAVA_HOME", &self.java_home),
            ("PYENV_ROOT", &self.pyenv_root),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.as_deref().map(|value| (name, value)))
        .filter(|(_, value)| !value.is_empty())
    }
}
