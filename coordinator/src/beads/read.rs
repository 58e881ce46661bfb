//! Reading beads: one, ours, and all that are ready, even when one of them is poison.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use tracing::{info, warn};

use super::Beads;
use super::bead::{Bead, BeadId, Dependency, Status};
use super::command::{Call, Words};
use super::dialect::Program;
use super::door::Said;
use super::error::BeadsError;
use super::mend;
use super::parse;

/// Ids in one query: well below what one argument may hold.
const IDS_AT_ONCE: usize = 400;
/// Elements between two moments in which other tasks may run.
const BREATH: usize = 256;

/// What `ready` found.
#[derive(Debug)]
pub struct Listing<T> {
    /// What the caller kept.
    pub items: Vec<T>,
    /// Ready beads that it did not keep.
    pub dropped: u64,
    /// Beads that stop every listing they are in.
    pub poisoned: Vec<Poisoned>,
    /// Elements of the answer that are no beads.
    pub unreadable: u64,
}

/// A bead that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poisoned {
    /// Its id.
    pub id: BeadId,
    /// What the program says of it, or what was done.
    pub error: String,
}

/// The answers that make up one listing: one, or several when a poisoned bead had to be found.
struct Answers {
    said: Vec<Said>,
    poisoned: Vec<Poisoned>,
}

impl Beads {
    /// Lists the beads that are ready and nobody's, one at a time: each is mapped at once, so that
    /// beads of others cost no memory.
    ///
    /// A bead that cannot be printed as JSON stops nothing; it is named in the listing.
    pub async fn ready<T>(
        &self,
        keep: impl Fn(Bead) -> Option<T>,
    ) -> Result<Listing<T>, BeadsError> {
        let Answers { said, poisoned } = self.listing(self.words().ready()).await?;
        let mut listing = Listing { items: Vec::new(), dropped: 0, poisoned, unreadable: 0 };
        let closed = if self.dialect().lists_ready { None } else { Some(closed(&said)?) };
        for said in &said {
            for (n, raw) in said.rows()?.into_iter().enumerate() {
                if n % BREATH == BREATH - 1 {
                    tokio::task::yield_now().await;
                }
                let Some(bead) = parse::bead(raw) else {
                    listing.unreadable += 1;
                    continue;
                };
                if closed.as_ref().is_some_and(|closed| !is_ready(&bead, closed)) {
                    continue;
                }
                match Some(bead).filter(is_for_a_dispatcher).and_then(&keep) {
                    Some(item) => listing.items.push(item),
                    None => listing.dropped += 1,
                }
            }
        }
        Ok(listing)
    }

