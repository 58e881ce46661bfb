//! Asking web services for JSON, and where a secret may go.

use std::time::Duration;

use executor_sdk::Revealed;
use executor_sdk::prelude::*;
use reqwest::{Certificate, Client, Method, StatusCode, redirect};

use crate::Huginn;

/// The largest answer that is read.
const LARGEST: usize = 4 * 1024 * 1024;

/// A service that is asked.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    /// What people call it.
    name: &'static str,
    client: Client,
    base: Url,
}

/// What a service answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The JSON, or what came instead of it.
    pub(crate) body: Result<Value, String>,
}

impl Service {
    /// Prepares to ask a service. Redirects are not followed: a secret would go along.
    pub(crate) fn new(
        name: &'static str,
        base: &Url,
        limit: f64,
        huginn: &Huginn,
    ) -> Result<Self, Failure> {
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(Failure::new(
                "`url` must be one such as http://pi.hole or https://nas:32400",
            ));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(Failure::new("`url` must not hold a password; name a secret"));
        }
        if !(0.1..=120.0).contains(&limit) {
            return Err(Failure::new("`timeout_seconds` must lie between 0.1 and 120"));
        }
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs_f64(limit))
            .tls_certs_merge(huginn.authorities.iter().cloned())
            .build()?;
        Ok(Self { name, client, base: base.clone() })
    }

    /// Returns the address of a path below the service's own.
    pub(crate) fn at(&self, segments: &[&str]) -> Url {
        below(&self.base, segments)
    }

    /// Asks, and reads JSON.
    pub(crate) async fn ask(
        &self,
        method: Method,
        url: Url,
        header: Option<(&'static str, &Revealed)>,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let path = url.path().to_owned();
        let cannot = |error: reqwest::Error| {
            let why = Failure::from(error.without_url());
            Failure::new(format!("{} at {} cannot be asked: {}", self.name, self.base, why.error()))
        };
        let mut request = self.client.request(method, url).header("accept", "application/json");
        if let Some((name, value)) = header {
            let mut value =
                reqwest::header::HeaderValue::from_str(value.expose()).map_err(|_| {
                    Failure::new("the secret cannot be sent: it holds control characters")
                })?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(cannot)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(cannot)? {
            if bytes.len() + piece.len() > LARGEST {
                return Err(Failure::new(format!(
                    "{} answers more than 4 MiB at {path}",
                    self.name
                )));
            }
            bytes.extend_from_slice(&piece);
        }
        let body = if bytes.is_empty() { Ok(Value::Null) } else { read(&bytes) };
        Ok(Answer { status, body })
    }

    /// Asks for something that must be there.
    pub(crate) async fn get(
        &self,
        segments: &[&str],
        header: Option<(&'static str, &Revealed)>,
    ) -> Result<Value, Failure> {
        let answer = self.ask(Method::GET, self.at(segments), header, None).await?;
        let path = segments.join("/");
        if !answer.status.is_success() {
            return Err(self.refused(&path, &answer));
        }
        answer.body.map_err(|found| {
            let name = self.name;
            Failure::new(format!("{name} answers at /{path} with {found} instead of JSON"))
        })
    }

    /// Says what a service answered instead of doing it.
    pub(crate) fn refused(&self, what: &str, answer: &Answer) -> Failure {
        let said = match &answer.body {
            Ok(body) => said(body),
            Err(found) => Some(found.clone()),
        };
        let said = said.map_or_else(String::new, |said| format!(": {said}"));
        Failure::new(format!("{} answers {} to {what}{said}", self.name, answer.status))
    }
}

/// Appends segments to a path; whatever they hold, they stay segments.
fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// Returns the message of an error, in the shapes that services use.
fn said(body: &Value) -> Option<String> {
    let error = body.get("error").unwrap_or(body);
    let text = |member: &str| error.get(member).and_then(Value::as_str);
    let message = text("message").or(error.as_str())?;
    let hint = text("hint").map_or_else(String::new, |hint| format!(" ({hint})"));
    Some(format!("{message}{hint}").chars().take(300).collect())
}

fn read(bytes: &[u8]) -> Result<Value, String> {
    serde_json_from(bytes).ok_or_else(|| {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]);
        let lower = text.to_ascii_lowercase();
        if !lower.contains("<html") && !lower.contains("<!doctype") {
            return "something unreadable".to_owned();
        }
        let title = lower.find("<title>").and_then(|at| {
            let rest = &text[at + "<title>".len()..];
            rest.split('<').next().map(str::trim).filter(|title| !title.is_empty())
        });
        match title {
            Some(title) => {
                format!("an HTML page (`{}`)", title.chars().take(80).collect::<String>())
            }
            None => "an HTML page".to_owned(),
        }
    })
}

fn serde_json_from(bytes: &[u8]) -> Option<Value> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Reads the certificates of a PEM file.
pub(crate) fn certificates(file: &Path) -> Result<Vec<Certificate>, Failure> {
    let cannot = |why: &dyn std::fmt::Display| {
        Failure::new(format!("cannot use the certificates of `{}`: {why}", file.display()))
    };
    let text = std::fs::read(file).map_err(|error| cannot(&error))?;
    let found = Certificate::from_pem_bundle(&text).map_err(|error| cannot(&error))?;
    if found.is_empty() {
        return Err(cannot(&"it holds none"));
    }
    Ok(found)
}

impl Huginn {
    /// Says whether a secret may be sent to a service: to the one that the node's settings name, or
    /// to a machine of the host table. Whoever writes a bead must not be able to send it elsewhere.
    pub(crate) fn may_have_secret(&self, url: &Url, setting: &Url) -> Result<(), Failure> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if url.origin() == setting.origin() || self.table.knows(host) {
            return Ok(());
        }
        Err(Failure::new(format!(
            "no secret is sent to `{host}`: it is neither the node's setting nor in its host table"
        )))
    }
}

/// Returns a number of an answer, by its path.
pub(crate) fn number(body: &Value, path: &str) -> Result<f64, Failure> {
    let found = body.pointer(path);
    let number = found.and_then(|value| {
        value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
    });
    number.ok_or_else(|| Failure::new(format!("the answer has no number at `{path}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_described() {
        assert_eq!(read(b"{\"a\": 1}").unwrap(), json!({"a": 1}));
        let page = b"<!DOCTYPE html><head><title> 502 Bad Gateway </title>";
        assert_eq!(read(page).unwrap_err(), "an HTML page (`502 Bad Gateway`)");
        assert_eq!(read(b"<HTML>").unwrap_err(), "an HTML page");
        assert_eq!(read(&[0xff, 0xfe]).unwrap_err(), "something unreadable");
        assert_eq!(read("<title>é<html".as_bytes()).unwrap_err(), "an HTML page (`é`)");
    }

    #[test]
    fn segments_stay_segments() {
        let base = Url::parse("http://pi.hole:8080/pihole/?x#y").unwrap();
        let url = below(&base, &["api", "..%2f", "a/b?c#d e"]);
        assert_eq!(url.as_str(), "http://pi.hole:8080/pihole/api/..%252f/a%2Fb%3Fc%23d%20e");
    }
}
