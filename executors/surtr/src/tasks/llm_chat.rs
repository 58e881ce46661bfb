//! `llm-chat`: a model answers a conversation.

use executor_sdk::prelude::*;

use crate::Surtr;
use crate::ollama::{Format, ModelName, Ollama};

/// Gives a model of this node's Ollama a conversation, and waits for its whole answer; the words
/// come into the log as they are made.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct LlmChat {
    /// The name of the model, as `ollama-list-models` gives it.
    model: ModelName,
    /// What was said so far; the last message is the one that is answered.
    messages: Vec<Message>,
    /// Ollama's model options, such as `{"temperature": 0, "num_predict": 200}`.
    #[serde(default)]
    options: Map<String, Value>,
    /// `"json"`, or a JSON Schema that the answer must follow (default: free text).
    #[serde(default)]
    format: Option<Value>,
}

/// One message of a conversation.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
struct Message {
    /// Who said it.
    role: Role,
    /// What was said.
    content: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Role {
    System,
    User,
    Assistant,
}

impl Task<Surtr> for LlmChat {
    const TYPE: &'static str = "llm-chat";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(10));
    const IDEMPOTENT: bool = true;
    const RETRYABLE: bool = true;

    async fn run(self, executor: &Surtr, cx: &Context) -> TaskResult {
        // Without a message Ollama loads the model, and answers nothing.
        match self.messages.last() {
            None => return Err(Failure::new("`messages` is empty")),
            Some(last) if last.content.trim().is_empty() => {
                return Err(Failure::new("the last of `messages` is empty"));
            }
            Some(_) => {}
        }
        let format = self.format.map(Format::read).transpose()?;
        let mut order = json!({"messages": self.messages});
        if !self.options.is_empty() {
            order["options"] = json!(self.options);
        }
        let ollama = Ollama::new(executor, cx);
        ollama.answer("api/chat", &self.model, order, format.as_ref()).await
    }
}
