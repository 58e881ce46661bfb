//! A destination that says what a runner must be instead of which one.

use std::collections::BTreeMap;

use crate::routing::Wanted;
use crate::routing::check::{At, Checker, Entry};
use crate::routing::yaml::Node;

const WHAT: &str = "what a runner must be, such as `{ capability: llm, labels: { gpu: amd } }`";

pub(super) fn read(checker: &mut Checker, at: &At<'_>) -> Option<Wanted> {
    let fields = checker.fields(at, WHAT, &["name", "capability", "labels"]);
    let mut text = |name: &str, what: &str| match fields.get(name) {
        Some(at) => {
            let text = checker.text(at, what)?;
            if text.trim().is_empty() {
                checker.problem(at, format!("expected {what}, found nothing"));
                return None;
            }
            Some(Some(text.to_owned()))
        }
        None => Some(None),
    };
    let name = text("name", "the name or the id that a runner registers under")?;
    let capability = text("capability", "a word that runners register as a capability")?;
    let labels = match fields.get("labels") {
        Some(at) => labels(checker, at),
        None => BTreeMap::new(),
    };
    if name.is_none() && capability.is_none() && labels.is_empty() {
        // Of a member that is not as it should be something was said already.
        let is_empty = |node: &Node| matches!(node, Node::Map(pairs) if pairs.is_empty());
        let empty_labels = fields.get("labels").is_some_and(|at| is_empty(at.node))
            && matches!(at.node, Node::Map(pairs) if pairs.len() == 1);
        if !is_empty(at.node) && !empty_labels {
            return None;
        }
        checker.problem(at, format!("this fits every runner; say {WHAT}"));
        return None;
    }
    Some(Wanted { name, capability, labels })
}

fn labels(checker: &mut Checker, at: &At<'_>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for Entry { name, value, .. } in checker.entries(at, "labels and their values") {
        if let Some(text) = checker.text(&value, "a label's value") {
            labels.insert(name.to_owned(), text.to_owned());
        }
    }
    labels
}
