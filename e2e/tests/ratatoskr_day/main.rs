//! A day of simulated Ratatoskrs, in one process on a clock that jumps.
//!
//! It watches its own memory, so nothing else may run in its process.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

mod day;

/// Says a figure that is worth knowing and proves nothing.
#[expect(clippy::print_stderr, reason = "`--show-output` shows it")]
fn note(text: &str) {
    eprintln!("noted: {text}");
}

/// Returns the resident memory of a process, in bytes.
fn memory(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}
