//! Sealing a key that waits for its runner, so that the ledger does not show it.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use daemon::exit::Exit;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use tracing::warn;

/// The file in the state folder.
const FILE: &str = "key-seal";
const LEN: usize = 32;

/// Seals and opens keys with a random key of this coordinator's own.
///
/// Whoever has a copy of the ledger alone cannot read what it sealed; whoever has the whole state
/// folder can.
pub struct Seal {
    key: LessSafeKey,
    random: SystemRandom,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// Reads the state folder's seal, or makes one that only its owner can read.
    pub fn of(state_dir: &Path) -> Result<Self, Exit> {
        let path = state_dir.join(FILE);
        let shown = path.display();
        match fs::read(&path) {
            Ok(bytes) => {
                warn_if_open(&path);
                let bytes: [u8; LEN] = bytes.try_into().map_err(|_| {
                    Exit::config(format!("`{shown}` is not a seal: it must have {LEN} bytes"))
                        .hinted("remove the file: a new one is made, and runners that wait for a new API key must be told again")
                })?;
                Self::new(&bytes)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let bytes = random()?;
                write(state_dir, &path, &bytes).map_err(|error| {
                    Exit::cannot_create(format!("cannot write `{shown}`: {error}"))
                })?;
                Self::new(&bytes)
            }
            Err(error) => Err(Exit::config(format!("cannot read `{shown}`: {error}"))),
        }
    }

    /// Makes one that ends with this process.
    pub fn of_this_life() -> Result<Self, Exit> {
        Self::new(&random()?)
    }

    fn new(bytes: &[u8; LEN]) -> Result<Self, Exit> {
        let key = UnboundKey::new(&AES_256_GCM, bytes)
            .map_err(|_| Exit::software("a seal of 32 bytes is not taken as a key"))?;
        Ok(Self { key: LessSafeKey::new(key), random: SystemRandom::new() })
    }

    /// Seals a secret under the id of its key; none when there are no random numbers.
    pub(super) fn close(&self, id: &str, secret: &str) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut bytes = secret.as_bytes().to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(unique, Aad::from(id.as_bytes()), &mut bytes).ok()?;
        Some(format!("{}{}", hex::encode(nonce), hex::encode(bytes)))
    }

    /// Opens what was sealed under this id; none when it was not, or by another seal.
    pub(super) fn open(&self, id: &str, sealed: &str) -> Option<String> {
        let bytes = hex::decode(sealed).ok()?;
        let (nonce, rest) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut rest = rest.to_vec();
        let plain = self.key.open_in_place(nonce, Aad::from(id.as_bytes()), &mut rest).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }
}

fn random() -> Result<[u8; LEN], Exit> {
    let mut bytes = [0; LEN];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Exit::software("the system gives no random numbers"))?;
    Ok(bytes)
}

/// Written beside and renamed, so that a crash leaves no half of it.
fn write(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = folder.join("key-seal.new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

fn warn_if_open(path: &Path) {
    if path.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0) {
        warn!("others on this machine can read `{}`; chmod 600 helps", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_opened_in_the_next_life_and_by_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = Seal::of(folder.path()).unwrap().close("id", "hunter2-hunter2").unwrap();

        let again = Seal::of(folder.path()).unwrap();

        assert_eq!(again.open("id", &sealed).as_deref(), Some("hunter2-hunter2"));
        assert_eq!(again.open("other", &sealed), None);
        assert_eq!(Seal::of_this_life().unwrap().open("id", &sealed), None);
        assert!(!sealed.contains(&hex::encode("hunter2")), "{sealed}");
        for broken in ["", "zz", "00", &sealed[2..], &sealed[..sealed.len() - 2]] {
            assert_eq!(again.open("id", broken), None, "{broken}");
        }
    }

    #[test]
    fn the_same_key_is_sealed_differently_each_time() {
        let seal = Seal::of_this_life().unwrap();

        assert_ne!(seal.close("id", "secret"), seal.close("id", "secret"));
    }

    #[test]
    fn the_file_is_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();

        Seal::of(folder.path()).unwrap();

        let mode = folder.path().join(FILE).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!folder.path().join("key-seal.new").exists());
    }

    #[test]
    fn a_broken_file_is_named_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "short").unwrap();

        let exit = Seal::of(folder.path()).unwrap_err();

        assert_eq!(exit.code, 78);
        assert!(exit.error.contains(FILE) && exit.hint.is_some(), "{exit:?}");
    }
}
