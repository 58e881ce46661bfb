//! `llm-health-check`: does Ollama answer, what has it loaded, and onto what.

use executor_sdk::prelude::*;

use crate::Surtr;
use crate::gpu::Found;
use crate::ollama::Ollama;

/// Asks Ollama for its version and its loaded models, and the kernel for the graphics cards.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct LlmHealthCheck {}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Processes {
    models: Option<Vec<Loaded>>,
}

/// A model in memory, as `/api/ps` tells it.
#[derive(Deserialize)]
struct Loaded {
    name: String,
    size: u64,
    #[serde(default)]
    size_vram: u64,
    #[serde(default)]
    expires_at: Option<String>,
    #[serde(default)]
    context_length: Option<u64>,
}

impl Loaded {
    /// Returns how much of it is in the memory of a GPU.
    fn gpu_percent(&self) -> u64 {
        u64::try_from(u128::from(self.size_vram) * 100 / u128::from(self.size.max(1)))
            .unwrap_or(100)
    }
}

impl Task<Surtr> for LlmHealthCheck {
    const TYPE: &'static str = "llm-health-check";
    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(30));
    const IDEMPOTENT: bool = true;

    async fn run(self, executor: &Surtr, cx: &Context) -> TaskResult {
        let found = Found::look(&executor.root);
        match found.gpus.len() {
            0 => cx.log(format!("no GPU found; looked at {}", found.looked_at.join(", "))),
            _ => found.gpus.iter().for_each(|gpu| {
                let name = gpu.name.as_deref().unwrap_or("without a name");
                cx.log(format!("GPU: {} {name}", gpu.vendor));
            }),
        }
        let ollama = Ollama::new(executor, cx);
        let url = ollama.shown();
        let asked = async {
            let Version { version } = ollama.get("api/version").await?;
            let Processes { models } = ollama.get("api/ps").await?;
            Ok::<_, Failure>((version, models.unwrap_or_default()))
        };
        let (version, models) = asked.await.map_err(|failure| {
            failure.with_data(&json!({"reachable": false, "url": url, "gpu": found}))
        })?;

        let mut loaded = Vec::with_capacity(models.len());
        for model in &models {
            cx.log(format!("loaded: {}, {} % on a GPU", model.name, model.gpu_percent()));
            loaded.push(json!({
                "name": model.name,
                "size": model.size,
                "size_vram": model.size_vram,
                "gpu_percent": model.gpu_percent(),
                "expires_at": model.expires_at,
                "context_length": model.context_length,
            }));
        }
        let text = format!("Ollama {version} answers at {url}; {} models loaded", loaded.len());
        Ok(Report::text(text).with_data(&json!({
            "reachable": true,
            "url": url,
            "version": version,
            "loaded": loaded,
            "gpu": found,
        })))
    }
}
