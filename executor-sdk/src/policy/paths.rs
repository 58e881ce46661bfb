//! Where a path really leads.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// As many symlinks as the kernel follows.
const LINKS: usize = 40;

/// Returns where a path leads once `..` and the symlinks of what exists are followed.
///
/// What does not exist yet counts as written; a symlink to something that does not exist is
/// followed, because whoever writes there writes through it.
pub(super) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut open: VecDeque<OsString> = steps(path);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(step) = open.pop_front() {
        if step == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&step);
        match next.symlink_metadata() {
            Ok(found) if found.is_symlink() => {
                links += 1;
                if links > LINKS {
                    return Err(io::Error::other("too many symlinks"));
                }
                let target = next.read_link()?;
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                for step in steps(&target).into_iter().rev() {
                    open.push_front(step);
                }
            }
            Ok(_) => at = next,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                at = next;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(at)
}

fn steps(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Returns the real path of `name` when it lies below `folder`; the error says why it does not.
pub(crate) fn below(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let path = Path::new(name);
    if path.components().any(|component| component == Component::ParentDir) {
        return Err(format!("`{name}` contains `..`"));
    }
    let cannot = |error: io::Error| format!("`{name}` cannot be followed: {error}");
    let folder = resolve(folder).map_err(cannot)?;
    let resolved = resolve(&folder.join(path)).map_err(cannot)?;
    if resolved == folder || !resolved.starts_with(&folder) {
        return Err(format!("`{name}` leads out of it"));
    }
    Ok(resolved)
}
