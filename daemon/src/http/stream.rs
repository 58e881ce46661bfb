//! A connection that waits as long as it should, and no longer.
//!
//! Clients keep connections open and use one again after minutes, and some take a closed one for
//! a failure. A request head, once begun, must come quickly all the same. A client may also say
//! that it has sent everything while it still waits for the answer.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long an answer may take once the client has sent its last byte.
const LAST_WORD: Duration = Duration::from_secs(15);
/// How long a client may take no byte of an answer.
const WRITE_PATIENCE: Duration = Duration::from_mins(10);

const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
    content-type: application/json; charset=utf-8\r\ncontent-length: 46\r\n\r\n\
    {\"error\":\"the request did not arrive in time\"}";

/// How long a connection waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the rest of a head, and for the first one.
    pub(super) head: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
    /// The same, while few connections more can be taken.
    pub(super) idle_when_full: Duration,
    /// How often an idle connection looks whether it is in the way of others.
    pub(super) look_every: Duration,
}

/// How many requests of a connection were begun, and how many are done.
#[derive(Debug, Default)]
pub(super) struct Requests {
    begun: AtomicUsize,
    done: AtomicUsize,
    /// Whether the body of the running one is still to come.
    lacks_body: AtomicBool,
    /// Who waits for the running one to be done.
    waiting: Mutex<Option<Waker>>,
}

impl Requests {
    /// Notes a request; it is done when what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Running {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }

    /// Notes whether the body of the running request is still to come.
    pub(super) fn lacks_body(&self, lacks: bool) {
        self.lacks_body.store(lacks, Ordering::Relaxed);
    }

    /// Whether a request that has arrived whole is not answered yet.
    fn owes_answer(&self) -> bool {
        self.is_busy() && !self.lacks_body.load(Ordering::Relaxed)
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    fn is_busy(&self) -> bool {
        self.begun() != self.done.load(Ordering::Relaxed)
    }
}

/// A request that is not done yet.
#[derive(Debug)]
pub(super) struct Running(Arc<Requests>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.done.fetch_add(1, Ordering::Relaxed);
        let waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

/// The body of an answer; its request is done with it.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    _running: Running,
}

impl Answer {
    pub(super) fn new(body: Body, running: Running) -> Self {
        Self { body, _running: running }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a connection waits for while no request runs.
#[derive(Debug, Clone, Copy)]
enum Wait {
    Head { since: Instant, has_begun: bool },
    Next { since: Instant },
}

/// A connection of a client.
#[derive(Debug)]
pub(super) struct Stream {
    tcp: TcpStream,
    requests: Arc<Requests>,
    patience: Patience,
    /// How many connections more can be taken, and from how few on that is few.
    room: Arc<Semaphore>,
    little_room: usize,
    wait: Wait,
    /// How many requests there were when `wait` was last looked at.
    seen: usize,
    timer: Option<Pin<Box<Sleep>>>,
    /// When the client said that it has sent everything.
    ended: Option<Instant>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    pub(super) fn new(
        tcp: TcpStream,
        requests: Arc<Requests>,
        patience: Patience,
        room: Arc<Semaphore>,
        little_room: usize,
    ) -> Self {
        let wait = Wait::Head { since: Instant::now(), has_begun: false };
        Self {
            tcp,
            requests,
            patience,
            room,
            little_room,
            wait,
            seen: 0,
            timer: None,
            ended: None,
            stalled: None,
        }
    }

    /// A request that is done leaves the connection idle.
    fn note_requests(&mut self) {
        let begun = self.requests.begun();
        if begun != self.seen {
            self.seen = begun;
            self.wait = Wait::Next { since: Instant::now() };
        }
    }

    fn note_bytes(&mut self) {
        if self.requests.is_busy() {
            return;
        }
        self.note_requests();
        self.wait = match self.wait {
            Wait::Head { since, .. } => Wait::Head { since, has_begun: true },
            Wait::Next { .. } => Wait::Head { since: Instant::now(), has_begun: true },
        };
    }

    fn deadline(&self) -> Instant {
        match self.wait {
            Wait::Head { since, .. } => since + self.patience.head,
            Wait::Next { since } if self.room.available_permits() < self.little_room => {
                since + self.patience.idle_when_full
            }
            Wait::Next { since } => since + self.patience.idle,
        }
    }

    /// Wakes this connection at `when`, or some time before. A timer that is set already is left
    /// alone where it will do: a busy connection would set it anew with each request.
    fn poll_timer(&mut self, when: Instant, context: &mut Context<'_>) -> Poll<()> {
        let when = when.min(Instant::now() + self.patience.look_every);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(when)));
        if timer.is_elapsed() || timer.deadline() > when {
            timer.as_mut().reset(when);
        }
        timer.as_mut().poll(context)
    }

    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.requests.is_busy() {
            // The time of a body is counted where it is read, that of an answer nowhere.
            return Poll::Pending;
        }
        self.note_requests();
        loop {
            let deadline = self.deadline();
            if deadline <= Instant::now() {
                if matches!(self.wait, Wait::Head { has_begun: true, .. }) {
                    // Who does not take it now does not get it.
                    drop(self.tcp.try_write(TOO_SLOW));
                }
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            ready!(self.poll_timer(deadline, context));
        }
    }

    /// Hides for a while that the client has sent everything, so that the running request is
    /// answered.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let until = *self.ended.get_or_insert_with(Instant::now) + LAST_WORD;
        let waker = context.waker().clone();
        *self.requests.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
        while self.requests.owes_answer() && Instant::now() < until {
            ready!(self.poll_timer(until, context));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ended.is_some() {
            return this.poll_end(context);
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.tcp).poll_read(context, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() == before && buffer.capacity() > 0 => {
                this.poll_end(context)
            }
            Poll::Ready(Ok(())) => {
                this.note_bytes();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.poll_patience(context),
        }
    }
}

impl Stream {
    fn poll_stall<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let until = Instant::now() + WRITE_PATIENCE;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(context, bytes);
        self.poll_stall(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(context, pieces);
        self.poll_stall(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
