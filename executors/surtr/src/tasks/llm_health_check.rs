//! `llm-health-check`: does Ollama answer, what has it loaded, and onto what.

use std::time::Instant;

use executor_sdk::prelude::*;

use crate::Surtr;
use crate::gpu::{Found, Gpu};
use crate::ollama::{Loaded, Model, ModelName, Ollama, find};
use crate::size::Size;

/// Asks Ollama for its version and its models, and the node for its graphics cards. A threshold
/// that is breached is a failure that names all breaches.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct LlmHealthCheck {
    /// Models that must be on the disk.
    #[serde(default)]
    models: Vec<ModelName>,
    /// How much of each loaded model must be in the memory of a GPU, in percent.
    #[serde(default)]
    #[schemars(range(max = 100))]
    min_gpu_percent: u64,
    /// How many graphics cards there must be that Ollama can compute on.
    #[serde(default)]
    min_gpus: usize,
    /// How much memory must be free on one of the cards, such as `8G` (default: any).
    #[serde(default)]
    min_free_vram: Option<Size>,
    /// How warm a card may be, in degrees Celsius (default: any).
    #[serde(default)]
    max_gpu_celsius: Option<i64>,
    /// How many seconds Ollama may take to say its version.
    #[serde(default = "five_seconds")]
    max_answer_seconds: f64,
}

fn five_seconds() -> f64 {
    5.0
}

impl Task<Surtr> for LlmHealthCheck {
    const TYPE: &'static str = "llm-health-check";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(1));
    const IDEMPOTENT: bool = true;

    async fn run(self, executor: &Surtr, cx: &Context) -> TaskResult {
        let found = Found::look(executor, cx).await;
        found.tell(cx);
        let ollama = Ollama::new(executor, cx);
        let url = ollama.shown();
        let asked = async {
            let began = Instant::now();
            let version = ollama.version().await?;
            let took = began.elapsed().as_secs_f64();
            Ok::<_, Failure>((version, took, ollama.models().await?, ollama.loaded().await?))
        };
        let (version, took, models, loaded) = asked.await.map_err(|failure| {
            failure.with_data(&json!({"reachable": false, "url": url, "gpu": found}))
        })?;
        for model in &loaded {
            cx.log(format!("loaded: {}, {} % on a GPU", model.name, model.gpu_percent()));
        }

        let mut breaches = self.of_ollama(took, &models, &loaded);
        breaches.extend(self.of_cards(&found));
        let data = json!({
            "reachable": true,
            "url": url,
            "version": version,
            "answer_seconds": took,
            "models": models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>(),
            "loaded": loaded.iter().map(Loaded::data).collect::<Vec<_>>(),
            "gpu": found,
            "breaches": breaches,
        });
        if !breaches.is_empty() {
            return Err(Failure::new(breaches.join("; ")).with_data(&data));
        }
        let text = format!("Ollama {version} answers at {url}; {} models loaded", loaded.len());
        Ok(Report::text(text).with_data(&data))
    }
}

impl LlmHealthCheck {
    fn of_ollama(&self, took: f64, models: &[Model], loaded: &[Loaded]) -> Vec<String> {
        let mut breaches = Vec::new();
        if took > self.max_answer_seconds {
            let allowed = self.max_answer_seconds;
            breaches.push(format!("Ollama took {took:.2} s to answer, {allowed} are allowed"));
        }
        for name in self.models.iter().filter(|name| find(models, name).is_none()) {
            breaches.push(format!("the model `{name}` is not there"));
        }
        let wanted = self.min_gpu_percent;
        for model in loaded.iter().filter(|model| model.gpu_percent() < wanted) {
            let percent = model.gpu_percent();
            let name = &model.name;
            breaches.push(format!("`{name}` is {percent} % on a GPU, {wanted} % are wanted"));
        }
        breaches
    }

    fn of_cards(&self, found: &Found) -> Vec<String> {
        let mut breaches = Vec::new();
        let fit: Vec<_> = found.gpus.iter().filter(|gpu| gpu.unfit().is_none()).collect();
        if fit.len() < self.min_gpus {
            let looked = found.looked_at.join(", ");
            breaches.push(format!(
                "{} usable GPUs, {} are wanted; looked at {looked}",
                fit.len(),
                self.min_gpus
            ));
        }
        if let Some(wanted) = self.min_free_vram {
            let free = fit.iter().copied().filter_map(Gpu::free_bytes).max();
            match free.map(Size) {
                Some(free) if free.0 >= wanted.0 => {}
                Some(free) => breaches.push(format!("{free} of VRAM free, {wanted} are wanted")),
                None => breaches.push(format!("no GPU tells its free memory, {wanted} are wanted")),
            }
        }
        for gpu in &found.gpus {
            let Some((celsius, allowed)) = gpu.temperature_celsius.zip(self.max_gpu_celsius) else {
                continue;
            };
            if celsius > allowed {
                let called = gpu.called();
                breaches.push(format!("{called} has {celsius} °C, {allowed} are allowed"));
            }
        }
        breaches
    }
}
