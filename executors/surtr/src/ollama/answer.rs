//! What a model says, piece by piece: `/api/generate` and `/api/chat`.

use executor_sdk::prelude::*;

use super::{Format, ModelName, Ollama};

/// One line of the stream. Durations are nanoseconds.
#[derive(Debug, Deserialize)]
struct Piece {
    /// What `/api/generate` sends.
    #[serde(default)]
    response: String,
    #[serde(default)]
    thinking: String,
    /// What `/api/chat` sends.
    #[serde(default)]
    message: Option<Message>,
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

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    content: String,
    #[serde(default)]
    thinking: String,
}

impl Ollama<'_> {
    /// Posts an order and waits for the model's whole answer; its words come into the log as they
    /// are made. An answer that is empty, not whole or not of the format is a failure, with what
    /// there is of it.
    pub(crate) async fn answer(
        &self,
        path: &str,
        model: &ModelName,
        mut order: Value,
        format: Option<&Format>,
    ) -> TaskResult {
        order["model"] = json!(model);
        order["stream"] = json!(true);
        if let Some(format) = format {
            order["format"] = format.asked().clone();
        }
        let mut stream = match self.stream(path, &order).await {
            Ok(stream) => stream,
            Err(refused) => return Err(self.explain(model, refused).await),
        };
        let mut answer = Answer::default();
        loop {
            match stream.next().await {
                Ok(Some(piece)) => {
                    if answer.take(piece, self.cx) {
                        break;
                    }
                }
                Ok(None) => {
                    let text = "Ollama ended its answer before it was whole";
                    return Err(Failure::new(text).with_data(&answer.data(model)));
                }
                Err(failure) => return Err(failure.with_data(&answer.data(model))),
            }
        }
        if !answer.response.ends_with('\n') {
            self.cx.print("\n");
        }
        answer.judge(model, format)
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
    fn take(&mut self, mut piece: Piece, cx: &Context) -> bool {
        if let Some(message) = piece.message.take() {
            piece.response.push_str(&message.content);
            piece.thinking.push_str(&message.thinking);
        }
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

    /// Says whether a whole answer is one.
    fn judge(&self, model: &ModelName, format: Option<&Format>) -> TaskResult {
        let mut data = self.data(model);
        if self.response.trim().is_empty() {
            let text = format!("`{model}` answered nothing");
            return Err(Failure::new(text).with_data(&data));
        }
        let is_cut = self.end.as_ref().and_then(|end| end.done_reason.as_deref()) == Some("length");
        let cut = if is_cut { ", cut off at its limit of tokens" } else { "" };
        if let Some(format) = format {
            match format.check(&self.response) {
                Ok(value) => data["json"] = value,
                Err(why) => {
                    let text = format!("the answer of `{model}` is not of the format{cut}: {why}");
                    return Err(Failure::new(text).with_data(&data));
                }
            }
        }
        let tokens = self.end.as_ref().and_then(|end| end.eval_count);
        let text = match tokens {
            Some(tokens) => format!("{model} answered with {tokens} tokens{cut}"),
            None => format!("{model} answered{cut}"),
        };
        Ok(Report::text(text).with_data(&data))
    }

    fn data(&self, model: &ModelName) -> Value {
        let count = |of: fn(&Piece) -> Option<u64>| self.end.as_ref().and_then(of);
        let seconds = |of: fn(&Piece) -> Option<u64>| count(of).map(seconds);
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

/// Returns Ollama's nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "a duration needs no more")]
pub(crate) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
