//! Where programs are found. The only file of this crate that reads the environment.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Returns the folder of this build's binaries: beside the running test, demo or benchmark.
///
/// It follows `CARGO_TARGET_DIR` and the profile without asking for either.
pub fn folder() -> PathBuf {
    let running = env::current_exe().expect("a running program has a path");
    let folder = running.parent().expect("a program lies in a folder");
    if folder.ends_with("deps") {
        folder.parent().expect("`deps` lies in the profile's folder").to_owned()
    } else {
        folder.to_owned()
    }
}

/// Returns one of this workspace's binaries.
///
/// # Panics
/// When it was not built: cargo does not build the binaries of other packages for a test.
pub fn ours(name: &str) -> PathBuf {
    let path = folder().join(name);
    assert!(
        path.exists(),
        "`{}` is not built; run `cargo build --workspace` with the same profile first",
        path.display()
    );
    path
}

/// Returns `PATH` as this process has it.
pub fn path() -> OsString {
    env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/local/bin:/usr/bin:/bin"))
}

/// Finds a program on `PATH`.
pub fn find(name: &str) -> Option<PathBuf> {
    env::split_paths(&path()).map(|folder| folder.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Returns something that `make` put below the target folder's `tools`, if it is there.
pub fn tool(name: &str) -> Option<PathBuf> {
    let profile = folder();
    let mut tools =
        profile.ancestors().skip(1).take(2).map(|target| target.join("tools").join(name));
    tools.find(|path| path.exists())
}

/// Returns the programs that may be a Beads CLI, best first.
///
/// `YGG_BD` (one path, or several with `:` between) replaces the search; else `bd` and `mb` on
/// `PATH`, then the `mb` that `make` installs below the target folder.
pub fn beads_candidates() -> Vec<PathBuf> {
    if let Some(given) = env::var_os("YGG_BD").filter(|given| !given.is_empty()) {
        return env::split_paths(&given).collect();
    }
    find("bd").into_iter().chain(find("mb")).chain(tool("bin/mb")).collect()
}

/// Returns how much longer than usual a test waits (`YGG_PATIENCE`, for slow machines).
pub fn patience() -> f64 {
    env::var("YGG_PATIENCE").ok().and_then(|text| text.parse().ok()).unwrap_or(1.0)
}

/// Returns whether the long form of a test was asked for (`YGG_FULL=1`).
pub fn full() -> bool {
    env::var_os("YGG_FULL").is_some_and(|value| value != "0" && !value.is_empty())
}
