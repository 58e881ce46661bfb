//! What the machine has and how busy it is, as the runner API wants it.

use std::fs;

use protocol::runner::{CpuResources, MemoryResources, SystemResources};

use crate::host::Facts;

/// Looks at the machine again and again: the busy share of its processors is that since the last
/// look.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    last: Option<Ticks>,
}

/// How long all processors together were busy, and how long they were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    total: u64,
}

impl Sampler {
    /// Looks; nothing where `/proc` cannot be read.
    pub(super) fn sample(&mut self) -> Option<SystemResources> {
        let facts = Facts::read().ok()?;
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let ticks = ticks(&stat)?;
        let percent = self.last.replace(ticks).map_or(0.0, |last| busy_share(last, ticks));
        let total = facts.memory_total_bytes;
        let free = facts.memory_available_bytes.min(total);
        Some(SystemResources {
            cpu: CpuResources {
                load1: facts.load[0],
                load5: facts.load[1],
                load15: facts.load[2],
                cpus: cpus(&stat),
                percent,
            },
            memory: MemoryResources {
                total,
                used: total - free,
                free,
                percent: share(total - free, total),
            },
            uptime: facts.uptime_seconds.floor(),
        })
    }
}

/// Reads `cpu USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL GUEST GUEST_NICE`; the last two are in
/// the first two already.
fn ticks(stat: &str) -> Option<Ticks> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let parts: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let total = parts.iter().take(8).sum();
    let idle = parts.get(3)? + parts.get(4).copied().unwrap_or(0);
    Some(Ticks { busy: u64::checked_sub(total, idle)?, total })
}

fn cpus(stat: &str) -> u32 {
    let is_one = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    u32::try_from(stat.lines().filter(is_one).count()).unwrap_or(u32::MAX)
}

fn busy_share(last: Ticks, now: Ticks) -> f64 {
    share(now.busy.saturating_sub(last.busy), now.total.saturating_sub(last.total)).min(100.0)
}

/// Returns a share in percent with two decimals.
#[expect(clippy::cast_precision_loss, reason = "a percentage needs no more")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 10_000.0).round() / 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "\
cpu  100 20 30 800 40 5 5 0 60 1
cpu0 50 10 15 400 20 3 2 0 30 0
cpu1 50 10 15 400 20 2 3 0 30 1
intr 1 2 3
cpuidle 7
";

    #[test]
    fn the_busy_share_is_that_between_two_looks() {
        let first = ticks(STAT).unwrap();
        let second = ticks("cpu  130 20 30 850 60 5 5 0 60 1\n").unwrap();

        assert_eq!(first, Ticks { busy: 160, total: 1000 });
        assert!((busy_share(first, second) - 30.0).abs() < 1e-9);
        assert!(busy_share(first, first).abs() < 1e-9);
        assert_eq!(cpus(STAT), 2);
        assert_eq!(ticks("cpu  1 2\n"), None);
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let mut sampler = Sampler::default();
        sampler.sample().unwrap();

        let seen = sampler.sample().unwrap();

        assert!(seen.cpu.cpus > 0 && seen.uptime > 0.0);
        assert!((0.0..=100.0).contains(&seen.cpu.percent));
        assert_eq!(seen.memory.used + seen.memory.free, seen.memory.total);
    }
}
