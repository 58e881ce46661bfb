//! `ollama-pull-model`: a model is fetched, or brought up to date.

use executor_sdk::prelude::*;

use crate::Surtr;
use crate::ollama::{ModelName, Ollama};

/// Fetches a model from its registry, or brings it up to date; what is there already is not
/// fetched again. The log tells how far it is, in percent and bytes.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OllamaPullModel {
    /// The name of the model: `llama3.2`, `qwen3:8b`, `hf.co/OWNER/NAME:TAG`.
    model: ModelName,
    /// Whether the registry is asked over plain HTTP, as one of your own may want.
    #[serde(default)]
    insecure: bool,
}

impl Task<Surtr> for OllamaPullModel {
    const TYPE: &'static str = "ollama-pull-model";
    const TIMEOUT: Option<Duration> = Some(Duration::from_hours(6));
    const IDEMPOTENT: bool = true;
    const RETRYABLE: bool = true;

    async fn run(self, executor: &Surtr, cx: &Context) -> TaskResult {
        let pulled = Ollama::new(executor, cx).pull(&self.model, self.insecure).await?;

        let text = if pulled.changed {
            format!("{} is there now ({} bytes)", pulled.model, pulled.size)
        } else {
            format!("{} was there already, the newest", pulled.model)
        };
        Ok(Report::text(text).with_data(&pulled))
    }
}
