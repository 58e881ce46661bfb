//! Python's test tools: which one a folder is for, and our own runner for unittest.

use std::fs;

use executor_sdk::prelude::*;

use super::Counts;

/// Runs unittest's discovery and writes the counts into the file that is its first argument:
/// unittest itself has no output for programs.
pub(super) const RUNNER: &str = include_str!("run_unittest.py");

/// How many test files are looked at, and how deep the folders are.
const FILES: usize = 500;
const DEPTH: usize = 5;

/// Which of the two tools the folder is for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) pytest: bool,
    pub(super) unittest: bool,
}

impl Found {
    /// Looks at configuration files and at test files.
    ///
    /// A folder is for pytest when it configures it, or has a test file that needs it: one that
    /// imports it, or has test functions outside of classes. It is for unittest when a test file
    /// imports that.
    pub(super) fn look(folder: &Path) -> Self {
        let mut found = Self { pytest: is_configured(folder), unittest: false };
        let mut files = Vec::new();
        collect(folder, 0, &mut files);
        for file in files {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            for line in text.lines() {
                found.pytest |= line.starts_with("import pytest")
                    || line.starts_with("from pytest ")
                    || line.starts_with("def test_")
                    || line.starts_with("async def test_");
                found.unittest |=
                    line.starts_with("import unittest") || line.starts_with("from unittest ");
            }
        }
        found
    }
}

/// Returns the interpreter of the folder's virtual environment, else the system's.
pub(super) fn interpreter(folder: &Path) -> PathBuf {
    [".venv/bin/python", "venv/bin/python"]
        .into_iter()
        .map(|path| folder.join(path))
        .find(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from("python3"))
}

/// Reads what the runner wrote.
pub(super) fn counts(json: &str) -> Option<Counts> {
    #[derive(Deserialize)]
    struct Written {
        run: u64,
        skipped: u64,
        failed: Vec<String>,
    }
    let written = Written::deserialize(json.parse::<Value>().ok()?).ok()?;
    let failed = u64::try_from(written.failed.len()).ok()?;
    Some(Counts {
        passed: written.run.saturating_sub(failed).saturating_sub(written.skipped),
        failed,
        skipped: written.skipped,
        failed_tests: written.failed,
    })
}

fn is_configured(folder: &Path) -> bool {
    let has = |name: &str, words: &str| {
        fs::read_to_string(folder.join(name)).is_ok_and(|text| text.contains(words))
    };
    folder.join("pytest.ini").exists()
        || folder.join("conftest.py").exists()
        || folder.join("tests/conftest.py").exists()
        || has("pyproject.toml", "[tool.pytest")
        || has("setup.cfg", "[tool:pytest]")
        || has("tox.ini", "[pytest]")
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if files.len() >= FILES {
            return;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            let is_foreign = name.starts_with('.')
                || ["node_modules", "venv", "target", "__pycache__", "build", "dist"]
                    .contains(&name.as_str());
            if depth < DEPTH && !is_foreign {
                collect(&entry.path(), depth + 1, files);
            }
        } else if kind.is_file()
            && let Some(stem) = name.strip_suffix(".py")
            && (stem.starts_with("test") || stem.ends_with("_test"))
        {
            files.push(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_files_tell_which_tool_they_are_for() {
        let cases = [
            (
                "import unittest\nclass A(unittest.TestCase):\n    def test_x(self): pass\n",
                false,
                true,
            ),
            ("def test_x():\n    assert True\n", true, false),
            ("import unittest\nimport pytest\n", true, true),
            ("print('hello')\n", false, false),
        ];
        for (text, pytest, unittest) in cases {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("tests")).unwrap();
            fs::write(folder.path().join("tests/test_a.py"), text).unwrap();

            assert_eq!(Found::look(folder.path()), Found { pytest, unittest }, "{text}");
        }
    }

    #[test]
    fn what_others_brought_along_is_not_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".venv", "node_modules"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("test_a.py"), "import pytest\n").unwrap();
        }

        assert_eq!(Found::look(folder.path()), Found::default());
    }
}
