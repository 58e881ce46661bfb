//! What the coordinator knows right now, in memory: the last listing, the open attempts, the
//! troubles. What must survive is in the ledger; this is the copy that plans and answers are made
//! from.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use crate::beads::BeadId;
use crate::ledger::Attempt;
use crate::plan::{Active, Intake, Listed, Plan};
use crate::settle::Hold;

mod looks;
#[cfg(test)]
mod tests;

use looks::Looks;

/// The window of the emergency brake.
const MINUTE: Duration = Duration::from_mins(1);
/// How long a bead rests that was given back at once; doubled each time.
const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_mins(5);
/// After so long beyond its rest a bead begins anew.
const FORGIVEN: Duration = Duration::from_mins(10);

/// What is wrong, by where it comes from: each source has one text at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The Beads CLI or its store, when a bead is written or looked at.
    Beads,
    /// The Beads CLI or its store, when the beads are listed.
    Listing,
    /// The ledger.
    Ledger,
    /// Writing the end of this bead's attempt.
    Settle(BeadId),
    /// This bead cannot be listed.
    Poisoned(BeadId),
    /// Timer gates cannot be checked.
    Gates,
}

impl Source {
    /// Whether new claims would fail as well.
    fn closes_intake(&self) -> bool {
        match self {
            Self::Beads | Self::Listing | Self::Ledger => true,
            // One bead's trouble is not the others'.
            Self::Settle(_) | Self::Poisoned(_) | Self::Gates => false,
        }
    }
}

/// A bead blocked by us that we shall reopen.
#[derive(Debug, Clone)]
pub struct Held {
    pub bead: BeadId,
    pub title: String,
    pub task_type: String,
    pub hold: Hold,
    /// The attempt that it is marked with.
    pub mark: Uuid,
    /// None when another ledger's coordinator blocked it.
    pub attempt: Option<Attempt>,
}

/// A bead that was given back at once; claimed again and again it would keep Beads busy.
#[derive(Debug)]
struct Rest {
    until: Instant,
    length: Duration,
}

/// The plan together with the listing it was made from.
#[derive(Debug, Clone)]
pub struct Planned {
    pub at: Timestamp,
    pub listed: Arc<Vec<Listed>>,
    pub plan: Plan,
}

#[derive(Debug, Default)]
struct Inner {
    listed: Arc<Vec<Listed>>,
    listed_at: Option<Timestamp>,
    without_task_type: u64,
    planned: Option<Arc<Planned>>,
    /// Decided by the plan, not yet in the ledger.
    reserved: HashMap<BeadId, Active>,
    active: BTreeMap<Uuid, Attempt>,
    held: BTreeMap<BeadId, Held>,
    /// When we last wrote a bead: an older listing of it is stale.
    touched: HashMap<BeadId, Instant>,
    resting: HashMap<BeadId, Rest>,
    starts: VecDeque<Instant>,
    /// When beads come back into the listing without a write.
    list_at: BTreeSet<Timestamp>,
    troubles: BTreeMap<Source, String>,
}

/// What the coordinator knows right now.
#[derive(Debug, Default)]
pub struct Board {
    inner: Mutex<Inner>,
    /// What single beads looked like when somebody last asked.
    pub(crate) looks: Looks,
    /// Woken when a new plan may say something else.
    pub changed: Arc<Notify>,
}

impl Board {
    /// Takes over a listing that was begun at `begun`.
    ///
    /// What it says of beads that we wrote since then is old; [`Board::room`] leaves them out.
    /// Returns whether there are such: then the beads should be listed once more.
    pub fn list(&self, mut listed: Vec<Listed>, without_task_type: u64, begun: Instant) -> bool {
        let mut inner = self.lock();
        let seen: HashMap<&BeadId, Timestamp> =
            inner.listed.iter().map(|old| (old.bead(), old.first_seen)).collect();
        for new in &mut listed {
            if let Some(first) = seen.get(new.bead()) {
                new.first_seen = *first;
            }
        }
        inner.touched.retain(|_, at| *at >= begun);
        crate::plan::sort(&mut listed);
        inner.listed = Arc::new(listed);
        inner.listed_at = Some(Timestamp::now());
        inner.without_task_type = without_task_type;
        inner.listed.iter().any(|listed| inner.touched.contains_key(listed.bead()))
    }

