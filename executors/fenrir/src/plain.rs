//! What a value may be before it becomes a path or an argument.
//!
//! No value of a bead ever meets a shell. These checks keep it from being read as an option, as
//! more than one line, or as a place outside the one it belongs to.

use std::path::{Component, Path, PathBuf};

use executor_sdk::prelude::Failure;

/// Refuses a value that is empty, begins with `-`, or holds a control character.
pub(crate) fn word(field: &str, value: &str) -> Result<(), Failure> {
    one_line(field, value)?;
    if value.starts_with('-') {
        return Err(Failure::new(format!("`{field}` begins with `-`, as only an option may")));
    }
    Ok(())
}

/// Returns the absolute path that `value` is, without looking at the disk.
pub(crate) fn absolute(field: &str, value: &str) -> Result<PathBuf, Failure> {
    one_line(field, value)?;
    let path = Path::new(value);
    if !path.is_absolute() {
        return Err(Failure::new(format!("`{field}` must be an absolute path, not `{value}`")));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(Failure::new(format!("`{field}` must not contain `..`: `{value}`")));
    }
    Ok(path.to_owned())
}

/// Returns the path below a repository's top that `value` is, without looking at the disk.
///
/// `..`, absolute paths and everything in `.git` are refused.
pub(crate) fn below(field: &str, value: &str) -> Result<PathBuf, Failure> {
    one_line(field, value)?;
    let mut path = PathBuf::new();
    for part in Path::new(value).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) if name.eq_ignore_ascii_case(".git") => {
                return Err(Failure::new(format!("`{field}` reaches into `.git`: `{value}`")));
            }
            Component::Normal(name) => path.push(name),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(Failure::new(format!("`{field}` leaves the repository: `{value}`")));
            }
        }
    }
    Ok(path)
}

fn one_line(field: &str, value: &str) -> Result<(), Failure> {
    if value.trim().is_empty() {
        return Err(Failure::new(format!("`{field}` is empty")));
    }
    if value.chars().any(char::is_control) {
        return Err(Failure::new(format!("`{field}` contains a control character")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_read_as_something_else_is_refused() {
        for value in ["", " ", "-x", "--upload-pack=x", "a\nb", "a\0b", "a\u{1b}[0m"] {
            assert!(word("field", value).is_err(), "{value:?}");
        }
        for value in ["main", "v1.0", "a b", "$(x)", "a;b", "'"] {
            assert!(word("field", value).is_ok(), "{value:?}");
        }
    }

    #[test]
    fn an_absolute_path_has_no_way_up() {
        for value in ["", "a", "./a", "~/a", "/a/../b", "../a", "/a\nb"] {
            assert!(absolute("field", value).is_err(), "{value:?}");
        }
        assert_eq!(absolute("field", "/a/b").unwrap(), Path::new("/a/b"));
    }

    #[test]
    fn a_path_below_stays_below_and_out_of_git() {
        for value in ["", "/a", "..", "a/../../b", ".git/config", "sub/.GIT/x", "a\0"] {
            assert!(below("field", value).is_err(), "{value:?}");
        }
        assert_eq!(below("field", "./a/./b").unwrap(), Path::new("a/b"));
        assert_eq!(below("field", "-x").unwrap(), Path::new("-x"));
        assert_eq!(below("field", ".gitignore").unwrap(), Path::new(".gitignore"));
    }
}
