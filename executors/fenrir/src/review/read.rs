//! What each linter prints for programs, as findings.
//!
//! `None` where the text is not what the tool's documentation promises: a review that cannot read
//! its linter has not reviewed.

use executor_sdk::prelude::*;

use super::Severity::{Error, Note, Warning};
use super::{Finding, Severity};

/// Rules of Python's linters that tell of code that cannot work; they have no severities.
const BROKEN_PYTHON: [&str; 4] = ["E9", "F63", "F7", "F82"];

fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Option<T> {
    T::deserialize(json.parse::<Value>().ok()?).ok()
}

fn of_python(code: &str) -> Severity {
    if BROKEN_PYTHON.iter().any(|broken| code.starts_with(broken)) { Error } else { Warning }
}

/// Reads `cargo clippy --message-format=json`. Paths are below `root`, the workspace's folder.
pub(super) fn clippy(stdout: &str, root: &str) -> Option<Vec<Finding>> {
    #[derive(Deserialize)]
    struct Line {
        reason: String,
        message: Option<Told>,
    }
    #[derive(Deserialize)]
    struct Told {
        level: String,
        message: String,
        code: Option<Code>,
        spans: Vec<Span>,
    }
    #[derive(Deserialize)]
    struct Code {
        code: String,
    }
    #[derive(Deserialize)]
    struct Span {
        file_name: String,
        line_start: u64,
        is_primary: bool,
    }
    let mut findings = Vec::new();
    for line in stdout.lines().filter(|line| line.starts_with('{')) {
        let line: Line = parse(line)?;
        let Some(message) = line.message.filter(|_| line.reason == "compiler-message") else {
            continue;
        };
        // A message without a place sums others up.
        let Some(span) = message.spans.iter().find(|span| span.is_primary) else { continue };
        let rule = message.code.map_or_else(|| "rustc".to_owned(), |code| code.code);
        let severity = match message.level.as_str() {
            "error" | "error: internal compiler error" => Error,
            "warning" => Warning,
            _ => Note,
        };
        let file = if span.file_name.starts_with('/') || root.is_empty() {
            span.file_name.clone()
        } else {
            format!("{root}/{}", span.file_name)
        };
        let does_not_build = severity == Error && !rule.starts_with("clippy::");
        let finding = Finding::new("clippy", &file, Some(span.line_start));
        findings.push(finding.says(severity, &rule, &message.message).blocking(does_not_build));
    }
    Some(findings)
}

/// Reads `ruff check --output-format=json`.
pub(super) fn ruff(stdout: &str) -> Option<Vec<Finding>> {
    #[derive(Deserialize)]
    struct Item {
        code: Option<String>,
        filename: String,
        location: Location,
        message: String,
    }
    #[derive(Deserialize)]
    struct Location {
        row: u64,
    }
    let items: Vec<Item> = parse(stdout)?;
    let finding = |item: Item| {
        // Older ones tell a syntax error without a code.
        let code = item.code.unwrap_or_else(|| "invalid-syntax".to_owned());
        let is_syntax = code == "invalid-syntax";
        let severity = if is_syntax { Error } else { of_python(&code) };
        let finding = Finding::new("ruff", &item.filename, Some(item.location.row));
        finding.says(severity, &code, &item.message).blocking(is_syntax)
    };
    Some(items.into_iter().map(finding).collect())
}

/// What [`flake8`] reads: `--format` with this.
pub(super) const FLAKE8: &str = "--format=%(path)s\t%(row)d\t%(code)s\t%(text)s";

/// Reads flake8's lines in the form of [`FLAKE8`].
pub(super) fn flake8(stdout: &str) -> Option<Vec<Finding>> {
    let mut findings = Vec::new();
    for line in stdout.lines() {
        let mut fields = line.splitn(4, '\t');
        let (file, row) = (fields.next()?, fields.next()?.parse().ok()?);
        let (code, text) = (fields.next()?, fields.next()?);
        let finding = Finding::new("flake8", file, Some(row));
        findings.push(finding.says(of_python(code), code, text).blocking(code.starts_with("E9")));
    }
    Some(findings)
}

/// Reads `eslint --format json`.
pub(super) fn eslint(stdout: &str) -> Option<Vec<Finding>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Item {
        file_path: String,
        messages: Vec<Told>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Told {
        rule_id: Option<String>,
        severity: u8,
        message: String,
        line: Option<u64>,
        #[serde(default)]
        fatal: bool,
    }
    let items: Vec<Item> = parse(stdout)?;
    let mut findings = Vec::new();
    for item in items {
        for message in item.messages {
            let rule = match message.rule_id {
                Some(rule) => rule,
                None if message.fatal => "syntax".to_owned(),
                // A file that its configuration does not want.
                None => continue,
            };
            let severity = if message.severity == 2 { Error } else { Warning };
            let finding = Finding::new("eslint", &item.file_path, message.line);
            findings.push(finding.says(severity, &rule, &message.message).blocking(message.fatal));
        }
    }
    Some(findings)
}

