//! Who takes the next request, and who waits. No I/O and no clock.
//!
//! The one with the least to do takes it: by the share of its places that are taken, then by its
//! processors, then whoever had one longest ago. Those that answered go before those of which
//! nothing is known, and whoever does not answer is asked only when there is nobody else. While
//! everybody is full requests wait in one line, and each place that comes free goes to the first
//! in it who can use it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::agent::AgentId;

/// What is known of how an agent answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Health {
    /// It answered last time.
    Good,
    /// Nobody has asked it yet.
    Unknown,
    /// It did not answer last time.
    Bad,
}

#[derive(Debug, Clone)]
struct Load {
    limit: u32,
    in_flight: u32,
    /// Rises with each choice.
    turn: u64,
    health: Health,
    /// Tenths of its processors that are busy: finer would be noise.
    cpu: u8,
    /// It is gone and only waits for what it still does.
    is_leaving: bool,
}

/// Whom a request may go to.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Sorted.
    pub(super) members: Arc<[AgentId]>,
    /// Of those, not these.
    pub(super) without: Vec<AgentId>,
    /// Whether it takes up a place.
    pub(super) takes_place: bool,
}

impl Wanted {
    fn has(&self, id: &AgentId) -> bool {
        self.members.binary_search(id).is_ok() && !self.without.contains(id)
    }
}

/// Who takes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pick {
    Agent(AgentId),
    /// Everybody who could is full.
    Full,
    /// There is nobody.
    Nobody,
}

/// Whose is smallest takes the next request: how it answers, the share of its places that are
/// taken, its processors, its last turn.
type Rank = (Health, u64, u8, u64);

/// The line is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineFull;

#[derive(Debug)]
struct Waiting<W> {
    number: u64,
    wanted: Wanted,
    who: W,
}

/// The places of all agents, and the line before them.
#[derive(Debug)]
pub(super) struct Desk<W> {
    loads: HashMap<AgentId, Load>,
    line: VecDeque<Waiting<W>>,
    longest: usize,
    next: u64,
}

impl<W> Desk<W> {
    /// Makes one without agents, with a line of at most `longest`.
    pub(super) fn new(longest: usize) -> Self {
        Self { loads: HashMap::new(), line: VecDeque::new(), longest, next: 1 }
    }

    /// Takes over who is there; `health` is what to think of those that are new.
    pub(super) fn sync(&mut self, agents: impl IntoIterator<Item = (AgentId, u32, Health)>) {
        for load in self.loads.values_mut() {
            load.is_leaving = true;
        }
        for (id, limit, health) in agents {
            let new = Load { limit, in_flight: 0, turn: 0, health, cpu: 0, is_leaving: false };
            let load = self.loads.entry(id).or_insert(new);
            load.limit = limit;
            load.is_leaving = false;
        }
        self.loads.retain(|_, load| !load.is_leaving || load.in_flight > 0);
    }

    /// Notes how an agent answers.
    pub(super) fn note_health(&mut self, id: &AgentId, health: Health) {
        if let Some(load) = self.loads.get_mut(id) {
            load.health = health;
        }
    }

