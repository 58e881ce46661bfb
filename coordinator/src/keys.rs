//! Who may ask for what: API keys, the admin key, and how a key is replaced.
//!
//! A key is known by its SHA-256 only: that is what the ledger holds and what is compared, in
//! constant time. Its id, the first 16 hexadecimal characters of the hash, is what people see.
//! Keys come from the settings and from rotation. A rotation makes a new key valid at once and
//! gives those before it an end; the ends are in the ledger, so that a key which still stands in
//! `API_KEYS` stays off after a restart.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::keeper::{self, Keeper, NotKept};
use crate::ledger::{Kind, Record};
use crate::runners::{KeyPush, Runners};

mod chain;
mod failures;
mod judge;
mod presented;
mod seal;
#[cfg(test)]
mod tests;

use chain::Chain;
pub use chain::{Key, Row, Source};
use failures::Failures;
use judge::Counters;
pub use judge::{Asking, Caller, Denial, Refused, Verdict};
pub use presented::Digest;
pub use seal::Seal;

/// The longest time for which the keys before a new one may stay valid.
pub const LONGEST_GRACE: Duration = Duration::from_hours(90 * 24);
/// The most keys that may be valid at a time.
const MOST_KEYS: usize = 500;
/// How often the clock is looked at when no key is about to end.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// How many bytes a new key may have.
const KEY_BYTES: usize = 512;

/// What the settings say of keys.
#[derive(Clone, Default)]
pub struct KeySettings {
    /// For every route but /api/admin.
    pub api: Vec<String>,
    /// The same, but only for reading.
    pub read: Vec<String>,
    /// For /api/admin and nothing else; none: closed.
    pub admin: Option<String>,
    /// How long the keys before a new one stay valid.
    pub grace: Duration,
    /// How many requests per second one key may send; none: any number.
    pub rate: Option<NonZeroU32>,
    /// How many failures per minute one address is answered with 401; none: any number.
    pub failures: Option<NonZeroU32>,
}

const ADMIN_IS_API: &str =
    "ADMIN_API_KEY is an API key as well: whoever has that key may do everything";

impl KeySettings {
    /// Says what of it its owner hardly wants.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.only_reading();
        if self.admin.iter().any(|admin| self.api.contains(admin) || self.read.contains(admin)) {
            warnings.push(ADMIN_IS_API.to_owned());
        }
        warnings
    }

    /// The reading keys come last, so they win.
    fn only_reading(&self) -> Vec<String> {
        let both = self.read.iter().filter(|key| self.api.contains(key));
        let ids: BTreeSet<_> = both.map(|key| Digest::of(key.as_bytes()).id()).collect();
        let text =
            |id| format!("the key {id} is in API_KEYS and in READ_API_KEYS: it may only read");
        ids.into_iter().map(text).collect()
    }
}

impl fmt::Debug for KeySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySettings")
            .field("api", &self.api.len())
            .field("read", &self.read.len())
            .field("admin", &self.admin.is_some())
            .finish_non_exhaustive()
    }
}

/// What a request may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rights {
    /// Only what is open to everybody.
    Public,
    /// GET and HEAD.
    Read,
    /// Everything but /api/admin.
    Full,
    /// /api/admin and nothing else.
    Admin,
}

impl Rights {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Read => "read",
            Self::Full => "full",
            Self::Admin => "admin",
        }
    }
}

