//! Processes that outlived the command they belong to, found by a mark in their environment.
//!
//! Each command carries `YGGDRASIL_ATTEMPT=<spool>/<life>/<attempt>/<command>`, and children inherit
//! it, also through `setsid` and after the death of their executor. What clears or rewrites its
//! environment, or runs as another user, is not found.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgrp};
use tokio::task::spawn_blocking;
use tracing::error;

use crate::procfs;

/// The variable that carries the mark.
pub const VARIABLE: &str = "YGGDRASIL_ATTEMPT";

/// How long the kernel may take after SIGKILL, before a process is given up.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// A process that was found and ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub pid: i32,
    pub group: i32,
    pub mark: String,
}

/// Ends every process whose mark is `prefix` or lies below it: SIGTERM to its group, `grace`,
/// SIGKILL. Returns what was found, when it is gone. Never ends ourselves.
///
/// `prefix` counts in whole parts: `/spool/1` does not mean `/spool/10`.
pub async fn end(prefix: &str, grace: Duration) -> Vec<Leftover> {
    let mut hunt = Hunt::new(prefix, grace);
    loop {
        let round = spawn_blocking(move || {
            let pause = hunt.round();
            (hunt, pause)
        });
        match round.await {
            Ok((back, None)) => return back.found(),
            Ok((back, Some(pause))) => {
                hunt = back;
                tokio::time::sleep(pause).await;
            }
            // The runtime is ending.
            Err(_) => return Vec::new(),
        }
    }
}

/// The same, for a thread of its own.
#[expect(clippy::disallowed_methods, reason = "there may be no runtime any more to wait with")]
pub(crate) fn end_blocking(prefix: &str, grace: Duration) {
    let mut hunt = Hunt::new(prefix, grace);
    while let Some(pause) = hunt.round() {
        std::thread::sleep(pause);
    }
}

struct Hunt {
    prefix: Vec<u8>,
    grace: Duration,
    began: Instant,
    pause: Duration,
    // By pid and start time, since a pid alone may be given to a stranger meanwhile.
    seen: BTreeMap<(i32, u64), Leftover>,
}

impl Hunt {
    fn new(prefix: &str, grace: Duration) -> Self {
        let prefix = prefix.trim_end_matches('/').as_bytes().to_vec();
        let pause = Duration::from_millis(5);
        Self { prefix, grace, began: Instant::now(), pause, seen: BTreeMap::new() }
    }

    fn found(self) -> Vec<Leftover> {
        self.seen.into_values().collect()
    }

    /// Looks once and signals what it finds. `None`: nothing is there, or nothing can be done.
    fn round(&mut self) -> Option<Duration> {
        if self.prefix.is_empty() {
            error!("asked to end every marked process of this machine; nothing is ended");
            return None;
        }
        let found = self.look();
        if found.is_empty() {
            return None;
        }
        let waited = self.began.elapsed();
        if waited > self.grace.saturating_add(KILL_PATIENCE) {
            for (_, leftover) in found {
                error!("process {} cannot be ended (mark `{}`)", leftover.pid, leftover.mark);
            }
            return None;
        }
        let patience_over = waited >= self.grace;
        for (key, leftover) in found {
            let target = Target::of(&leftover, &self.prefix);
            if patience_over {
                target.send(Signal::SIGKILL);
            } else if !self.seen.contains_key(&key) {
                target.send(Signal::SIGTERM);
                // A stopped process would sleep through SIGTERM.
                target.send(Signal::SIGCONT);
            }
            self.seen.entry(key).or_insert(leftover);
        }
        self.pause = (self.pause * 2).min(Duration::from_millis(100));
        let to_grace = self.grace.saturating_sub(waited);
        Some(if to_grace.is_zero() { self.pause } else { self.pause.min(to_grace) })
    }

    fn look(&self) -> Vec<((i32, u64), Leftover)> {
        let own = Pid::this().as_raw();
        let marked = procfs::pids().into_iter().filter(|pid| *pid != own && *pid > 1);
        let marked = marked.filter_map(|pid| {
            let mark = procfs::variable(pid, VARIABLE)?;
            if !is_below(&mark, &self.prefix) {
                return None;
            }
            let stat = procfs::stat(pid).filter(procfs::Stat::lives)?;
            let mark = String::from_utf8_lossy(&mark).into_owned();
            Some(((pid, stat.started), Leftover { pid, group: stat.group, mark }))
        });
        marked.collect()
    }
}

enum Target {
    Group(Pid),
    One(Pid),
}

impl Target {
    // The whole group, unless it is our own, or a stranger leads it.
    fn of(leftover: &Leftover, prefix: &[u8]) -> Self {
        let leader_is_ours = || match procfs::stat(leftover.group) {
            Some(leader) if leader.lives() => procfs::variable(leftover.group, VARIABLE)
                .is_some_and(|mark| is_below(&mark, prefix)),
            // Without its leader a group keeps its id to itself.
            _ => true,
        };
        let group = Pid::from_raw(leftover.group);
        if leftover.group > 1 && group != getpgrp() && leader_is_ours() {
            Self::Group(group)
        } else {
            Self::One(Pid::from_raw(leftover.pid))
        }
    }

    fn send(&self, signal: Signal) {
        // It may be gone meanwhile; the next look tells.
        let _ = match self {
            Self::Group(group) => killpg(*group, signal),
            Self::One(pid) => kill(*pid, signal),
        };
    }
}

fn is_below(mark: &[u8], prefix: &[u8]) -> bool {
    mark.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_counts_in_whole_parts() {
        assert!(is_below(b"/spool/1/a", b"/spool/1"));
        assert!(is_below(b"/spool/1", b"/spool/1"));
        assert!(!is_below(b"/spool/10/a", b"/spool/1"));
        assert!(!is_below(b"/spool", b"/spool/1"));
    }

    #[test]
    fn an_empty_prefix_ends_nobody() {
        assert_eq!(Hunt::new("/", Duration::ZERO).round(), None);
        assert_eq!(Hunt::new("", Duration::ZERO).round(), None);
    }
}
