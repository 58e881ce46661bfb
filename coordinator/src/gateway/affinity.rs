//! Which session is with which agent. No I/O: the caller says what time it is.
//!
//! A session that names itself (`X-Session-Id`) is remembered here. One that has our cookie needs
//! no memory: the cookie names its agent.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::agent::AgentId;

#[derive(Debug, Clone)]
struct Held {
    agent: AgentId,
    used: Instant,
}

/// The sessions that named themselves.
#[derive(Debug)]
pub(super) struct Sessions {
    held: HashMap<(String, String), Held>,
    keep: Duration,
    most: usize,
}

impl Sessions {
    /// Makes an empty memory for at most so many sessions, each for so long after its last use.
    pub(super) fn new(keep: Duration, most: usize) -> Self {
        Self { held: HashMap::new(), keep, most }
    }

    /// Returns the agent of a session; `pool` is whom its requests are for.
    pub(super) fn agent_of(&self, pool: &str, session: &str, now: Instant) -> Option<AgentId> {
        let held = self.held.get(&(pool.to_owned(), session.to_owned()))?;
        (held.used + self.keep > now).then(|| AgentId::clone(&held.agent))
    }

    /// Notes with which agent a session is now.
    pub(super) fn put(&mut self, pool: &str, session: &str, agent: &AgentId, now: Instant) {
        let key = (pool.to_owned(), session.to_owned());
        if !self.held.contains_key(&key) && self.held.len() >= self.most {
            self.make_room(now);
        }
        self.held.insert(key, Held { agent: AgentId::clone(agent), used: now });
    }

    /// Returns how many are remembered.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Forgets those that are over, and a tenth of the others when none is: those unused longest.
    fn make_room(&mut self, now: Instant) {
        let keep = self.keep;
        self.held.retain(|_, held| held.used + keep > now);
        if self.held.len() < self.most {
            return;
        }
        let mut used: Vec<Instant> = self.held.values().map(|held| held.used).collect();
        used.sort_unstable();
        let Some(last) = used.get(used.len() / 10).copied() else { return };
        self.held.retain(|_, held| held.used > last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_session_is_remembered_for_an_hour_after_its_last_use() {
        let start = Instant::now();
        let agent = AgentId::from("a");
        let mut sessions = Sessions::new(HOUR, 10);

        sessions.put("any", "s", &agent, start);
        sessions.put("any", "s", &agent, start + HOUR / 2);

        let later = start + HOUR + HOUR / 4;
        assert_eq!(sessions.agent_of("any", "s", later).as_deref(), Some("a"));
        assert_eq!(sessions.agent_of("capability:x", "s", later), None);
        assert_eq!(sessions.agent_of("any", "s", start + HOUR * 2), None);
    }

    #[test]
    fn the_memory_is_bounded_and_the_oldest_go_first() {
        let start = Instant::now();
        let agent = AgentId::from("a");
        let mut sessions = Sessions::new(HOUR, 100);

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
}