    /// Notes how busy an agent's machine is, in percent.
    pub(super) fn note_cpu(&mut self, id: &AgentId, percent: f64) {
        if let Some(load) = self.loads.get_mut(id) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped to a range that fits"
            )]
            let tenths = (percent.clamp(0.0, 100.0) / 10.0) as u8;
            load.cpu = tenths;
        }
    }

    /// Returns how an agent answers.
    pub(super) fn health(&self, id: &AgentId) -> Option<Health> {
        self.loads.get(id).map(|load| load.health)
    }

    #[cfg(test)]
    /// Returns how many requests an agent has, and how many it may have.
    pub(super) fn load(&self, id: &AgentId) -> Option<(u32, u32)> {
        self.loads.get(id).map(|load| (load.in_flight, load.limit))
    }

    #[cfg(test)]
    /// Returns how many wait.
    pub(super) fn waiting(&self) -> usize {
        self.line.len()
    }

    /// Whether a session stays with its agent: unless that does not answer and another does.
    pub(super) fn keeps(&self, id: &AgentId, members: &[AgentId]) -> bool {
        let is_live = |id| self.health(id).is_some_and(|health| health != Health::Bad);
        self.loads.contains_key(id) && (is_live(id) || !members.iter().any(is_live))
    }

    /// Chooses who takes a request, and takes its place.
    pub(super) fn pick(&mut self, wanted: &Wanted) -> Pick {
        let pick = self.find(wanted);
        if let Pick::Agent(id) = &pick {
            self.take(id, wanted.takes_place);
        }
        pick
    }

    /// Puts a request at the end of the line, or back to where it was with the number that it had;
    /// returns its number.
    pub(super) fn wait(
        &mut self,
        wanted: Wanted,
        who: W,
        before: Option<u64>,
    ) -> Result<u64, LineFull> {
        if before.is_none() && self.line.len() >= self.longest {
            return Err(LineFull);
        }
        let number = before.unwrap_or_else(|| self.number());
        let at = self.line.partition_point(|waiting| waiting.number < number);
        self.line.insert(at, Waiting { number, wanted, who });
        Ok(number)
    }

    /// Takes a request out of the line, if it is still there.
    pub(super) fn leave(&mut self, number: u64) {
        self.line.retain(|waiting| waiting.number != number);
    }

    /// Gives a place back; returns who in the line has it now.
    pub(super) fn release(&mut self, id: &AgentId) -> Option<(W, AgentId)> {
        let load = self.loads.get_mut(id)?;
        load.in_flight = load.in_flight.saturating_sub(1);
        if load.is_leaving {
            if load.in_flight == 0 {
                self.loads.remove(id);
            }
            return None;
        }
        let at = self.line.iter().position(|waiting| {
            waiting.wanted.has(id) && matches!(self.find(&waiting.wanted), Pick::Agent(_))
        })?;
        self.seat(at)
    }

    /// Seats everybody in the line for whom there is a place.
    pub(super) fn serve(&mut self) -> Vec<(W, AgentId)> {
        let mut seated = Vec::new();
        let mut at = 0;
        while at < self.line.len() {
            match self.seat(at) {
                Some(one) => seated.push(one),
                None => at += 1,
            }
        }
        seated
    }

    fn seat(&mut self, at: usize) -> Option<(W, AgentId)> {
        let wanted = self.line.get(at)?.wanted.clone();
        let Pick::Agent(id) = self.pick(&wanted) else { return None };
        self.line.remove(at).map(|waiting| (waiting.who, id))
    }

    fn take(&mut self, id: &AgentId, takes_place: bool) {
        let turn = self.number();
        if let Some(load) = self.loads.get_mut(id) {
            load.in_flight += u32::from(takes_place);
            load.turn = turn;
        }
    }

    fn find(&self, wanted: &Wanted) -> Pick {
        let mut best: Option<(&AgentId, Rank)> = None;
        let mut full = false;
        for id in wanted.members.iter() {
            let Some(load) = self.loads.get(id) else { continue };
            if load.is_leaving || wanted.without.contains(id) {
                continue;
            }
            if wanted.takes_place && load.in_flight >= load.limit {
                // A full one that answers is waited for before one that does not is tried.
                full |= load.health != Health::Bad;
                continue;
            }
            let taken = u64::from(load.in_flight) * 1_000_000 / u64::from(load.limit.max(1));
            let key = (load.health, taken, load.cpu, load.turn);
            if best.is_none_or(|(_, other)| key < other) {
                best = Some((id, key));
            }
        }
        match best {
            Some((_, (Health::Bad, ..))) if full => Pick::Full,
            Some((id, _)) => Pick::Agent(Arc::clone(id)),
            None if full || self.has_full(wanted) => Pick::Full,
            None => Pick::Nobody,
        }
    }

    /// Whether there is somebody at all, full as they are.
    fn has_full(&self, wanted: &Wanted) -> bool {
        wanted
            .members
            .iter()
            .any(|id| wanted.has(id) && self.loads.get(id).is_some_and(|load| !load.is_leaving))
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}

#[cfg(test)]
mod tests;
