//! A cheap answer to "has anybody written?", read many times a second.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io};

use super::dialect::Program;
use super::workspace::Store;

/// A digest of many files is read at most this often, measured in its own cost: 1 of 50.
const REST: u32 = 50;
/// A manifest is one line of about 150 bytes; anything much longer is not one.
const MANIFEST_BYTES: u64 = 64 * 1024;

/// Bytes that differ after every write by anybody, and stay equal while only reads happen.
///
/// For an embedded `bd` store they are the content of the Dolt manifest, which holds the root
/// hash; its time moves on reads too. For `mb` they are a digest of the names, times and sizes of
/// the issue files.
#[derive(Debug, Clone)]
pub struct Signal {
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Manifest(PathBuf),
    Files { folder: PathBuf, last: Arc<Mutex<Option<Reading>>> },
    Unknown,
}

#[derive(Debug, Clone)]
struct Reading {
    digest: Option<Vec<u8>>,
    at: Instant,
    cost: Duration,
}

impl Signal {
    pub(super) fn of(store: &Store, server: bool) -> Self {
        let source = match store.program {
            Program::Bd if server => Source::Unknown,
            Program::Bd => store.manifest().map_or(Source::Unknown, Source::Manifest),
            Program::Mb => {
                Source::Files { folder: store.folder.join("issues"), last: Arc::default() }
            }
        };
        Self { source }
    }

    /// The bytes now; `None` when they cannot be known (a server keeps the store, or the file is
    /// just being replaced): then only the interval tells.
    pub fn read(&self) -> Option<Vec<u8>> {
        match &self.source {
            Source::Manifest(path) => manifest(path),
            Source::Files { folder, last } => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                match &*last {
                    Some(reading) if reading.at.elapsed() < reading.cost * REST => {
                        reading.digest.clone()
                    }
                    _ => {
                        let start = Instant::now();
                        let digest = digest(folder).ok().map(|sum| sum.to_be_bytes().to_vec());
                        let reading = Reading { digest, at: Instant::now(), cost: start.elapsed() };
                        last.insert(reading).digest.clone()
                    }
                }
            }
            Source::Unknown => None,
        }
    }
}

fn manifest(path: &Path) -> Option<Vec<u8>> {
    if fs::metadata(path).ok()?.len() > MANIFEST_BYTES {
        return None;
    }
    fs::read(path).ok().filter(|bytes| !bytes.is_empty())
}

/// A sum, so that the order in which the folder lists its files does not count.
fn digest(folder: &Path) -> io::Result<u64> {
    let mut sum = 0_u64;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A file that goes away meanwhile is one that is not there.
        let Ok(meta) = entry.metadata() else { continue };
        let mut hasher = DefaultHasher::new();
        (entry.file_name(), meta.modified().ok(), meta.len()).hash(&mut hasher);
        sum = sum.wrapping_add(hasher.finish());
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Signal {
        let last = Arc::default();
        Signal { source: Source::Files { folder: folder.to_owned(), last } }
    }

    fn fresh(folder: &Path) -> Option<Vec<u8>> {
        files(folder).read()
    }

    #[test]
    fn the_manifest_is_told_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest");
        let signal = Signal { source: Source::Manifest(path.clone()) };

        let missing = signal.read();
        fs::write(&path, "5:__DOLT__:a").unwrap();
        let first = signal.read();
        fs::write(&path, "5:__DOLT__:a").unwrap();
        let same = signal.read();
        fs::write(&path, "5:__DOLT__:b").unwrap();
        let moved = signal.read();

        assert_eq!(missing, None);
        assert_eq!(first.as_deref(), Some(&b"5:__DOLT__:a"[..]));
        assert_eq!(first, same);
        assert_ne!(first, moved);
    }

    #[test]
    fn the_digest_moves_with_new_changed_and_removed_files() {
        let folder = tempfile::tempdir().unwrap();
        let empty = fresh(folder.path());
        fs::write(folder.path().join("hl-1.md"), "one").unwrap();
        let one = fresh(folder.path());
        fs::write(folder.path().join("hl-1.md"), "longer").unwrap();
        let changed = fresh(folder.path());
        let again = fresh(folder.path());
        fs::remove_file(folder.path().join("hl-1.md")).unwrap();
        let removed = fresh(folder.path());

        assert!(empty.is_some());
        assert_ne!(empty, one);
        assert_ne!(one, changed);
        assert_eq!(changed, again);
        assert_eq!(removed, empty);
        assert_eq!(fresh(&folder.path().join("gone")), None);
    }

    #[test]
    fn a_costly_digest_is_not_taken_on_every_tick() {
        let folder = tempfile::tempdir().unwrap();
        let signal = files(folder.path());
        let old =
            Reading { digest: Some(vec![1]), at: Instant::now(), cost: Duration::from_mins(1) };
        if let Source::Files { last, .. } = &signal.source {
            *last.lock().unwrap() = Some(old);
        }

        assert_eq!(signal.read(), Some(vec![1]));
    }
}
