//! Lines of JSON, as they come.

use executor_sdk::prelude::*;
use reqwest::Response;
use serde::de::DeserializeOwned;

use super::{Ollama, error_in, parse};

/// How long a line may be before it is no Ollama that talks.
const LINE: usize = 16 * 1024 * 1024;

/// An answer that Ollama is still making.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    ollama: &'a Ollama<'a>,
    response: Response,
    rest: Vec<u8>,
    is_over: bool,
}

impl<'a> Stream<'a> {
    pub(super) fn new(ollama: &'a Ollama<'a>, response: Response) -> Self {
        Self { ollama, response, rest: Vec::new(), is_over: false }
    }

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
