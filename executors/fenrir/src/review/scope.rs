//! Which files are reviewed: all of them, or what has changed since a commit.

use std::collections::BTreeMap;
use std::fs;

use executor_sdk::prelude::*;

use super::Finding;
use crate::git::Git;
use crate::plain;

/// The first and last lines of what has changed in each file; `None`: the whole file is new.
type Changed = BTreeMap<String, Option<Vec<(u64, u64)>>>;

/// The files to review, by their paths below the top, and the lines of them that count.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) files: Vec<String>,
    /// The commit to compare with, and what has changed since; `None`: everything counts.
    pub(crate) since: Option<Since>,
}

#[derive(Debug)]
pub(crate) struct Since {
    /// The last commit that the base and ours have in common.
    pub(crate) commit: String,
    changed: Changed,
}

impl Scope {
    /// Finds the files: those that git tracks, and those that it would if it were told to.
    pub(crate) async fn find(git: &Git<'_>, base: Option<&str>) -> Result<Self, Failure> {
        let new = names(git, &["ls-files", "-z", "--others", "--exclude-standard"]).await?;
        let (mut files, since) = if let Some(base) = base {
            let commit = common_commit(git, base).await?;
            // Settings of the user's must not change what a diff looks like.
            let plain = ["--no-renames", "--no-ext-diff", "--no-textconv", "--no-color"];
            let ours = ["--ignore-submodules", "--diff-filter=d", "--src-prefix=a/"];
            let options = [&plain[..], &ours, &["--dst-prefix=b/"]].concat();
            let mut list = vec!["diff", "--name-only", "-z"];
            list.extend(&options);
            list.extend([commit.as_str(), "--"]);
            let files = names(git, &list).await?;
            let mut diff = vec!["-c", "core.quotePath=false", "diff", "--unified=0"];
            diff.extend(&options);
            diff.extend([commit.as_str(), "--"]);
            let diff = git.command(diff).split().quiet().await?;
            let mut changed = hunks(diff.stdout())
                .ok_or_else(|| Failure::new("git tells a diff that is not understood"))?;
            changed.extend(new.iter().map(|name| (name.clone(), None)));
            (files, Some(Since { commit, changed }))
        } else {
            (names(git, &["ls-files", "-z", "--cached"]).await?, None)
        };
        files.extend(new);
        files.sort();
        files.dedup();
        let top = git.folder().to_owned();
        let files = tokio::task::spawn_blocking(move || {
            // What a link points to may be outside.
            files.retain(|file| fs::symlink_metadata(top.join(file)).is_ok_and(|it| it.is_file()));
            files
        });
        Ok(Self { files: files.await?, since })
    }

    /// Whether a finding is about what is reviewed.
    pub(crate) fn holds(&self, finding: &Finding) -> bool {
        let Some(since) = &self.since else { return true };
        if finding.blocks {
            return true;
        }
        match (since.changed.get(&finding.file), finding.line) {
            (None, _) => false,
            (Some(None), _) | (Some(_), None) => true,
            (Some(Some(lines)), Some(line)) => {
                lines.iter().any(|(first, last)| (*first..=*last).contains(&line))
            }
        }
    }
}

async fn common_commit(git: &Git<'_>, base: &str) -> Result<String, Failure> {
    plain::word("base", base)?;
    let commit = format!("{base}^{{commit}}");
    let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", &commit];
    let Some(commit) = git.ask(args).await? else {
        return Err(Failure::new(format!("`base` names no commit of this repository: `{base}`")));
    };
    let common = git.ask(["merge-base", &commit, "HEAD"]).await?;
    common.ok_or_else(|| {
        Failure::new(format!("`{base}` has no commit in common with what is checked out"))
    })
}

async fn names(git: &Git<'_>, args: &[&str]) -> Result<Vec<String>, Failure> {
    let names = git.command(args).split().quiet().await?;
    Ok(names.stdout().split_terminator('\0').map(str::to_owned).collect())
}

