//! What NVIDIA's driver tells of its cards.

use executor_sdk::prelude::*;

use super::{Gpu, file_name, folders, read};

/// How long `nvidia-smi` may take. It takes seconds where no program holds the driver awake.
const LIMIT: Duration = Duration::from_secs(20);

/// What is asked, in this order; the name comes last because it alone may contain a comma.
const ASKED: &str = "uuid,pci.bus_id,driver_version,memory.total,memory.used,utilization.gpu,\
                     temperature.gpu,name";

/// Asks `nvidia-smi`; the error is why it tells nothing, in a few words.
pub(super) async fn ask(cx: &Context) -> Result<Vec<Gpu>, String> {
    if cx.tool("nvidia-smi").is_none() {
        return Err("not on PATH".to_owned());
    }
    let asked = cx
        .run_command("nvidia-smi")
        .arg(format!("--query-gpu={ASKED}"))
        .arg("--format=csv,noheader,nounits")
        .limit(LIMIT)
        .split()
        .quiet()
        .await;
    let report = asked.map_err(|failure| failure.error().to_owned())?;
    let lines = report.stdout().lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| card(line).ok_or_else(|| format!("it printed `{line}`"))).collect()
}

/// Reads one line of `nvidia-smi`. What a card does not tell is `[N/A]` or `[Not Supported]`.
fn card(line: &str) -> Option<Gpu> {
    let fields: Vec<_> = line.splitn(8, ',').map(str::trim).collect();
    let [uuid, pci, version, total, used, busy, celsius, name] = fields[..] else { return None };
    let known = |text: &str| (!text.starts_with('[')).then(|| text.to_owned());
    let mib = |text: &str| text.parse::<u64>().ok().map(|mib| mib << 20);
    Some(Gpu {
        vendor: "nvidia".to_owned(),
        name: known(name),
        uuid: known(uuid),
        pci: known(pci).map(|pci| short_pci(&pci)),
        driver: Some("nvidia".to_owned()),
        driver_version: known(version),
        memory_total_bytes: mib(total),
        memory_used_bytes: mib(used),
        busy_percent: busy.parse().ok(),
        temperature_celsius: celsius.parse().ok(),
        seen_by: "nvidia-smi",
    })
}

/// Makes `00000000:01:00.0`, as `nvidia-smi` writes it, what the kernel writes: `0000:01:00.0`.
fn short_pci(pci: &str) -> String {
    let pci = pci.to_ascii_lowercase();
    match pci.split_once(':') {
        Some((domain, rest)) if domain.len() == 8 && domain.starts_with("0000") => {
            format!("{}:{rest}", &domain[4..])
        }
        _ => pci,
    }
}

/// Reads `/proc/driver/nvidia/gpus/PCI/information`: which cards there are, and no more.
pub(super) fn of_kernel(proc: &Path) -> Vec<Gpu> {
    let version = driver_version(proc);
    let cards = folders(&proc.join("gpus"));
    cards.iter().filter_map(|folder| kernel_card(folder, version.clone())).collect()
}

fn kernel_card(folder: &Path, driver_version: Option<String>) -> Option<Gpu> {
    let text = read(&folder.join("information"))?;
    let value = |name: &str| {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim().to_owned())
    };
    Some(Gpu {
        vendor: "nvidia".to_owned(),
        name: value("Model"),
        uuid: value("GPU UUID").filter(|uuid| !uuid.contains('?')),
        pci: value("Bus Location").or_else(|| file_name(folder)).map(|pci| pci.to_lowercase()),
        driver: Some("nvidia".to_owned()),
        driver_version,
        seen_by: "/proc/driver/nvidia",
        ..Gpu::default()
    })
}

/// Finds `560.35.03` in `NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug …`.
pub(super) fn driver_version(proc: &Path) -> Option<String> {
    let text = read(&proc.join("version"))?;
    text.lines().next()?.split_whitespace().find(|word| is_version(word)).map(str::to_owned)
}

fn is_version(word: &str) -> bool {
    word.contains('.') && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_nvidia_smi_is_a_card() {
        let line =
            "GPU-1c, 00000000:01:00.0, 560.35.03, 24564, 312, 3, 41, NVIDIA GeForce RTX 4090";

        let gpu = card(line).unwrap();

        assert_eq!(gpu.name.as_deref(), Some("NVIDIA GeForce RTX 4090"));
        assert_eq!(gpu.pci.as_deref(), Some("0000:01:00.0"));
        assert_eq!(gpu.memory_total_bytes, Some(24564 << 20));
        assert_eq!(gpu.free_bytes(), Some((24564 - 312) << 20));
        assert_eq!((gpu.busy_percent, gpu.temperature_celsius), (Some(3), Some(41)));
    }

    #[test]
    fn what_a_card_does_not_tell_is_not_made_up() {
        let gpu =
            card("GPU-1c, 0000000F:01:00.0, 535.1, [N/A], [N/A], [Not Supported], [N/A], X, Y");
        let gpu = gpu.unwrap();

        assert_eq!((gpu.memory_total_bytes, gpu.busy_percent), (None, None));
        assert_eq!(gpu.name.as_deref(), Some("X, Y"));
        assert_eq!(gpu.pci.as_deref(), Some("000f:01:00.0"));
        assert_eq!(card("No devices were found"), None);
    }
}