/// Why a key was not replaced.
#[derive(Debug, Error)]
pub enum KeysError {
    #[error("newApiKey is required and must be non-empty")]
    Empty,
    /// The new key cannot be used as one.
    #[error("{0}")]
    Unfit(&'static str),
    #[error("newApiKey is known already, with other rights")]
    OtherRights,
    #[error("there are {MOST_KEYS} valid keys already, and no more are taken")]
    TooMany,
    #[error(transparent)]
    NotKept(#[from] NotKept),
}

/// A new key, and what becomes of those before it.
#[derive(Debug)]
pub struct Rotation<'a> {
    pub secret: &'a str,
    pub rights: Rights,
    /// How long those before it stay valid; none: as the settings say.
    pub grace: Option<Duration>,
    /// The runners that are told.
    pub notified: Vec<String>,
}

/// What a rotation did.
#[derive(Debug)]
pub struct Rotated {
    /// The new key.
    pub key: Key,
    /// How many keys are valid now, those in their grace time included.
    pub valid: usize,
    /// Those that will end, soonest first.
    pub retiring: Vec<Key>,
}

/// Every key that opens something.
#[derive(Debug)]
pub struct Keys {
    chain: RwLock<Chain>,
    admin: Option<Digest>,
    grace: Duration,
    failures: Failures,
    refused: Counters,
    seal: Seal,
    keeper: Arc<Keeper>,
    /// Woken when a key has got an end.
    changed: Notify,
}

impl Keys {
    /// Takes the keys of the settings, and what the ledger says of them and of others.
    pub fn restore(
        settings: &KeySettings,
        records: &[Record],
        keeper: Arc<Keeper>,
        seal: Seal,
    ) -> Self {
        let rows = keeper::read::<Row>(records, Kind::Key).into_iter().map(|(_, row)| row);
        let now = Timestamp::now();
        let mut chain = Chain::new(settings.rate, rows);
        for (keys, rights) in [(&settings.api, Rights::Full), (&settings.read, Rights::Read)] {
            for key in keys {
                if let Some(ends) = chain.take_from_settings(Digest::of(key.as_bytes()), rights) {
                    warn_of_rotated(&Digest::of(key.as_bytes()).id(), rights, ends, now);
                }
            }
        }
        for warning in settings.only_reading() {
            warn!("{warning}");
        }
        let admin = settings.admin.as_ref().map(|key| Digest::of(key.as_bytes()));
        if admin.as_ref().is_some_and(|admin| chain.get(admin).is_some()) {
            warn!("{ADMIN_IS_API}");
        }
        Self {
            chain: RwLock::new(chain),
            admin,
            grace: settings.grace,
            failures: Failures::new(settings.failures),
            refused: Counters::default(),
            seal,
            keeper,
            changed: Notify::new(),
        }
    }

    /// Whether a key is needed at all.
    pub fn is_protected(&self) -> bool {
        !self.read().is_empty()
    }

    /// Whether there is an admin key.
    pub fn has_admin(&self) -> bool {
        self.admin.is_some()
    }

    /// How many API keys are valid now.
    pub fn count(&self) -> usize {
        self.read().valid(Timestamp::now()).count()
    }

    /// Returns every API key that is known, those that are off included.
    pub fn all(&self) -> Vec<Key> {
        self.read().all().cloned().collect()
    }

    /// Makes a new key valid and gives those of the same rights an end; answers once both are on
    /// disk.
    pub async fn rotate(&self, rotation: Rotation<'_>) -> Result<Rotated, KeysError> {
        let secret = usable(rotation.secret)?;
        let digest = Digest::of(secret.as_bytes());
        if self.admin.as_ref() == Some(&digest) {
            return Err(KeysError::Unfit("newApiKey must not be the admin API key"));
        }
        let grace = rotation.grace.unwrap_or(self.grace).min(LONGEST_GRACE);
        let now = Timestamp::now();
        let (rotated, ticket) = {
            let mut chain = self.write();
            if chain.get(&digest).is_some_and(|known| known.row.rights != rotation.rights) {
                return Err(KeysError::OtherRights);
            }
            if chain.valid(now).count() >= MOST_KEYS {
                return Err(KeysError::TooMany);
            }
            let changed = chain.rotate(&digest, rotation.rights, grace, rotation.notified, now);
            let mut ticket = keeper::Ticket::default();
            for row in &changed {
                ticket = self.keeper.put(Kind::Key, "", &row.hash.to_string(), Some(row));
            }
            let mut retiring: Vec<Key> =
                chain.valid(now).filter(|key| key.row.ends.is_some()).cloned().collect();
            retiring.sort_by_key(|key| key.row.ends);
            let key = chain.get(&digest).cloned().ok_or(KeysError::Empty)?;
            (Rotated { key, valid: chain.valid(now).count(), retiring }, ticket)
        };
        self.changed.notify_one();
        self.keeper.until(ticket).await?;
        info!(
            key = %rotated.key.id,
            retiring = rotated.retiring.len(),
            "a new API key is valid; those before it end within {}",
            daemon::duration::show(grace)
        );
        Ok(rotated)
    }