    /// Returns the last listing, and how many beads it left out because they are people's.
    pub fn listing(&self) -> (Arc<Vec<Listed>>, u64, Option<Timestamp>) {
        let inner = self.lock();
        (Arc::clone(&inner.listed), inner.without_task_type, inner.listed_at)
    }

    /// Keeps the newest plan for those who ask.
    pub fn keep_plan(&self, planned: Arc<Planned>) {
        self.lock().planned = Some(planned);
    }

    /// Returns the newest plan.
    pub fn planned(&self) -> Option<Arc<Planned>> {
        self.lock().planned.clone()
    }

    /// Keeps the room of a start that the ledger does not know yet.
    pub fn reserve(&self, active: Active) {
        self.lock().reserved.insert(active.bead.clone(), active);
    }

    /// Frees the room again: the ledger would not take it.
    pub fn unreserve(&self, bead: &BeadId) {
        self.lock().reserved.remove(bead);
    }

    /// Notes that an attempt was recorded just now.
    pub fn begin(&self, attempt: Attempt) {
        let mut inner = self.lock();
        inner.reserved.remove(&attempt.bead);
        inner.held.remove(&attempt.bead);
        // The brake is for work, not for beads that are only blocked.
        if attempt.executor.is_some() {
            inner.starts.push_back(Instant::now());
        }
        inner.active.insert(attempt.id, attempt);
    }

    /// Keeps the newest state of an open attempt.
    pub fn update(&self, attempt: &Attempt) {
        use crate::ledger::Stage;
        let mut inner = self.lock();
        inner.active.insert(attempt.id, attempt.clone());
        self.looks.forget(&attempt.bead);
        if attempt.stage == Stage::Lost {
            inner.touched.insert(attempt.bead.clone(), Instant::now());
        }
        drop(inner);
        if matches!(attempt.stage, Stage::Ended | Stage::Lost) {
            // Its room is free.
            self.changed.notify_one();
        }
    }

    /// Notes that an attempt takes no room any more; what the last listing says of its bead is
    /// old.
    pub fn end(&self, attempt: &Attempt) {
        let mut inner = self.lock();
        inner.active.remove(&attempt.id);
        self.looks.forget(&attempt.bead);
        inner.touched.insert(attempt.bead.clone(), Instant::now());
        drop(inner);
        self.changed.notify_one();
    }

    /// Returns the open attempts, oldest first.
    pub fn active(&self) -> Vec<Attempt> {
        self.lock().active.values().cloned().collect()
    }

    /// Returns the stage of each open attempt, and since when its end is known.
    pub fn stages(&self) -> Vec<(crate::ledger::Stage, Option<Timestamp>)> {
        self.lock().active.values().map(|attempt| (attempt.stage, attempt.ended)).collect()
    }

    /// Returns the open attempt of a bead.
    pub fn active_of(&self, bead: &BeadId) -> Option<Attempt> {
        self.lock().active.values().find(|attempt| attempt.bead == *bead).cloned()
    }

    /// Returns what takes up room, or must not start for now, and how many attempts began in the
    /// last minute.
    pub fn room(&self) -> (Vec<Active>, u32) {
        use crate::ledger::Stage;
        let mut inner = self.lock();
        let now = Instant::now();
        inner.resting.retain(|_, rest| now < rest.until + FORGIVEN);
        while inner.starts.front().is_some_and(|at| at.elapsed() >= MINUTE) {
            inner.starts.pop_front();
        }
        let resting = inner.resting.iter().filter(|(_, rest)| now < rest.until).map(|(id, _)| id);
        let active = inner
            .active
            .values()
            .filter(|attempt| attempt.stage != Stage::Lost)
            .map(|attempt| Active {
                bead: attempt.bead.clone(),
                // What has ended, or never starts, leaves its room to others.
                executor: attempt.executor.clone().filter(|_| attempt.stage != Stage::Ended),
                task_type: attempt.task_type.clone(),
                labels: attempt.labels.clone(),
            })
            .chain(inner.reserved.values().cloned())
            .chain(inner.touched.keys().chain(resting).map(|bead| Active {
                bead: bead.clone(),
                executor: None,
                task_type: String::new(),
                labels: Vec::new(),
            }))
            .collect();
        (active, u32::try_from(inner.starts.len()).unwrap_or(u32::MAX))
    }

