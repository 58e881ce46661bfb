//! After a restart: what the last life left unfinished was interrupted.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use daemon::store::StoreError;
use jiff::Timestamp;
use protocol::execute::{Ending, Outcome};
use serde_json::{Map, Value};

use super::{Record, Spool, SpoolError, record};
use crate::log::{Kept, Layout, LogReader};
use crate::tail::{KEPT, Tail};

impl Spool {
    /// Gives every unfinished attempt its outcome, `interrupted`, and returns how many there were.
    ///
    /// Call it after the processes of earlier lives were ended, and before serving.
    pub(crate) async fn interrupt_unfinished(&self) -> Result<usize, SpoolError> {
        let unfinished =
            self.store.read(|db| -> Result<_, StoreError> { Ok(record::unfinished(db)?) }).await?;
        let count = unfinished.len();
        for attempt in unfinished {
            let (outcome, kept) = self.interrupted(&attempt);
            let text = serde_json::to_string(&outcome)?;
            let status = outcome.status.as_str();
            self.store
                .write(move |db| -> Result<(), StoreError> {
                    let id = attempt.attempt;
                    Ok(record::finish(db, id, outcome.timestamp, status, &text, kept)?)
                })
                .await?;
        }
        Ok(count)
    }

    fn interrupted(&self, attempt: &Record) -> (Outcome, Kept) {
        let path = self.log_path(attempt.attempt);
        let layout = Layout::new(attempt.log_cap);
        let (kept, last_write) = match recovered_log(&path, layout) {
            Ok(found) => found,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "cannot read a task's log");
                }
                (Kept { size: 0, from: 0, to: 0 }, None)
            }
        };
        // The last sign of life is the last byte it printed.
        let duration =
            last_write.map_or(0.0, |at| at.duration_since(attempt.started).as_secs_f64()).max(0.0);
        let reader = LogReader::Ended { path, layout, kept };
        let outcome = Outcome {
            task_id: attempt.task_id.clone(),
            task_type: attempt.task_type.clone(),
            attempt: attempt.attempt,
            status: Ending::Interrupted,
            output: tail_of(&reader, kept),
            duration_seconds: duration,
            exit_code: None,
            data: Value::Object(Map::new()),
            error: Some("the executor was killed, or lost its power, while the task ran".into()),
            log_bytes: kept.size,
            truncated: kept.dropped().is_some(),
            timestamp: Timestamp::now(),
        };
        (outcome, kept)
    }
}

fn recovered_log(
    path: &std::path::Path,
    layout: Layout,
) -> std::io::Result<(Kept, Option<Timestamp>)> {
    let file = File::open(path)?;
    let found = file.metadata()?;
    let kept = layout.recover(found.len(), |at, bytes| file.read_exact_at(bytes, at))?;
    let last_write = found.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
    Ok((kept, last_write))
}

fn tail_of(reader: &LogReader, kept: Kept) -> String {
    let mut tail = Tail::default();
    // A little more than is kept, so that a character that was cut is left out.
    let mut offset = kept.size.saturating_sub(KEPT as u64 + 4);
    while let Ok(piece) = reader.read(offset, KEPT) {
        if piece.bytes.is_empty() {
            break;
        }
        offset = piece.next();
        tail.push(&piece.bytes);
    }
    tail.text()
}
