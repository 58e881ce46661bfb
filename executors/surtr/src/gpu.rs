//! What the kernel says of the graphics cards: `/sys/class/drm` and `/proc/driver/nvidia`.

use std::fs;

use executor_sdk::prelude::*;

/// A graphics card.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Gpu {
    /// `nvidia`, `amd`, `intel`, or the PCI id of who made it.
    pub(crate) vendor: String,
    /// Its name, where the driver tells one.
    pub(crate) name: Option<String>,
    /// The PCI address.
    pub(crate) pci: Option<String>,
    /// The kernel driver.
    pub(crate) driver: Option<String>,
    pub(crate) memory_total_bytes: Option<u64>,
    pub(crate) memory_used_bytes: Option<u64>,
    pub(crate) busy_percent: Option<u64>,
}

/// The cards, and where they were looked for.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Found {
    pub(crate) gpus: Vec<Gpu>,
    pub(crate) nvidia_driver: Option<String>,
    pub(crate) looked_at: Vec<String>,
}

impl Found {
    /// Looks below `root`. The files are the kernel's own, so this does not wait for a disk.
    pub(crate) fn look(root: &Path) -> Self {
        let nvidia = root.join("proc/driver/nvidia");
        let drm = root.join("sys/class/drm");
        let mut gpus: Vec<_> =
            folders(&nvidia.join("gpus")).iter().filter_map(|card| nvidia_card(card)).collect();
        for folder in folders(&drm) {
            let Some(card) = drm_card(&folder) else { continue };
            // The two trees tell of the same card.
            match gpus.iter_mut().find(|known| known.pci.is_some() && known.pci == card.pci) {
                Some(known) => known.driver = card.driver,
                None => gpus.push(card),
            }
        }
        Self {
            gpus,
            nvidia_driver: fs::read_to_string(nvidia.join("version"))
                .ok()
                .and_then(|text| driver_version(&text)),
            looked_at: [nvidia, drm]
                .iter()
                .map(|path| {
                    let there = if path.exists() { "" } else { " (not there)" };
                    format!("{}{there}", path.display())
                })
                .collect(),
        }
    }
}

/// Reads `/proc/driver/nvidia/gpus/PCI/information`.
fn nvidia_card(folder: &Path) -> Option<Gpu> {
    let text = fs::read_to_string(folder.join("information")).ok()?;
    let value = |name: &str| {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim().to_owned())
    };
    Some(Gpu {
        vendor: "nvidia".to_owned(),
        name: value("Model"),
        pci: value("Bus Location").or_else(|| file_name(folder)).map(|pci| pci.to_lowercase()),
        driver: Some("nvidia".to_owned()),
        ..Gpu::default()
    })
}

/// Reads `/sys/class/drm/cardN/device`; connectors (`card0-DP-1`) and render nodes are no cards.
fn drm_card(folder: &Path) -> Option<Gpu> {
    let number = file_name(folder)?.strip_prefix("card")?.to_owned();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let device = folder.join("device");
    let read =
        |name: &str| fs::read_to_string(device.join(name)).ok().map(|text| text.trim().to_owned());
    let link = |path: &Path| fs::canonicalize(path).ok().as_deref().and_then(file_name);
    let vendor = read("vendor")?;
    Some(Gpu {
        vendor: match vendor.as_str() {
            "0x10de" => "nvidia".to_owned(),
            "0x1002" => "amd".to_owned(),
            "0x8086" => "intel".to_owned(),
            other => other.to_owned(),
        },
        name: read("product_name").filter(|name| !name.is_empty()),
        pci: link(&device),
        driver: link(&device.join("driver")),
        memory_total_bytes: read("mem_info_vram_total").and_then(|text| text.parse().ok()),
        memory_used_bytes: read("mem_info_vram_used").and_then(|text| text.parse().ok()),
        busy_percent: read("gpu_busy_percent").and_then(|text| text.parse().ok()),
    })
}

/// Finds `560.35.03` in `NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug …`.
fn driver_version(text: &str) -> Option<String> {
    text.lines().next()?.split_whitespace().find(|word| is_version(word)).map(str::to_owned)
}

fn is_version(word: &str) -> bool {
    word.contains('.') && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_machine_without_cards_says_where_was_looked() {
        let root = tempfile::tempdir().unwrap();

        let found = Found::look(root.path());

        assert_eq!(found.gpus, []);
        assert!(found.looked_at.iter().all(|path| path.ends_with("(not there)")));
    }

    #[test]
    fn a_card_that_two_trees_tell_of_is_one_card() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(
            "proc/driver/nvidia/gpus/0000:01:00.0/information",
            "Model: \t\t NVIDIA GeForce RTX 4090\nIRQ:   \t\t 88\nBus Location: \t 0000:01:00.0\n",
        );
        put(
            "proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug 16\nGCC: 12.2.0\n",
        );
        put("sys/devices/0000:01:00.0/vendor", "0x10de\n");
        put("sys/devices/0000:03:00.0/vendor", "0x1002\n");
        put("sys/devices/0000:03:00.0/mem_info_vram_total", "17163091968\n");
        put("sys/devices/0000:03:00.0/mem_info_vram_used", "1024\n");
        put("sys/devices/0000:03:00.0/gpu_busy_percent", "7\n");
        put("sys/class/drm/version", "drm 1.1.0\n");
        for (card, device) in [("card0", "0000:01:00.0"), ("card1", "0000:03:00.0")] {
            put(&format!("sys/class/drm/{card}-DP-1/status"), "connected\n");
            fs::create_dir_all(root.path().join("sys/class/drm").join(card)).unwrap();
            symlink(
                root.path().join("sys/devices").join(device),
                root.path().join("sys/class/drm").join(card).join("device"),
            )
            .unwrap();
        }

        let found = Found::look(root.path());

        assert_eq!(found.nvidia_driver.as_deref(), Some("560.35.03"));
        let [nvidia, amd] = &found.gpus[..] else { panic!("{found:?}") };
        assert_eq!(nvidia.name.as_deref(), Some("NVIDIA GeForce RTX 4090"));
        assert_eq!((amd.vendor.as_str(), amd.busy_percent), ("amd", Some(7)));
        assert_eq!(amd.memory_total_bytes, Some(17_163_091_968));
    }
}
