//! Finding the store, and looking whether it is sound before a program answers `[]` from it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use uuid::Uuid;

use super::dialect::Program;
use super::error::BeadsError;

/// What only a `bd` store has. `mb` answers `[]` there and adds its own files.
const BD_FILES: [&str; 3] = ["embeddeddolt", "dolt", "metadata.json"];
/// What only an `mb` store has. In any other folder it makes a new, empty store.
const MB_FILES: [&str; 2] = ["issues", "config-minibeads.yaml"];

/// A store that was found and looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Store {
    /// The data folder, absolute.
    pub(super) folder: PathBuf,
    /// Whose it is.
    pub(super) program: Program,
}

impl Store {
    /// Finds the store of a program: `given` is the workspace or the store folder in it; without
    /// it every folder from `start` upward is tried.
    pub(super) fn find(
        program: Program,
        given: Option<&Path>,
        start: &Path,
    ) -> Result<Self, BeadsError> {
        let folder = match given {
            Some(given) => Self::at(program, given)?,
            None => start
                .ancestors()
                .find_map(|folder| Self::below(program, folder))
                .ok_or_else(|| Self::missing(program, start, "or above it"))?,
        };
        let folder = fs::canonicalize(&folder)
            .map_err(|error| no_store(format!("`{}`: {error}", folder.display())))?;
        let store = Self { folder, program };
        store.check()?;
        Ok(store)
    }

    fn at(program: Program, given: &Path) -> Result<PathBuf, BeadsError> {
        if !given.is_dir() {
            return Err(no_store(format!("`{}` is not a folder", given.display())));
        }
        if let Some(folder) = Self::below(program, given) {
            return Ok(folder);
        }
        let is_store = names(program).iter().any(|name| given.ends_with(name))
            || BD_FILES.iter().chain(&MB_FILES).any(|name| given.join(name).exists());
        if is_store {
            return Ok(given.to_owned());
        }
        Err(Self::missing(program, given, "itself"))
    }

    fn below(program: Program, workspace: &Path) -> Option<PathBuf> {
        names(program)
            .iter()
            .map(|name| workspace.join(name))
            .find(|folder| folder.is_dir() && (program == Program::Bd || !is_bd(folder)))
    }

    fn missing(program: Program, folder: &Path, or: &str) -> BeadsError {
        let names = names(program).join("` or `");
        let other = match program {
            Program::Bd if folder.join(".minibeads").is_dir() => {
                "; the folder `.minibeads` there belongs to minibeads: name it with --bd mb"
            }
            Program::Mb if is_bd(&folder.join(".beads")) => {
                "; the folder `.beads` there belongs to bd, and mb must not touch it"
            }
            Program::Bd | Program::Mb => "",
        };
        no_store(format!("no `{names}` in `{}` {or}{other}", folder.display()))
    }

    /// Looks whether the folder is what it was, cheaply enough for every command.
    pub(super) fn check(&self) -> Result<(), BeadsError> {
        let shown = self.folder.display();
        match self.program {
            Program::Bd => self.database().map(|_| ()),
            Program::Mb if is_bd(&self.folder) => Err(BeadsError::BrokenStore {
                why: format!("`{shown}` belongs to bd, and mb must not touch it"),
            }),
            Program::Mb if MB_FILES.iter().any(|name| self.folder.join(name).exists()) => Ok(()),
            Program::Mb => Err(no_store(format!(
                "`{shown}` has neither `issues` nor `config-minibeads.yaml`; mb would make an empty store there"
            ))),
        }
    }

    /// The name of the database, out of `metadata.json`: without it `bd` makes an empty one
    /// beside the real one, and answers `[]` with exit 0.
    fn database(&self) -> Result<Metadata, BeadsError> {
        let path = self.folder.join("metadata.json");
        let broken = |why: String| BeadsError::BrokenStore { why };
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if MB_FILES.iter().any(|f| self.folder.join(f).exists()) => {
                no_store(format!(
                    "`{}` belongs to minibeads: name it with --bd mb",
                    self.folder.display()
                ))
            }
            _ => broken(format!("`{}`: {error}", path.display())),
        })?;
        let json: Value = serde_json::from_str(&text)
            .map_err(|error| broken(format!("`{}` is not JSON: {error}", path.display())))?;
        let field = |key: &str| json.get(key).and_then(Value::as_str).unwrap_or_default();
        if field("dolt_database").is_empty() {
            return Err(broken(format!("`{}` names no dolt_database", path.display())));
        }
        Ok(Metadata {
            database: field("dolt_database").to_owned(),
            embedded: matches!(field("dolt_mode"), "embedded" | ""),
        })
    }

    /// The file whose content changes with every write, where there is one.
    pub(super) fn manifest(&self) -> Option<PathBuf> {
        let metadata = self.database().ok().filter(|metadata| metadata.embedded)?;
        Some(self.folder.join("embeddeddolt").join(metadata.database).join(".dolt/noms/manifest"))
    }

    /// The folder to run commands in.
    pub(super) fn workspace(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }
}

struct Metadata {
    database: String,
    embedded: bool,
}

fn names(program: Program) -> &'static [&'static str] {
    match program {
        Program::Bd => &[".beads"],
        Program::Mb => &[".minibeads", ".beads"],
    }
}

fn is_bd(folder: &Path) -> bool {
    BD_FILES.iter().any(|name| folder.join(name).exists())
}

fn no_store(why: String) -> BeadsError {
    BeadsError::NoStore { why }
}

/// A home folder that exists and can be written: the user's own, else one below the state folder.
/// The engine of `bd` makes a folder there, and every command fails where it cannot.
pub(super) fn writable_home(user: Option<&Path>, own: &Path) -> Result<PathBuf, BeadsError> {
    if let Some(user) = user
        && user.is_absolute()
        && probe(user).is_ok()
    {
        return Ok(user.to_owned());
    }
    let home = own.join("bd-home");
    let made = fs::create_dir_all(&home).and_then(|()| probe(&home));
    made.map_err(|error| BeadsError::Home { why: format!("`{}`: {error}", home.display()) })?;
    std::path::absolute(&home)
        .map_err(|error| BeadsError::Home { why: format!("`{}`: {error}", home.display()) })
}

/// Permissions alone do not tell whether a folder can be written, so it is tried.
fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".yggdrasil-{}", Uuid::new_v4().simple()));
    fs::File::create_new(&path)?;
    fs::remove_file(&path)
}

#[cfg(test)]
mod tests;
