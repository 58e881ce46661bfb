//! Bytes on a connection, for what no HTTP client would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long an answer may take before a test gives up.
const PATIENCE: Duration = Duration::from_mins(1);

/// One connection.
#[derive(Debug)]
pub(super) struct Raw {
    stream: TcpStream,
    /// What was read beyond the last answer.
    rest: Vec<u8>,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Back {
    Answer {
        status: u16,
        head: String,
        body: String,
    },
    /// The other side closed the connection without a whole answer.
    Closed,
}

impl Back {
    #[track_caller]
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Answer { status, .. } => *status,
            Self::Closed => panic!("the connection was closed without an answer"),
        }
    }

    #[track_caller]
    pub(super) fn body(&self) -> &str {
        match self {
            Self::Answer { body, .. } => body,
            Self::Closed => panic!("the connection was closed without an answer"),
        }
    }
}

impl Raw {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self { stream, rest: Vec::new() }
    }

    /// Sends bytes; one that the other side does not take any more is no error.
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Says that nothing more will be sent.
    pub(super) async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Whether the connection stays open and silent for so long.
    pub(super) async fn stays_open(&mut self, for_: Duration) -> bool {
        let mut byte = [0; 1];
        tokio::time::timeout(for_, self.stream.read(&mut byte)).await.is_err()
    }

    /// Reads the head of an answer that has no body, whatever it says of a length.
    pub(super) async fn read_head(&mut self) -> String {
        loop {
            if let Some(at) = find(&self.rest, b"\r\n\r\n") {
                let head = self.rest.drain(..at + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            let more = tokio::time::timeout(PATIENCE, self.more()).await;
            assert!(more.expect("an answer in time"), "the connection was closed");
        }
    }

    /// Reads one answer to its end.
    pub(super) async fn read(&mut self) -> Back {
        tokio::time::timeout(PATIENCE, self.read_patiently()).await.expect("an answer in time")
    }

    async fn read_patiently(&mut self) -> Back {
        let head_ends = loop {
            if let Some(at) = find(&self.rest, b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more().await {
                return Back::Closed;
            }
        };
        let head = String::from_utf8_lossy(&self.rest[..head_ends]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        assert!(header(&head, "transfer-encoding").is_none(), "{head}");
        while self.rest.len() < head_ends + length {
            if !self.more().await {
                return Back::Closed;
            }
        }
        let body = String::from_utf8_lossy(&self.rest[head_ends..head_ends + length]).into_owned();
        self.rest.drain(..head_ends + length);
        Back::Answer { status, head, body }
    }

    async fn more(&mut self) -> bool {
        self.rest.reserve(16 * 1024);
        self.stream.read_buf(&mut self.rest).await.is_ok_and(|count| count > 0)
    }
}

/// Returns a header of a head.
pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
