//! The body of a request: read whole where it is small, handed through as it comes where it is not.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream, Bytes};
use bytes::BytesMut;
use futures::{Stream, StreamExt as _};

/// Why a body could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    TooLarge,
    /// The client did not send what it announced, or too slowly.
    Broken,
}

/// What an agent gets as body.
#[derive(Debug)]
pub(super) enum Payload {
    None,
    /// It can be sent as often as need be.
    Whole(Bytes),
    /// It can be sent once; as long as no agent has wanted the first byte it is untouched.
    Streamed(Streamed),
}

#[derive(Debug)]
pub(super) struct Streamed {
    rest: Arc<Mutex<Option<Rest>>>,
    trouble: Arc<AtomicU8>,
    /// By the client's own word.
    pub(super) length: Option<u64>,
}

/// What is not sent yet.
#[derive(Debug)]
struct Rest {
    first: Option<Bytes>,
    stream: BodyDataStream,
    /// How many bytes may still come.
    room: u64,
}

impl Payload {
    /// Takes a body that may be `limit` bytes long; up to `small` it is read whole.
    pub(super) async fn read(
        body: Body,
        length: Option<u64>,
        small: usize,
        limit: u64,
    ) -> Result<Self, Trouble> {
        if length.is_some_and(|length| length > limit) {
            return Err(Trouble::TooLarge);
        }
        let mut stream = body.into_data_stream();
        let mut first = BytesMut::new();
        if length.is_none_or(|length| length <= small as u64) {
            while let Some(piece) = stream.next().await {
                first.extend_from_slice(&piece.map_err(|_| Trouble::Broken)?);
                if first.len() > small {
                    break;
                }
            }
            if first.len() <= small {
                return Ok(Self::Whole(first.freeze()));
            }
        }
        let room = limit.checked_sub(first.len() as u64).ok_or(Trouble::TooLarge)?;
        let first = (!first.is_empty()).then(|| first.freeze());
        let rest = Arc::new(Mutex::new(Some(Rest { first, stream, room })));
        Ok(Self::Streamed(Streamed { rest, trouble: Arc::default(), length }))
    }

    /// Whether it can be sent (again).
    pub(super) fn is_fresh(&self) -> bool {
        match self {
            Self::None | Self::Whole(_) => true,
            Self::Streamed(streamed) => streamed.lock().is_some(),
        }
    }

    /// Returns what is sent now.
    pub(super) fn to_send(&self) -> Option<reqwest::Body> {
        match self {
            Self::None => None,
            Self::Whole(bytes) => Some(bytes.clone().into()),
            Self::Streamed(streamed) => Some(reqwest::Body::wrap_stream(Sent {
                waiting: Arc::clone(&streamed.rest),
                trouble: Arc::clone(&streamed.trouble),
                taken: None,
            })),
        }
    }

    /// Returns what was wrong with the client's side of it while it was sent.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let Self::Streamed(streamed) = self else { return None };
        match streamed.trouble.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Trouble::TooLarge),
            _ => Some(Trouble::Broken),
        }
    }
}

impl Streamed {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Rest>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body on its way to an agent. Dropped before its first byte was wanted, it leaves everything
/// for the next one.
struct Sent {
    waiting: Arc<Mutex<Option<Rest>>>,
    trouble: Arc<AtomicU8>,
    taken: Option<Rest>,
}

impl Sent {
    fn fail(&self, trouble: Trouble) -> io::Error {
        let (number, text) = match trouble {
            Trouble::TooLarge => (1, "the body is too long"),
            Trouble::Broken => (2, "the body did not come"),
        };
        self.trouble.store(number, Ordering::Release);
        io::Error::other(text)
    }
}

impl Stream for Sent {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.taken.is_none() {
            let rest = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
            self.taken = rest;
        }
        let Some(rest) = &mut self.taken else { return Poll::Ready(None) };
        if let Some(first) = rest.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let piece = match rest.stream.poll_next_unpin(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(piece)) => piece,
        };
        Poll::Ready(Some(match piece {
            Err(_) => Err(self.fail(Trouble::Broken)),
            Ok(piece) => match rest.room.checked_sub(piece.len() as u64) {
                None => Err(self.fail(Trouble::TooLarge)),
                Some(room) => {
                    rest.room = room;
                    Ok(piece)
                }
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(sizes: &[usize]) -> Body {
        let pieces: Vec<io::Result<Bytes>> =
            sizes.iter().map(|size| Ok(Bytes::from(vec![b'x'; *size]))).collect();
        Body::from_stream(futures::stream::iter(pieces))
    }

    async fn sent(payload: &Payload) -> io::Result<usize> {
        let Payload::Streamed(streamed) = payload else { panic!("not streamed: {payload:?}") };
        let mut sent = Sent {
            waiting: Arc::clone(&streamed.rest),
            trouble: Arc::clone(&streamed.trouble),
            taken: None,
        };
        let mut length = 0;
        while let Some(piece) = sent.next().await {
            length += piece?.len();
        }
        Ok(length)
    }

    #[tokio::test]
    async fn a_small_body_is_read_whole_and_can_be_sent_again() {
        let payload = Payload::read(pieces(&[4, 6]), None, 10, 100).await.unwrap();

        assert!(matches!(&payload, Payload::Whole(bytes) if bytes.len() == 10));
        drop(payload.to_send());
        assert!(payload.is_fresh());
    }

    #[tokio::test]
    async fn a_large_one_is_handed_through_once() {
        for length in [None, Some(50)] {
            let payload = Payload::read(pieces(&[8, 8, 34]), length, 10, 100).await.unwrap();

            drop(payload.to_send());
            assert!(payload.is_fresh(), "nobody wanted its first byte");
            assert_eq!(sent(&payload).await.unwrap(), 50);
            assert!(!payload.is_fresh());
        }
    }

    #[tokio::test]
    async fn one_beyond_the_limit_is_cut_off() {
        let announced = Payload::read(pieces(&[]), Some(101), 10, 100).await;
        assert_eq!(announced.unwrap_err(), Trouble::TooLarge);

        let payload = Payload::read(pieces(&[60, 60]), None, 10, 100).await.unwrap();
        assert!(sent(&payload).await.is_err());
        assert_eq!(payload.trouble(), Some(Trouble::TooLarge));
    }

    #[tokio::test]
    async fn one_that_breaks_off_is_the_clients_fault() {
        let pieces = [Ok(Bytes::from_static(b"0123456789abc")), Err(io::Error::other("gone"))];
        let body = Body::from_stream(futures::stream::iter(pieces));

        let payload = Payload::read(body, None, 10, 100).await.unwrap();

        assert!(sent(&payload).await.is_err());
        assert_eq!(payload.trouble(), Some(Trouble::Broken));
    }
}