    /// Seals a key, so that it can wait in the ledger until a runner has it.
    pub fn seal(&self, secret: &str) -> Result<KeyPush, KeysError> {
        let secret = usable(secret)?;
        let key = Digest::of(secret.as_bytes()).id();
        let sealed = self.seal.close(&key, secret).ok_or(KeysError::Unfit(
            "newApiKey cannot be sealed: the system gives no random numbers",
        ))?;
        Ok(KeyPush { key, sealed, requested: Timestamp::now() })
    }

    /// Opens a sealed key, for the answer to its runner; none when it was sealed by another
    /// `key-seal` or is off in the meantime.
    pub fn open(&self, push: &KeyPush) -> Option<String> {
        let secret = self.seal.open(&push.key, &push.sealed)?;
        let known = self.read();
        let key = known.get(&Digest::of(secret.as_bytes()))?;
        key.is_valid(Timestamp::now()).then_some(secret)
    }

    /// Notes when keys end, and takes back those that no runner should be told any more.
    pub async fn watch(&self, runners: &Runners, stop: &CancellationToken) {
        self.drop_unreadable(runners).await;
        let mut before = Timestamp::now();
        loop {
            let now = Timestamp::now();
            let (ended, next) = {
                let chain = self.read();
                (chain.ended_between(before, now), chain.next_end(now))
            };
            before = now;
            for id in ended {
                info!(key = %id, "the grace time of an API key is over; it is off now");
                if let Err(problem) = runners.drop_push(&id).await {
                    warn!(key = %id, "a key that is off cannot be taken back yet: {problem}");
                }
            }
            let wait = next.map_or(LOOK_EVERY, |next| {
                Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or_default()
            });
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.notified() => {}
                // Never long, because the clock of the machine may be set.
                () = tokio::time::sleep(wait.min(LOOK_EVERY)) => {}
            }
        }
    }

    /// Takes back what cannot be told: sealed by a `key-seal` that is gone, or off already.
    async fn drop_unreadable(&self, runners: &Runners) {
        let pushes: Vec<(String, KeyPush)> = runners
            .read()
            .all()
            .filter_map(|runner| Some((runner.id.clone(), runner.key_push.clone()?)))
            .collect();
        for (runner, push) in pushes {
            if self.open(&push).is_some() {
                continue;
            }
            warn!(%runner, key = %push.key, "the new API key of {runner} cannot be told any more; set it there by hand, or rotate again");
            if let Err(problem) = runners.drop_push(&push.key).await {
                warn!(%runner, "it cannot be taken back yet: {problem}");
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Chain> {
        self.chain.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Chain> {
        self.chain.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn usable(secret: &str) -> Result<&str, KeysError> {
    let secret = secret.trim();
    if secret.is_empty() {
        return Err(KeysError::Empty);
    }
    if secret.len() > KEY_BYTES {
        return Err(KeysError::Unfit("newApiKey must have at most 512 characters"));
    }
    // A comma would split it in API_KEYS, a blank in a token file, and the rest in a header.
    if !secret.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
        return Err(KeysError::Unfit(
            "newApiKey must be printable ASCII without blanks and commas",
        ));
    }
    Ok(secret)
}

fn warn_of_rotated(id: &str, rights: Rights, ends: Timestamp, now: Timestamp) {
    let setting = if rights == Rights::Read { "READ_API_KEYS" } else { "API_KEYS" };
    if ends <= now {
        warn!(
            key = id,
            "{setting} still names a key that was replaced; it stays off. Name the new key there"
        );
    } else {
        warn!(
            key = id,
            "{setting} still names a key that was replaced and ends at {ends}. Name the new key there"
        );
    }
}
