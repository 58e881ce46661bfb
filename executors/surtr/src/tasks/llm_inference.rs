//! `llm-inference`: a model answers a prompt.

use executor_sdk::prelude::*;

use crate::Surtr;
use crate::ollama::{Ollama, Refused};

/// Asks a model of this node's Ollama and waits for its whole answer; the words come into the log
/// as they are made.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct LlmInference {
    /// The name of the model, as `ollama-list-models` gives it.
    model: String,
    /// What the model is asked.
    prompt: String,
    /// What the model is told to be (default: what is built into the model).
    #[serde(default)]
    system: Option<String>,
    /// Ollama's model options, such as `{"temperature": 0, "num_predict": 200}`.
    #[serde(default)]
    options: Map<String, Value>,
    /// `"json"`, or a JSON Schema that the answer is to follow (default: free text).
    #[serde(default)]
    format: Option<Value>,
}

/// One line of the stream of `/api/generate`. Durations are nanoseconds.
#[derive(Deserialize)]
struct Piece {
    #[serde(default)]
    response: String,
    #[serde(default)]
    thinking: String,
    #[serde(default)]
    done: bool,
    #[serde(default)]
    done_reason: Option<String>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
    #[serde(default)]
    eval_count: Option<u64>,
    #[serde(default)]
    total_duration: Option<u64>,
    #[serde(default)]
    load_duration: Option<u64>,
    #[serde(default)]
    prompt_eval_duration: Option<u64>,
    #[serde(default)]
    eval_duration: Option<u64>,
}

impl Task<Surtr> for LlmInference {
    const TYPE: &'static str = "llm-inference";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(10));
    const IDEMPOTENT: bool = true;
    const RETRYABLE: bool = true;

    async fn run(self, executor: &Surtr, cx: &Context) -> TaskResult {
        if self.model.trim().is_empty() || self.model.chars().any(char::is_control) {
            return Err(Failure::new("`model` is empty, or contains a control character"));
        }
        // Ollama takes an empty prompt as the order to load the model, and answers nothing.
        if self.prompt.trim().is_empty() {
            return Err(Failure::new("`prompt` is empty"));
        }
        let ollama = Ollama::new(executor, cx);
        let mut stream = match ollama.stream("api/generate", &self.body()).await {
            Ok(stream) => stream,
            Err(refused) => return Err(self.explain(&ollama, refused).await),
        };

        let mut answer = Answer::default();
        loop {
            match stream.next().await {
                Ok(Some(piece)) => {
                    if answer.take(piece, cx) {
                        break;
                    }
                }
                Ok(None) => {
                    let text = "Ollama ended its answer before it was whole";
                    return Err(Failure::new(text).with_data(&answer.data(&self.model)));
                }
                Err(failure) => return Err(failure.with_data(&answer.data(&self.model))),
            }
        }
        if !answer.response.ends_with('\n') {
            cx.print("\n");
        }
        self.judge(&answer)
    }
}

impl LlmInference {
    fn body(&self) -> Value {
        let mut body = json!({"model": self.model, "prompt": self.prompt, "stream": true});
        if let Some(system) = &self.system {
            body["system"] = json!(system);
        }
        if !self.options.is_empty() {
            body["options"] = json!(self.options);
        }
        if let Some(format) = &self.format {
            body["format"] = format.clone();
        }
        body
    }

    /// Says which models there are, when the one asked for is not.
    async fn explain(&self, ollama: &Ollama<'_>, refused: Refused) -> Failure {
        if refused.status.is_none_or(|status| status.as_u16() != 404) {
            return refused.failure;
        }
        let Ok(models) = ollama.models().await else { return refused.failure };
        let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
        let there = match names.len() {
            0 => "no model is there; `ollama pull` gets one".to_owned(),
            _ => format!("there are: {}", names.join(", ")),
        };
        Failure::new(format!("Ollama has no model `{}`; {there}", self.model))
            .with_data(&json!({"model": self.model, "models": names}))
    }

    /// Says whether a whole answer is one.
    fn judge(&self, answer: &Answer) -> TaskResult {
        let data = answer.data(&self.model);
        if answer.response.trim().is_empty() {
            let text = format!("`{}` answered nothing", self.model);
            return Err(Failure::new(text).with_data(&data));
        }
        if self.format.is_some() && answer.response.parse::<Value>().is_err() {
            let text = format!("the answer of `{}` is not the JSON that was asked for", self.model);
            return Err(Failure::new(text).with_data(&data));
        }
        let tokens = answer.end.as_ref().and_then(|end| end.eval_count);
        let text = match tokens {
            Some(tokens) => format!("{} answered with {tokens} tokens", self.model),
            None => format!("{} answered", self.model),
        };
        Ok(Report::text(text).with_data(&data))
    }
}

/// What has come of an answer so far.
#[derive(Default)]
struct Answer {
    response: String,
    thinking: String,
    end: Option<Piece>,
}

impl Answer {
    /// Adds a piece, and prints it. Returns whether it was the last one.
    fn take(&mut self, piece: Piece, cx: &Context) -> bool {
        if !piece.thinking.is_empty() {
            cx.print(&piece.thinking);
            self.thinking.push_str(&piece.thinking);
        }
        if !piece.response.is_empty() {
            if self.response.is_empty() && !self.thinking.is_empty() {
                cx.print("\n\n");
            }
            cx.print(&piece.response);
            self.response.push_str(&piece.response);
        }
        let is_last = piece.done;
        if is_last {
            self.end = Some(piece);
        }
        is_last
    }

    fn data(&self, model: &str) -> Value {
        let count = |of: fn(&Piece) -> Option<u64>| self.end.as_ref().and_then(of);
        #[expect(clippy::cast_precision_loss, reason = "a duration needs no more")]
        let seconds = |of: fn(&Piece) -> Option<u64>| count(of).map(|nanos| nanos as f64 / 1e9);
        let generating = seconds(|end| end.eval_duration).filter(|seconds| *seconds > 0.0);
        let tokens = count(|end| end.eval_count);
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more")]
        let rate = tokens.zip(generating).map(|(tokens, seconds)| tokens as f64 / seconds);
        let mut data = json!({
            "model": model,
            "response": self.response,
            "whole": self.end.is_some(),
            "done_reason": self.end.as_ref().and_then(|end| end.done_reason.as_deref()),
            "prompt_tokens": count(|end| end.prompt_eval_count),
            "tokens": tokens,
            "tokens_per_second": rate,
            "total_seconds": seconds(|end| end.total_duration),
            "load_seconds": seconds(|end| end.load_duration),
            "prompt_seconds": seconds(|end| end.prompt_eval_duration),
            "generate_seconds": generating,
        });
        if !self.thinking.is_empty() {
            data["thinking"] = json!(self.thinking);
        }
        data
    }
}
