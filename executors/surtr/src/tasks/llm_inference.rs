//! `llm-inference`: a model answers a prompt.

use executor_sdk::prelude::*;

use crate::Surtr;
use crate::ollama::{Format, ModelName, Ollama};

/// Asks a model of this node's Ollama and waits for its whole answer; the words come into the log
/// as they are made.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct LlmInference {
    /// The name of the model, as `ollama-list-models` gives it.
    model: ModelName,
    /// What the model is asked.
    prompt: String,
    /// What the model is told to be (default: what is built into the model).
    #[serde(default)]
    system: Option<String>,
    /// Ollama's model options, such as `{"temperature": 0, "num_predict": 200}`.
    #[serde(default)]
    options: Map<String, Value>,
    /// `"json"`, or a JSON Schema that the answer must follow (default: free text).
    #[serde(default)]
    format: Option<Value>,
}

impl Task<Surtr> for LlmInference {
    const TYPE: &'static str = "llm-inference";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(10));
    const IDEMPOTENT: bool = true;
    const RETRYABLE: bool = true;

    async fn run(self, executor: &Surtr, cx: &Context) -> TaskResult {
        // Ollama takes an empty prompt as the order to load the model, and answers nothing.
        if self.prompt.trim().is_empty() {
            return Err(Failure::new("`prompt` is empty"));
        }
        let format = self.format.map(Format::read).transpose()?;
        let mut order = json!({"prompt": self.prompt});
        if let Some(system) = &self.system {
            order["system"] = json!(system);
        }
        if !self.options.is_empty() {
            order["options"] = json!(self.options);
        }
        let ollama = Ollama::new(executor, cx);
        ollama.answer("api/generate", &self.model, order, format.as_ref()).await
    }
}
