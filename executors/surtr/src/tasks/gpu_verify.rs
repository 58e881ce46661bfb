//! `gpu-verify`: the graphics card is there, and a model really runs on it.

use std::time::Instant;

use executor_sdk::prelude::*;

use crate::Surtr;
use crate::gpu::{Found, Gpu};
use crate::ollama::{Loaded, ModelName, Ollama, find, missing};
use crate::size::Size;

/// How long a model may take to load, or to leave, before the GPU counts as hung.
const LOAD: Duration = Duration::from_mins(5);

/// How long it may take at least, however little is left of `wait_seconds`.
const SHORT_LOAD: Duration = Duration::from_secs(30);

/// Proves that the graphics card is there, and that a model runs on it and not silently on the CPU.
///
/// With `wait_seconds` it is tried again until that holds, as after a resume from sleep.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GpuVerify {
    /// How much memory one of the cards must have, such as `8G` (default: any). A card that is sold
    /// with 24 GB has a little less than `24G`.
    #[serde(default)]
    min_vram: Option<Size>,
    /// How many cards there must be that Ollama can compute on.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    min_gpus: usize,
    /// A model that is loaded for the proof, and stays loaded as long as Ollama keeps what nobody
    /// uses (default: none).
    #[serde(default)]
    model: Option<ModelName>,
    /// How much of the model must be in the memory of the cards, in percent.
    #[serde(default = "all")]
    #[schemars(range(max = 100))]
    min_gpu_percent: u64,
    /// How many seconds it is tried again. A model that is found on the CPU is then unloaded and
    /// loaded again.
    #[serde(default)]
    wait_seconds: u32,
    /// How many seconds lie between two tries.
    #[serde(default = "five")]
    #[schemars(range(min = 1))]
    interval_seconds: u32,
}

fn one() -> usize {
    1
}

fn all() -> u64 {
    100
}

fn five() -> u32 {
    5
}

/// What one try saw.
#[derive(Default)]
struct Seen {
    found: Found,
    loaded: Option<Loaded>,
    /// What does not hold, in words; it holds when there is none.
    problems: Vec<String>,
}

impl Task<Surtr> for GpuVerify {
    const TYPE: &'static str = "gpu-verify";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(30));
    const IDEMPOTENT: bool = true;
    const RETRYABLE: bool = true;

    async fn run(self, executor: &Surtr, cx: &Context) -> TaskResult {
        let began = Instant::now();
        let wait = Duration::from_secs(self.wait_seconds.into());
        let interval = Duration::from_secs(self.interval_seconds.max(1).into());
        let mut tries = 0_u32;
        let mut told = Vec::new();
        loop {
            tries += 1;
            let limit = match self.wait_seconds {
                0 => LOAD,
                _ => wait.saturating_sub(began.elapsed()).clamp(SHORT_LOAD, LOAD),
            };
            let seen = self.look(executor, cx, tries > 1, limit).await?;
            let data = json!({
                "gpus": seen.found.gpus,
                "nvidia_driver": seen.found.nvidia_driver,
                "looked_at": seen.found.looked_at,
                "model": seen.loaded.as_ref().map(Loaded::data),
                "problems": seen.problems,
                "tries": tries,
                "seconds": began.elapsed().as_secs_f64(),
            });
            if seen.problems.is_empty() {
                seen.found.tell(cx);
                return Ok(Report::text(praise(&seen)).with_data(&data));
            }
            let left = wait.saturating_sub(began.elapsed());
            if left.is_zero() {
                seen.found.tell(cx);
                let after = match self.wait_seconds {
                    0 => String::new(),
                    _ => format!(" (tried {tries} times in {} s)", began.elapsed().as_secs()),
                };
                let text = format!("{}{after}", seen.problems.join("; "));
                return Err(Failure::new(text).with_data(&data));
            }
            if seen.problems != told {
                cx.log(format!("not yet: {}", seen.problems.join("; ")));
                told = seen.problems;
            }
            tokio::time::sleep(interval.min(left)).await;
        }
    }
}

impl GpuVerify {
    /// Tries once. An error is what no waiting will heal.
    async fn look(
        &self,
        executor: &Surtr,
        cx: &Context,
        again: bool,
        limit: Duration,
    ) -> Result<Seen, Failure> {
        let found = Found::look(executor, cx).await;
        let mut seen = Seen { problems: self.of_cards(&found), found, loaded: None };
        if let Some(model) = self.model.as_ref().filter(|_| seen.problems.is_empty()) {
            let ollama = Ollama::new(executor, cx);
            match ollama.models().await {
                Ok(models) if find(&models, model).is_none() => {
                    return Err(missing(&[model], &models));
                }
                Ok(_) => match self.of_model(&ollama, model, again, limit).await {
                    Ok(loaded) => {
                        seen.found = Found::look(executor, cx).await;
                        let place = self.of_place(&loaded);
                        seen.problems.extend(place.or_else(|| of_use(&seen.found, &loaded)));
                        seen.loaded = Some(loaded);
                    }
                    Err(failure) => seen.problems.push(failure.error().to_owned()),
                },
                Err(failure) => seen.problems.push(failure.error().to_owned()),
            }
        }
        Ok(seen)
    }