    /// Reads one bead, with the status of everything it depends on. `None` when there is no bead
    /// of exactly this id.
    pub async fn show(&self, id: &BeadId) -> Result<Option<Bead>, BeadsError> {
        let mut bead = match self.door().bead(Words::show(id)).await {
            Ok(bead) => bead,
            Err(BeadsError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let unknown = |bead: &Bead| bead.dependencies.iter().any(|edge| edge.status.is_none());
        if self.dialect().program == Program::Mb && unknown(&bead) {
            let ids: Vec<_> = bead.dependencies.iter().map(|edge| edge.id.clone()).collect();
            let said = self.door().run(self.words().list_ids(&ids)).await?;
            let found: Vec<_> = said.rows()?.into_iter().filter_map(parse::bead).collect();
            for edge in &mut bead.dependencies {
                let target = found.iter().find(|other| other.id == edge.id);
                edge.status = target.map(|other| other.status.clone());
            }
        }
        Ok(Some(bead))
    }

    /// Lists what is in progress and assigned to us.
    pub async fn mine(&self) -> Result<Vec<Bead>, BeadsError> {
        let actor = self.words().actor.as_str();
        let call = Words::list(&Status::InProgress, Some(actor), None);
        let is_mine = |bead: &Bead| {
            bead.status == Status::InProgress && bead.assignee.as_deref() == Some(actor)
        };
        self.all(call, is_mine).await
    }

    /// Lists what is blocked with a label: for the next coordinator.
    pub async fn labelled_blocked(&self, label: &str) -> Result<Vec<Bead>, BeadsError> {
        let call = Words::list(&Status::Blocked, None, Some(label));
        let matches = |bead: &Bead| bead.status == Status::Blocked && bead.has_label(label);
        self.all(call, matches).await
    }

    async fn all(
        &self,
        call: Call,
        matches: impl Fn(&Bead) -> bool,
    ) -> Result<Vec<Bead>, BeadsError> {
        let Answers { said, poisoned } = self.listing(call).await?;
        for Poisoned { id, error } in poisoned {
            warn!("{id} cannot be read: {error}");
        }
        let mut beads = Vec::new();
        for said in &said {
            beads.extend(said.rows()?.into_iter().filter_map(parse::bead).filter(&matches));
        }
        Ok(beads)
    }

    /// Runs a listing, around whatever stops it.
    async fn listing(&self, call: Call) -> Result<Answers, BeadsError> {
        match self.door().run(call.clone()).await {
            Ok(said) => Ok(Answers { said: vec![said], poisoned: Vec::new() }),
            Err(BeadsError::Poisoned { .. }) if self.dialect().program == Program::Bd => {
                self.listing_around_poison(call).await
            }
            Err(BeadsError::BrokenFile { text }) if self.dialect().program == Program::Mb => {
                let poisoned = mend::set_empty_files_aside(self.store(), EMPTY_FOR, text)?;
                for Poisoned { id, error } in &poisoned {
                    warn!("{id}: {error}");
                }
                let said = self.door().run(call).await?;
                Ok(Answers { said: vec![said], poisoned })
            }
            Err(error) => Err(error),
        }
    }

    /// Takes the ids from the listing in text, which prints everything, and reads them in groups;
    /// a group that fails is halved until the bad bead is alone.
    async fn listing_around_poison(&self, call: Call) -> Result<Answers, BeadsError> {
        let text = self.door().run(self.words().in_text(call)).await?;
        let ids = ids_in_text(text.text());
        info!("a bead is no JSON; {} beads are read in groups to find it", ids.len());
        let mut groups: Vec<_> = ids.chunks(IDS_AT_ONCE).map(<[BeadId]>::to_vec).collect();
        let mut answers = Answers { said: Vec::new(), poisoned: Vec::new() };
        while let Some(group) = groups.pop() {
            match (self.door().run(self.words().list_ids(&group)).await, group.as_slice()) {
                (Ok(said), _) => answers.said.push(said),
                (Err(BeadsError::Poisoned { text: error }), [id]) => {
                    answers.poisoned.push(Poisoned { id: id.clone(), error });
                }
                (Err(BeadsError::Poisoned { .. }), _) => {
                    let (left, right) = group.split_at(group.len() / 2);
                    groups.extend([left.to_vec(), right.to_vec()]);
                }
                (Err(BeadsError::UnknownFlag { .. }), _) => {
                    for id in &group {
                        self.read_alone(id, &mut answers).await?;
                    }
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(answers)
    }

    /// The slow way, for a version that lists no ids.
    async fn read_alone(&self, id: &BeadId, answers: &mut Answers) -> Result<(), BeadsError> {
        match self.door().run(Words::show(id)).await {
            Ok(said) => answers.said.push(said),
            Err(BeadsError::NotFound { .. }) => {}
            Err(BeadsError::Poisoned { text: error }) => {
                answers.poisoned.push(Poisoned { id: id.clone(), error });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// An `mb` that was killed leaves an empty file; one that is writing fills it within milliseconds.
const EMPTY_FOR: Duration = Duration::from_secs(10);

/// The ids of the closed beads in an answer.
fn closed(said: &[Said]) -> Result<HashSet<String>, BeadsError> {
    let mut closed = HashSet::new();
    for said in said {
        let all = said.rows()?.into_iter().filter_map(parse::id_and_status);
        closed.extend(all.filter(|(_, status)| *status == Status::Closed).map(|(id, _)| id));
    }
    Ok(closed)
}

/// What a store that is believed would list: open, and behind no edge to an unfinished bead.
fn is_ready(bead: &Bead, closed: &HashSet<String>) -> bool {
    let holds = |edge: &Dependency| edge.blocks() && !closed.contains(edge.id.as_str());
    bead.status == Status::Open && !bead.dependencies.iter().any(holds)
}

/// What is open and nobody's. Text listings and `mb` show more than that.
fn is_for_a_dispatcher(bead: &Bead) -> bool {
    bead.status == Status::Open && bead.assignee.is_none() && bead.issue_type != "epic"
}

/// The ids in a listing for people. A line of a bead starts with a mark, its number or a bracket,
/// never with a word; what looks like an id and is none is simply not found afterwards.
fn ids_in_text(text: &str) -> Vec<BeadId> {
    let mut ids = BTreeSet::new();
    for line in text.lines() {
        let line = line.trim_start_matches([' ', '│', '├', '└', '─']);
        if line.starts_with(|c: char| c.is_alphabetic()) {
            continue;
        }
        let words = line.split_whitespace().take(6).map(|word| word.trim_end_matches(':'));
        ids.extend(words.filter(|word| looks_like_an_id(word)).take(1).flat_map(BeadId::parse));
    }
    ids.into_iter().collect()
}

/// `prefix-hash` or `prefix-hash.N`.
fn looks_like_an_id(word: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let inner = word.find('-').is_some_and(|at| at > 0 && at + 1 < word.len());
    inner && word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.chars().all(allowed)
}

#[cfg(test)]
mod tests;
