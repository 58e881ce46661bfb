//! The findings as SARIF 2.1.0 (OASIS, 2023), one run for each tool.

use std::collections::BTreeSet;

use executor_sdk::prelude::*;

use super::Finding;

/// A tool that ran.
#[derive(Debug)]
pub(crate) struct Tool<'a> {
    pub(crate) name: &'static str,
    pub(crate) version: &'a str,
}

/// Returns the document. A tool that found nothing has a run without results.
pub(crate) fn document(tools: &[Tool<'_>], findings: &[Finding]) -> Value {
    let runs: Vec<_> = tools.iter().map(|tool| run(tool, findings)).collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": runs,
    })
}

fn run(tool: &Tool<'_>, findings: &[Finding]) -> Value {
    let of_this: Vec<_> = findings.iter().filter(|finding| finding.tool == tool.name).collect();
    let rules: BTreeSet<_> = of_this.iter().map(|finding| finding.rule.as_str()).collect();
    let rules: Vec<_> = rules.into_iter().map(|rule| json!({"id": rule})).collect();
    let results: Vec<_> = of_this.into_iter().map(result).collect();
    json!({
        "tool": {"driver": {"name": tool.name, "version": tool.version, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": results,
    })
}

fn result(finding: &Finding) -> Value {
    let mut place = json!({"artifactLocation": {"uri": uri(&finding.file)}});
    if let Some(line) = finding.line {
        place["region"] = json!({"startLine": line});
    }
    json!({
        "ruleId": finding.rule,
        "level": finding.severity.word(),
        "message": {"text": finding.text},
        "locations": [{"physicalLocation": place}],
    })
}

/// Returns the path as a relative reference of RFC 3986, so that no name is read as more.
fn uri(path: &str) -> String {
    use std::fmt::Write as _;
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                uri.push(char::from(byte));
            }
            _ => {
                let _: Result<(), _> = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::Severity;

    #[test]
    fn each_tool_has_a_run_and_each_finding_a_place() {
        let finding = Finding::new("ruff", "a b/ü:1.py", Some(3));
        let finding = finding.says(Severity::Error, "F821", "undefined name");
        let tools = [Tool { name: "ruff", version: "1" }, Tool { name: "yamllint", version: "2" }];

        let document = document(&tools, &[finding]);

        assert_eq!(document["version"], "2.1.0");
        let run = &document["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"], json!([{"id": "F821"}]));
        let place = &run["results"][0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b/%C3%BC%3A1.py");
        assert_eq!(place["region"]["startLine"], 3);
        assert_eq!(run["results"][0]["level"], "error");
        assert_eq!(document["runs"][1]["results"], json!([]));
    }
}
