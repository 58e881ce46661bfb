//! Which linters fit a repository.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;

use executor_sdk::prelude::*;

use super::linters::{Linter, Run};

/// Returns the linters that fit these files of the folder. Blocks on the disk.
pub(crate) fn wanted(top: &Path, files: &[String]) -> Vec<Run> {
    let ending = |endings: &[&str]| -> Vec<String> {
        let ends = |file: &&String| endings.iter().any(|ending| file.ends_with(ending));
        files.iter().filter(ends).cloned().collect()
    };
    let rust = ending(&[".rs", "Cargo.toml", "clippy.toml"]);
    let go = ending(&[".go", "go.mod"]);
    let yaml = ending(&[".yml", ".yaml"]);
    let python = if has_flake8_settings(top) && !has_ruff_settings(top) {
        Linter::Flake8
    } else {
        Linter::Ruff
    };
    let all = [
        (Linter::Clippy, roots(top, &rust, cargo_root), rust),
        (python, BTreeSet::new(), ending(&[".py", ".pyi"])),
        (
            Linter::Eslint,
            BTreeSet::new(),
            if has_eslint_settings(top) {
                ending(&[".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx"])
            } else {
                Vec::new()
            },
        ),
        (
            Linter::Shellcheck,
            BTreeSet::new(),
            files.iter().filter(|file| is_shell(top, file)).cloned().collect(),
        ),
        (Linter::GoVet, roots(top, &go, go_root), go),
        (
            Linter::AnsibleLint,
            BTreeSet::new(),
            if is_ansible(top) { yaml.clone() } else { Vec::new() },
        ),
        (Linter::Yamllint, BTreeSet::new(), yaml),
    ];
    all.into_iter()
        .filter(|(linter, roots, files)| {
            !files.is_empty()
                && (linter.takes_files() || *linter == Linter::AnsibleLint || !roots.is_empty())
        })
        .map(|(linter, roots, files)| Run { linter, files, roots })
        .collect()
}

fn roots(
    top: &Path,
    files: &[String],
    root: impl Fn(&Path, &str) -> Option<String>,
) -> BTreeSet<String> {
    let folders: BTreeSet<_> =
        files.iter().map(|file| file.rsplit_once('/').map_or("", |(folder, _)| folder)).collect();
    folders.into_iter().filter_map(|folder| root(top, folder)).collect()
}

/// Returns a folder and those above it, up to the top, whose name is empty.
fn upwards(folder: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(folder), |folder| {
        (!folder.is_empty()).then(|| folder.rsplit_once('/').map_or("", |(above, _)| above))
    })
}

/// Returns the workspace of a folder: the nearest manifest that says so, else the topmost one.
fn cargo_root(top: &Path, folder: &str) -> Option<String> {
    let mut root = None;
    for folder in upwards(folder) {
        let Ok(text) = fs::read_to_string(top.join(folder).join("Cargo.toml")) else { continue };
        root = Some(folder.to_owned());
        if text.lines().any(|line| line.trim_start().starts_with("[workspace")) {
            break;
        }
    }
    root
}

fn go_root(top: &Path, folder: &str) -> Option<String> {
    upwards(folder).find(|folder| top.join(folder).join("go.mod").is_file()).map(str::to_owned)
}

fn has(top: &Path, name: &str, words: &str) -> bool {
    fs::read_to_string(top.join(name)).is_ok_and(|text| text.contains(words))
}

fn has_flake8_settings(top: &Path) -> bool {
    top.join(".flake8").is_file()
        || has(top, "setup.cfg", "[flake8]")
        || has(top, "tox.ini", "[flake8]")
}

fn has_ruff_settings(top: &Path) -> bool {
    top.join("ruff.toml").is_file()
        || top.join(".ruff.toml").is_file()
        || has(top, "pyproject.toml", "[tool.ruff")
}

fn has_eslint_settings(top: &Path) -> bool {
    let names = fs::read_dir(top).into_iter().flatten().flatten();
    names.into_iter().any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with("eslint.config.") || name == ".eslintrc" || name.starts_with(".eslintrc.")
    }) || has(top, "package.json", "\"eslintConfig\"")
}

fn is_ansible(top: &Path) -> bool {
    let has_role = || {
        let roles = fs::read_dir(top.join("roles")).into_iter().flatten().flatten();
        roles.into_iter().any(|role| role.path().join("tasks").is_dir())
    };
    ["ansible.cfg", ".ansible-lint", ".ansible-lint.yml", ".config/ansible-lint.yml", "galaxy.yml"]
        .iter()
        .any(|name| top.join(name).is_file())
        || has_role()
}

/// Whether a file is a shell script, by its name or by its first line.
fn is_shell(top: &Path, file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    if let Some((_, ending)) = name.rsplit_once('.') {
        return ["sh", "bash", "ksh", "dash"].contains(&ending);
    }
    let mut start = Vec::new();
    let Ok(opened) = fs::File::open(top.join(file)) else { return false };
    if opened.take(100).read_to_end(&mut start).is_err() || !start.starts_with(b"#!") {
        return false;
    }
    let start = String::from_utf8_lossy(&start);
    let words = start.lines().next().unwrap_or_default().split([' ', '/', '!', '\t']);
    words.into_iter().any(|word| ["sh", "bash", "dash", "ksh"].contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn fitting(files: &[(&str, &str)]) -> Vec<(&'static str, Vec<String>)> {
        let top = folder(files);
        let names: Vec<_> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
        let runs = wanted(top.path(), &names);
        runs.into_iter().map(|run| (run.linter.name(), run.files)).collect()
    }

    #[test]
    fn the_files_decide_which_linters_fit() {
        let own = |files: &[&str]| files.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>();

        let mixed = fitting(&[
            ("README.md", ""),
            ("a.py", ""),
            ("run", "#!/usr/bin/env bash\n"),
            ("tool", "#!/usr/bin/python3\n"),
            ("x.sh", ""),
            ("app.js", ""),
            ("c.yaml", ""),
        ]);
        let settings = fitting(&[
            (".flake8", ""),
            ("a.py", ""),
            ("eslint.config.js", ""),
            ("roles/x/tasks/main.yml", ""),
        ]);

        let expected = [
            ("ruff", own(&["a.py"])),
            ("shellcheck", own(&["run", "x.sh"])),
            ("yamllint", own(&["c.yaml"])),
        ];
        assert_eq!(mixed, expected);
        let names: Vec<_> = settings.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["flake8", "eslint", "ansible-lint", "yamllint"]);
    }

    #[test]
    fn a_crate_is_reviewed_in_its_workspace() {
        let top = folder(&[
            ("Cargo.toml", "[workspace]\n"),
            ("a/Cargo.toml", "[package]\n"),
            ("a/src/lib.rs", ""),
            ("fuzz/Cargo.toml", "[package]\n[workspace]\n"),
            ("fuzz/x.rs", ""),
            ("go/go.mod", ""),
            ("go/in/x.go", ""),
        ]);
        let files = ["a/src/lib.rs", "fuzz/x.rs", "go/in/x.go"].map(str::to_owned);

        let runs = wanted(top.path(), &files);

        let roots: Vec<_> =
            runs.iter().map(|run| run.roots.iter().cloned().collect::<Vec<_>>()).collect();
        assert_eq!(roots, [vec![String::new(), "fuzz".to_owned()], vec!["go".to_owned()]]);
    }
}
