//! From the pipes to the sink, one chunk at a time.

use std::io::ErrorKind;
use std::mem;

use tokio::net::unix::pipe::Receiver;
use tokio::task::spawn_blocking;

use super::Stream;

/// As much as a pipe holds. Each command has one buffer of this size and no more.
const CHUNK: usize = 64 * 1024;
/// A program may make its pipe this large, not larger, unless it is root.
const MOST_A_PIPE_HOLDS: usize = 1024 * 1024;

/// Takes output. The buffer comes back to be filled again.
pub(super) trait Sink: Send {
    fn take(&mut self, stream: Stream, chunk: Vec<u8>) -> impl Future<Output = Vec<u8>> + Send;
}

/// Reads both streams to their end; a stream that has ended becomes `None`. True when both have.
///
/// After `over` only what already lies in the pipes is taken: the pace of the sink never costs the
/// last lines, and a stranger that goes on writing does not keep us.
pub(super) async fn pump<S: Sink>(
    out: &mut Option<Receiver>,
    err: &mut Option<Receiver>,
    sink: &mut S,
    over: impl Future<Output = ()>,
) -> bool {
    tokio::pin!(over);
    let mut buffer = Vec::new();
    loop {
        let stream = tokio::select! {
            biased;
            () = &mut over => break,
            stream = next(out.as_ref(), err.as_ref()) => stream,
        };
        let _read = match stream {
            Some(Stream::Out) => pass_on(out, Stream::Out, sink, &mut buffer).await,
            Some(Stream::Err) => pass_on(err, Stream::Err, sink, &mut buffer).await,
            None => return true,
        };
    }
    for (source, stream) in [(&mut *out, Stream::Out), (&mut *err, Stream::Err)] {
        let mut room = MOST_A_PIPE_HOLDS;
        while room > 0 {
            match pass_on(source, stream, sink, &mut buffer).await {
                0 => break,
                read => room = room.saturating_sub(read),
            }
        }
    }
    out.is_none() && err.is_none()
}

/// Waits for the next stream that has something to say; `None` when both have ended.
async fn next(out: Option<&Receiver>, err: Option<&Receiver>) -> Option<Stream> {
    tokio::select! {
        () = readable(out), if out.is_some() => Some(Stream::Out),
        () = readable(err), if err.is_some() => Some(Stream::Err),
        else => None,
    }
}

/// Hands one chunk to the sink, if there is one; returns its size.
async fn pass_on<S: Sink>(
    source: &mut Option<Receiver>,
    stream: Stream,
    sink: &mut S,
    buffer: &mut Vec<u8>,
) -> usize {
    let Some(pipe) = source else { return 0 };
    buffer.clear();
    buffer.reserve_exact(CHUNK);
    match pipe.try_read_buf(buffer) {
        Ok(read @ 1..) => {
            *buffer = sink.take(stream, mem::take(buffer)).await;
            read
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
        Ok(0) | Err(_) => {
            *source = None;
            0
        }
    }
}

// An error shows itself again in the read that follows.
async fn readable(pipe: Option<&Receiver>) {
    if let Some(pipe) = pipe {
        drop(pipe.readable().await);
    }
}

/// A sink that may block, kept away from the runtime's workers.
pub(super) struct Elsewhere<F> {
    work: Option<F>,
}

impl<F: FnMut(Stream, &[u8]) + Send + 'static> Elsewhere<F> {
    pub(super) fn new(work: F) -> Self {
        Self { work: Some(work) }
    }
}

impl<F: FnMut(Stream, &[u8]) + Send + 'static> Sink for Elsewhere<F> {
    async fn take(&mut self, stream: Stream, chunk: Vec<u8>) -> Vec<u8> {
        let Some(mut work) = self.work.take() else { return chunk };
        let handed_over = spawn_blocking(move || {
            work(stream, &chunk);
            (work, chunk)
        });
        match handed_over.await {
            Ok((work, chunk)) => {
                self.work = Some(work);
                chunk
            }
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is ending and takes no more work.
            Err(_) => Vec::new(),
        }
    }
}

/// A sink that keeps the first bytes of each stream.
pub(super) struct Kept {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) cut: bool,
    cap: usize,
}

impl Kept {
    pub(super) fn new(cap: usize) -> Self {
        Self { stdout: Vec::new(), stderr: Vec::new(), cut: false, cap }
    }
}

impl Sink for Kept {
    async fn take(&mut self, stream: Stream, chunk: Vec<u8>) -> Vec<u8> {
        let kept = match stream {
            Stream::Out => &mut self.stdout,
            Stream::Err => &mut self.stderr,
        };
        let room = chunk.len().min(self.cap - kept.len());
        kept.extend_from_slice(&chunk[..room]);
        self.cut |= room < chunk.len();
        chunk
    }
}
