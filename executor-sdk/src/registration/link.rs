//! The way to the coordinator: requests with the key, and what went wrong with one in one line.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::kept::Kept;
use crate::secret::{Mask, Revealed};
use crate::tail::one_line;

/// Where a coordinator that does not answer is given up.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an ordinary answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The most of a strange answer that is shown to a person.
const SHOWN: usize = 200;

/// The way to one coordinator.
pub(super) struct Link {
    base: Url,
    http: OnceLock<reqwest::Client>,
    configured: Option<Revealed>,
    kept: Kept,
    // No `.await` while it is held.
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    /// The key that the coordinator sent.
    sent: Option<String>,
    /// The one sent was refused, so the configured one is tried.
    fell_back: bool,
}

/// One request.
pub(super) struct Asked<'a, B> {
    pub(super) method: Method,
    /// The segments of the path below the coordinator's address.
    pub(super) path: &'a [&'a str],
    pub(super) query: Option<&'a str>,
    pub(super) body: Option<&'a B>,
    pub(super) patience: Duration,
}

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("cannot reach it: {0}")]
    Unreachable(String),
    #[error("it refuses the API key (401); --api-key-file (API_KEY_FILE) sets it")]
    Unauthorized,
    #[error("it does not know what was asked about (404)")]
    NotFound,
    /// It will say the same again.
    #[error("it refuses the request ({status}): {text}")]
    Refused { status: u16, text: String },
    /// It may say something else later.
    #[error("it cannot answer now ({status}): {text}")]
    Trouble { status: u16, text: String },
    #[error("it does not answer like a coordinator: {0}")]
    Odd(String),
}

impl Link {
    pub(super) fn new(base: Url, configured: Option<Revealed>, kept: Kept) -> Self {
        let sent = kept.read(|content| content.api_key.clone());
        let keys = Mutex::new(Keys { sent, fell_back: false });
        Self { base, http: OnceLock::new(), configured, kept, keys }
    }

