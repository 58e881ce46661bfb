//! How Ollama is asked over HTTP, and what its errors mean.
//!
//! Ollama reports an error in the middle of a stream as `{"error": …}` under status 200; whatever
//! reads a stream here gets it as a failure.
//!
//! - `model`: names of models, and what Ollama tells of those it has.
//! - `stream`: lines of JSON, as they come.
//! - `answer`: what a model says, piece by piece.
//! - `format`: the form that an answer is to have.
//! - `pull`: fetching a model, with its progress.

use std::error::Error as _;

use executor_sdk::prelude::*;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::Surtr;

mod answer;
mod format;
mod model;
mod pull;
mod stream;

pub(crate) use answer::seconds;
pub(crate) use format::Format;
pub(crate) use model::{Loaded, Model, ModelName, find};
pub(crate) use stream::Stream;

/// How long a question that Ollama answers from memory may take.
const SHORT: Duration = Duration::from_secs(10);

/// How long is waited before Ollama is asked again for a change that it makes in the background.
const AGAIN: Duration = Duration::from_millis(200);

/// How much of an answer that is not understood is shown.
const SHOWN: usize = 200;

/// The Ollama of this node.
#[derive(Debug)]
pub(crate) struct Ollama<'a> {
    url: &'a Url,
    cx: &'a Context,
}

/// An answer that was no success.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: Option<StatusCode>,
    pub(crate) failure: Failure,
}

impl<'a> Ollama<'a> {
    pub(crate) fn new(executor: &'a Surtr, cx: &'a Context) -> Self {
        Self { url: &executor.ollama_url, cx }
    }

    /// Returns where it listens, without a password.
    pub(crate) fn shown(&self) -> String {
        let mut url = self.url.clone();
        // Fails only on URLs without a host, which the settings refuse.
        if url.password().is_some() && url.set_password(Some("***")).is_err() {
            return "its URL".to_owned();
        }
        url.as_str().trim_end_matches('/').to_owned()
    }

    /// Returns its version: the cheapest proof that it answers.
    pub(crate) async fn version(&self) -> Result<String, Failure> {
        #[derive(Deserialize)]
        struct Version {
            version: String,
        }
        let Version { version } = self.get("api/version").await?;
        Ok(version)
    }

    /// Returns the models that are on the disk.
    pub(crate) async fn models(&self) -> Result<Vec<Model>, Failure> {
        #[derive(Deserialize)]
        struct Tags {
            models: Option<Vec<Model>>,
        }
        let tags: Tags = self.get("api/tags").await?;
        Ok(tags.models.unwrap_or_default())
    }

    /// Returns the models that are in memory.
    pub(crate) async fn loaded(&self) -> Result<Vec<Loaded>, Failure> {
        #[derive(Deserialize)]
        struct Processes {
            models: Option<Vec<Loaded>>,
        }
        let processes: Processes = self.get("api/ps").await?;
        Ok(processes.models.unwrap_or_default())
    }

    /// Loads a model into memory, where it stays as long as Ollama keeps what nobody uses.
    pub(crate) async fn load(&self, model: &ModelName) -> Result<(), Failure> {
        let order = json!({"model": model.as_str(), "stream": false});
        let Err(refused) = self.post::<Value>("api/generate", &order).await else {
            return Ok(());
        };
        // A model that only embeds is loaded by embedding something.
        if refused.failure.error().contains("does not support generate") {
            let order = json!({"model": model.as_str(), "input": "x"});
            self.post::<Value>("api/embed", &order).await.map_err(|refused| refused.failure)?;
            return Ok(());
        }
        Err(self.explain(model, refused).await)
    }

    /// Takes a model out of memory, and returns when it is out: at once, or when the answers that
    /// are being made are whole.
    pub(crate) async fn unload(&self, model: &ModelName, wait: Duration) -> Result<(), Failure> {
        let order = json!({"model": model.as_str(), "stream": false, "keep_alive": 0});
        if let Err(refused) = self.post::<Value>("api/generate", &order).await {
            return Err(self.explain(model, refused).await);
        }
        let gone = async {
            while self.loaded().await?.iter().any(|loaded| model.is(&loaded.name)) {
                tokio::time::sleep(AGAIN).await;
            }
            Ok(())
        };
        tokio::time::timeout(wait, gone).await.unwrap_or_else(|_| {
            Err(Failure::new(format!(
                "`{model}` is still in memory after {} s: it may be answering somebody; raise \
                 `wait_seconds`",
                wait.as_secs()
            )))
        })
    }

