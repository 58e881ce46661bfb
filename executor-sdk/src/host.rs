//! Facts about the machine that a task runs on, from `/proc` and `df`.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::{Context, Failure};

/// What the kernel says of the machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// The name it calls itself.
    pub hostname: String,
    /// The release of the kernel.
    pub kernel: String,
    /// How long it has been up.
    pub uptime_seconds: f64,
    /// How many CPUs this process may use.
    pub cpus: usize,
    /// The mean number of waiting or running processes in the last 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// All of its memory.
    pub memory_total_bytes: u64,
    /// How much of it a program can have without swapping.
    pub memory_available_bytes: u64,
}

/// A mounted file system on a local disk.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Disk {
    /// Where it is mounted.
    pub mount: String,
    /// Its kind, such as `ext4`.
    pub file_system: String,
    /// How much fits on it.
    pub total_bytes: u64,
    /// How much more an ordinary user can put on it.
    pub available_bytes: u64,
    /// The same as a part of the total, in percent.
    pub free_percent: f64,
}

impl Facts {
    /// Reads them. The files are the kernel's own, so this does not wait for a disk.
    pub fn read() -> Result<Self, Failure> {
        let meminfo = proc("meminfo")?;
        Ok(Self {
            hostname: proc("sys/kernel/hostname")?.trim().to_owned(),
            kernel: proc("sys/kernel/osrelease")?.trim().to_owned(),
            uptime_seconds: numbers(&proc("uptime")?).next().ok_or_else(|| odd("uptime"))?,
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            load: load(&proc("loadavg")?).ok_or_else(|| odd("loadavg"))?,
            memory_total_bytes: memory(&meminfo, "MemTotal").ok_or_else(|| odd("meminfo"))?,
            memory_available_bytes: memory(&meminfo, "MemAvailable")
                .ok_or_else(|| odd("meminfo"))?,
        })
    }
}

/// Lists the local disks by `df`, which can be ended when a file system does not answer.
pub async fn disks(cx: &Context) -> Result<Vec<Disk>, Failure> {
    let mut told = String::new();
    // Not every `df` has `--local`.
    for args in [&["-P", "-k", "-T", "-l"][..], &["-P", "-k", "-T"]] {
        let limit = Duration::from_secs(10);
        let df = cx.run_command("df").args(args).limit(limit).split().quiet().any_exit().await?;
        // One file system that cannot be read makes an exit code of 1 beside a good table.
        let disks = table(df.stdout());
        if !disks.is_empty() {
            return Ok(disks);
        }
        df.output().trim().clone_into(&mut told);
    }
    Err(Failure::new(format!("`df` lists no disk: {told}")))
}

fn proc(name: &str) -> Result<String, Failure> {
    std::fs::read_to_string(Path::new("/proc").join(name))
        .map_err(|error: io::Error| Failure::new(format!("cannot read `/proc/{name}`: {error}")))
}

fn odd(name: &str) -> Failure {
    Failure::new(format!("`/proc/{name}` does not look as it should"))
}

fn numbers(text: &str) -> impl Iterator<Item = f64> {
    text.split_whitespace().map_while(|word| word.parse().ok())
}

fn load(text: &str) -> Option<[f64; 3]> {
    numbers(text).take(3).collect::<Vec<_>>().try_into().ok()
}

fn memory(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Reads the table of `df -P -k -T`, without what is no disk or always full by design.
fn table(text: &str) -> Vec<Disk> {
    const NO_DISKS: [&str; 9] = [
        "tmpfs", "devtmpfs", "ramfs", "squashfs", "erofs", "iso9660", "efivarfs", "overlay", "udf",
    ];
    let disks = text.lines().skip(1).filter_map(row);
    disks
        .filter(|disk| disk.total_bytes > 0)
        .filter(|disk| disk.mount == "/" || !NO_DISKS.contains(&disk.file_system.as_str()))
        .collect()
}

/// Reads `SOURCE TYPE TOTAL USED AVAILABLE PERCENT% MOUNT`; source and mount may hold blanks.
fn row(line: &str) -> Option<Disk> {
    let words: Vec<_> = line.split(' ').collect();
    let filled: Vec<_> = (0..words.len()).filter(|&at| !words[at].is_empty()).collect();
    let percent = filled.windows(4).find_map(|window| {
        let [total, used, available, percent] = [0, 1, 2, 3].map(|at| words[window[at]]);
        let all = [total, used, available].map(|word| word.parse::<u64>().ok());
        let is_row = all.iter().all(Option::is_some) && percent.ends_with('%');
        is_row.then_some((window, all))
    });
    let (window, [Some(total), Some(_), Some(available)]) = percent? else { return None };
    let file_system = words[..window[0]].iter().rev().find(|word| !word.is_empty())?;
    let mount = words[window[3] + 1..].join(" ");
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs no more")]
    let free_percent = 100.0 * available as f64 / total.max(1) as f64;
    Some(Disk {
        mount: mount.trim_start().to_owned(),
        file_system: (*file_system).to_owned(),
        total_bytes: total * 1024,
        available_bytes: available * 1024,
        free_percent: (free_percent * 10.0).round() / 10.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_df_is_read_with_blanks_and_all() {
        let text = "\
Filesystem     Type     1024-blocks     Used Available Capacity Mounted on
/dev/sda1      ext4         1000000   750000    250000      75% /
tmpfs          tmpfs           1000        0      1000       0% /run
//nas/my share cifs            2000     1000      1000      50% /mnt/my  disk
/dev/loop1     squashfs        1000     1000         0     100% /snap/core
proc           proc               0        0         0       -  /proc
";
        let disks = table(text);

        let shown: Vec<_> =
            disks.iter().map(|disk| (disk.mount.as_str(), disk.free_percent)).collect();
        assert_eq!(shown, [("/", 25.0), ("/mnt/my  disk", 50.0)]);
        assert_eq!(disks[0].total_bytes, 1_024_000_000);
        assert_eq!(disks[1].file_system, "cifs");
    }

    #[test]
    fn the_facts_of_this_machine_can_be_read() {
        let facts = Facts::read().unwrap();

        assert!(facts.uptime_seconds > 0.0 && facts.cpus > 0 && !facts.kernel.is_empty());
        assert!(facts.memory_total_bytes >= facts.memory_available_bytes);
    }

    #[test]
    fn what_does_not_look_as_it_should_is_no_zero() {
        assert_eq!(load("0.1 0.2"), None);
        assert_eq!(load("0.10 0.20 0.30 1/2 3"), Some([0.1, 0.2, 0.3]));
        assert_eq!(memory("MemTotal:  8 kB\n", "MemTotal"), Some(8192));
        assert_eq!(memory("MemTotal:  8 kB\n", "MemAvailable"), None);
    }
}
