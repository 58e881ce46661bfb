//! The work that Surtr can do.

mod gpu_verify;
mod llm_chat;
mod llm_embed;
mod llm_health_check;
mod llm_inference;
mod ollama_delete_model;
mod ollama_deploy;
mod ollama_list_models;
mod ollama_pull_model;
mod ollama_unload;

pub use gpu_verify::GpuVerify;
pub use llm_chat::LlmChat;
pub use llm_embed::LlmEmbed;
pub use llm_health_check::LlmHealthCheck;
pub use llm_inference::LlmInference;
pub use ollama_delete_model::OllamaDeleteModel;
pub use ollama_deploy::OllamaDeploy;
pub use ollama_list_models::OllamaListModels;
pub use ollama_pull_model::OllamaPullModel;
pub use ollama_unload::OllamaUnload;