    /// Removes a model from the disk.
    pub(crate) async fn delete(&self, model: &ModelName) -> Result<(), Refused> {
        let order = json!({"model": model.as_str()});
        self.send(self.request(Method::DELETE, "api/delete").json(&order)).await?;
        Ok(())
    }

    /// Asks one short question.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let sent = self.send(self.request(Method::GET, path).timeout(SHORT)).await;
        let sent = sent.map_err(|refused| refused.failure)?;
        self.read(sent).await.map_err(|refused| refused.failure)
    }

    /// Posts a body and reads the whole answer.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, Refused> {
        let sent = self.send(self.request(Method::POST, path).json(body)).await?;
        self.read(sent).await
    }

    /// Posts a body and returns the answer's stream.
    pub(crate) async fn stream(&self, path: &str, body: &Value) -> Result<Stream<'_>, Refused> {
        let sent = self.send(self.request(Method::POST, path).json(body)).await?;
        Ok(Stream::new(self, sent))
    }

    /// Says which models there are, when the one asked for is not.
    pub(crate) async fn explain(&self, model: &ModelName, refused: Refused) -> Failure {
        if refused.status != Some(StatusCode::NOT_FOUND) {
            return refused.failure;
        }
        match self.models().await {
            Ok(models) => missing(&[model], &models),
            Err(_) => refused.failure,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Refused> {
        let sent = request.send().await.map_err(|error| self.silent(&error))?;
        let status = sent.status();
        if status.is_success() {
            return Ok(sent);
        }
        let body = sent.bytes().await.unwrap_or_default();
        let failure = match error_in(&body) {
            Some(error) => Failure::new(format!("Ollama answered {}: {error}", status.as_u16())),
            None => self.strange(status, &body),
        };
        Err(Refused { status: Some(status), failure })
    }

    async fn read<T: DeserializeOwned>(&self, sent: Response) -> Result<T, Refused> {
        let status = sent.status();
        let body = sent.bytes().await.map_err(|error| self.silent(&error))?;
        let failure = match (error_in(&body), parse(&body)) {
            (Some(error), _) => Failure::new(format!("Ollama reports: {error}")),
            (None, Some(answer)) => return Ok(answer),
            (None, None) => self.strange(status, &body),
        };
        Err(Refused { status: Some(status), failure })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        self.cx.http().request(method, url)
    }

    /// Says why no answer came.
    fn silent(&self, error: &reqwest::Error) -> Refused {
        let at = self.shown();
        if error.is_timeout() && !error.is_connect() {
            let failure = Failure::new(format!("Ollama at {at} did not answer in time"));
            return Refused { status: None, failure };
        }
        let mut cause = error.source();
        let mut text = error.to_string();
        while let Some(deeper) = cause {
            text = deeper.to_string();
            cause = deeper.source();
        }
        let failure = Failure::new(format!(
            "Ollama does not answer at {at} ({text}): start it there, as by `systemctl start ollama`, \
             or set SURTR_OLLAMA_URL to where it listens"
        ));
        Refused { status: None, failure }
    }

    fn strange(&self, status: StatusCode, body: &[u8]) -> Failure {
        let text = String::from_utf8_lossy(body);
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text: String = text.chars().take(SHOWN).collect();
        Failure::new(format!(
            "what answers at {} is not Ollama as it should be: status {}, `{text}`",
            self.shown(),
            status.as_u16()
        ))
    }
}

/// Says that models are not there, and which are.
pub(crate) fn missing(wanted: &[&ModelName], models: &[Model]) -> Failure {
    let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
    let there = match names.len() {
        0 => "none is there; the task `ollama-pull-model` gets one".to_owned(),
        _ => format!("there are: {}", names.join(", ")),
    };
    let quoted: Vec<_> = wanted.iter().map(|name| format!("`{name}`")).collect();
    Failure::new(format!("Ollama has no model {}; {there}", quoted.join(", ")))
        .with_data(&json!({"missing": wanted, "models": names}))
}

fn error_in(json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        error: Option<Value>,
    }
    match parse::<Body>(json)?.error? {
        Value::String(text) => Some(text),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    let value: Value = std::str::from_utf8(json).ok()?.parse().ok()?;
    T::deserialize(value).ok()
}
