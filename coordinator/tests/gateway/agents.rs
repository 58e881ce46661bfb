//! Agents that do little, and say what they were asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// One request, as an agent got it.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// How an agent behaves.
#[derive(Debug)]
pub(super) struct Manner {
    name: String,
    /// The status of its answers, and their body.
    answer: Mutex<(StatusCode, String)>,
    got: Mutex<Vec<Got>>,
    /// Requests wait for a permit here.
    gate: Semaphore,
}

impl Manner {
    pub(super) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    pub(super) fn answers(&self, status: u16, body: &str) {
        *self.answer.lock().unwrap() = (StatusCode::from_u16(status).unwrap(), body.to_owned());
    }

    /// Lets so many requests be answered.
    pub(super) fn let_go(&self, count: usize) {
        self.gate.add_permits(count);
    }
}

/// An agent. Dropping it ends it, with its connections.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) manner: Arc<Manner>,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Agent {
    /// Starts one that answers at once.
    pub(super) async fn new(name: &str) -> Self {
        let agent = Self::held(name).await;
        agent.manner.let_go(1_000_000);
        agent
    }

    /// Starts one that answers when it is let.
    pub(super) async fn held(name: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let manner = Arc::new(Manner {
            name: name.to_owned(),
            answer: Mutex::new((StatusCode::OK, String::new())),
            got: Mutex::default(),
            gate: Semaphore::new(0),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&manner));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        TaskTracker::new().spawn(daemon::http::serve(
            listener,
            router,
            stopped,
            std::time::Duration::ZERO,
        ));
        Self { manner, address, stop }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn answer(
    State(manner): State<Arc<Manner>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // Only what is handed through has an id; what has none is a probe.
    if !headers.contains_key("x-request-id") {
        return StatusCode::OK.into_response();
    }
    manner.got.lock().unwrap().push(Got { method, uri, headers, body });
    manner.gate.acquire().await.unwrap().forget();
    let (status, body) = manner.answer.lock().unwrap().clone();
    let body = if body.is_empty() { manner.name.clone() } else { body };
    (status, body).into_response()
}

/// Takes each request and closes the connection without an answer; from the `answers_from`th on
/// it answers.
pub(super) async fn breaks_off(answers_from: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    TaskTracker::new().spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut head = Vec::new();
            let mut piece = [0; 1024];
            while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                match stream.read(&mut piece).await {
                    Ok(1..) => head.extend_from_slice(&piece),
                    Ok(0) | Err(_) => break,
                }
            }
            let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
            let is_probe = !head.contains("x-request-id:");
            if is_probe || counted.fetch_add(1, Ordering::SeqCst) + 1 >= answers_from {
                let answer =
                    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlater";
                drop(stream.write_all(answer).await);
            }
        }
    });
    (endpoint, seen)
}

/// Returns an endpoint at which nobody listens.
pub(super) async fn nobody() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    format!("http://{address}")
}
