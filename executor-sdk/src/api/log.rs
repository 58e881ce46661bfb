//! `GET /attempts/{attempt}/log`.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream;
use protocol::log::{DROPPED, ENDED, NEXT, OFFSET, SIZE};
use tokio::sync::watch;

use super::App;
use super::attempts::{Named, find, malformed, member};
use super::reply::refuse;
use crate::log::{Kept, LogReader, Piece, Progress};
use crate::runner::Found;

/// How much is read from disk at a time.
const CHUNK: usize = 64 * 1024;

pub(super) async fn read(
    State(app): State<Arc<App>>,
    attempt: Named,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.as_deref();
    let offset = match member(query, "offset").map(|text| text.parse::<u64>()) {
        None => 0,
        Some(Ok(offset)) => offset,
        Some(Err(_)) => return refuse(&malformed("`offset` must be a whole number")),
    };
    let follow = match member(query, "follow").as_deref() {
        None | Some("false" | "0") => false,
        Some("" | "true" | "1") => true,
        Some(_) => return refuse(&malformed("`follow` must be true or false")),
    };
    let found = match find(&app, attempt).await {
        Ok(found) => found,
        Err(refusal) => return refuse(&refusal),
    };

    let progress = match &found {
        Found::Live(live) => Some(live.log.progress()),
        Found::Recorded(_) => None,
    };
    // Read before the log: what is seen to have ended grows no more.
    let has_ended = progress.as_ref().is_none_or(|now| now.borrow().has_ended);
    let reader = app.runner.log_of(&found);
    let kept = reader.kept();
    // A follower may wait for an offset that the task has not come to yet.
    let asked = if follow && !has_ended { offset } else { offset.min(kept.size) };
    let first = first_offset(kept, asked);
    let mut headers = headers(kept, first, has_ended);
    let body = match progress {
        Some(progress) if follow => Body::from_stream(following(reader, first, progress)),
        _ => {
            number(&mut headers, NEXT, kept.size);
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(kept.available(first)));
            Body::from_stream(stored(reader, kept, first))
        }
    };
    (headers, body).into_response()
}

fn first_offset(kept: Kept, asked: u64) -> u64 {
    match kept.dropped() {
        Some((from, to)) if (from..to).contains(&asked) => to,
        _ => asked,
    }
}

fn headers(kept: Kept, first: u64, has_ended: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let bytes = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, bytes);
    number(&mut headers, SIZE, kept.size);
    number(&mut headers, OFFSET, first);
    if let Some((from, to)) = kept.dropped()
        && let Ok(range) = HeaderValue::from_str(&format!("{from}-{to}"))
    {
        headers.insert(HeaderName::from_static(DROPPED), range);
    }
    let ended = HeaderValue::from_static(if has_ended { "true" } else { "false" });
    headers.insert(HeaderName::from_static(ENDED), ended);
    headers
}

fn number(headers: &mut HeaderMap, name: &'static str, value: u64) {
    headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
}

/// Streams what is kept now, up to its end.
fn stored(
    reader: LogReader,
    kept: Kept,
    first: u64,
) -> impl futures::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(first, move |offset| {
        let reader = reader.clone();
        async move {
            if kept.available(offset) == 0 {
                return Ok(None);
            }
            let expected = first_offset(kept, offset);
            let mut piece = read_piece(reader, offset).await?;
            let left =
                usize::try_from(kept.size.saturating_sub(piece.offset)).unwrap_or(usize::MAX);
            piece.bytes.truncate(left);
            if piece.offset != expected || piece.bytes.is_empty() {
                // The announced length cannot be kept, so the client must see a broken answer.
                return Err(io::Error::other("the log went on while it was read"));
            }
            let next = piece.next();
            Ok(Some((Bytes::from(piece.bytes), next)))
        }
    })
}

/// Streams until the task has ended.
fn following(
    reader: LogReader,
    first: u64,
    progress: watch::Receiver<Progress>,
) -> impl futures::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((first, progress), move |(offset, mut progress)| {
        let reader = reader.clone();
        async move {
            loop {
                // Seen before the read: what is empty then stays empty.
                let has_ended = progress.borrow_and_update().has_ended;
                let piece = read_piece(reader.clone(), offset).await?;
                if !piece.bytes.is_empty() {
                    let next = piece.next();
                    return Ok(Some((Bytes::from(piece.bytes), (next, progress))));
                }
                if has_ended || progress.changed().await.is_err() {
                    return Ok(None);
                }
            }
        }
    })
}

async fn read_piece(reader: LogReader, offset: u64) -> io::Result<Piece> {
    tokio::task::spawn_blocking(move || reader.read(offset, CHUNK))
        .await
        .map_err(io::Error::other)?
}