    /// Posts a body to the path of these segments and reads the answer.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &(impl Serialize + Sync),
        patience: Duration,
    ) -> Result<T, LinkError> {
        self.ask(Asked { method: Method::POST, path, query: None, body: Some(body), patience })
            .await
    }

    /// Sends a request and reads the answer; with the other key as well when one is refused.
    ///
    /// A coordinator that has heard too many wrong keys from this address says 429 in place of 401,
    /// to wrong keys only.
    pub(super) async fn ask<T: DeserializeOwned, B: Serialize + Sync>(
        &self,
        asked: Asked<'_, B>,
    ) -> Result<T, LinkError> {
        let sent = self.send(&asked, self.key()).await;
        let is_refusal = |error: &LinkError| error.is_of_key() || error.is_too_many();
        let (was_sent, fell_back) =
            if sent.as_ref().is_err_and(is_refusal) { self.fall_back() } else { (false, false) };
        if !fell_back {
            return sent;
        }
        let again = self.send(&asked, self.key()).await;
        match &again {
            Err(error) if is_refusal(error) => self.keys().fell_back = false,
            // The coordinator has taken the key back that it once sent. A 429 does not say so: that
            // key may have been used too often, and stays for when this one is refused.
            Ok(_) if was_sent && sent.as_ref().is_err_and(LinkError::is_of_key) => {
                self.keys().sent = None;
                tracing::warn!("the coordinator takes the configured API key again, not its own");
                self.kept.change(|content| content.api_key = None).await;
            }
            _ => {}
        }
        again
    }

    async fn send<T: DeserializeOwned, B: Serialize + Sync>(
        &self,
        asked: &Asked<'_, B>,
        key: Option<HeaderValue>,
    ) -> Result<T, LinkError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(asked.path);
        }
        url.set_query(asked.query);
        let method = asked.method.clone();
        let mut request = self.http()?.request(method, url).timeout(asked.patience);
        if let Some(body) = asked.body {
            request = request.json(body);
        }
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        let answer = request.send().await.map_err(|error| unreachable(&error))?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|error| unreachable(&error))?;
        if status.is_success() {
            return serde_json::from_slice(&bytes)
                .map_err(|error| LinkError::Odd(one_line(&error.to_string(), SHOWN)));
        }
        let text = one_line(&self.mask(&String::from_utf8_lossy(&bytes)), SHOWN);
        Err(match status {
            StatusCode::UNAUTHORIZED => LinkError::Unauthorized,
            StatusCode::NOT_FOUND => LinkError::NotFound,
            StatusCode::FORBIDDEN | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                LinkError::Trouble { status: status.as_u16(), text }
            }
            status if status.is_client_error() => {
                LinkError::Refused { status: status.as_u16(), text }
            }
            status if status.is_server_error() => {
                LinkError::Trouble { status: status.as_u16(), text }
            }
            status => LinkError::Odd(format!("status {}", status.as_u16())),
        })
    }

    /// Uses a key that the coordinator sent, from now on; says whether it is another than before.
    pub(super) async fn take_key(&self, key: String) -> bool {
        if !is_key(&key) {
            tracing::warn!("the coordinator sent an API key that fits no header; it is not used");
            return false;
        }
        {
            let mut keys = self.keys();
            if keys.sent.as_ref() == Some(&key) && !keys.fell_back {
                return false;
            }
            *keys = Keys { sent: Some(key.clone()), fell_back: false };
        }
        tracing::info!("the coordinator sent a new API key; it is used from now on");
        self.kept.change(|content| content.api_key = Some(key)).await;
        true
    }

    /// Puts `***` in place of the keys.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut mask = Mask::default();
        if let Some(key) = &self.configured {
            mask.add(key);
        }
        if let Some(key) = &self.keys().sent {
            mask.add(&Revealed::new(key.clone()));
        }
        mask.text(text)
    }

    /// Shows where the coordinator is.
    pub(super) fn shown(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    fn key(&self) -> Option<HeaderValue> {
        let keys = self.keys();
        let configured = self.configured.as_ref().map(Revealed::expose);
        let key = if keys.fell_back { configured } else { keys.sent.as_deref().or(configured) };
        let mut value = HeaderValue::from_str(key?).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Takes the other key after a refusal; says whether that was the one sent, and whether there
    /// is another.
    fn fall_back(&self) -> (bool, bool) {
        let mut keys = self.keys();
        let differs = match (&keys.sent, &self.configured) {
            (Some(sent), Some(configured)) => sent != configured.expose(),
            _ => false,
        };
        let was_sent = !keys.fell_back;
        if differs {
            keys.fell_back = was_sent;
        }
        (was_sent, differs)
    }

    /// Returns the client, made at the first request. For plain HTTP it gets no certificates:
    /// reading them costs more memory than all the rest of it.
    fn http(&self) -> Result<&reqwest::Client, LinkError> {
        if let Some(made) = self.http.get() {
            return Ok(made);
        }
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("yggdrasil-executor-sdk/", env!("CARGO_PKG_VERSION")))
            // The key would go wherever a redirect points.
            .redirect(redirect::Policy::none())
            .no_proxy();
        if self.base.scheme() == "http" {
            builder = builder.tls_certs_only([]);
        }
        let made = builder.build().map_err(|error| unreachable(&error))?;
        Ok(self.http.get_or_init(|| made))
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LinkError {
    /// Whether the key is refused.
    fn is_of_key(&self) -> bool {
        matches!(self, Self::Unauthorized)
    }

    /// Whether it is told to wait, for a wrong key or for one that is used too often.
    fn is_too_many(&self) -> bool {
        matches!(self, Self::Trouble { status: 429, .. })
    }

    /// Whether the same request may be answered otherwise later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Unauthorized | Self::Trouble { .. } | Self::Odd(_) => true,
            Self::NotFound | Self::Refused { .. } => false,
        }
    }
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.len() <= 4096 && key.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The innermost cause says it best; the URL is known.
fn unreachable(error: &reqwest::Error) -> LinkError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let text = if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() };
    LinkError::Unreachable(one_line(&text, SHOWN))
}
