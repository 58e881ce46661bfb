//! The version that runners should have: `EXPECTED_RUNNER_VERSION`, or what was set since.
//!
//! To set it while running, call [`Expected::set`]. What was set survives a restart, until
//! `EXPECTED_RUNNER_VERSION` says something else than it did then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::keeper::{self, Keeper, NotKept};
use crate::ledger::{Kind, Record};

/// The row's id among the settings.
const ID: &str = "expected_runner_version";

/// What was set while running.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    version: Option<String>,
    /// What the environment said when it was set.
    over: Option<String>,
}

/// The version that runners should have.
#[derive(Debug)]
pub struct Expected {
    current: Mutex<Option<String>>,
    configured: Option<String>,
    keeper: Arc<Keeper>,
}

impl Expected {
    /// Takes the configured version, or what was set over it in an earlier life.
    pub fn restore(configured: &str, records: &[Record], keeper: Arc<Keeper>) -> Self {
        let configured = stated(configured);
        let rows = keeper::read::<Row>(records, Kind::Setting);
        let set = rows.into_iter().find(|(record, _)| record.id == ID).map(|(_, row)| row);
        let current = match set {
            Some(set) if set.over == configured => set.version,
            _ => configured.clone(),
        };
        Self { current: Mutex::new(current), configured, keeper }
    }

    /// Returns the version that runners should have; none: any.
    pub fn current(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Says whether a runner of this version has what it should.
    pub fn accepts(&self, version: &str) -> bool {
        self.lock().as_deref().is_none_or(|expected| expected == version)
    }

    /// Sets another version, durably; blank: any. Returns the one before.
    pub async fn set(&self, version: &str) -> Result<Option<String>, NotKept> {
        let version = stated(version);
        let row = Row { version: version.clone(), over: self.configured.clone() };
        let (previous, ticket) = {
            let mut current = self.lock();
            let previous = std::mem::replace(&mut *current, version);
            (previous, self.keeper.put(Kind::Setting, "", ID, Some(&row)))
        };
        self.keeper.until(ticket).await?;
        Ok(previous)
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stated(version: &str) -> Option<String> {
    let version = version.trim();
    (!version.is_empty()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(version: &str, over: Option<&str>) -> Vec<Record> {
        let row = Row { version: Some(version.to_owned()), over: over.map(str::to_owned) };
        let body = Some(serde_json::to_string(&row).unwrap());
        vec![Record { kind: Kind::Setting, owner: String::new(), id: ID.to_owned(), body }]
    }

    fn restored(configured: &str, records: &[Record]) -> Option<String> {
        Expected::restore(configured, records, Arc::default()).current()
    }

    #[test]
    fn what_was_set_outlives_a_restart_until_the_configuration_changes() {
        assert_eq!(restored("", &[]), None);
        assert_eq!(restored(" 1.0 ", &[]).as_deref(), Some("1.0"));
        assert_eq!(restored("", &kept("2.0", None)).as_deref(), Some("2.0"));
        assert_eq!(restored("1.0", &kept("2.0", Some("1.0"))).as_deref(), Some("2.0"));
        assert_eq!(restored("3.0", &kept("2.0", Some("1.0"))).as_deref(), Some("3.0"));
        assert_eq!(restored("", &kept("2.0", Some("1.0"))), None);
    }

    #[test]
    fn without_an_expectation_every_version_is_right() {
        let any = Expected::restore("", &[], Arc::default());
        let one = Expected::restore("1.0", &[], Arc::default());

        assert!(any.accepts("0.1") && one.accepts("1.0") && !one.accepts("1.1"));
    }
}
