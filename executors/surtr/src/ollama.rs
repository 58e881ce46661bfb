//! How Ollama is asked over HTTP, and what its errors mean.
//!
//! Ollama reports an error in the middle of a stream as `{"error": …}` under status 200; whatever
//! reads a stream here gets it as a failure.

use std::error::Error as _;

use executor_sdk::prelude::*;
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::Surtr;

/// How long a question that Ollama answers from memory may take.
const SHORT: Duration = Duration::from_secs(10);

/// How long a line of a stream may be before it is no Ollama that talks.
const LINE: usize = 16 * 1024 * 1024;

/// How much of an answer that is not understood is shown.
const SHOWN: usize = 200;

/// The Ollama of this node.
#[derive(Debug)]
pub(crate) struct Ollama<'a> {
    url: &'a Url,
    cx: &'a Context,
}

/// A model as `/api/tags` tells it.
#[derive(Debug, Deserialize)]
pub(crate) struct Model {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) digest: String,
    #[serde(default)]
    pub(crate) modified_at: Option<String>,
    #[serde(default)]
    pub(crate) details: Details,
}

/// What a model is made of.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Details {
    #[serde(default)]
    pub(crate) family: Option<String>,
    #[serde(default)]
    pub(crate) parameter_size: Option<String>,
    #[serde(default)]
    pub(crate) quantization_level: Option<String>,
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

    /// Asks one short question.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let request = self.cx.http().request(Method::GET, self.at(path)).timeout(SHORT);
        let sent = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = sent.status();
        let body = sent.bytes().await.map_err(|error| self.unreachable(&error))?;
        if !status.is_success() {
            return Err(self.refused(status, &body));
        }
        parse(&body).ok_or_else(|| self.strange(status, &body))
    }

    /// Posts a body and returns the answer's stream; an answer that is no success is a failure.
    pub(crate) async fn stream(&self, path: &str, body: &Value) -> Result<Stream<'_>, Refused> {
        let request = self.cx.http().request(Method::POST, self.at(path)).json(body);
        let sent = request
            .send()
            .await
            .map_err(|error| Refused { status: None, failure: self.unreachable(&error) })?;
        let status = sent.status();
        if status.is_success() {
            return Ok(Stream { ollama: self, response: sent, rest: Vec::new(), is_over: false });
        }
        let body = sent.bytes().await.unwrap_or_default();
        Err(Refused { status: Some(status), failure: self.refused(status, &body) })
    }

    /// Returns the models that are there.
    pub(crate) async fn models(&self) -> Result<Vec<Model>, Failure> {
        #[derive(Deserialize)]
        struct Tags {
            models: Option<Vec<Model>>,
        }
        let tags: Tags = self.get("api/tags").await?;
        Ok(tags.models.unwrap_or_default())
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        url
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let at = self.shown();
        if error.is_timeout() && !error.is_connect() {
            return Failure::new(format!("Ollama at {at} did not answer in time"));
        }
        let mut cause = error.source();
        let mut text = error.to_string();
        while let Some(deeper) = cause {
            text = deeper.to_string();
            cause = deeper.source();
        }
        Failure::new(format!(
            "Ollama does not answer at {at} ({text}): start it there, as by `systemctl start ollama`, \
             or set SURTR_OLLAMA_URL to where it listens"
        ))
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Failure {
        match error_in(body) {
            Some(error) => Failure::new(format!("Ollama answered {}: {error}", status.as_u16())),
            None => self.strange(status, body),
        }
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

/// An answer that was no success.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: Option<StatusCode>,
    pub(crate) failure: Failure,
}

/// Lines of JSON, as they come.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    ollama: &'a Ollama<'a>,
    response: Response,
    rest: Vec<u8>,
    is_over: bool,
}

impl Stream<'_> {
    /// Returns the next line; `None` at the end of the stream.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        let Some(line) = self.line().await? else { return Ok(None) };
        if let Some(error) = error_in(&line) {
            return Err(Failure::new(format!("Ollama reports in mid-stream: {error}")));
        }
        match parse(&line) {
            Some(value) => Ok(Some(value)),
            None => Err(self.ollama.strange(self.response.status(), &line)),
        }
    }

    async fn line(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Ok(Some(line));
            }
            if self.is_over {
                let last = std::mem::take(&mut self.rest);
                return Ok((!last.iter().all(u8::is_ascii_whitespace)).then_some(last));
            }
            if self.rest.len() > LINE {
                return Err(Failure::new("Ollama sent a line without an end"));
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.rest.extend_from_slice(&bytes),
                Ok(None) => self.is_over = true,
                Err(error) => {
                    let broken = Failure::from(error);
                    return Err(broken.context("the connection to Ollama broke off"));
                }
            }
        }
    }
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
