//! `llm-embed`: texts become vectors.

use executor_sdk::prelude::*;

use crate::Surtr;
use crate::ollama::{ModelName, Ollama};

/// Turns texts into vectors, one for each, by a model of this node's Ollama.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct LlmEmbed {
    /// The name of the model, as `ollama-list-models` gives it.
    model: ModelName,
    /// The texts.
    input: Vec<String>,
    /// Whether a text that is too long for the model loses its end. Otherwise it is a failure.
    #[serde(default)]
    truncate: bool,
}

/// What `/api/embed` answers.
#[derive(Deserialize)]
struct Embedded {
    #[serde(default)]
    embeddings: Vec<Vec<f64>>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
    #[serde(default)]
    total_duration: Option<u64>,
}

impl Task<Surtr> for LlmEmbed {
    const TYPE: &'static str = "llm-embed";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(10));
    const IDEMPOTENT: bool = true;
    const RETRYABLE: bool = true;

    async fn run(self, executor: &Surtr, cx: &Context) -> TaskResult {
        if self.input.is_empty() {
            return Err(Failure::new("`input` is empty"));
        }
        if let Some(at) = self.input.iter().position(|text| text.trim().is_empty()) {
            return Err(Failure::new(format!("`input[{at}]` is empty")));
        }
        let ollama = Ollama::new(executor, cx);
        let order = json!({"model": self.model, "input": self.input, "truncate": self.truncate});
        let embedded: Embedded = match ollama.post("api/embed", &order).await {
            Ok(embedded) => embedded,
            Err(refused) => return Err(ollama.explain(&self.model, refused).await),
        };

        let dimensions = judge(&embedded.embeddings, self.input.len())?;
        let text = format!("{} vectors of {dimensions} dimensions", self.input.len());
        Ok(Report::text(text).with_data(&json!({
            "model": self.model,
            "count": self.input.len(),
            "dimensions": dimensions,
            "embeddings": embedded.embeddings,
            "prompt_tokens": embedded.prompt_eval_count,
            "total_seconds": embedded.total_duration.map(crate::ollama::seconds),
        })))
    }
}

/// Says whether these are vectors, one for each text, and of how many dimensions.
fn judge(vectors: &[Vec<f64>], texts: usize) -> Result<usize, Failure> {
    if vectors.len() != texts {
        let text = format!("Ollama answered {texts} texts with {} vectors", vectors.len());
        return Err(Failure::new(text));
    }
    let dimensions = vectors.first().map_or(0, Vec::len);
    if dimensions == 0 || vectors.iter().any(|vector| vector.len() != dimensions) {
        return Err(Failure::new("Ollama's vectors are empty, or of different lengths"));
    }
    if let Some(at) = vectors.iter().position(|vector| vector.iter().all(|value| *value == 0.0)) {
        return Err(Failure::new(format!("Ollama's vector for `input[{at}]` is all zeros")));
    }
    Ok(dimensions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_vector_for_each_text_is_a_failure() {
        assert_eq!(judge(&[vec![0.5, 0.0], vec![0.0, 1.0]], 2).unwrap(), 2);
        let wrong = [vec![], vec![vec![]], vec![vec![1.0], vec![1.0, 2.0]], vec![vec![0.0]]];
        for vectors in wrong {
            assert!(judge(&vectors, vectors.len().max(1)).is_err(), "{vectors:?}");
        }
        assert!(judge(&[vec![1.0]], 2).is_err());
    }
}
