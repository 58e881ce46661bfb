//! What `/sys/class/drm` tells of each card; of AMD's, everything.

use executor_sdk::prelude::*;

use super::{Gpu, file_name, folders, read};

/// Reads all cards; connectors (`card0-DP-1`) and render nodes are none.
pub(super) fn cards(class: &Path, modules: &Path) -> Vec<Gpu> {
    folders(class).iter().filter_map(|folder| card(folder, modules)).collect()
}

fn card(folder: &Path, modules: &Path) -> Option<Gpu> {
    let number = file_name(folder)?.strip_prefix("card")?.to_owned();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let device = folder.join("device");
    let number = |name: &str| read(&device.join(name)).and_then(|text| text.parse().ok());
    let link = |path: &Path| std::fs::canonicalize(path).ok().as_deref().and_then(file_name);
    let vendor = read(&device.join("vendor"))?;
    let driver = link(&device.join("driver"));
    Some(Gpu {
        vendor: match vendor.as_str() {
            "0x10de" => "nvidia".to_owned(),
            "0x1002" => "amd".to_owned(),
            "0x8086" => "intel".to_owned(),
            other => other.to_owned(),
        },
        name: read(&device.join("product_name")),
        uuid: None,
        pci: link(&device),
        // A driver that is part of the kernel has no version of its own.
        driver_version: driver.as_ref().and_then(|name| read(&modules.join(name).join("version"))),
        driver,
        memory_total_bytes: number("mem_info_vram_total"),
        memory_used_bytes: number("mem_info_vram_used"),
        busy_percent: number("gpu_busy_percent"),
        temperature_celsius: temperature(&device.join("hwmon")),
        seen_by: "/sys/class/drm",
    })
}

/// Returns the first sensor's reading, which is that of the chip's edge.
fn temperature(hwmon: &Path) -> Option<i64> {
    let sensor = folders(hwmon).into_iter().find_map(|folder| read(&folder.join("temp1_input")))?;
    let thousandths: i64 = sensor.parse().ok()?;
    Some(thousandths / 1000)
}
