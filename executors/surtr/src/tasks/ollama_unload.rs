//! `ollama-unload`: the memory of the GPU is given back.

use executor_sdk::prelude::*;

use crate::Surtr;
use crate::ollama::{ModelName, Ollama, find, missing};

/// Takes one model, or all, out of memory, and returns when they are out. Answers that are being
/// made are finished first.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OllamaUnload {
    /// The name of the model (default: all that are loaded).
    #[serde(default)]
    model: Option<ModelName>,
    /// How many seconds to wait for answers that are being made.
    #[serde(default = "a_minute")]
    wait_seconds: u32,
}

fn a_minute() -> u32 {
    60
}

impl Task<Surtr> for OllamaUnload {
    const TYPE: &'static str = "ollama-unload";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(10));
    const IDEMPOTENT: bool = true;
    const RETRYABLE: bool = true;

    async fn run(self, executor: &Surtr, cx: &Context) -> TaskResult {
        let ollama = Ollama::new(executor, cx);
        if let Some(model) = &self.model {
            let models = ollama.models().await?;
            if find(&models, model).is_none() {
                return Err(missing(&[model], &models));
            }
        }
        let wait = Duration::from_secs(self.wait_seconds.into());
        let wanted = |name: &str| self.model.as_ref().is_none_or(|model| model.is(name));
        let mut unloaded = Vec::new();
        let mut freed = 0;
        for loaded in ollama.loaded().await?.iter().filter(|loaded| wanted(&loaded.name)) {
            let name = ModelName::try_from(loaded.name.clone()).map_err(|error| {
                Failure::new(format!("Ollama has loaded `{}`: {error}", loaded.name))
            })?;
            ollama.unload(&name, wait).await.map_err(|failure| {
                failure.with_data(&json!({"unloaded": unloaded, "freed_vram_bytes": freed}))
            })?;
            cx.log(format!("{name} is out of memory"));
            freed += loaded.size_vram;
            unloaded.push(loaded.data());
        }
        let text = match unloaded.len() {
            0 => "nothing was loaded".to_owned(),
            count => format!("{count} models unloaded"),
        };
        Ok(Report::text(text).with_data(&json!({"unloaded": unloaded, "freed_vram_bytes": freed})))
    }
}
