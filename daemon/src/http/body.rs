//! A request body that has to arrive in time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use super::stream::Requests;

/// The body of a request, with a deadline for all of it that no trickle extends. The time counts
/// from when the handler first waits for it.
pub(super) struct Timely {
    body: Incoming,
    patience: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    requests: Arc<Requests>,
}

impl Timely {
    pub(super) fn new(body: Incoming, patience: Duration, requests: Arc<Requests>) -> Self {
        requests.lacks_body(!body.is_end_stream());
        Self { body, patience, deadline: None, requests }
    }
}

impl Drop for Timely {
    fn drop(&mut self) {
        self.requests.lacks_body(false);
    }
}

impl HttpBody for Timely {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            if frame.is_none() || self.body.is_end_stream() {
                self.requests.lacks_body(false);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let patience = self.patience;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
