//! How a daemon's requests reach the coordinator.

mod http;
mod in_process;

use std::fmt::Debug;
use std::time::Duration;

use ::http::Method;
use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;

pub use in_process::{Doorway, Still};

use super::event_loop::EventLoop;

/// After how long the daemon's runtime closes a connection that it does not need.
pub(super) const IDLE: Duration = Duration::from_secs(5);

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    /// With the query.
    pub(super) path: String,
    pub(super) key: Option<String>,
    pub(super) body: Option<Bytes>,
}

impl Call {
    /// Writes the request as the daemon's HTTP library does.
    fn request(self, prefix: &str, authority: &str) -> ::http::Request<Body> {
        let mut request = ::http::Request::builder()
            .method(self.method)
            .uri(format!("{prefix}{}", self.path))
            .header("Host", authority)
            .header("Accept", "application/json, text/plain, */*")
            .header("Content-Type", "application/json")
            .header("User-Agent", "axios/1.21.1")
            .header("Accept-Encoding", ENCODINGS);
        if let Some(key) = self.key {
            request = request.header("X-API-Key", key);
        }
        let body = Body::from(self.body.unwrap_or_default());
        request.body(body).expect("ids, keys and paths of a test are plain text")
    }
}

/// What the daemon's HTTP library can unpack.
const ENCODINGS: &str = "gzip, compress, deflate, br";

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Answer {
    /// Reads the answer's body, and unpacks it if need be.
    async fn read(answer: ::http::Response<Body>) -> Result<Self, String> {
        let (head, body) = answer.into_parts();
        let body =
            axum::body::to_bytes(body, usize::MAX).await.map_err(|error| error.to_string())?;
        let packed = head.headers.get("content-encoding").map(|value| value.as_bytes().to_owned());
        let body = match packed.as_deref() {
            None | Some(b"identity") => body,
            Some(b"gzip") => unpacked(flate2::read::MultiGzDecoder::new(&*body))?,
            Some(b"deflate") => unpacked(flate2::read::ZlibDecoder::new(&*body))?,
            Some(other) => {
                return Err(format!("packed as `{}`", String::from_utf8_lossy(other)));
            }
        };
        Ok(Self { status: head.status.as_u16(), body })
    }
}

fn unpacked(mut from: impl std::io::Read) -> Result<Bytes, String> {
    let mut all = Vec::new();
    from.read_to_end(&mut all).map_err(|error| error.to_string())?;
    Ok(all.into())
}

/// Brings requests to the coordinator.
pub(super) trait Transport: Debug + Send + Sync {
    /// Sends a request. What can be done without waiting is done before the future is polled: a
    /// connection that lies idle is taken and written to in the daemon's very next step.
    fn exchange(&self, call: Call) -> BoxFuture<'static, Result<Answer, String>>;
}

/// Where the coordinator is.
#[derive(Debug, Clone)]
pub enum Target {
    /// At an address such as `http://127.0.0.1:3000`, with a path prefix or without.
    Url(String),
    /// In this process.
    Doorway(Doorway),
}

impl Target {
    pub(super) fn transport(&self, event_loop: &EventLoop, idle: Duration) -> Box<dyn Transport> {
        match self {
            Self::Url(url) => Box::new(http::Http::new(url, event_loop.clone(), idle)),
            Self::Doorway(doorway) => Box::new(doorway.clone()),
        }
    }
}