/// Reads `shellcheck --format=json1`.
pub(super) fn shellcheck(stdout: &str) -> Option<Vec<Finding>> {
    #[derive(Deserialize)]
    struct Written {
        comments: Vec<Comment>,
    }
    #[derive(Deserialize)]
    struct Comment {
        file: String,
        line: u64,
        level: String,
        code: u64,
        message: String,
    }
    let written: Written = parse(stdout)?;
    let finding = |comment: Comment| {
        let severity = match comment.level.as_str() {
            "error" => Error,
            "warning" => Warning,
            _ => Note,
        };
        let finding = Finding::new("shellcheck", &comment.file, Some(comment.line));
        let is_syntax = (1000..2000).contains(&comment.code) && severity == Error;
        let rule = format!("SC{}", comment.code);
        finding.says(severity, &rule, &comment.message).blocking(is_syntax)
    };
    Some(written.comments.into_iter().map(finding).collect())
}

/// Reads `go vet -json`: objects of packages, analyzers and places on stdout, and what does not
/// build in words. Paths are below `root`, the module's folder, or absolute.
pub(super) fn go_vet(stdout: &str, output: &str, root: &str) -> Option<Vec<Finding>> {
    #[derive(Deserialize)]
    struct Diagnostic {
        posn: String,
        message: String,
    }
    type Packages = std::collections::BTreeMap<String, std::collections::BTreeMap<String, Value>>;
    let place = |posn: &str| {
        let mut parts = posn.rsplitn(3, ':');
        let (_column, line) = (parts.next(), parts.next()?.parse().ok()?);
        let file = parts.next()?;
        let file = file.strip_prefix("./").unwrap_or(file);
        let is_plain = file.starts_with('/') || root.is_empty();
        let file = if is_plain { file.to_owned() } else { format!("{root}/{file}") };
        Some(Finding::new("go vet", &file, Some(line)))
    };
    let mut findings = Vec::new();
    // Before Go 1.25 the objects are on stderr.
    let text = if stdout.contains('{') { stdout } else { output };
    let mut object = String::new();
    for line in text.lines() {
        if !object.is_empty() || line.starts_with('{') {
            object.push_str(line);
        }
        if !line.starts_with('}') && line != "{}" {
            continue;
        }
        for analyzers in parse::<Packages>(&std::mem::take(&mut object))?.into_values() {
            for (analyzer, told) in analyzers {
                // An analyzer that fails tells an object with an `error`.
                let Ok(told) = Vec::<Diagnostic>::deserialize(told) else { continue };
                for diagnostic in told {
                    let finding = place(&diagnostic.posn)?;
                    findings.push(finding.says(Error, &analyzer, &diagnostic.message));
                }
            }
        }
    }
    for line in output.lines() {
        if let Some((posn, message)) = line.strip_prefix("vet: ").and_then(|it| it.split_once(": "))
            && let Some(finding) = place(posn)
        {
            findings.push(finding.says(Error, "build", message).blocking(true));
        }
    }
    Some(findings)
}

/// Reads `yamllint --format parsable`: `FILE:LINE:COLUMN: [LEVEL] TEXT (RULE)`.
pub(super) fn yamllint(stdout: &str) -> Option<Vec<Finding>> {
    let mut findings = Vec::new();
    for line in stdout.lines() {
        let (place, rest) = line.split_once(": [")?;
        let mut place = place.rsplitn(3, ':');
        let (_column, row) = (place.next()?, place.next()?.parse().ok()?);
        let file = place.next()?;
        let (level, text) = rest.split_once("] ")?;
        let (text, rule) = match text.strip_suffix(')').and_then(|text| text.rsplit_once(" (")) {
            Some((text, rule)) => (text, rule),
            None => (text, "syntax"),
        };
        let severity = if level == "error" { Error } else { Warning };
        let finding = Finding::new("yamllint", file, Some(row));
        findings.push(finding.says(severity, rule, text).blocking(rule == "syntax"));
    }
    Some(findings)
}

