//! The real Ollama: a server of the test's own, with the tiny model.
//!
//! `scripts/get-ollama.sh` gets the program. Where it is not there, the tests say so and skip.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use executor_sdk::harness::until;
use executor_sdk::prelude::*;
use tempfile::TempDir;

use crate::common::closed;
use crate::gguf;

/// A running server. It ends with this value, or with the test's process.
pub(crate) struct Real {
    pub(crate) url: Url,
    pub(crate) folder: Arc<TempDir>,
    // The shell that ends the server when its stdin does.
    shell: Child,
}

/// Ends the server when nobody holds the shell's stdin any more: also when this process is killed.
const SERVE: &str = r#""$1" serve >"$2" 2>&1 </dev/null & cat >/dev/null; kill "$!"; wait "$!""#;

impl Real {
    /// Starts a server with the model `tiny`; `None`, said aloud, where there is no program.
    pub(crate) async fn with_tiny(test: &str) -> Option<Self> {
        let Some(program) = find() else {
            eprintln!("skipped: {test}: no real `ollama`; scripts/get-ollama.sh gets one");
            return None;
        };
        Some(Self::of(program).await)
    }

    /// Starts this program as a server with the model `tiny`.
    pub(crate) async fn of(program: PathBuf) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let address = closed();
        let log = folder.path().join("log");
        let shell = command("sh", folder.path(), &address.to_string())
            .args(["-c", SERVE, "sh"])
            .args([&program, &log])
            .process_group(0)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let url: Url = format!("http://{address}").parse().unwrap();
        until("Ollama listens", async || tokio::net::TcpStream::connect(address).await.is_ok())
            .await;
        let file = folder.path().join("Modelfile");
        std::fs::write(folder.path().join("tiny.gguf"), gguf::tiny()).unwrap();
        std::fs::write(&file, "FROM ./tiny.gguf\nPARAMETER num_predict 12\n").unwrap();
        let made = command(&program, folder.path(), &address.to_string())
            .args(["create", "tiny", "-f"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { url, folder, shell }
    }

    /// Ends the server, and returns the folder with its models.
    pub(crate) fn stop(self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    /// Makes the server hang until it is dropped, with all that it has started.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    fn signal(&self, signal: &str) {
        let group = format!("-{}", self.shell.id());
        let mut kill = command("kill", self.folder.path(), "");
        assert!(kill.args([signal, "--", &group]).status().unwrap().success());
    }

    /// Returns what the server said.
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        let mut file = std::fs::File::open(self.folder.path().join("log")).unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // It may be frozen.
        self.signal("-CONT");
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}

/// Finds the program that the script installed, else one on PATH.
pub(crate) fn find() -> Option<PathBuf> {
    let test = std::env::current_exe().unwrap();
    let mut folders =
        test.ancestors().skip(2).take(3).map(|folder| folder.join("tools/bin/ollama"));
    folders.find(|program| program.is_file()).or_else(on_path)
}

/// Finds the Ollama of this machine, which may be one that computes on graphics cards.
pub(crate) fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join("ollama")).find(|file| file.is_file())
}

/// Makes a command that knows nothing of another Ollama of this machine.
#[expect(clippy::disallowed_methods, reason = "the test's server is no task")]
fn command(program: impl AsRef<std::ffi::OsStr>, folder: &Path, address: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("OLLAMA_HOST", address)
        .env("OLLAMA_MODELS", folder.join("models"));
    command
}
