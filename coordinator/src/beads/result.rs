//! A result, in the bead, for the beads that depend on it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tracing::{debug, warn};
use uuid::Uuid;

use super::Beads;
use super::bead::RESULT_KEY;
use super::clean;
use super::command::Words;
use super::ending::unverified;
use super::error::BeadsError;
use super::proof::Claim;

/// The most that a result may take in a bead.
const RESULT_BYTES: usize = 1024 * 1024;

impl Beads {
    /// Writes a result where the beads that depend on this one find it. `false` where it cannot
    /// stand: there is no metadata, or it is too big or too broken to take it.
    pub async fn write_result(&self, claim: &Claim, result: &Value) -> Result<bool, BeadsError> {
        if !self.dialect().has_metadata {
            return Ok(false);
        }
        let result = clean::clean_value(result);
        let _turn = self.turn().await;
        match self.merge_result(claim, &result).await {
            Ok(()) => {
                // Written twice under one claim, the first value is the one that is looked for.
                let _first = claim.result().set(result);
                Ok(true)
            }
            Err(error @ (BeadsError::TooBig { .. } | BeadsError::Poisoned { .. })) => {
                warn!("{} stays without its result: {error}", claim.bead());
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn merge_result(
        &self,
        claim: &Claim,
        result: &Value,
    ) -> Result<(), BeadsError> {
        let text = json!({ RESULT_KEY: result }).to_string();
        let limit = self.dialect().size_limit.unwrap_or(usize::MAX);
        let room = limit.saturating_sub(claim.size()).min(RESULT_BYTES);
        if text.len() >= room {
            let text = format!("a result of {} bytes, with room for {room}", text.len());
            return Err(BeadsError::TooBig { text });
        }
        let file = ResultFile::write(self.scratch(), &text)?;
        let call = Words::merge_metadata(claim.bead(), &file.0.to_string_lossy());
        let mut last = None;
        for _ in 0..2 {
            let bead = match self.door().bead(call.clone()).await {
                Ok(bead) => Some(bead),
                Err(error @ BeadsError::TimedOut { .. }) => {
                    last = Some(error);
                    self.show(claim.bead()).await?
                }
                Err(error) => return Err(error),
            };
            let found = bead.as_ref().and_then(|bead| bead.metadata.get(RESULT_KEY));
            if found.is_some_and(|found| same(found, result)) {
                return Ok(());
            }
        }
        Err(last.unwrap_or_else(|| unverified(claim, "the result is not in its metadata")))
    }
}

/// Whether two values are the same to a store that keeps numbers as doubles.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            (a - b).abs() <= a.abs().max(b.abs()) * 1e-12
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// A body too long for an argument, and for nobody else to read. Removed with the value.
struct ResultFile(PathBuf);

impl ResultFile {
    fn write(folder: &Path, text: &str) -> Result<Self, BeadsError> {
        let path = folder.join(format!("result-{}.json", Uuid::new_v4().simple()));
        let written = fs::create_dir_all(folder).and_then(|()| {
            let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
            // From here on the file is removed again, whatever happens.
            let own = Self(path.clone());
            let mut file = io::BufWriter::new(file);
            file.write_all(text.as_bytes())?;
            file.flush()?;
            Ok(own)
        });
        written.map_err(|source| BeadsError::OwnFile { path, source })
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            debug!("cannot remove `{}`: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_a_store_rounds_are_still_the_same() {
        let written = json!({"n": 12_345_678_901_234_567_890_u64, "one": 1, "list": [1.5, "x"]});
        let found = json!({"list": [1.5, "x"], "n": 12_345_678_901_234_567_000.0, "one": 1.0});

        assert!(same(&written, &found));
        assert!(!same(&written, &json!({"n": 1, "one": 1, "list": [1.5, "x"]})));
        assert!(!same(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
        assert!(!same(&json!("1"), &json!(1)));
        assert!(same(&json!(0), &json!(0.0)));
    }

    #[test]
    fn a_result_file_is_for_its_owner_and_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let file = ResultFile::write(&folder.path().join("new"), "{}").unwrap();
        let path = file.0.clone();

        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
        drop(file);
        assert!(!path.exists());
    }
}
