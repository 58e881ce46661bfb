//! Ends what a homelab left behind: its daemons, and the commands that an executor of it started.
//!
//! Daemons carry the homelab's folder in their environment, and commands the id of the spool of
//! their executor; `/proc` shows both. Nothing else is touched: not a shell that somebody opened
//! in that folder.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use daemon::store::sql::Connection;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The variable that marks the daemons of a homelab; its value is the homelab's folder.
pub const MARK: &str = "YGGDRASIL_WORLD";

/// The variable by which executors mark their commands: `SPOOL/LIFE/ATTEMPT/COMMAND`.
const ATTEMPT: &str = "YGGDRASIL_ATTEMPT";

/// Returns the processes that belong to the homelab in `folder`, this one left out.
pub fn of(folder: &Path) -> Vec<Pid> {
    let daemon = format!("{MARK}={}", folder.display());
    let commands = marks(folder);
    processes(|entry| {
        entry == daemon.as_bytes() || commands.iter().any(|mark| entry.starts_with(mark.as_bytes()))
    })
}

/// Returns the commands of executors whose state lies in `folder`.
pub fn commands_of(folder: &Path) -> Vec<Pid> {
    let commands = marks(folder);
    processes(|entry| commands.iter().any(|mark| entry.starts_with(mark.as_bytes())))
}

/// How the marks of commands start, for each spool of the homelab.
fn marks(folder: &Path) -> Vec<String> {
    let Ok(states) = fs::read_dir(folder.join("state")) else { return Vec::new() };
    let spools = states.filter_map(|entry| Some(entry.ok()?.path().join("spool.db")));
    let ids = spools.filter(|spool| spool.exists()).filter_map(|spool| {
        let spool = Connection::open(spool).ok()?;
        spool.query_row("SELECT id FROM spool", [], |row| row.get::<_, String>(0)).ok()
    });
    ids.map(|id| format!("{ATTEMPT}={id}/")).collect()
}

fn processes(is_ours: impl Fn(&[u8]) -> bool) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&pid| pid > 1 && u32::try_from(pid) != Ok(std::process::id()));
    let has_mark = |pid: &i32| {
        // Another user's process, or one that has just ended, cannot be read: not ours.
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(&is_ours))
    };
    pids.filter(has_mark).map(Pid::from_raw).collect()
}

/// Returns whether a process runs. A zombie does not: nobody may be there to reap it.
pub fn is_alive(pid: Pid) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name is in brackets and may hold anything; the state follows the last of them.
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

/// Kills every process of the homelab in `folder`, and waits until they are gone.
pub fn end(folder: &Path) {
    let start = Instant::now();
    loop {
        let left = of(folder);
        if left.is_empty() || start.elapsed() > Duration::from_secs(10) {
            return;
        }
        for pid in left {
            // One that has ended in the meantime is what we want, and another try follows.
            kill(pid, Signal::SIGKILL).ok();
        }
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "called from Drop, where nothing can be awaited")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