    /// Lets a bead rest that was given back at once, longer each time.
    pub fn rest(&self, bead: &BeadId) {
        let mut inner = self.lock();
        let before = inner.resting.get(bead).map(|rest| rest.length * 2);
        let length = before.unwrap_or(FIRST_REST).min(LONGEST_REST);
        inner.resting.insert(bead.clone(), Rest { until: Instant::now() + length, length });
        inner.list_at.insert(Timestamp::now() + length);
    }

    /// Notes that a bead is what it was listed as.
    pub fn rested(&self, bead: &BeadId) {
        self.lock().resting.remove(bead);
    }

    /// How many beads are being blocked without an executor.
    pub fn blocking(&self) -> usize {
        use crate::ledger::Stage;
        let inner = self.lock();
        let begun = inner
            .active
            .values()
            .filter(|attempt| attempt.executor.is_none() && attempt.stage != Stage::Lost);
        begun.count() + inner.reserved.values().filter(|active| active.executor.is_none()).count()
    }

    /// Whether lines are about to write beads.
    pub fn is_writing(&self) -> bool {
        use crate::ledger::Stage;
        let inner = self.lock();
        !inner.reserved.is_empty()
            || inner.active.values().any(|attempt| match attempt.stage {
                Stage::Recorded | Stage::Claimed | Stage::Ended => true,
                Stage::Offered | Stage::Running | Stage::Lost | Stage::Settled | Stage::Dropped => {
                    false
                }
            })
    }

    /// Notes a bead that we shall reopen.
    pub fn hold(&self, held: Held) {
        self.lock().held.insert(held.bead.clone(), held);
        self.changed.notify_one();
    }

    /// Forgets a bead that was reopened, or is not ours to reopen.
    pub fn unhold(&self, bead: &BeadId) -> Option<Held> {
        self.looks.forget(bead);
        self.lock().held.remove(bead)
    }

    /// Returns the beads that we shall reopen.
    pub fn held(&self) -> Vec<Held> {
        self.lock().held.values().cloned().collect()
    }

    /// Returns how many beads we shall reopen.
    pub fn held_count(&self) -> usize {
        self.lock().held.len()
    }

    /// Returns what we wait for before we reopen a bead.
    pub fn held_of(&self, bead: &BeadId) -> Option<Held> {
        self.lock().held.get(bead).cloned()
    }

    /// Notes that a bead comes back into the listing at a moment, without a write.
    pub fn list_at(&self, at: Timestamp) {
        self.lock().list_at.insert(at);
    }

    /// Whether such a moment has come; each is told once.
    pub fn moment_has_come(&self, now: Timestamp) -> bool {
        let mut inner = self.lock();
        let mut came = false;
        while inner.list_at.first().is_some_and(|at| *at <= now) {
            inner.list_at.pop_first();
            came = true;
        }
        came
    }

    /// Notes what is wrong; said once in the log.
    pub fn trouble(&self, source: Source, text: String) {
        let mut inner = self.lock();
        if inner.troubles.get(&source) == Some(&text) {
            return;
        }
        warn!("{text}");
        inner.troubles.insert(source, text);
        drop(inner);
        self.changed.notify_one();
    }

    /// Notes that something works again.
    pub fn mended(&self, source: &Source) {
        if self.lock().troubles.remove(source).is_some() {
            tracing::info!("works again: {source:?}");
            self.changed.notify_one();
        }
    }

    /// Whether something is wrong there.
    pub fn has_trouble(&self, source: &Source) -> bool {
        self.lock().troubles.contains_key(source)
    }

    /// Returns what is wrong now.
    pub fn troubles(&self) -> Vec<String> {
        self.lock().troubles.values().cloned().collect()
    }

    /// Returns what is wrong now and concerns this bead.
    pub fn trouble_of(&self, bead: &BeadId) -> Option<String> {
        let inner = self.lock();
        let own = Source::Settle(bead.clone());
        let sources = [&own, &Source::Beads, &Source::Listing, &Source::Ledger];
        sources.into_iter().find_map(|source| inner.troubles.get(source)).cloned()
    }

    /// Whether new claims make sense.
    pub fn intake(&self) -> Intake {
        let inner = self.lock();
        if inner.troubles.contains_key(&Source::Ledger) {
            Intake::LedgerTrouble
        } else if inner.troubles.keys().any(Source::closes_intake) {
            Intake::BeadsTrouble
        } else {
            Intake::Open
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Held for copies of small things only, never across an await.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
