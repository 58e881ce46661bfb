use std::os::unix::fs::symlink;

use super::*;

/// A machine's `/proc` and `/sys`, as far as cards are in it.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, path: &str, text: &str) -> &Self {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn link(&self, from: &str, to: &str) -> &Self {
        let from = self.0.path().join(from);
        std::fs::create_dir_all(from.parent().unwrap()).unwrap();
        symlink(self.0.path().join(to), from).unwrap();
        self
    }

    fn look(&self) -> Found {
        Found::of_kernel(self.0.path())
    }
}

#[test]
fn a_machine_without_cards_says_where_was_looked() {
    let found = Machine::new().look();

    assert_eq!(found.gpus, []);
    assert!(found.looked_at.iter().all(|path| path.ends_with("(not there)")));
}

#[test]
fn a_card_that_two_trees_tell_of_is_one_card() {
    let machine = Machine::new();
    machine
        .put(
            "proc/driver/nvidia/gpus/0000:01:00.0/information",
            "Model: \t\t NVIDIA GeForce RTX 4090\nGPU UUID: \t GPU-????????\n\
             Bus Location: \t 0000:01:00.0\n",
        )
        .put(
            "proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug 16\nGCC: 12.2.0\n",
        )
        .put("sys/devices/0000:01:00.0/vendor", "0x10de\n")
        .put("sys/bus/drivers/nvidia/x", "")
        .link("sys/devices/0000:01:00.0/driver", "sys/bus/drivers/nvidia")
        .put("sys/class/drm/version", "drm 1.1.0\n")
        .put("sys/class/drm/card0-DP-1/status", "connected\n")
        .link("sys/class/drm/card0/device", "sys/devices/0000:01:00.0");

    let found = machine.look();

    assert_eq!(found.nvidia_driver.as_deref(), Some("560.35.03"));
    let [nvidia] = &found.gpus[..] else { panic!("{found:?}") };
    assert_eq!(nvidia.name.as_deref(), Some("NVIDIA GeForce RTX 4090"));
    assert_eq!((nvidia.uuid.as_deref(), nvidia.unfit()), (None, None));
}

#[test]
fn a_card_of_amd_tells_everything_itself() {
    let machine = Machine::new();
    machine
        .put("sys/devices/0000:03:00.0/vendor", "0x1002\n")
        .put("sys/devices/0000:03:00.0/product_name", "\n")
        .put("sys/devices/0000:03:00.0/mem_info_vram_total", "17163091968\n")
        .put("sys/devices/0000:03:00.0/mem_info_vram_used", "1024\n")
        .put("sys/devices/0000:03:00.0/gpu_busy_percent", "7\n")
        .put("sys/devices/0000:03:00.0/hwmon/hwmon4/temp1_input", "48000\n")
        .put("sys/module/amdgpu/version", "6.8.5\n")
        .put("sys/bus/drivers/amdgpu/x", "")
        .link("sys/devices/0000:03:00.0/driver", "sys/bus/drivers/amdgpu")
        .link("sys/class/drm/card1/device", "sys/devices/0000:03:00.0");

    let found = machine.look();

    let [amd] = &found.gpus[..] else { panic!("{found:?}") };
    assert_eq!((amd.vendor.as_str(), amd.busy_percent), ("amd", Some(7)));
    assert_eq!(amd.memory_total_bytes, Some(17_163_091_968));
    assert_eq!(amd.temperature_celsius, Some(48));
    assert_eq!(amd.driver_version.as_deref(), Some("6.8.5"));
    assert_eq!((amd.name.as_deref(), amd.unfit()), (None, None));
}

#[test]
fn a_card_that_computes_nothing_says_why() {
    let machine = Machine::new();
    machine
        .put("sys/devices/0000:00:02.0/vendor", "0x8086\n")
        .put("sys/devices/0000:01:00.0/vendor", "0x10de\n")
        .put("sys/bus/drivers/nouveau/x", "")
        .link("sys/devices/0000:01:00.0/driver", "sys/bus/drivers/nouveau")
        .put("sys/devices/0000:05:00.0/vendor", "0x1a03\n")
        .link("sys/class/drm/card0/device", "sys/devices/0000:00:02.0")
        .link("sys/class/drm/card1/device", "sys/devices/0000:01:00.0")
        .link("sys/class/drm/card2/device", "sys/devices/0000:05:00.0");

    let reasons: Vec<_> = machine.look().gpus.iter().map(Gpu::unfit).collect();

    assert!(reasons[0].as_deref().unwrap().contains("NVIDIA and AMD only"), "{reasons:?}");
    assert!(reasons[1].as_deref().unwrap().contains("`nouveau`"), "{reasons:?}");
    assert!(reasons[2].as_deref().unwrap().contains("NVIDIA and AMD only"), "{reasons:?}");
}