    fn of_cards(&self, found: &Found) -> Vec<String> {
        if found.gpus.is_empty() {
            return vec![found.nothing()];
        }
        let fit: Vec<_> = found.gpus.iter().filter(|gpu| gpu.unfit().is_none()).collect();
        let mut problems = Vec::new();
        if fit.len() < self.min_gpus.max(1) {
            let mut text =
                format!("{} usable GPUs, {} are wanted", fit.len(), self.min_gpus.max(1));
            for gpu in &found.gpus {
                if let Some(why) = gpu.unfit() {
                    text = format!("{text}; {}: {why}", gpu.called());
                }
            }
            problems.push(format!("{text}; looked at {}", found.looked_at.join(", ")));
        }
        if let Some(wanted) = self.min_vram.filter(|_| !fit.is_empty()) {
            let largest = fit.iter().filter_map(|gpu: &&Gpu| gpu.memory_total_bytes).max();
            match largest.map(Size) {
                Some(largest) if largest.0 >= wanted.0 => {}
                Some(largest) => {
                    problems.push(format!("the largest GPU has {largest}, {wanted} are wanted"));
                }
                None => problems.push(format!(
                    "no GPU tells its memory, {wanted} are wanted; looked at {}",
                    found.looked_at.join(", ")
                )),
            }
        }
        problems
    }

    /// Loads the model, and returns where Ollama says it lies.
    async fn of_model(
        &self,
        ollama: &Ollama<'_>,
        model: &ModelName,
        again: bool,
        limit: Duration,
    ) -> Result<Loaded, Failure> {
        // What is loaded stays where it is: on a second try it must be loaded anew.
        if again {
            let loaded = ollama.loaded().await?;
            let on_cpu =
                |loaded: &&Loaded| model.is(&loaded.name) && self.of_place(loaded).is_some();
            if loaded.iter().any(|loaded| on_cpu(&loaded)) {
                ollama.unload(model, limit).await?;
            }
        }
        let loading = tokio::time::timeout(limit, ollama.load(model)).await;
        loading.unwrap_or_else(|_| {
            Err(Failure::new(format!("`{model}` did not load in {} s", limit.as_secs())))
        })?;
        let loaded = ollama.loaded().await?;
        loaded.into_iter().find(|loaded| model.is(&loaded.name)).ok_or_else(|| {
            Failure::new(format!("Ollama says that it loaded `{model}`, but does not list it"))
        })
    }

    /// Says what is wrong with the place where a model lies.
    fn of_place(&self, loaded: &Loaded) -> Option<String> {
        let Loaded { name, size, size_vram, .. } = loaded;
        let percent = loaded.gpu_percent();
        if percent >= self.min_gpu_percent {
            return None;
        }
        let wanted = self.min_gpu_percent;
        let seen = format!(
            "`{name}` has {size_vram} of its {size} bytes in VRAM ({percent} %), {wanted} % are wanted"
        );
        Some(match *size_vram {
            0 => format!(
                "{seen}: it runs on the CPU; Ollama's log says why, and after a sleep \
                 `rmmod nvidia_uvm && modprobe nvidia_uvm` with a restart of Ollama often helps"
            ),
            _ => format!("{seen}: unload other models, or take a smaller one"),
        })
    }
}

/// Says whether the cards themselves know nothing of the model. Ollama's number is an estimate, so
/// half of it will do; what shares its memory with the CPU is left out.
fn of_use(found: &Found, loaded: &Loaded) -> Option<String> {
    let cards: Vec<_> = found.gpus.iter().filter(|gpu| gpu.unfit().is_none()).collect();
    if cards.iter().any(|gpu| gpu.vendor != "nvidia") {
        return None;
    }
    let used: Option<u64> = cards.iter().map(|gpu| gpu.memory_used_bytes).sum();
    let (used, size) = (used?, loaded.size_vram);
    (used < size / 2).then(|| {
        format!(
            "Ollama says that `{}` has {size} bytes in VRAM, but {used} are in use on the cards \
             here: does Ollama run on another machine?",
            loaded.name
        )
    })
}

/// Says what was proved.
fn praise(seen: &Seen) -> String {
    let cards: Vec<_> = seen.found.gpus.iter().filter(|gpu| gpu.unfit().is_none()).collect();
    let cards = cards.iter().map(|gpu| gpu.called()).collect::<Vec<_>>().join(", ");
    match &seen.loaded {
        Some(Loaded { name, size, size_vram, .. }) => {
            format!("{name} has {size_vram} of its {size} bytes in VRAM, on {cards}")
        }
        None => format!("there: {cards}; no `model` was named, so none was tried on it"),
    }
}
