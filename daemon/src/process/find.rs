//! Where a program is.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::{Command, SpawnError};

/// Searched when there is no PATH at all.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Finds an executable file.
///
/// A name is looked for in the folders of `path` (without one, in the system's usual folders); a
/// path is taken as it is. Empty and relative folders of `path` are passed over: they would
/// make the current folder decide what runs.
pub fn find_program(name: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    if is_path(name) {
        return Some(PathBuf::from(name)).filter(|file| is_executable(file));
    }
    if name.is_empty() {
        return None;
    }
    std::env::split_paths(path.unwrap_or(OsStr::new(USUAL_PATH)))
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

/// Returns the absolute path of what a command runs, as its working directory and PATH say.
pub(super) fn resolve(command: &Command) -> Result<PathBuf, SpawnError> {
    let name = &command.program;
    let program = || name.to_string_lossy().into_owned();
    if !is_path(name) {
        let path = command.env.get(OsStr::new("PATH")).map(OsString::as_os_str);
        return find_program(name, path).ok_or_else(|| SpawnError::NotFound { program: program() });
    }
    let file = command.cwd.as_deref().unwrap_or(Path::new("")).join(name);
    let file = std::path::absolute(&file)
        .map_err(|source| SpawnError::Io { program: program(), source })?;
    if !file.exists() {
        return Err(SpawnError::NotFound { program: program() });
    }
    if !is_executable(&file) {
        return Err(SpawnError::NotExecutable { program: program() });
    }
    Ok(file)
}

fn is_path(name: &OsStr) -> bool {
    name.as_bytes().contains(&b'/')
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && access(file, AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn program(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let file = folder.join(name);
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_name_is_looked_for_along_the_path() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        program(first.path(), "tool", 0o644);
        let tool = program(second.path(), "tool", 0o755);
        let path = std::env::join_paths([first.path(), second.path()]).unwrap();

        assert_eq!(find_program(OsStr::new("tool"), Some(&path)), Some(tool.clone()));
        assert_eq!(find_program(OsStr::new("other"), Some(&path)), None);
        assert_eq!(find_program(OsStr::new(""), Some(&path)), None);
        assert_eq!(find_program(tool.as_os_str(), None), Some(tool));
        assert!(find_program(OsStr::new("sh"), None).is_some());
        assert_eq!(find_program(OsStr::new("src"), Some(OsStr::new(":."))), None);
    }

    #[test]
    fn a_relative_path_counts_from_the_working_directory() {
        let folder = tempfile::tempdir().unwrap();
        let run = program(folder.path(), "run.sh", 0o755);
        program(folder.path(), "data.txt", 0o644);
        let at = |name: &str| resolve(&Command::new(name).cwd(folder.path()));

        assert_eq!(at("./run.sh").unwrap().canonicalize().unwrap(), run.canonicalize().unwrap());
        assert!(matches!(at("./gone.sh"), Err(SpawnError::NotFound { .. })));
        assert!(matches!(at("./data.txt"), Err(SpawnError::NotExecutable { .. })));
        assert!(matches!(at("run.sh"), Err(SpawnError::NotFound { .. })));
    }
}
