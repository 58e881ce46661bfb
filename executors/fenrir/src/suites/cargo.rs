//! The counts of `cargo test`: libtest's summary lines, one for each test binary. On stable Rust
//! libtest has nothing else to tell; nextest writes JUnit XML.

use std::ffi::OsStr;
use std::fs;

use executor_sdk::prelude::*;

use super::junit::Naming;
use super::{Counts, Plan, Source};

/// Returns the command that runs nextest, under a profile of ours that is as the repository's own
/// default but for the report.
pub(super) fn nextest(temp: &Path) -> Result<Plan, Failure> {
    let report = temp.join("nextest.xml");
    let config = temp.join("nextest.toml");
    let path = json!(report).to_string();
    let text = format!(
        "[profile.yggdrasil]\nfail-fast = false\n\n[profile.yggdrasil.junit]\npath = {path}\n"
    );
    fs::write(&config, text)?;
    let mut tool = std::ffi::OsString::from("yggdrasil:");
    tool.push(&config);
    let args = ["nextest", "run", "--workspace", "--profile=yggdrasil", "--color=never"];
    let args = args.iter().map(OsStr::new).chain([OsStr::new("--tool-config-file"), &tool]);
    Ok(Plan::new("cargo", args, Source::Junit(report, Naming::Class)))
}

/// Adds up the summaries; `None` when there is none, as after a build that failed.
pub(super) fn counts(stdout: &str) -> Option<Counts> {
    let mut total = Counts::default();
    let mut any = false;
    // The names stand between the last line `failures:` and the summary, one on an indented line.
    let mut names = Vec::new();
    let mut listing = false;
    for line in stdout.lines() {
        let line = line.trim_end();
        if let Some(summary) = line.strip_prefix("test result: ") {
            if let Some((passed, failed, ignored)) = numbers(summary) {
                any = true;
                total.passed += passed;
                total.failed += failed;
                total.skipped += ignored;
                if failed > 0 {
                    total.failed_tests.append(&mut names);
                }
            }
            names.clear();
            listing = false;
        } else if line == "failures:" {
            names.clear();
            listing = true;
        } else if listing && let Some(name) = line.strip_prefix("    ") {
            names.push(name.to_owned());
        } else if !line.is_empty() {
            listing = false;
        }
    }
    any.then_some(total)
}

/// Reads `FAILED. 1 passed; 2 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.00s`.
fn numbers(summary: &str) -> Option<(u64, u64, u64)> {
    let (_, counts) = summary.split_once(". ")?;
    let number = |word: &str| {
        counts.split("; ").find_map(|part| part.strip_suffix(word)?.trim().parse::<u64>().ok())
    };
    Some((number(" passed")?, number(" failed")?, number(" ignored")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 3 tests
test tests::good ... ok
test tests::bad ... FAILED
test tests::later ... ignored

failures:

---- tests::bad stdout ----

failures:
    printed by the test

thread 'tests::bad' panicked at src/lib.rs:9:5:
assertion failed: false


failures:
    tests::bad

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests small

running 1 test
test src/lib.rs - double (line 3) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.30s
";

    #[test]
    fn the_summaries_of_all_binaries_are_added_up() {
        let expected = Counts {
            passed: 2,
            failed: 1,
            skipped: 1,
            failed_tests: vec!["tests::bad".to_owned()],
        };
        assert_eq!(counts(OUTPUT), Some(expected));
    }

    #[test]
    fn without_a_summary_nothing_is_known() {
        assert_eq!(counts("error: could not compile `small`\n"), None);
        assert_eq!(counts("test result: nonsense\n"), None);
    }
}
