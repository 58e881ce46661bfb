//! The graphics cards: what `nvidia-smi` and the kernel say of them.
//!
//! - `nvidia`: `nvidia-smi`, and `/proc/driver/nvidia` where that is missing. It is asked as a
//!   program, not as a library: a driver that hangs then hangs a child, which has a limit, and a
//!   static build of this executor can ask it too.
//! - `drm`: `/sys/class/drm`, which has everything about AMD's cards.

use executor_sdk::prelude::*;

use crate::Surtr;

mod drm;
mod nvidia;

/// A graphics card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Gpu {
    /// `nvidia`, `amd`, `intel`, or the PCI id of who made it.
    pub(crate) vendor: String,
    /// Its name, where the driver tells one.
    pub(crate) name: Option<String>,
    /// NVIDIA's own name for this very card.
    pub(crate) uuid: Option<String>,
    /// The PCI address, such as `0000:01:00.0`.
    pub(crate) pci: Option<String>,
    /// The kernel driver.
    pub(crate) driver: Option<String>,
    pub(crate) driver_version: Option<String>,
    pub(crate) memory_total_bytes: Option<u64>,
    pub(crate) memory_used_bytes: Option<u64>,
    pub(crate) busy_percent: Option<u64>,
    pub(crate) temperature_celsius: Option<i64>,
    /// What told of it.
    pub(crate) seen_by: &'static str,
}

impl Gpu {
    /// Returns why no model can be computed on it, as far as it can be seen from here.
    pub(crate) fn unfit(&self) -> Option<String> {
        match (self.vendor.as_str(), self.driver.as_deref()) {
            ("nvidia", Some("nvidia")) | ("amd", Some("amdgpu")) => None,
            ("nvidia" | "amd", Some(driver)) => {
                Some(format!("its driver is `{driver}`, which does not compute"))
            }
            ("nvidia" | "amd", None) => Some("no driver is bound to it".to_owned()),
            _ => Some("Ollama computes on cards of NVIDIA and AMD only".to_owned()),
        }
    }

    pub(crate) fn free_bytes(&self) -> Option<u64> {
        Some(self.memory_total_bytes?.saturating_sub(self.memory_used_bytes?))
    }

    /// Returns what a person calls it.
    pub(crate) fn called(&self) -> String {
        let name = self.name.as_deref().unwrap_or("card");
        match &self.pci {
            Some(pci) => format!("{} {name} ({pci})", self.vendor),
            None => format!("{} {name}", self.vendor),
        }
    }

    /// Returns one line for the log.
    pub(crate) fn line(&self) -> String {
        let mut parts = vec![format!("GPU: {}", self.called())];
        let mib = |bytes: u64| bytes >> 20;
        if let Some(total) = self.memory_total_bytes {
            let used = self.memory_used_bytes.map_or("?".to_owned(), |used| mib(used).to_string());
            parts.push(format!("{used} of {} MiB used", mib(total)));
        }
        parts.extend(self.busy_percent.map(|busy| format!("{busy} % busy")));
        parts.extend(self.temperature_celsius.map(|celsius| format!("{celsius} °C")));
        let version = self.driver_version.as_deref().unwrap_or_default();
        parts.extend(
            self.driver
                .as_ref()
                .map(|driver| format!("driver {driver} {version}").trim_end().to_owned()),
        );
        parts.join(", ")
    }
}

/// The cards, and where they were looked for.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Found {
    pub(crate) gpus: Vec<Gpu>,
    pub(crate) nvidia_driver: Option<String>,
    pub(crate) looked_at: Vec<String>,
}

impl Found {
    /// Looks everywhere.
    pub(crate) async fn look(executor: &Surtr, cx: &Context) -> Self {
        let root = executor.root.clone();
        let (asked, kernel) = tokio::join!(
            nvidia::ask(cx),
            // A card that is waking up can keep a reader of its files waiting.
            tokio::task::spawn_blocking(move || Self::of_kernel(&root)),
        );
        let mut found = kernel.unwrap_or_default();
        match asked {
            Ok(gpus) => {
                found.looked_at.insert(0, "nvidia-smi".to_owned());
                found.nvidia_driver =
                    gpus.iter().find_map(|gpu| gpu.driver_version.clone()).or(found.nvidia_driver);
                gpus.into_iter().rev().for_each(|gpu| found.put(gpu));
            }
            Err(why) => found.looked_at.insert(0, format!("nvidia-smi ({why})")),
        }
        found
    }

    /// Reads what the kernel tells below `root`.
    fn of_kernel(root: &Path) -> Self {
        let proc = root.join("proc/driver/nvidia");
        let class = root.join("sys/class/drm");
        let mut found = Self {
            gpus: nvidia::of_kernel(&proc),
            nvidia_driver: nvidia::driver_version(&proc),
            looked_at: [&proc, &class]
                .iter()
                .map(|path| {
                    let there = if path.exists() { "" } else { " (not there)" };
                    format!("{}{there}", path.display())
                })
                .collect(),
        };
        for card in drm::cards(&class, &root.join("sys/module")) {
            // The two trees tell of the same card.
            let same = |gpu: &&mut Gpu| gpu.pci.is_some() && gpu.pci == card.pci;
            match found.gpus.iter_mut().find(same) {
                Some(known) => known.driver = card.driver,
                None => found.gpus.push(card),
            }
        }
        found
    }

    /// Puts in a card that the driver's own program tells of, in place of what the kernel told.
    fn put(&mut self, gpu: Gpu) {
        self.gpus.retain(|known| known.pci.is_none() || known.pci != gpu.pci);
        self.gpus.insert(0, gpu);
    }

    /// Says in one line that nothing was found, and where.
    pub(crate) fn nothing(&self) -> String {
        format!("no GPU found; looked at {}", self.looked_at.join(", "))
    }

    /// Tells the cards in the log.
    pub(crate) fn tell(&self, cx: &Context) {
        if self.gpus.is_empty() {
            cx.log(self.nothing());
        }
        self.gpus.iter().for_each(|gpu| cx.log(gpu.line()));
    }
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

/// Reads a file of one line.
fn read(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
