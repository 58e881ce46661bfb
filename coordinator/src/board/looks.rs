//! What single beads looked like when somebody last asked: a page that asks every second must not
//! take the Beads CLI's time from the work.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::beads::{Bead, BeadId};

/// So long an answer is good whatever was written meanwhile.
const FRESH: Duration = Duration::from_secs(2);
/// So long it is good when nothing was written meanwhile; a `defer_until` passes without a write.
const OLD: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Look {
    at: Instant,
    signal: Option<Vec<u8>>,
    bead: Bead,
}

/// A look on its way.
#[derive(Debug)]
pub(crate) struct Begun {
    /// What the change signal said before it.
    signal: Option<Vec<u8>>,
    writes: u64,
}

/// The last looks at single beads.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    looks: Mutex<HashMap<BeadId, Look>>,
    /// Rises with each write of ours.
    writes: AtomicU64,
}

impl Looks {
    /// Returns what a bead looked like, if it still looks so.
    pub(crate) fn still_true(&self, id: &BeadId, signal: Option<&[u8]>) -> Option<Bead> {
        let looks = self.lock();
        let look = looks.get(id)?;
        let unchanged = signal.is_some() && look.signal.as_deref() == signal;
        let age = look.at.elapsed();
        (age < FRESH || (unchanged && age < OLD)).then(|| look.bead.clone())
    }

    /// Returns what a look that begins now is to be kept with.
    pub(crate) fn begin(&self, signal: Option<Vec<u8>>) -> Begun {
        Begun { signal, writes: self.writes.load(Ordering::SeqCst) }
    }

    /// Keeps a look, unless we have written something since it began.
    pub(crate) fn keep(&self, id: BeadId, begun: Begun, bead: Bead) {
        let Begun { signal, writes } = begun;
        if self.writes.load(Ordering::SeqCst) != writes {
            return;
        }
        let mut looks = self.lock();
        looks.retain(|_, look| look.at.elapsed() < OLD);
        looks.insert(id, Look { at: Instant::now(), signal, bead });
    }

    /// Forgets a look at a bead that we write.
    pub(crate) fn forget(&self, id: &BeadId) {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BeadId, Look>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_is_good_for_a_moment_and_longer_when_nothing_was_written() {
        let looks = Looks::default();
        let id: BeadId = "hl-1".parse().unwrap();
        let begun = looks.begin(Some(vec![1]));
        looks.keep(id.clone(), begun, crate::why::tests::bead(|_| {}));

        assert!(looks.still_true(&id, Some(&[2])).is_some());
        tokio::time::advance(FRESH).await;
        assert!(looks.still_true(&id, Some(&[2])).is_none());
        assert!(looks.still_true(&id, None).is_none());
        assert!(looks.still_true(&id, Some(&[1])).is_some());
        tokio::time::advance(OLD).await;
        assert!(looks.still_true(&id, Some(&[1])).is_none());

        let begun = looks.begin(Some(vec![1]));
        looks.forget(&id);
        looks.keep(id.clone(), begun, crate::why::tests::bead(|_| {}));
        assert!(looks.still_true(&id, None).is_none());
    }
}
