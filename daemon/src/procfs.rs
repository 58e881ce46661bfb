//! What `/proc` tells of processes.

use std::fs;

/// The part of `/proc/PID/stat` that matters here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: u8,
    pub(crate) group: i32,
    /// Start time in clock ticks since boot: with the pid it names a process for good.
    pub(crate) started: u64,
}

impl Stat {
    /// False for zombies: they are dead, only their parent has not noticed.
    pub(crate) fn lives(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Lists the pids of all processes.
pub(crate) fn pids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Reads one process; `None` when it is gone.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Returns the value that a variable had when the process was started; `None` also when we may not
/// look, or the process has overwritten its environment.
pub(crate) fn variable(pid: i32, name: &str) -> Option<Vec<u8>> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environ.split(|byte| *byte == 0);
    variables.find_map(|one| Some(one.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?.to_vec()))
}

/// Tells whether a process of this group lives.
pub(crate) fn group_lives(group: i32) -> bool {
    pids().into_iter().filter_map(stat).any(|stat| stat.group == group && stat.lives())
}

// The second field is the name in parentheses, which may itself hold blanks and parentheses.
fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let after_name = bytes.iter().rposition(|byte| *byte == b')')? + 1;
    let text = std::str::from_utf8(&bytes[after_name..]).ok()?;
    let mut fields = text.split_ascii_whitespace();
    Some(Stat {
        state: *fields.next()?.as_bytes().first()?,
        group: fields.nth(1)?.parse().ok()?,
        started: fields.nth(16)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_confuses_nobody() {
        let line = b"812 (a) (b c) S 1 801 801 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2\n";

        assert_eq!(parse_stat(line), Some(Stat { state: b'S', group: 801, started: 98765 }));
        assert_eq!(parse_stat(b"812 (half"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn we_find_ourselves() {
        let own = i32::try_from(std::process::id()).unwrap();

        assert!(pids().contains(&own));
        assert!(stat(own).unwrap().lives());
        assert!(group_lives(nix::unistd::getpgrp().as_raw()));
        assert_eq!(variable(own, "THERE_IS_NO_SUCH_VARIABLE"), None);
    }
}
