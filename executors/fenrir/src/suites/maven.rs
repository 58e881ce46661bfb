//! The counts of Maven: the XML files that surefire writes, one for each test class.

use std::fs;
use std::time::SystemTime;

use executor_sdk::prelude::*;

use super::Counts;
use super::junit::{self, Naming};

/// How deep the modules of a project are looked for.
const DEPTH: usize = 8;

/// Adds up the files that were written since the run began; those of an earlier run say nothing
/// about this one. `None` where there is none.
pub(super) fn counts(project: &Path, since: SystemTime) -> Option<Counts> {
    let mut total: Option<Counts> = None;
    let mut folders = vec![(project.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let is_reports = folder.ends_with("target/surefire-reports");
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(found) = entry.metadata() else { continue };
            if found.is_dir() {
                let is_foreign = name.starts_with('.') || name == "node_modules" || name == "src";
                if depth < DEPTH && !is_foreign {
                    folders.push((path, depth + 1));
                }
            } else if is_reports
                && name.starts_with("TEST-")
                && path.extension().is_some_and(|extension| extension == "xml")
                && found.modified().is_ok_and(|written| written >= since)
            {
                // One that cannot be read makes all of it unknown.
                let counts = junit::counts(&fs::read_to_string(&path).ok()?, Naming::Class)?;
                total.get_or_insert_default().add(counts);
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="3.0" name="a.ATest" time="0.05" tests="2" errors="0" skipped="0" failures="1">
  <properties><property name="java.version" value="17"/></properties>
  <testcase name="good" classname="a.ATest" time="0.01"/>
  <testcase name="bad" classname="a.ATest" time="0.01"><failure message="x" type="y"><![CDATA[z]]></failure></testcase>
</testsuite>"#;

    #[test]
    fn the_reports_of_all_modules_count_and_old_ones_do_not() {
        let project = tempfile::tempdir().unwrap();
        for module in ["one", "deep/two", "old"] {
            let reports = project.path().join(module).join("target/surefire-reports");
            fs::create_dir_all(&reports).unwrap();
            fs::write(reports.join("TEST-a.ATest.xml"), REPORT).unwrap();
            fs::write(reports.join("a.ATest.txt"), "no XML").unwrap();
        }
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let old = project.path().join("old/target/surefire-reports/TEST-a.ATest.xml");
        fs::File::options().write(true).open(old).unwrap().set_modified(long_ago).unwrap();

        let counts_now = counts(project.path(), long_ago + Duration::from_secs(1)).unwrap();

        assert_eq!((counts_now.passed, counts_now.failed), (2, 2));
        assert_eq!(counts_now.failed_tests, ["a.ATest::bad", "a.ATest::bad"]);
        assert_eq!(counts(project.path(), SystemTime::now() + Duration::from_mins(1)), None);
    }
}
