//! JUnit XML, as far as counting needs it: which test cases there are and how each ended.

use std::borrow::Cow;

use super::Counts;

/// Where the name of a test case comes from, beside its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// Its class: `class::name`.
    Class,
    /// The suites that it is in: `outer > inner > name`.
    Suites,
}

/// Counts the test cases; `None` when the text is not a whole JUnit file.
pub(super) fn counts(xml: &str, naming: Naming) -> Option<Counts> {
    let mut counts = Counts::default();
    let mut case: Option<Case> = None;
    let mut open = Vec::new();
    let mut suites: Vec<String> = Vec::new();
    let mut saw_suite = false;
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if let Some(after) = skip_unread(rest)? {
            rest = after;
            continue;
        }
        let end = tag_end(rest)?;
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop()? != name.trim_end() {
                return None;
            }
            match name.trim_end() {
                "testcase" => case.take()?.add_to(&mut counts),
                "testsuite" => drop(suites.pop()),
                _ => {}
            }
            continue;
        }
        let is_whole = tag.ends_with('/');
        let tag = tag.trim_end_matches('/');
        let name = tag.split_whitespace().next()?;
        match name {
            "testsuites" => saw_suite = true,
            "testsuite" => {
                saw_suite = true;
                if !is_whole {
                    suites.push(attribute(tag, "name").unwrap_or_default().into_owned());
                }
            }
            "testcase" if naming == Naming::Class => case = Some(Case::of_class(tag)),
            "testcase" => case = Some(Case::of_suites(tag, &suites)),
            "failure" | "error" => case.as_mut()?.failed = true,
            "skipped" => case.as_mut()?.skipped = true,
            _ => {}
        }
        if !is_whole {
            open.push(name);
        } else if name == "testcase" {
            case.take()?.add_to(&mut counts);
        }
    }
    (saw_suite && open.is_empty()).then_some(counts)
}

struct Case {
    name: String,
    failed: bool,
    skipped: bool,
}

impl Case {
    fn of_suites(tag: &str, suites: &[String]) -> Self {
        let name = attribute(tag, "name").unwrap_or_default();
        let names = suites.iter().map(String::as_str).chain([&*name]);
        let name = names.collect::<Vec<_>>().join(" > ");
        Self { name, failed: false, skipped: false }
    }

    fn of_class(tag: &str) -> Self {
        let name = attribute(tag, "name").unwrap_or_default();
        let name = match attribute(tag, "classname") {
            Some(class) if !class.is_empty() => format!("{class}::{name}"),
            _ => name.into_owned(),
        };
        Self { name, failed: false, skipped: false }
    }

    fn add_to(self, counts: &mut Counts) {
        if self.failed {
            counts.failed += 1;
            // A test that fails and then fails to clean up is written down twice.
            if !counts.failed_tests.contains(&self.name) {
                counts.failed_tests.push(self.name);
            }
        } else if self.skipped {
            counts.skipped += 1;
        } else {
            counts.passed += 1;
        }
    }
}

/// Steps over what is no tag: returns the text behind a comment, CDATA, `<?…?>` or `<!…>`.
/// The outer `None` is a text that ends in the middle of one.
#[expect(clippy::option_option, reason = "the outer one is the parse error, for `?`")]
fn skip_unread(text: &str) -> Option<Option<&str>> {
    for (start, end) in [("!--", "-->"), ("![CDATA[", "]]>"), ("?", "?>"), ("!", ">")] {
        if let Some(inside) = text.strip_prefix(start) {
            return inside.find(end).map(|at| Some(&inside[at + end.len()..]));
        }
    }
    Some(None)
}

/// Finds the `>` that ends a tag: one inside of quotes does not.
fn tag_end(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

fn attribute<'a>(tag: &'a str, wanted: &str) -> Option<Cow<'a, str>> {
    let mut rest = tag;
    loop {
        let (before, after) = rest.split_once('=')?;
        let quote = after.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (value, next) = after[1..].split_once(quote)?;
        if before.split_whitespace().next_back() == Some(wanted) {
            return Some(unescape(value));
        }
        rest = next;
    }
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let Some((entity, next)) = after.split_once(';') else {
            rest = after;
            break;
        };
        let number = entity.strip_prefix('#').and_then(|number| match number.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => number.parse().ok(),
        });
        plain.push(match entity {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => number.and_then(char::from_u32).unwrap_or('\u{fffd}'),
        });
        rest = next;
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests">
<testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4" time="0.04">
<testcase classname="tests.test_a" name="test_good[a&gt;b]" time="0.000" />
<testcase classname="tests.test_a" name="test_bad[&quot;x&quot;]" time="0.000">
<failure message="assert 1 > 2">a &lt;testcase name="no"&gt; <![CDATA[<testcase name="no">]]></failure></testcase>
<!-- <testcase name="no"/> -->
<testcase classname="" name="broken"><error message="failed on setup">x</error></testcase>
<testcase classname="tests.test_a" name="test_later"><skipped type="x" message="m">s</skipped></testcase>
</testsuite></testsuites>"#;

    #[test]
    fn each_test_case_is_counted_once() {
        let expected = Counts {
            passed: 1,
            failed: 2,
            skipped: 1,
            failed_tests: vec![r#"tests.test_a::test_bad["x"]"#.to_owned(), "broken".to_owned()],
        };
        assert_eq!(counts(FILE, Naming::Class), Some(expected));
    }

    #[test]
    fn a_name_can_be_told_by_the_suites_around_it() {
        let xml = r#"<testsuites><testcase name="a" classname="test"><failure/></testcase>
            <testsuite name="outer"><testsuite name="in"><testcase name="b"><error/></testcase>
            </testsuite><testcase name="c"/></testsuite><testsuite name="empty"/>
            <testcase name="d"><failure/></testcase></testsuites>"#;

        let counts = counts(xml, Naming::Suites).unwrap();

        assert_eq!(counts.failed_tests, ["a", "outer > in > b", "d"]);
        assert_eq!(counts.passed, 1);
    }

    #[test]
    fn a_file_that_was_cut_off_counts_for_nothing() {
        for end in (0..FILE.len() - 1).filter(|end| FILE.is_char_boundary(*end)) {
            assert_eq!(counts(&FILE[..end], Naming::Class), None, "{end}");
        }
        assert_eq!(counts("<html></html>", Naming::Class), None);
    }
}
