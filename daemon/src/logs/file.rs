//! The file that lines are appended to, and where it is when the wanted one cannot be written.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

pub(super) struct Opened {
    pub(super) file: Option<File>,
    pub(super) path: Option<PathBuf>,
    /// What to tell the user, once.
    pub(super) trouble: Option<String>,
}

pub(super) fn open(wanted: &Path, fallback_dir: &Path) -> Opened {
    let error = match append(wanted) {
        Ok(file) => {
            return Opened { file: Some(file), path: Some(wanted.to_owned()), trouble: None };
        }
        Err(error) => error,
    };
    let trouble = format!("cannot write the log file `{}` ({error})", wanted.display());
    let fallback = fallback_dir.join(wanted.file_name().unwrap_or("yggdrasil.log".as_ref()));
    match append(&fallback) {
        Ok(file) => Opened {
            file: Some(file),
            trouble: Some(format!("{trouble}; the log is in `{}`", fallback.display())),
            path: Some(fallback),
        },
        Err(error) => Opened {
            file: None,
            path: None,
            trouble: Some(format!(
                "{trouble}, nor `{}` ({error}); the log goes to the console only",
                fallback.display()
            )),
        },
    }
}

// Appending only: each line goes to the end of the file as it is then, whoever else writes or
// shortens it.
fn append(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}
