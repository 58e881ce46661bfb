//! Bodies that nobody wants.

use axum::body::Body;
use futures::StreamExt as _;

/// So much is read and thrown away.
const MOST: usize = 8 * 1024 * 1024;

/// Reads what a client still sends, so that it is there for the refusal: many programs write their
/// whole body first and never look at an answer when the connection is closed meanwhile. How long
/// that may take is limited by the server, for every body.
pub(crate) async fn throw_away(body: Body) {
    let mut pieces = body.into_data_stream();
    let mut read = 0;
    while let Some(Ok(piece)) = pieces.next().await {
        read += piece.len();
        if read > MOST {
            return;
        }
    }
}
