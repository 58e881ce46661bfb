//! `ollama-delete-model`: a model is removed from the disk.

use executor_sdk::prelude::*;

use crate::Surtr;
use crate::ollama::{ModelName, Ollama, find, missing};

/// Removes a model from this node's disk, and proves that it is no longer listed.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OllamaDeleteModel {
    /// The name of the model, as `ollama-list-models` gives it.
    model: ModelName,
    /// Whether a model that is not there counts as removed. Otherwise that is a failure, because a
    /// mistyped name would look like success.
    #[serde(default)]
    missing_ok: bool,
}

impl Task<Surtr> for OllamaDeleteModel {
    const TYPE: &'static str = "ollama-delete-model";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(2));

    async fn run(self, executor: &Surtr, cx: &Context) -> TaskResult {
        let ollama = Ollama::new(executor, cx);
        let before = ollama.models().await?;
        let Some(there) = find(&before, &self.model) else {
            if self.missing_ok {
                let data = json!({"model": self.model, "deleted": false, "bytes": 0});
                return Ok(Report::text(format!("{} was not there", self.model)).with_data(&data));
            }
            return Err(missing(&[&self.model], &before));
        };

        ollama.delete(&self.model).await.map_err(|refused| refused.failure)?;

        let after = ollama.models().await?;
        if find(&after, &self.model).is_some() {
            let text = format!("Ollama says that `{}` is deleted, but still lists it", self.model);
            return Err(Failure::new(text));
        }
        let names: Vec<_> = after.iter().map(|model| model.name.as_str()).collect();
        let text = format!("{} is deleted ({} bytes)", there.name, there.size);
        Ok(Report::text(text).with_data(&json!({
            "model": there.name,
            "deleted": true,
            "digest": there.digest,
            "bytes": there.size,
            "models": names,
        })))
    }
}
