//! What the tests share.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use daemon::process::{Command, Ended, SpawnError, Stream, run};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A shell line with the PATH of this test.
pub(crate) fn sh(script: &str) -> Command {
    with_path(Command::new("sh").arg("-c").arg(script))
}

pub(crate) fn with_path(command: Command) -> Command {
    command.env("PATH", std::env::var_os("PATH").unwrap())
}

/// This test binary, running one of its ignored tests, which play other processes.
pub(crate) fn myself(role: &str) -> Command {
    let program = std::env::current_exe().unwrap();
    with_path(Command::new(program).args(["--exact", role, "--ignored", "--nocapture"]))
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// True while the process is there and no zombie.
pub(crate) fn lives(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    !after_name.trim_start().starts_with(['Z', 'X'])
}

pub(crate) fn exists(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

pub(crate) fn pids_in(text: &str) -> Vec<i32> {
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Output that can be looked at while the command runs.
#[derive(Clone, Default)]
pub(crate) struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    pub(crate) fn sink(&self) -> impl FnMut(Stream, &[u8]) + Send + 'static {
        let kept = self.clone();
        move |_, bytes| kept.0.lock().unwrap().extend_from_slice(bytes)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }
}

pub(crate) async fn gather(command: Command) -> Result<(Ended, String), SpawnError> {
    let output = Output::default();
    let ended = run(command, output.sink(), &CancellationToken::new()).await?;
    Ok((ended, output.text()))
}

/// Runs a command and cancels it as soon as it has printed `word`.
pub(crate) async fn cancel_at(word: &'static str, command: Command) -> (Ended, String) {
    let (output, cancel) = (Output::default(), CancellationToken::new());
    let (mut keep, seen, trigger) = (output.sink(), output.clone(), cancel.clone());
    let sink = move |stream: Stream, bytes: &[u8]| {
        keep(stream, bytes);
        if seen.text().contains(word) {
            trigger.cancel();
        }
    };
    let ended = run(command, sink, &cancel).await.unwrap();
    (ended, output.text())
}
