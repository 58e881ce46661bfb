//! The work that Surtr can do.

mod llm_health_check;
mod llm_inference;
mod ollama_list_models;

pub use llm_health_check::LlmHealthCheck;
pub use llm_inference::LlmInference;
pub use ollama_list_models::OllamaListModels;
