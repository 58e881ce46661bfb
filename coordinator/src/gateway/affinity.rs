//! Which session is with which agent. The caller says what time it is.
//!
//! A session that names itself (`X-Session-Id`) is remembered here, and in the ledger within a few
//! seconds, so that it finds its agent again after a restart. One that has our cookie needs no
//! memory: the cookie names its agent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::agent::AgentId;
use crate::keeper::{self, Keeper};
use crate::ledger::{Kind, Record};

/// Whom the requests are for, and the name of the session.
type Key = (String, String);

#[derive(Debug, Clone)]
struct Held {
    agent: AgentId,
    used: Timestamp,
    /// The last use that the ledger knows of.
    written: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    agent: String,
    used: Timestamp,
}

/// The sessions that named themselves.
#[derive(Debug)]
pub(super) struct Sessions {
    held: HashMap<Key, Held>,
    keep: Duration,
    most: usize,
    keeper: Arc<Keeper>,
}

impl Sessions {
    /// Takes over what the ledger has. At most so many are remembered, each for so long after its
    /// last use.
    pub(super) fn restore(
        keep: Duration,
        most: usize,
        records: &[Record],
        keeper: Arc<Keeper>,
        now: Timestamp,
    ) -> Self {
        let rows = keeper::read::<Row>(records, Kind::Affinity);
        let held = rows.into_iter().map(|(record, Row { agent, used })| {
            let held = Held { agent: AgentId::from(agent), used, written: used };
            ((record.owner.clone(), record.id.clone()), held)
        });
        let mut sessions = Self { held: held.collect(), keep, most, keeper };
        sessions.forget(now);
        sessions
    }

    /// Returns the agent of a session; `pool` is whom its requests are for.
    pub(super) fn agent_of(&self, pool: &str, session: &str, now: Timestamp) -> Option<AgentId> {
        let held = self.held.get(&(pool.to_owned(), session.to_owned()))?;
        (held.used + self.keep > now).then(|| AgentId::clone(&held.agent))
    }

    /// Notes with which agent a session is now.
    pub(super) fn put(&mut self, pool: &str, session: &str, agent: &AgentId, now: Timestamp) {
        let key = (pool.to_owned(), session.to_owned());
        let known = self.held.get(&key).filter(|held| held.agent == *agent);
        // The ledger need not know of each use.
        let written = known.map(|held| held.written).filter(|at| *at + self.keep / 4 > now);
        if written.is_none() {
            let row = Row { agent: agent.to_string(), used: now };
            self.keeper.put_later(Kind::Affinity, pool, session, &row);
        }
        if !self.held.contains_key(&key) && self.held.len() >= self.most {
            self.make_room(now);
        }
        let agent = AgentId::clone(agent);
        self.held.insert(key, Held { agent, used: now, written: written.unwrap_or(now) });
    }

    /// Returns how many are remembered.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Forgets those that are over.
    pub(super) fn forget(&mut self, now: Timestamp) {
        let keep = self.keep;
        self.retain(|held| held.used + keep > now);
    }

    /// Forgets those that are over, and a tenth of the others when none is: those unused longest.
    fn make_room(&mut self, now: Timestamp) {
        self.forget(now);
        if self.held.len() < self.most {
            return;
        }
        let mut used: Vec<Timestamp> = self.held.values().map(|held| held.used).collect();
        used.sort_unstable();
        let Some(last) = used.get(used.len() / 10).copied() else { return };
        self.retain(|held| held.used > last);
    }

    fn retain(&mut self, stays: impl Fn(&Held) -> bool) {
        let keeper = &self.keeper;
        self.held.retain(|(pool, session), held| {
            let stays = stays(held);
            if !stays {
                keeper.put::<Row>(Kind::Affinity, pool, session, None);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn sessions(most: usize, records: &[Record], now: Timestamp) -> Sessions {
        Sessions::restore(HOUR, most, records, Arc::default(), now)
    }

    #[test]
    fn a_session_is_remembered_for_an_hour_after_its_last_use() {
        let start = Timestamp::now();
        let agent = AgentId::from("a");
        let mut sessions = sessions(10, &[], start);

        sessions.put("any", "s", &agent, start);
        sessions.put("any", "s", &agent, start + HOUR / 2);

        let later = start + HOUR + HOUR / 4;
        assert_eq!(sessions.agent_of("any", "s", later).as_deref(), Some("a"));
        assert_eq!(sessions.agent_of("capability:x", "s", later), None);
        assert_eq!(sessions.agent_of("any", "s", start + HOUR * 2), None);
    }

    #[test]
    fn the_memory_is_bounded_and_the_oldest_go_first() {
        let start = Timestamp::now();
        let agent = AgentId::from("a");
        let mut sessions = sessions(100, &[], start);

        for number in 0..250_u32 {
            let now = start + Duration::from_secs(number.into());
            sessions.put("any", &number.to_string(), &agent, now);
            assert!(sessions.len() <= 100);
        }

        let now = start + Duration::from_secs(250);
        assert!(sessions.agent_of("any", "249", now).is_some());
        assert!(sessions.agent_of("any", "160", now).is_some());
        assert!(sessions.agent_of("any", "100", now).is_none());
    }

    #[test]
    fn what_the_ledger_has_is_taken_over_unless_it_is_over() {
        let now = Timestamp::now();
        let record = |id: &str, used: Timestamp| Record {
            kind: Kind::Affinity,
            owner: "any".to_owned(),
            id: id.to_owned(),
            body: serde_json::to_string(&Row { agent: "a".to_owned(), used }).ok(),
        };
        let records = [record("fresh", now - HOUR / 2), record("old", now - HOUR * 2)];

        let sessions = sessions(10, &records, now);

        assert_eq!(sessions.agent_of("any", "fresh", now).as_deref(), Some("a"));
        assert_eq!(sessions.len(), 1);
    }
}
