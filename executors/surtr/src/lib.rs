//! Surtr, the host with the GPU: Ollama and language models.
//!
//! - [`tasks`]: what it can do, one file each.
//! - `ollama`: how Ollama is asked, and what its errors mean.
//! - `compose`: how its container is brought up.
//! - `gpu`: what `nvidia-smi` and the kernel say of the graphics cards.
//! - `size`: sizes of memory as people write them.

use executor_sdk::prelude::*;

mod compose;
mod gpu;
mod ollama;
mod size;
pub mod tasks;

/// The host with the GPU: Ollama and language models.
#[derive(Args, Debug)]
pub struct Surtr {
    /// Where Ollama listens.
    #[arg(
        long,
        env = "SURTR_OLLAMA_URL",
        default_value = "http://127.0.0.1:11434",
        value_parser = http_url
    )]
    pub ollama_url: Url,
    /// The compose file that brings Ollama up, for orders of `ollama-deploy` that name none.
    #[arg(long, env = "SURTR_COMPOSE_FILE")]
    pub compose_file: Option<PathBuf>,
    /// Where Docker or Podman listens, if not at its usual place, as `unix:///run/user/1000/docker.sock`.
    #[arg(long, env = "DOCKER_HOST", value_name = "ADDRESS")]
    pub docker_host: Option<String>,
    /// The folder that `/proc` and `/sys` are in; tests have one of their own.
    #[arg(skip = PathBuf::from("/"))]
    pub root: PathBuf,
}

impl Executor for Surtr {
    const NAME: &'static str = "surtr-executor";

    fn tasks() -> Tasks<Self> {
        Tasks::new()
            .with::<tasks::LlmHealthCheck>()
            .with::<tasks::OllamaDeploy>()
            .with::<tasks::OllamaPullModel>()
            .with::<tasks::OllamaListModels>()
            .with::<tasks::OllamaDeleteModel>()
            .with::<tasks::OllamaUnload>()
            .with::<tasks::LlmInference>()
            .with::<tasks::LlmChat>()
            .with::<tasks::LlmEmbed>()
            .with::<tasks::GpuVerify>()
    }
}

/// Reads a URL whose host can be talked to over HTTP.
fn http_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}; write http://HOST:PORT"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("no HTTP URL; write http://HOST:PORT".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::http_url;

    #[test]
    fn only_a_whole_http_url_is_taken() {
        for text in ["", "127.0.0.1:11434", "localhost:11434", "ftp://host", "unix:/run/x"] {
            assert!(http_url(text).is_err(), "{text}");
        }
        assert_eq!(http_url("http://host:1/a").unwrap().path(), "/a");
    }
}
