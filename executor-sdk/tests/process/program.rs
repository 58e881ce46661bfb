//! A running executor.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use executor_sdk::harness::{tokio, until};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::process::{Child, Command};

pub(crate) struct Program {
    child: Child,
    client: reqwest::Client,
    port: u16,
}

impl Program {
    /// Starts it on a free port and waits until it is healthy.
    pub(crate) async fn start(state: &Path, args: &[&str]) -> Self {
        // Another test of this process may have done it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let port = free_port();
        let mut command = command(state, port, args);
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(1));
        let program = Self { child, client: client.build().unwrap(), port };
        until("it is healthy", async || {
            program
                .request(Method::GET, "health")
                .send()
                .await
                .is_ok_and(|sent| sent.status() == 200)
        })
        .await;
        program
    }

    /// Starts it and returns how it ended, with what it said.
    pub(crate) async fn try_start(state: &Path, args: &[&str]) -> (Option<i32>, String) {
        let mut command = command(state, free_port(), args);
        let output = tokio::time::timeout(Duration::from_secs(30), command.output()).await;
        let output = output.expect("it ends by itself").unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://127.0.0.1:{}/{path}", self.port))
    }

    pub(crate) async fn health(&self) -> Value {
        self.request(Method::GET, "health").send().await.unwrap().json().await.unwrap()
    }

    /// Kills it as `kill -9` does.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().await.unwrap();
        assert!(sent.success());
    }

    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        ended.expect("it ends").unwrap().code()
    }

    /// Returns how much memory it holds.
    pub(crate) fn memory_kib(&self) -> u64 {
        let pid = self.child.id().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

fn command(state: &Path, port: u16, args: &[&str]) -> Command {
    let mut command = Command::new(trial());
    command
        .arg("--state-dir")
        .arg(state)
        .arg("--log-file")
        .arg(state.join("agent.log"))
        .args(args)
        .env_clear()
        .env("PORT", port.to_string())
        .env("PATH", std::env::var_os("PATH").unwrap())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// The example is built beside the tests.
fn trial() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("examples/trial")
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
