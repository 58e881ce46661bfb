//! From what a route says to the executors and runners that there are.

use std::collections::BTreeMap;

use crate::fleet::ExecutorState;
use crate::routing::{Destination, ExecutorName, Routing, Wanted, base_name};

type States = BTreeMap<ExecutorName, ExecutorState>;

/// Returns the executors and runners that the destinations lead to, in their order, each once.
pub fn resolve<'a>(destinations: &'a [Destination], fleet: &'a States) -> Vec<&'a ExecutorName> {
    let mut names: Vec<&ExecutorName> = Vec::new();
    let mut add = |name: &'a ExecutorName| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    for destination in destinations {
        match destination {
            Destination::Executor(name) => add(name),
            Destination::Runner(wanted) => {
                let fitting = fleet.iter().filter(|(_, state)| fits(wanted, state));
                fitting.for_each(|(name, _)| add(name));
            }
        }
    }
    names
}

/// Returns the executors and runners that may do a task type by the routes.
pub fn on_route<'a>(
    routing: &'a Routing,
    fleet: &'a States,
    task_type: &str,
) -> Vec<&'a ExecutorName> {
    resolve(routing.route(task_type).unwrap_or_default(), fleet)
}

/// Returns what an order may call `asked`: an executor of routing.yaml, else the runners that
/// registered under this name or id.
pub fn called<'a>(routing: &'a Routing, fleet: &'a States, asked: &str) -> Vec<&'a ExecutorName> {
    if let Some(name) = routing.named(asked) {
        return vec![name];
    }
    let wanted = Wanted { name: Some(asked.to_owned()), ..Wanted::default() };
    fleet.iter().filter(|(_, state)| fits(&wanted, state)).map(|(name, _)| name).collect()
}

fn fits(wanted: &Wanted, state: &ExecutorState) -> bool {
    let Some(runner) = &state.runner else { return false };
    let is_called = |name: &String| {
        runner.id == *name || runner.name == *name || base_name(&runner.name) == base_name(name)
    };
    wanted.name.as_ref().is_none_or(is_called)
        && wanted.capability.as_ref().is_none_or(|word| runner.capabilities.contains(word))
        && wanted.labels.iter().all(|(key, value)| runner.labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::fleet::RunnerFacts;

    fn registered(name: &str, capabilities: &[&str], labels: &[(&str, &str)]) -> ExecutorState {
        let facts = RunnerFacts {
            id: format!("{name}-1"),
            name: name.to_owned(),
            capabilities: capabilities.iter().map(|&word| word.to_owned()).collect(),
            labels: labels.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
            host: "here".into(),
            takes_anything: true,
        };
        ExecutorState { runner: Some(Arc::new(facts)), ..ExecutorState::new(Timestamp::now()) }
    }

    fn fleet() -> States {
        BTreeMap::from([
            ("a".into(), registered("a-executor", &["llm"], &[("gpu", "amd")])),
            ("b".into(), registered("b", &["llm", "http"], &[("gpu", "none")])),
            ("c".into(), ExecutorState::new(Timestamp::now())),
        ])
    }

    fn names(found: &[&ExecutorName]) -> Vec<String> {
        found.iter().map(ToString::to_string).collect()
    }

    fn wanted(yaml: &str) -> Vec<Destination> {
        let text = format!("executors: {{c: 'http://c'}}\nroutes: {{ x: {yaml} }}\n");
        let routing = crate::routing::parse(&text, "routing.yaml").unwrap();
        routing.route("x").unwrap().to_vec()
    }

    #[test]
    fn all_that_is_given_must_fit() {
        let fleet = fleet();
        for (yaml, expected) in [
            ("{ capability: llm }", vec!["a", "b"]),
            ("{ capability: llm, labels: { gpu: amd } }", vec!["a"]),
            ("{ labels: { gpu: none } }", vec!["b"]),
            ("{ name: a }", vec!["a"]),
            ("{ name: b-1, capability: http }", vec!["b"]),
            ("{ capability: sleep }", vec![]),
            ("[c, { capability: http }, { name: b }]", vec!["c", "b"]),
        ] {
            let destinations = wanted(yaml);
            assert_eq!(names(&resolve(&destinations, &fleet)), expected, "{yaml}");
        }
    }

    #[test]
    fn an_order_may_name_a_runner_that_only_registered() {
        let fleet = fleet();
        let routing = crate::routing::parse("executors: {}", "routing.yaml").unwrap();

        assert_eq!(names(&called(&routing, &fleet, "a")), ["a"]);
        assert!(called(&routing, &fleet, "c").is_empty());
    }
}
