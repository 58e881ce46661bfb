//! Serving HTTP with limits: slow clients, many connections, and a stop with a deadline.

mod body;
mod stream;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::duration;
use crate::exit::Exit;
use body::Timely;
use stream::{Answer, Patience, Requests, Stream};

/// How long a client may take for a request head.
pub const HEADER_PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection is kept between two requests. Some clients take one that was closed
/// meanwhile for a failure of what they send next: longer than most tasks.
pub const IDLE_PATIENCE: Duration = Duration::from_mins(15);
/// How long a client may take for a request body, counted from when the handler first wants it.
pub const BODY_PATIENCE: Duration = Duration::from_secs(30);
/// Connections beyond this wait in the kernel's queue.
const CONNECTIONS: usize = 16 * 1024;
/// The most bytes of a request head.
const MOST_OF_A_HEAD: usize = 128 * 1024;
/// How many files a process may want to open, where its hard limit lets it.
const FILES: u64 = 64 * 1024;

/// Opens the port to listen on.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Exit> {
    let error = match TcpListener::bind(address).await {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    let (ip, port) = (address.ip(), address.port());
    Err(match error.kind() {
        ErrorKind::AddrInUse => Exit::unavailable(format!("port {port} on {ip} is taken")).hinted(
            "stop what holds it (`ss -ltnp` shows it), or choose another with --port (PORT)",
        ),
        ErrorKind::PermissionDenied => {
            Exit::unavailable(format!("this user may not open port {port} on {ip}"))
                .hinted("choose a port above 1023 with --port (PORT)")
        }
        ErrorKind::AddrNotAvailable => {
            Exit::unavailable(format!("{ip} is no address of this machine"))
                .hinted("choose another with --host (YGGDRASIL_HOST)")
        }
        _ => Exit::unavailable(format!("cannot listen on {address}: {error}")),
    })
}

/// Serves `router` until `stop`. Then no connection is accepted, idle ones are closed, running
/// requests may finish within `drain`, and what is left is dropped.
///
/// Handlers find the peer's address as `ConnectInfo<SocketAddr>`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    drain: Duration,
) {
    serve_with(&Limits::of_this_process(), listener, router, stop, drain).await;
}

/// Lets this process have as many connections as it is allowed to: the usual soft limit of 1,024
/// files is for programs that use `select`.
pub fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = FILES.min(hard);
        if wanted > soft { setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) } else { Ok(()) }
    });
    if let Err(error) = raised {
        debug!("the limit of open files stays as it is: {error}");
    }
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    connections: usize,
    header: Duration,
    idle: Duration,
    body: Duration,
}

impl Limits {
    // Half of the files that this process may open, so that the other half is left for work.
    fn of_this_process() -> Self {
        let files = getrlimit(Resource::RLIMIT_NOFILE).ok();
        let files = files.and_then(|(soft, _)| usize::try_from(soft).ok()).unwrap_or(usize::MAX);
        let connections = CONNECTIONS.min(files / 2).max(1);
        Self { connections, header: HEADER_PATIENCE, idle: IDLE_PATIENCE, body: BODY_PATIENCE }
    }

    fn patience(&self) -> Patience {
        let idle_when_full = self.header.min(self.idle);
        Patience { head: self.header, idle: self.idle, idle_when_full, look_every: idle_when_full }
    }
}

async fn serve_with(
    limits: &Limits,
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    drain: Duration,
) {
    // The future of a connection is owned here, so that dropping this function drops them all.
    let mut connections = JoinSet::new();
    let room = Arc::new(Semaphore::new(limits.connections));
    loop {
        let (stream, peer, permit) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => {
                note_panic(ended);
                continue;
            }
            accepted = accept(&listener, &room) => accepted,
        };
        let (limits, stop) = (*limits, stop.clone());
        if let Err(error) = stream.set_nodelay(true) {
            debug!("no TCP_NODELAY for {peer}: {error}");
        }
        let requests = Arc::new(Requests::default());
        let little_room = limits.connections.div_ceil(8);
        let stream = Stream::new(
            stream,
            Arc::clone(&requests),
            limits.patience(),
            Arc::clone(&room),
            little_room,
        );
        let router = router.clone();
        connections.spawn(async move {
            connection(limits, stream, requests, peer, router, stop).await;
            drop(permit);
        });
    }
    drop(listener);
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            note_panic(ended);
        }
    };
    if tokio::time::timeout(drain, all_ended).await.is_err() {
        let left = connections.len();
        warn!("{left} connections were still open after {} and are dropped", duration::show(drain));
        connections.shutdown().await;
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // Never closed, so there is always a permit in the end.
    let permit = Arc::clone(room).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
            Err(error) if is_of_one_client(error.kind()) => {}
            // Out of descriptors, as a rule: without a pause this would be a busy loop.
            Err(error) => {
                warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn is_of_one_client(kind: ErrorKind) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};

    matches!(kind, ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(
    limits: Limits,
    stream: Stream,
    requests: Arc<Requests>,
    peer: SocketAddr,
    router: Router,
    stop: CancellationToken,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let running = requests.begin();
        let timely = |body| Body::new(Timely::new(body, limits.body, Arc::clone(&requests)));
        let mut request = request.map(timely);
        request.extensions_mut().insert(ConnectInfo(peer));
        let answered = router.clone().oneshot(request);
        async move {
            let answer = answered.await?;
            Ok::<_, std::convert::Infallible>(answer.map(|body| Answer::new(body, running)))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    // The stream itself knows how long to wait for a head.
    builder.http1().header_read_timeout(None).max_buf_size(MOST_OF_A_HEAD);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!("the connection from {peer} ended: {error}");
    }
}

fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        warn!("a request handler panicked; its connection is closed");
    }
}

#[cfg(test)]
mod tests;
