//! Files that are written into a work tree, and never outside of it.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use executor_sdk::prelude::Failure;

/// The files to write below one folder, whose path holds no symbolic link.
#[derive(Debug)]
pub(crate) struct Files {
    top: PathBuf,
    files: Vec<(PathBuf, String)>,
}

impl Files {
    pub(crate) fn new(top: &Path) -> Self {
        Self { top: top.to_owned(), files: Vec::new() }
    }

    /// Takes a file in, by its path below the top, after a look at what is there.
    pub(crate) fn add(&mut self, path: PathBuf, content: String) -> Result<(), Failure> {
        let shown = path.display();
        if self.files.iter().any(|(other, _)| *other == path) {
            return Err(Failure::new(format!("`{shown}` is in `files` twice")));
        }
        let mut place = self.top.clone();
        let parts: Vec<_> = path.components().collect();
        for (index, part) in parts.iter().enumerate() {
            place.push(part);
            let is_last = index + 1 == parts.len();
            match fs::symlink_metadata(&place) {
                Ok(found) if found.is_symlink() => {
                    return Err(Failure::new(format!(
                        "`{shown}` is refused: `{}` is a symbolic link",
                        place.display()
                    )));
                }
                Ok(found) if is_last && found.is_file() || !is_last && found.is_dir() => {}
                Ok(_) => {
                    return Err(Failure::new(format!(
                        "`{shown}` cannot be written: `{}` is something else",
                        place.display()
                    )));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => {
                    return Err(Failure::new(format!("cannot look at `{shown}`: {error}")));
                }
            }
        }
        if parts.is_empty() {
            return Err(Failure::new("the path of a file is empty"));
        }
        self.files.push((path, content));
        Ok(())
    }

    /// Writes all of them. Each is put in place whole, by a rename, which follows no link.
    pub(crate) fn write(self) -> Result<(), Failure> {
        for (path, content) in &self.files {
            let place = self.top.join(path);
            write(&self.top, &place, content.as_bytes()).map_err(|error| {
                Failure::new(format!("cannot write `{}`: {error}", place.display()))
            })?;
        }
        Ok(())
    }
}

fn write(top: &Path, place: &Path, content: &[u8]) -> io::Result<()> {
    if fs::read(place).is_ok_and(|there| there == content) {
        return Ok(());
    }
    let folder = place.parent().unwrap_or(top);
    make_folders(top, folder)?;
    let permissions = fs::symlink_metadata(place).ok().map(|found| found.permissions());
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = folder.join(format!(".{name}.yggdrasil-unfinished"));
    // A killed executor may have left one.
    drop(fs::remove_file(&unfinished));
    let written = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&unfinished)?;
        file.write_all(content)?;
        if let Some(permissions) = permissions {
            file.set_permissions(permissions)?;
        }
        fs::rename(&unfinished, place)
    })();
    if written.is_err() {
        drop(fs::remove_file(&unfinished));
    }
    written
}

/// Makes the folders from `top` down to `folder`, and looks at each: somebody may have put a
/// link there since [`Files::add`] looked.
fn make_folders(top: &Path, folder: &Path) -> io::Result<()> {
    let mut place = top.to_owned();
    for part in folder.strip_prefix(top).map_err(io::Error::other)?.components() {
        place.push(part);
        match fs::create_dir(&place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if !fs::symlink_metadata(&place)?.is_dir() {
            return Err(io::Error::other(format!("`{}` is no folder", place.display())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn files_are_written_and_keep_their_mode() {
        let (_keep, top) = folder();
        fs::write(top.join("run.sh"), "old").unwrap();
        fs::set_permissions(top.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();

        let mut files = Files::new(&top);
        files.add("run.sh".into(), "new".to_owned()).unwrap();
        files.add("a/b/c".into(), "deep".to_owned()).unwrap();
        files.write().unwrap();

        assert_eq!(fs::read_to_string(top.join("run.sh")).unwrap(), "new");
        assert_eq!(fs::read_to_string(top.join("a/b/c")).unwrap(), "deep");
        let mode = fs::metadata(top.join("run.sh")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(fs::read_dir(&top).unwrap().count(), 2);
    }

    #[test]
    fn a_symbolic_link_leads_nowhere() {
        let (_keep, top) = folder();
        let (_outside, outside) = folder();
        symlink(&outside, top.join("out")).unwrap();
        symlink(outside.join("file"), top.join("file")).unwrap();

        let mut files = Files::new(&top);
        let through = files.add("out/file".into(), "x".to_owned()).unwrap_err();
        let onto = files.add("file".into(), "x".to_owned()).unwrap_err();

        assert!(through.error().contains("symbolic link"), "{}", through.error());
        assert!(onto.error().contains("symbolic link"), "{}", onto.error());
    }

    #[test]
    fn a_link_that_comes_later_leads_nowhere_either() {
        let (_keep, top) = folder();
        let (_outside, outside) = folder();
        let mut files = Files::new(&top);
        files.add("out/deep/file".into(), "x".to_owned()).unwrap();

        symlink(&outside, top.join("out")).unwrap();
        files.write().unwrap_err();

        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_is_not_a_file() {
        let (_keep, top) = folder();
        fs::create_dir(top.join("a")).unwrap();

        let mut files = Files::new(&top);

        files.add("a".into(), String::new()).unwrap_err();
        files.add(PathBuf::new(), String::new()).unwrap_err();
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        (folder, path)
    }
}