/// Reads `ansible-lint --format codeclimate`.
pub(super) fn ansible_lint(stdout: &str) -> Option<Vec<Finding>> {
    #[derive(Deserialize)]
    struct Item {
        check_name: String,
        severity: String,
        description: String,
        location: Location,
    }
    #[derive(Deserialize)]
    struct Location {
        path: String,
        lines: Option<Lines>,
        positions: Option<Positions>,
    }
    #[derive(Deserialize)]
    struct Lines {
        begin: u64,
    }
    #[derive(Deserialize)]
    struct Positions {
        begin: Begin,
    }
    #[derive(Deserialize)]
    struct Begin {
        line: u64,
    }
    let items: Vec<Item> = parse(stdout)?;
    let finding = |item: Item| {
        let place = item.location;
        let line = place.lines.map(|lines| lines.begin);
        let line = line.or(place.positions.map(|positions| positions.begin.line));
        let severity = match item.severity.as_str() {
            "blocker" | "critical" => Error,
            "info" => Note,
            // It calls style `major`.
            _ => Warning,
        };
        let is_syntax = ["syntax-check", "load-failure", "parser-error"]
            .iter()
            .any(|rule| item.check_name.starts_with(rule));
        let severity = if is_syntax { Error } else { severity };
        let finding = Finding::new("ansible-lint", &place.path, line);
        finding.says(severity, &item.check_name, &item.description).blocking(is_syntax)
    };
    Some(items.into_iter().map(finding).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(findings: Option<Vec<Finding>>) -> Vec<String> {
        findings.unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_eslint_prints_is_read() {
        let text = r#"[{"filePath": "/r/e.js", "messages": [
            {"ruleId": "no-undef", "severity": 2, "message": "'x' is not defined.", "line": 2},
            {"ruleId": null, "severity": 1, "message": "File ignored by default."},
            {"ruleId": null, "fatal": true, "severity": 2, "message": "Parsing error", "line": 1}
        ]}]"#;

        let read = shown(eslint(text));

        let expected = [
            "/r/e.js:2: error: 'x' is not defined. [eslint/no-undef]",
            "/r/e.js:1: error: Parsing error [eslint/syntax]",
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn what_go_vet_prints_is_read() {
        let stdout = "{}\n{\n\t\"x\": {\n\t\t\"printf\": [\n\t\t\t{\"posn\": \"/r/a.go:3:24\", \"message\": \"bad\"}\n\t\t]\n\t}\n}\n";
        let output = "# x/sub\nvet: ./sub/b.go:2:12: undefined: nope\n";

        let read = shown(go_vet(stdout, output, "mod"));

        let expected = [
            "/r/a.go:3: error: bad [go vet/printf]",
            "mod/sub/b.go:2: error: undefined: nope [go vet/build]",
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn what_ansible_lint_prints_is_read() {
        let text = r#"[{"check_name": "name[missing]", "severity": "major", "description": "No name.",
            "location": {"path": "a.yml", "lines": {"begin": 4}}},
            {"check_name": "syntax-check[x]", "severity": "major", "description": "Bad.",
            "location": {"path": "b.yml", "positions": {"begin": {"line": 1, "column": 3}}}}]"#;

        let read = shown(ansible_lint(text));

        let expected = [
            "a.yml:4: warning: No name. [ansible-lint/name[missing]]",
            "b.yml:1: error: Bad. [ansible-lint/syntax-check[x]]",
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn the_lines_of_flake8_and_yamllint_are_read() {
        let python =
            shown(flake8("./a.py\t3\tF821\tundefined name 'x'\n./a.py\t1\tW291\ttrailing\n"));
        let yaml = shown(yamllint(
            "./a: b.yml:2:1: [error] duplication of key \"a (b)\" (key-duplicates)\n\
             ./z.yml:2:1: [error] syntax error: x (syntax)\n",
        ));

        assert_eq!(python[0], "a.py:3: error: undefined name 'x' [flake8/F821]");
        assert_eq!(python[1], "a.py:1: warning: trailing [flake8/W291]");
        assert_eq!(
            yaml[0],
            "a: b.yml:2: error: duplication of key \"a (b)\" [yamllint/key-duplicates]"
        );
        assert_eq!(yaml[1], "z.yml:2: error: syntax error: x [yamllint/syntax]");
    }

    #[test]
    fn what_is_not_of_the_form_is_not_read() {
        assert_eq!(ruff("Traceback"), None);
        assert_eq!(eslint(""), None);
        assert_eq!(shellcheck("{}"), None);
        assert_eq!(flake8("oops"), None);
        assert_eq!(yamllint("oops"), None);
        assert_eq!(ansible_lint("{}"), None);
        assert_eq!(clippy("{\"reason\": 1}", ""), None);
    }
}
