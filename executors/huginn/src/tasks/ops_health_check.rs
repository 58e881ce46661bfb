//! `ops-health-check`: how loaded, full and broken this machine is.

use executor_sdk::host::{self, Disk, Facts};
use executor_sdk::prelude::*;

use crate::Huginn;

/// Tells load, memory, disks, failed systemd units and uptime of this machine; fails when one of
/// the given thresholds is crossed.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OpsHealthCheck {
    /// The highest load of the last five minutes per CPU that is still well (default: any).
    #[serde(default)]
    max_load_per_cpu: Option<f64>,
    /// The least free space on each local disk that is still well, in percent (default: any).
    #[serde(default)]
    min_disk_free_percent: Option<f64>,
    /// The least available memory that is still well, in percent (default: any).
    #[serde(default)]
    min_memory_available_percent: Option<f64>,
    /// How many failed systemd units are still well (default: any number).
    #[serde(default)]
    max_failed_units: Option<u32>,
}

/// What systemd says of its units.
enum Units {
    Failed(Vec<String>),
    /// Nobody can be asked, and why.
    Unknown(String),
}

impl Task<Huginn> for OpsHealthCheck {
    const TYPE: &'static str = "ops-health-check";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(1));
    const IDEMPOTENT: bool = true;
    const TOOLS: &'static [&'static str] = &["df"];

    async fn run(self, _: &Huginn, cx: &Context) -> TaskResult {
        self.check_thresholds()?;
        let facts = Facts::read()?;
        let disks = host::disks(cx).await?;
        let units = failed_units(cx).await?;

        let breaches = self.breaches(&facts, &disks, &units);
        print(&facts, &disks, &units, cx);
        let (failed_units, units_unknown) = match &units {
            Units::Failed(names) => (Some(names), None),
            Units::Unknown(why) => (None, Some(why)),
        };
        let data = json!({
            "host": facts,
            "memory_available_percent": memory_available_percent(&facts),
            "load_per_cpu": load_per_cpu(&facts),
            "disks": disks,
            "failed_units": failed_units,
            "units_unknown": units_unknown,
            "breaches": breaches,
        });
        if breaches.is_empty() {
            let text = format!("{} is within its thresholds", facts.hostname);
            return Ok(Report::text(text).with_data(&data));
        }
        let text = format!("{}: {}", facts.hostname, breaches.join("; "));
        Err(Failure::new(text).with_data(&data))
    }
}

impl OpsHealthCheck {
    fn check_thresholds(&self) -> Result<(), Failure> {
        let limits = [
            ("max_load_per_cpu", self.max_load_per_cpu, f64::MAX),
            ("min_disk_free_percent", self.min_disk_free_percent, 100.0),
            ("min_memory_available_percent", self.min_memory_available_percent, 100.0),
        ];
        for (name, value, highest) in limits {
            if value.is_some_and(|value| !(0.0..=highest).contains(&value)) {
                return Err(Failure::new(format!("`{name}` must lie between 0 and {highest}")));
            }
        }
        Ok(())
    }

    /// Returns one line for each threshold that is crossed. What cannot be known crosses its own.
    fn breaches(&self, facts: &Facts, disks: &[Disk], units: &Units) -> Vec<String> {
        let mut breaches = Vec::new();
        let load = load_per_cpu(facts);
        if let Some(most) = self.max_load_per_cpu.filter(|most| load > *most) {
            breaches.push(format!("the load per CPU is {load:.2}, more than {most}"));
        }
        let available = memory_available_percent(facts);
        if let Some(least) = self.min_memory_available_percent.filter(|least| available < *least) {
            breaches
                .push(format!("{available:.1} % of the memory is available, less than {least}"));
        }
        if let Some(least) = self.min_disk_free_percent {
            breaches.extend(disks.iter().filter(|disk| disk.free_percent < least).map(|disk| {
                format!("`{}` is {} % free, less than {least}", disk.mount, disk.free_percent)
            }));
        }
        match (self.max_failed_units, units) {
            (Some(most), Units::Failed(names)) if names.len() > most as usize => {
                breaches.push(format!("{} units failed: {}", names.len(), names.join(", ")));
            }
            (Some(_), Units::Unknown(why)) => {
                breaches.push(format!("it is not known which units failed: {why}"));
            }
            _ => {}
        }
        breaches
    }
}

async fn failed_units(cx: &Context) -> Result<Units, Failure> {
    // The folder is there exactly while systemd is the init of this machine, see sd_booted(3).
    if !Path::new("/run/systemd/system").exists() {
        return Ok(Units::Unknown("systemd does not run here".to_owned()));
    }
    let Some(systemctl) = cx.tool("systemctl") else {
        return Ok(Units::Unknown("there is no `systemctl`".to_owned()));
    };
    let listed = cx
        .run_command(systemctl)
        .args(["list-units", "--failed", "--plain", "--no-legend", "--no-pager", "--full"])
        .limit(Duration::from_secs(10))
        .split()
        .quiet()
        .any_exit()
        .await?;
    if listed.exit_code() != Some(0) {
        return Ok(Units::Unknown(format!("`systemctl` failed: {}", listed.output().trim())));
    }
    let names = listed.stdout().lines().filter_map(|line| line.split_whitespace().next());
    Ok(Units::Failed(names.map(str::to_owned).collect()))
}

fn print(facts: &Facts, disks: &[Disk], units: &Units, cx: &Context) {
    cx.log(format!(
        "{}, kernel {}, up {:.1} hours",
        facts.hostname,
        facts.kernel,
        facts.uptime_seconds / 3600.0
    ));
    let [one, five, fifteen] = facts.load;
    cx.log(format!("load {one} {five} {fifteen} on {} CPUs", facts.cpus));
    cx.log(format!("memory: {:.1} % available", memory_available_percent(facts)));
    for disk in disks {
        cx.log(format!("{}: {} % free", disk.mount, disk.free_percent));
    }
    match units {
        Units::Failed(names) if names.is_empty() => cx.log("no failed unit"),
        Units::Failed(names) => cx.log(format!("failed units: {}", names.join(", "))),
        Units::Unknown(why) => cx.log(format!("failed units: not known, {why}")),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage needs no more")]
fn memory_available_percent(facts: &Facts) -> f64 {
    100.0 * facts.memory_available_bytes as f64 / facts.memory_total_bytes.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "no machine has that many CPUs")]
fn load_per_cpu(facts: &Facts) -> f64 {
    facts.load[1] / facts.cpus.max(1) as f64
}
