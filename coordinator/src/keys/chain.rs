//! The keys in memory, and what a rotation does to them. No I/O and no clock.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::presented::Presented;
use super::{Digest, Rights};

/// Where a key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// `API_KEYS` or `READ_API_KEYS`.
    Settings,
    /// It was added while the coordinator ran.
    Rotation,
}

impl Source {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Rotation => "rotation",
        }
    }
}

/// A key as the ledger holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    pub hash: Digest,
    pub rights: Rights,
    pub source: Source,
    /// When it was added by a rotation.
    pub added: Option<Timestamp>,
    /// From when on it opens nothing; none: it has no end.
    pub ends: Option<Timestamp>,
    /// The runners that were to be told of it.
    #[serde(default)]
    pub notified: BTreeSet<String>,
}

/// A key that is known.
#[derive(Debug, Clone)]
pub struct Key {
    pub id: Arc<str>,
    pub row: Row,
    limiter: Option<Arc<DefaultDirectRateLimiter>>,
}

impl Key {
    fn new(row: Row, rate: Option<NonZeroU32>) -> Self {
        let limiter = rate.map(|rate| Arc::new(RateLimiter::direct(Quota::per_second(rate))));
        Self { id: row.hash.id().into(), row, limiter }
    }

    /// Whether it opens anything.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.row.ends.is_none_or(|ends| now < ends)
    }

    /// Counts a request; when there were too many, says how long to wait.
    pub(super) fn count(&self) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check().map_err(|early| early.wait_time_from(limiter.clock().now()))
    }
}

/// Every API key that is known, those that are off included.
#[derive(Debug)]
pub(super) struct Chain {
    keys: Vec<Key>,
    rate: Option<NonZeroU32>,
}

impl Chain {
    /// Takes what the ledger has.
    pub(super) fn new(rate: Option<NonZeroU32>, rows: impl Iterator<Item = Row>) -> Self {
        // A key of the settings that no rotation has touched is not in the ledger.
        Self { keys: rows.map(|row| Key::new(row, rate)).collect(), rate }
    }

    /// Takes a key of the settings. One that was replaced keeps its end, which is returned.
    pub(super) fn take_from_settings(&mut self, hash: Digest, rights: Rights) -> Option<Timestamp> {
        if let Some(known) = self.keys.iter_mut().find(|key| key.row.hash == hash) {
            if known.row.ends.is_none() {
                known.row.rights = rights;
            }
            return known.row.ends;
        }
        let source = Source::Settings;
        let row = Row { hash, rights, source, added: None, ends: None, notified: BTreeSet::new() };
        self.keys.push(Key::new(row, self.rate));
        None
    }

    /// Whether no key was ever set.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    pub(super) fn valid(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.is_valid(now))
    }

    pub(super) fn get(&self, hash: &Digest) -> Option<&Key> {
        self.keys.iter().find(|key| key.row.hash == *hash)
    }

    /// Finds the valid key that a request shows. Every valid key is compared, so that the time
    /// does not tell which one it was.
    pub(super) fn find(&self, shown: &Presented, now: Timestamp) -> Option<&Key> {
        self.valid(now)
            .fold(None, |found, key| if shown.has(&key.row.hash) { Some(key) } else { found })
    }

    /// Makes a key valid and gives the others of its rights an end. Returns the rows that changed.
    pub(super) fn rotate(
        &mut self,
        hash: &Digest,
        rights: Rights,
        grace: Duration,
        notified: Vec<String>,
        now: Timestamp,
    ) -> Vec<Row> {
        let end = now.checked_add(grace).unwrap_or(Timestamp::MAX);
        let mut changed = Vec::new();
        for key in &mut self.keys {
            let is_before = key.row.rights == rights && key.row.hash != *hash;
            // An earlier end stays.
            if is_before && key.row.ends.is_none_or(|ends| end < ends) {
                key.row.ends = Some(end);
                changed.push(key.row.clone());
            }
        }
        let known = self.keys.iter().position(|key| key.row.hash == *hash);
        let at = known.unwrap_or_else(|| {
            let row = Row {
                hash: hash.clone(),
                rights,
                source: Source::Rotation,
                added: None,
                ends: None,
                notified: BTreeSet::new(),
            };
            self.keys.push(Key::new(row, self.rate));
            self.keys.len() - 1
        });
        let row = &mut self.keys[at].row;
        row.source = Source::Rotation;
        row.added.get_or_insert(now);
        row.ends = None;
        row.notified.extend(notified);
        changed.push(row.clone());
        changed
    }

    /// Returns the keys that ended after `from` and not after `to`.
    pub(super) fn ended_between(&self, from: Timestamp, to: Timestamp) -> Vec<Arc<str>> {
        let ended = |key: &&Key| key.row.ends.is_some_and(|ends| from < ends && ends <= to);
        self.keys.iter().filter(ended).map(|key| Arc::clone(&key.id)).collect()
    }

    /// Returns when the next key ends.
    pub(super) fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        self.keys.iter().filter_map(|key| key.row.ends).filter(|ends| *ends > now).min()
    }
}
