//! Requests over TCP, with the connection habits of the daemon's runtime.
//!
//! Connections are used again, the latest first, and an idle one is believed to be open until its
//! end was seen. A blocked event loop sees nothing: when the server has closed the connection
//! meanwhile, the request that follows is lost with it. A client that connects anew by itself
//! would hide that.

use std::fmt::{self, Debug, Formatter};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use super::{Answer, Call, EventLoop, Transport};

type Sender = SendRequest<Body>;

/// The connections of one daemon.
#[derive(Debug)]
pub(super) struct Http {
    authority: String,
    prefix: String,
    pool: Arc<Pool>,
}

struct Pool {
    idle: Mutex<Vec<(u64, Sender)>>,
    next: AtomicU64,
    patience: Duration,
    event_loop: EventLoop,
    tasks: TaskTracker,
}

impl Http {
    pub(super) fn new(url: &str, event_loop: EventLoop, patience: Duration) -> Self {
        let rest = url.trim_end_matches('/');
        let rest = rest.strip_prefix("http://").unwrap_or(rest);
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let pool = Pool {
            idle: Mutex::default(),
            next: AtomicU64::new(0),
            patience,
            event_loop,
            tasks: TaskTracker::new(),
        };
        Self {
            authority: authority.to_owned(),
            prefix: if prefix.is_empty() { String::new() } else { format!("/{prefix}") },
            pool: Arc::new(pool),
        }
    }
}

impl Transport for Http {
    fn exchange(&self, call: Call) -> BoxFuture<'static, Result<Answer, String>> {
        let request = call.request(&self.prefix, &self.authority);
        let pool = Arc::clone(&self.pool);
        if let Some(mut sender) = self.pool.take() {
            let answer = sender.send_request(request);
            return async move {
                let answer = answer.await.map_err(|error| format!("socket hang up: {error}"))?;
                pool.finish(sender, answer).await
            }
            .boxed();
        }
        let authority = self.authority.clone();
        async move {
            let mut sender = pool.connect(&authority).await?;
            let answer = sender.send_request(request).await;
            let answer = answer.map_err(|error| format!("socket hang up: {error}"))?;
            pool.finish(sender, answer).await
        }
        .boxed()
    }
}

impl Pool {
    /// Takes the connection that was used last, unless its end was seen.
    fn take(&self) -> Option<Sender> {
        let mut idle = self.idle();
        while let Some((_, sender)) = idle.pop() {
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    async fn connect(&self, authority: &str) -> Result<Sender, String> {
        let stream = TcpStream::connect(authority).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let made = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(|error| error.to_string())?;
        self.tasks.spawn(drive(connection, self.event_loop.clone()));
        Ok(sender)
    }

    async fn finish(
        self: Arc<Self>,
        mut sender: Sender,
        answer: hyper::Response<hyper::body::Incoming>,
    ) -> Result<Answer, String> {
        let answer = Answer::read(answer.map(Body::new)).await?;
        if sender.ready().await.is_ok() {
            self.park(sender);
        }
        Ok(answer)
    }

    fn park(self: Arc<Self>, sender: Sender) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.idle().push((id, sender));
        let pool = Arc::downgrade(&self);
        let (patience, event_loop) = (self.patience, self.event_loop.clone());
        self.tasks.spawn(async move {
            tokio::time::sleep(patience).await;
            event_loop.free().await;
            if let Some(pool) = pool.upgrade() {
                pool.idle().retain(|(other, _)| *other != id);
            }
        });
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(u64, Sender)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug for Pool {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle", &self.idle().len()).finish_non_exhaustive()
    }
}

/// Moves the bytes of a connection, while the event loop is free to.
async fn drive(connection: Connection<TokioIo<TcpStream>, Body>, event_loop: EventLoop) {
    tokio::pin!(connection);
    loop {
        event_loop.free().await;
        tokio::select! {
            biased;
            () = event_loop.taken() => {}
            // How it ended, the request that was on it tells.
            _ = &mut connection => return,
        }
    }
}
