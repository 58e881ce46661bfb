//! `executors`: where each of them listens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use url::Url;

use super::is_name;
use crate::routing::check::{At, Checker, Entry};
use crate::routing::problem::{nearest, quoted};
use crate::routing::yaml::Node;
use crate::routing::{ExecutorEntry, ExecutorName, Host, HostName, SUFFIX, base_name};

const KNOWN: [&str; 4] = ["url", "host", "limit", "token_file"];

/// Returns every executor that has a name; without an entry where the entry has a problem, so that
/// a route to it is not called unknown as well.
pub(super) fn read(
    checker: &mut Checker,
    at: &At<'_>,
    hosts: Option<&BTreeMap<HostName, Host>>,
) -> BTreeMap<ExecutorName, Option<ExecutorEntry>> {
    let mut executors: BTreeMap<ExecutorName, Option<ExecutorEntry>> = BTreeMap::new();
    for Entry { name, key, value } in checker.entries(at, "executors by name") {
        if !is_name(name) || base_name(name).is_empty() {
            let text = "expected a name of letters, digits, `-`, `_` and `.`";
            checker.problem(&key, format!("{text}, found {}", quoted(name)));
            continue;
        }
        if let Some(other) =
            executors.keys().find(|known| base_name(known.as_str()) == base_name(name))
        {
            let text =
                format!("is the same executor as `{other}`; the `{SUFFIX}` makes no difference");
            checker.problem(&key, text);
            continue;
        }
        let entry = entry(checker, &value, hosts);
        if let Some(entry) = &entry {
            let twin = executors
                .iter()
                .find(|(_, known)| known.as_ref().is_some_and(|known| known.url == entry.url));
            if let Some((other, _)) = twin {
                checker.problem(&key, format!("has the URL of `{other}`"));
            }
        }
        executors.insert(ExecutorName::from(name), entry);
    }
    executors
}

fn entry(
    checker: &mut Checker,
    at: &At<'_>,
    hosts: Option<&BTreeMap<HostName, Host>>,
) -> Option<ExecutorEntry> {
    if matches!(at.node, Node::Text(_)) {
        let url = url(checker, at)?;
        let host = host_of(&url, hosts)?;
        return Some(ExecutorEntry { url, host, limit: None, token_file: None });
    }
    let fields = checker.fields(at, "a URL such as http://surtr:5000, or `url:` and more", &KNOWN);
    let limit = fields.get("limit").and_then(|at| checker.count(at, "how many tasks at a time"));
    let token_file = fields.get("token_file").and_then(|at| token_file(checker, at));
    let named = fields.get("host").and_then(|at| host(checker, at, hosts));
    let Some(at_url) = fields.get("url") else {
        if matches!(at.node, Node::Map(_)) {
            checker.problem(at, "there is no `url`, such as `url: http://surtr:5000`");
        }
        return None;
    };
    let url = url(checker, at_url)?;
    let host = named.or_else(|| host_of(&url, hosts))?;
    Some(ExecutorEntry { url, host, limit, token_file })
}

fn url(checker: &mut Checker, at: &At<'_>) -> Option<Url> {
    let what = "a URL such as http://surtr:5000";
    let text = checker.text(at, what)?;
    let found = quoted(text);
    let url = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url,
        // `surtr:5000` is a valid URL of the scheme `surtr`.
        Ok(_) | Err(url::ParseError::RelativeUrlWithoutBase) => {
            checker.problem(at, format!("expected {what}, found {found} (no http:// before it)"));
            return None;
        }
        Err(error) => {
            checker.problem(at, format!("expected {what}, found {found}: {error}"));
            return None;
        }
    };
    let bad = if !url.username().is_empty() || url.password().is_some() {
        // Not quoted: what stands there is a secret.
        Some("a URL carries no user and no password; use `token_file`".to_owned())
    } else if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        Some(format!("expected {what} with nothing after the port, found {found}"))
    } else if url.port() == Some(0) {
        Some(format!("expected a port from 1 to 65535, found {found}"))
    } else {
        None
    };
    if let Some(text) = bad {
        checker.problem(at, text);
        return None;
    }
    Some(url)
}

fn host(
    checker: &mut Checker,
    at: &At<'_>,
    hosts: Option<&BTreeMap<HostName, Host>>,
) -> Option<HostName> {
    let name = checker.text(at, "a machine's name")?;
    if !is_name(name) {
        checker.problem(at, format!("expected a machine's name, found {}", quoted(name)));
        return None;
    }
    if let Some(hosts) = hosts
        && !hosts.contains_key(name)
    {
        let near = nearest(name, hosts.keys().map(HostName::as_str));
        let text =
            format!("no machine of `hosts` is called {}; add `{name}: {{}}` there", quoted(name));
        checker.problem_near(at, text, near);
    }
    Some(HostName::from(name))
}

/// Returns the machine that the URL leads to: the one of that name or address, else a new one.
fn host_of(url: &Url, hosts: Option<&BTreeMap<HostName, Host>>) -> Option<HostName> {
    let name = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    let by_address = hosts.into_iter().flatten().find(|(_, host)| {
        host.address.as_deref().is_some_and(|address| address.eq_ignore_ascii_case(name))
    });
    match (hosts.is_some_and(|hosts| hosts.contains_key(name)), by_address) {
        (false, Some((host, _))) => Some(host.clone()),
        _ => Some(HostName::from(name)),
    }
}

fn token_file(checker: &mut Checker, at: &At<'_>) -> Option<PathBuf> {
    let text = checker.text(at, "a file")?;
    if Path::new(text).is_absolute() || !text.contains('/') {
        return Some(PathBuf::from(text));
    }
    let found = quoted(text);
    let text =
        format!("expected an absolute path or the name of a systemd credential, found {found}");
    checker.problem(at, text);
    None
}
