//! HTTP to the coordinator, and what its silence means.

use std::fs;
use std::time::Duration;

use protocol::coordinator::ApiError;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::args::Args;
use crate::trouble::{FOREIGN, KEY, NOTHING, Trouble, UNAVAILABLE, USAGE};

/// The coordinator itself gives a busy Beads CLI 45 s.
const ANSWER: Duration = Duration::from_mins(1);

/// The coordinator, as seen from here.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
}

impl Client {
    pub(crate) fn new(args: &Args) -> Result<Self, Trouble> {
        // An error says that this process has a provider already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut headers = HeaderMap::new();
        if let Some(key) = key(args)? {
            let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| {
                Trouble::new(USAGE, "the key has characters that no header carries")
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(3))
            .no_proxy()
            .default_headers(headers)
            .user_agent(concat!("ygg/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Trouble::new(UNAVAILABLE, chain(&error)))?;
        Ok(Self { http, base: base(&args.url)? })
    }

    /// Returns the coordinator's URL without a slash at its end.
    pub(crate) fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Returns the answer as it came, for `--json`.
    pub(crate) async fn value(&self, path: &[&str]) -> Result<Value, Trouble> {
        self.json(Method::GET, path).await
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Trouble> {
        let value = self.value(path).await?;
        serde_json::from_value(value).map_err(|error| self.foreign(&error.to_string()))
    }

    pub(crate) async fn post(&self, path: &[&str]) -> Result<Value, Trouble> {
        self.json(Method::POST, path).await
    }

    /// Asks for a piece of a log; the answer has no time limit, since a task may be silent.
    pub(crate) async fn log(
        &self,
        attempt: &str,
        offset: u64,
        follow: bool,
    ) -> Result<Response, Trouble> {
        let url = self.join(&["api", "attempts", attempt, "log"]);
        let mut request = self.http.get(url).query(&[("offset", offset)]);
        if follow {
            request = request.query(&[("follow", true)]);
        } else {
            request = request.timeout(ANSWER);
        }
        let response = request.send().await.map_err(|error| self.silence(&error))?;
        self.checked(response).await
    }

    async fn json(&self, method: Method, path: &[&str]) -> Result<Value, Trouble> {
        let request = self.http.request(method, self.join(path)).timeout(ANSWER);
        let response = request.send().await.map_err(|error| self.silence(&error))?;
        let response = self.checked(response).await?;
        let body = response.bytes().await.map_err(|error| self.silence(&error))?;
        serde_json::from_slice(&body).map_err(|error| self.foreign(&error.to_string()))
    }

    fn join(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Turns an answer that is no success into the trouble that it tells of.
    async fn checked(&self, response: Response) -> Result<Response, Trouble> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        let said = serde_json::from_slice::<ApiError>(&body).ok();
        let code = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let trouble = Trouble::new(KEY, format!("{} wants an API key", self.url()));
                let hint = "give one of its API_KEYS with --key-file, or as YGGDRASIL_API_KEY";
                return Err(trouble.hinted(hint));
            }
            _ if said.is_none() => return Err(self.foreign(&format!("HTTP {status}"))),
            StatusCode::NOT_FOUND => NOTHING,
            status if status.is_client_error() => USAGE,
            _ => UNAVAILABLE,
        };
        let said = said.unwrap_or_else(|| ApiError { error: status.to_string(), hint: None });
        let trouble = Trouble::new(code, said.error);
        Err(match said.hint {
            Some(hint) => trouble.hinted(hint),
            None => trouble,
        })
    }

    /// Says that nobody answers, and why.
    pub(crate) fn silence(&self, error: &reqwest::Error) -> Trouble {
        let why = if error.is_timeout() { "no answer in time".to_owned() } else { cause(error) };
        Trouble::new(UNAVAILABLE, format!("no coordinator at {}: {why}", self.url())).hinted(
            "is it running? try `systemctl status yggdrasil-coordinator`, or name another with \
             --url or YGGDRASIL_URL",
        )
    }

    fn foreign(&self, why: &str) -> Trouble {
        Trouble::new(FOREIGN, format!("what answers at {} is no coordinator: {why}", self.url()))
            .hinted("is the port right? the coordinator's is 3000, the executors' are 5000 and up")
    }
}

/// Reads the URL; without a scheme it is `http`.
fn base(text: &str) -> Result<Url, Trouble> {
    let text = text.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&whole).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.has_host()
    });
    url.ok_or_else(|| {
        Trouble::new(USAGE, format!("`{text}` is no URL of a coordinator"))
            .hinted("expected one such as http://surtr:3000")
    })
}

/// Returns the key: what is given outright counts before the file.
fn key(args: &Args) -> Result<Option<String>, Trouble> {
    if let Some(key) = args.key.as_deref().map(str::trim).filter(|key| !key.is_empty()) {
        return Ok(Some(key.to_owned()));
    }
    let Some(file) = &args.key_file else { return Ok(None) };
    let text = fs::read_to_string(file).map_err(|error| {
        Trouble::new(USAGE, format!("cannot read the key from `{}`: {error}", file.display()))
    })?;
    let key = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Trouble::new(USAGE, format!("there is no key in `{}`", file.display()))),
    }
}

/// Returns the innermost cause: "Connection refused" and not the steps that led there.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
