//! `ollama-list-models`: which models are on this node.

use executor_sdk::prelude::*;

use crate::Surtr;
use crate::ollama::Ollama;

/// Lists the models that Ollama has on this node.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OllamaListModels {}

impl Task<Surtr> for OllamaListModels {
    const TYPE: &'static str = "ollama-list-models";
    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(30));
    const IDEMPOTENT: bool = true;
    const RETRYABLE: bool = true;

    async fn run(self, executor: &Surtr, cx: &Context) -> TaskResult {
        let models = Ollama::new(executor, cx).models().await?;
        let mut listed = Vec::with_capacity(models.len());
        for model in &models {
            cx.log(format!("{} ({} bytes)", model.name, model.size));
            listed.push(json!({
                "name": model.name,
                "size": model.size,
                "digest": model.digest,
                "modified_at": model.modified_at,
                "family": model.details.family,
                "parameter_size": model.details.parameter_size,
                "quantization": model.details.quantization_level,
            }));
        }
        let text = format!("{} models", listed.len());
        Ok(Report::text(text).with_data(&json!({"count": listed.len(), "models": listed})))
    }
}
