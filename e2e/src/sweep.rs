//! Ends what a homelab left behind: its daemons, and the commands that an executor of it started.
//!
//! Both carry a mark with the homelab's folder in their environment, which `/proc` shows. Nothing
//! else is touched: not a shell that somebody opened in that folder.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The variable that marks the daemons of a homelab; its value is the homelab's folder.
pub const MARK: &str = "YGGDRASIL_WORLD";

/// The variable by which executors mark their commands; its value starts with the spool's folder.
const ATTEMPT: &str = "YGGDRASIL_ATTEMPT";

/// Returns the processes that belong to the homelab in `folder`, this one left out.
pub fn of(folder: &Path) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&pid| pid > 1 && u32::try_from(pid) != Ok(std::process::id()));
    pids.filter(|pid| belongs(*pid, folder)).map(Pid::from_raw).collect()
}

fn belongs(pid: i32, folder: &Path) -> bool {
    // Another user's process, or one that has just ended, cannot be read: not ours.
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let world = format!("{MARK}={}", folder.display());
    let attempt = format!("{ATTEMPT}={}/", folder.display());
    environment
        .split(|byte| *byte == 0)
        .any(|entry| entry == world.as_bytes() || entry.starts_with(attempt.as_bytes()))
}

/// Returns the commands of executors whose spool lies below `folder`.
pub fn commands_of(folder: &Path) -> Vec<Pid> {
    let attempt = format!("{ATTEMPT}={}/", folder.display());
    let has_mark = |pid: &Pid| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(attempt.as_bytes()))
        })
    };
    of(folder).into_iter().filter(has_mark).collect()
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
