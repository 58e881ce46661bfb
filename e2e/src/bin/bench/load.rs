//! Load that costs little to make: bytes that were written before, over raw connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures::future::try_join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

/// One request, ready to be sent.
pub(crate) type Ready = Arc<[u8]>;

/// Writes a request with a JSON body, or without one.
pub(crate) fn request(method: &str, path: &str, body: Option<&Value>) -> Ready {
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    text.into_bytes().into()
}

/// What came of a load.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// How long each request took.
    pub(crate) times: Vec<Duration>,
    /// How many were not answered with 2xx.
    pub(crate) refused: usize,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
}

impl Measured {
    /// Returns how many requests were answered in a second.
    pub(crate) fn rate(&self) -> f64 {
        let count = u32::try_from(self.times.len()).unwrap_or(u32::MAX);
        f64::from(count) / self.took.as_secs_f64()
    }

    /// Returns the time within which so many percent were answered.
    pub(crate) fn within(&self, percent: f64) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        let last = f64::from(u32::try_from(times.len().saturating_sub(1)).unwrap_or(u32::MAX));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a list: not negative, and below its length"
        )]
        let at = (last * percent / 100.0).ceil() as usize;
        times.get(at).copied().unwrap_or_default()
    }

    fn and(mut self, other: Self) -> Self {
        self.times.extend(other.times);
        self.refused += other.refused;
        self.took = self.took.max(other.took);
        self
    }
}

/// Sends each request once, over so many connections.
pub(crate) async fn once(
    port: u16,
    connections: usize,
    requests: Vec<Ready>,
) -> anyhow::Result<Measured> {
    let requests: Arc<[Ready]> = requests.into();
    let next = Arc::new(AtomicUsize::new(0));
    all(connections, |_| {
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        async move {
            let mut client = Client::connect(port).await?;
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                client.send(request).await?;
            }
            Ok(client.measured)
        }
    })
    .await
}

/// Sends the requests in turn for a while, over so many connections, each as fast as it can.
pub(crate) async fn flat_out(
    port: u16,
    connections: usize,
    requests: &[Ready],
    time: Duration,
) -> anyhow::Result<Measured> {
    let requests: Arc<[Ready]> = requests.into();
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    all(connections, |_| {
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        async move {
            let mut client = Client::connect(port).await?;
            while start.elapsed() < time {
                let at = next.fetch_add(1, Ordering::Relaxed) % requests.len();
                client.send(&requests[at]).await?;
            }
            Ok(client.measured)
        }
    })
    .await
}

/// Sends so many requests a second, whether or not the ones before are answered, until `over`.
pub(crate) async fn paced(
    port: u16,
    connections: usize,
    requests: &[Ready],
    per_second: f64,
    over: &tokio_util::sync::CancellationToken,
) -> anyhow::Result<Measured> {
    let requests: Arc<[Ready]> = requests.into();
    let between = Duration::from_secs_f64(1.0 / per_second);
    let start = tokio::time::Instant::now();
    all(connections, |number| {
        let (requests, over) = (Arc::clone(&requests), over.clone());
        async move {
            let mut client = Client::connect(port).await?;
            for turn in 0.. {
                let at = turn * connections + number;
                let due = start + between * u32::try_from(at)?;
                tokio::select! {
                    () = over.cancelled() => break,
                    () = tokio::time::sleep_until(due) => {}
                }
                client.send(&requests[at % requests.len()]).await?;
            }
            Ok(client.measured)
        }
    })
    .await
}

async fn all<F>(connections: usize, client: impl Fn(usize) -> F) -> anyhow::Result<Measured>
where
    F: Future<Output = anyhow::Result<Measured>> + Send + 'static,
{
    let tasks = TaskTracker::new();
    let start = Instant::now();
    let clients = (0..connections).map(|number| tasks.spawn(client(number)));
    let mut sum = Measured::default();
    for measured in try_join_all(clients).await? {
        sum = sum.and(measured?);
    }
    sum.took = start.elapsed();
    Ok(sum)
}

/// One connection.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    measured: Measured,
}

impl Client {
    async fn connect(port: u16) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect(address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 * 1024), measured: Measured::default() })
    }

    async fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        let start = Instant::now();
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the connection was closed");
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let (status, length) = read_head(&self.buffer[..head])?;
        let mut left = length.saturating_sub(self.buffer.len() - head);
        while left > 0 {
            self.buffer.clear();
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "the connection was closed in an answer");
            left = left.saturating_sub(read);
        }
        self.measured.times.push(start.elapsed());
        self.measured.refused += usize::from(!(200..300).contains(&status));
        Ok(())
    }
}

fn read_head(head: &[u8]) -> anyhow::Result<(u16, usize)> {
    let head = std::str::from_utf8(head)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.with_context(|| format!("no status in `{head}`"))?;
    for line in head.lines() {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return Ok((status, value.trim().parse()?));
        }
    }
    if status == 204 {
        return Ok((status, 0));
    }
    bail!("an answer without a length: `{head}`")
}
