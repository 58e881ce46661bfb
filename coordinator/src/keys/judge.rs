//! Whether a request is let in, and what was counted of those that were not.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, Method};
use jiff::Timestamp;

use super::presented::{Presented, is_admin};
use super::{Keys, Rights};

/// Who sent a request; in the request's extensions once it was let in.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The id of the API key; none where none is needed, and for the admin key.
    pub key: Option<Arc<str>>,
    pub rights: Rights,
}

/// A request, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    pub headers: &'a HeaderMap,
    pub method: &'a Method,
    /// The path as it was sent.
    pub raw_path: &'a str,
    /// The path by which the route is found.
    pub path: &'a str,
    pub peer: Option<IpAddr>,
}

/// Whether a request is let in.
#[derive(Debug)]
pub enum Verdict {
    Allowed(Caller),
    Denied(Denial),
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// It came without a valid API key.
    NoKey,
    /// It came without the admin key; `closed`: there is none.
    NoAdminKey { closed: bool },
    /// Its key may only read.
    ReadOnly,
    /// Its address has failed too often.
    Throttled { retry_after: Duration },
    /// Its key has asked too often.
    TooFast { retry_after: Duration },
}

/// How often requests were not let in, in this life.
#[derive(Debug, Default)]
pub(super) struct Counters {
    unauthorized: AtomicU64,
    forbidden: AtomicU64,
    throttled: AtomicU64,
    too_fast: AtomicU64,
}

/// How often requests were not let in, in this life of the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// 401: no key, a wrong one, or one that is off.
    pub unauthorized: u64,
    /// 403: a reading key on a writing method.
    pub forbidden: u64,
    /// 429: too many failures from one address.
    pub throttled: u64,
    /// 429: too many requests with one key.
    pub too_fast: u64,
}

impl Keys {
    /// Decides whether a request is let in. The key is judged first: failures from an address
    /// never shut out a valid key.
    pub fn judge(&self, asking: Asking<'_>) -> Verdict {
        let verdict = self.decide(asking, Timestamp::now());
        if let Verdict::Denied(denial) = &verdict {
            let counter = match denial {
                Denial::NoKey | Denial::NoAdminKey { .. } => &self.refused.unauthorized,
                Denial::ReadOnly => &self.refused.forbidden,
                Denial::Throttled { .. } => &self.refused.throttled,
                Denial::TooFast { .. } => &self.refused.too_fast,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        verdict
    }

    pub(super) fn decide(&self, asking: Asking<'_>, now: Timestamp) -> Verdict {
        if is_admin(asking.raw_path) || is_admin(asking.path) {
            return self.decide_admin(asking);
        }
        if matches!(asking.raw_path, "/health" | "/metrics") {
            return Verdict::Allowed(Caller { key: None, rights: Rights::Public });
        }
        let chain = self.read();
        if chain.is_empty() {
            return Verdict::Allowed(Caller { key: None, rights: Rights::Full });
        }
        let Some(key) = chain.find(&Presented::api(asking.headers), now) else {
            drop(chain);
            return self.failed(asking.peer, Denial::NoKey);
        };
        if let Err(retry_after) = key.count() {
            return Verdict::Denied(Denial::TooFast { retry_after });
        }
        let is_reading = matches!(*asking.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if key.row.rights == Rights::Read && !is_reading {
            return Verdict::Denied(Denial::ReadOnly);
        }
        Verdict::Allowed(Caller { key: Some(Arc::clone(&key.id)), rights: key.row.rights })
    }

    fn decide_admin(&self, asking: Asking<'_>) -> Verdict {
        let Some(admin) = &self.admin else {
            return self.failed(asking.peer, Denial::NoAdminKey { closed: true });
        };
        if Presented::admin(asking.headers).has(admin) {
            return Verdict::Allowed(Caller { key: None, rights: Rights::Admin });
        }
        self.failed(asking.peer, Denial::NoAdminKey { closed: false })
    }

    fn failed(&self, peer: Option<IpAddr>, denial: Denial) -> Verdict {
        Verdict::Denied(match self.failures.note(peer) {
            Ok(()) => denial,
            Err(retry_after) => Denial::Throttled { retry_after },
        })
    }

    /// How often requests were not let in.
    pub fn refused(&self) -> Refused {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Refused {
            unauthorized: read(&self.refused.unauthorized),
            forbidden: read(&self.refused.forbidden),
            throttled: read(&self.refused.throttled),
            too_fast: read(&self.refused.too_fast),
        }
    }
}