/// Reads which lines a diff without context adds or changes; `None` where it is not of that form.
fn hunks(diff: &str) -> Option<Changed> {
    let mut changed = BTreeMap::new();
    let mut file: Option<String> = None;
    // How many lines of the hunk are still to come: a line of a file may look like a header.
    let mut content = 0;
    for line in diff.lines() {
        if content > 0 {
            // "\ No newline at end of file" is none of them.
            if !line.starts_with('\\') {
                content -= 1;
            }
        } else if let Some(name) = line.strip_prefix("+++ ") {
            let name = unquote(name.trim_end_matches('\t'))?;
            file = name.strip_prefix("b/").map(str::to_owned);
            if let Some(file) = &file {
                changed.insert(file.clone(), Some(Vec::new()));
            }
        } else if let Some(hunk) = line.strip_prefix("@@ -") {
            let (before, after) = hunk.split_once(" @@")?.0.split_once(" +")?;
            let (_, removed) = range(before)?;
            let (first, added) = range(after)?;
            content = removed + added;
            if let Some(Some(lines)) = file.as_ref().and_then(|file| changed.get_mut(file))
                && added > 0
            {
                lines.push((first, first + added - 1));
            }
        }
    }
    Some(changed)
}

/// Reads `FIRST,COUNT`, or `FIRST` for one line.
fn range(text: &str) -> Option<(u64, u64)> {
    match text.split_once(',') {
        Some((first, count)) => Some((first.parse().ok()?, count.parse().ok()?)),
        None => Some((text.parse().ok()?, 1)),
    }
}

/// Takes back the quotes that git puts around names with odd characters.
fn unquote(name: &str) -> Option<String> {
    let Some(inside) = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Some(name.to_owned());
    };
    let mut bytes = Vec::new();
    let mut rest = inside.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'a' => 7,
            b'b' => 8,
            b'v' => 11,
            b'f' => 12,
            first @ b'0'..=b'3' => {
                let digits = [first, rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 8).ok()?
            }
            other => other,
        });
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_diff_are_those_after_the_change() {
        let diff = "diff --git a/a b/a\nindex 1..2 100644\n--- a/a\n+++ b/a\n\
                    @@ -1 +1,2 @@ fn x\n-old\n+new\n++++ b/not-a-header\n\
                    @@ -9,2 +10,0 @@\n-gone\n--- gone\n\
                    @@ -20,0 +19 @@\n+last\n\\ No newline at end of file\n\
                    diff --git \"a/t\\tx\" \"b/t\\tx\"\n--- /dev/null\n+++ \"b/t\\tx\"\n@@ -0,0 +1,3 @@\n+1\n+2\n+3\n\
                    diff --git a/with space b/with space\n--- a/with space\t\n+++ b/with space\t\n@@ -1 +1 @@\n-1\n+2\n";

        let changed = hunks(diff).unwrap();

        let expected = BTreeMap::from([
            ("a".to_owned(), Some(vec![(1, 2), (19, 19)])),
            ("t\tx".to_owned(), Some(vec![(1, 3)])),
            ("with space".to_owned(), Some(vec![(1, 1)])),
        ]);
        assert_eq!(changed, expected);
    }

    #[test]
    fn a_finding_counts_where_something_has_changed() {
        let changed =
            BTreeMap::from([("a".to_owned(), Some(vec![(3, 5)])), ("new".to_owned(), None)]);
        let scope =
            Scope { files: Vec::new(), since: Some(Since { commit: String::new(), changed }) };
        let finding = |file: &str, line: u64| Finding::new("t", file, Some(line));

        for (file, line, holds) in [
            ("a", 2, false),
            ("a", 3, true),
            ("a", 6, false),
            ("./a", 5, true),
            ("new", 9, true),
            ("b", 3, false),
            ("a", 0, true),
        ] {
            assert_eq!(scope.holds(&finding(file, line)), holds, "{file}:{line}");
        }
        assert!(scope.holds(&finding("b", 1).blocking(true)));
    }
}
