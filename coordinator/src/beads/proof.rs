//! The proof that a bead is ours.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use super::bead::{Bead, BeadId};
use super::command::Held;

/// A claim older than this is looked at before it is settled: in so long a time a person may have
/// closed or taken the bead, and `close` would write over that without a word.
const FRESH: Duration = Duration::from_mins(1);
/// The labels that say how a bead of ours ended; the next ending takes the old ones off.
const OUR_LABELS: [&str; 4] = ["task-failed", "task-waiting", "task-lost", "task-cancelled"];

/// The proof that a bead is ours. Used up by settling, and made only by
/// [`Beads::claim`](super::Beads::claim), [`Beads::adopt`](super::Beads::adopt) and
/// [`Beads::resume`](super::Beads::resume).
pub struct Claim(Box<Proof>);

struct Proof {
    live: Live,
    bead: BeadId,
    attempt: Uuid,
    held: Held,
    /// Labels of ours that it carried.
    labels: Vec<String>,
    size: usize,
    /// When the store last showed that it is ours; `None` when a write has failed since.
    seen: Option<Instant>,
    result: OnceLock<Value>,
}

impl Drop for Proof {
    fn drop(&mut self) {
        let mut live = self.live.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = live.get_mut(&self.bead) {
            *count -= 1;
            if *count == 0 {
                live.remove(&self.bead);
            }
        }
    }
}

/// The beads that a claim of this process exists for. A program lets the same actor claim twice,
/// and the second stamp would take the bead from the first attempt.
#[derive(Debug, Clone, Default)]
pub(super) struct Live(Arc<Mutex<HashMap<BeadId, usize>>>);

impl Live {
    pub(super) fn has(&self, id: &BeadId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }

    fn add(&self, id: &BeadId) -> Self {
        let mut live = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *live.entry(id.clone()).or_default() += 1;
        self.clone()
    }
}

impl Claim {
    pub(super) fn new(live: &Live, bead: &Bead, attempt: Uuid, held: Held) -> Self {
        Self(Box::new(Proof {
            live: live.add(&bead.id),
            bead: bead.id.clone(),
            attempt,
            held,
            labels: our_labels(bead),
            size: bead.size,
            seen: Some(Instant::now()),
            result: OnceLock::new(),
        }))
    }

    /// The bead that is ours.
    pub fn bead(&self) -> &BeadId {
        &self.0.bead
    }

    /// The attempt it was claimed for.
    pub fn attempt(&self) -> Uuid {
        self.0.attempt
    }

    pub(super) fn held(&self) -> Held {
        self.0.held
    }

    /// Bytes of the bead when it was last seen.
    pub(super) fn size(&self) -> usize {
        self.0.size
    }

    /// Labels of ours that the next ending takes off, but for the one it puts on.
    pub(super) fn stale_labels(&self, keep: Option<&str>) -> Vec<String> {
        self.0.labels.iter().filter(|label| Some(label.as_str()) != keep).cloned().collect()
    }

    /// Whether the store should be asked before the bead is written.
    pub(super) fn needs_a_look(&self) -> bool {
        self.0.seen.is_none_or(|seen| seen.elapsed() > FRESH)
    }

    /// Whether a write has failed and may have landed all the same.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.0.seen.is_none()
    }

    /// After a failed write nobody knows how the bead stands.
    pub(super) fn doubt(&mut self) {
        self.0.seen = None;
    }

    /// After a look that proved it.
    pub(super) fn saw(&mut self, bead: &Bead, held: Held) {
        self.0.held = held;
        self.0.size = bead.size;
        self.0.labels = our_labels(bead);
        self.0.seen = Some(Instant::now());
    }

    /// The result written under this claim, to be found again when the bead is closed.
    pub(super) fn result(&self) -> &OnceLock<Value> {
        &self.0.result
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claim({} for {})", self.0.bead, self.0.attempt)
    }
}

/// The labels of ours that a bead carries.
pub(super) fn our_labels(bead: &Bead) -> Vec<String> {
    let is_ours = |label: &&String| OUR_LABELS.contains(&label.as_str());
    bead.labels.iter().filter(is_ours).cloned().collect()
}
