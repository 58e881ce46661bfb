//! Which executors could do a task type, found once per plan.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::resolve::{called, resolve};
use super::{Decision, Planner, Wait};
use crate::fleet::{Condition, ExecutorState};
use crate::order::Order;
use crate::routing::{ExecutorName, Routing};

/// The executors that could do one task type.
#[derive(Debug, Clone)]
pub(super) struct Candidates<'a> {
    /// In the order of the route.
    pub(super) all: Vec<&'a ExecutorName>,
    /// Those that are up and know the type; only the able ones, where there are any.
    pub(super) up: Vec<&'a ExecutorName>,
    /// Why none is up.
    pub(super) away: Option<AwayReason>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct AwayReason {
    pub(super) wait: Wait,
    pub(super) since: Timestamp,
}

impl<'a> Planner<'a> {
    pub(super) fn find(&mut self, order: &'a Order) -> Result<Candidates<'a>, Decision> {
        let routing = self.snapshot.routing;
        let fleet = self.snapshot.fleet;
        let all = named(routing, fleet, order)?;
        if all.is_empty() {
            // The route says what a runner must be, and none like that has registered.
            return Ok(Candidates { all, up: Vec::new(), away: None });
        }
        let state = |name: &ExecutorName| fleet.get(name);
        let is_up = |name: &&ExecutorName| {
            state(name).is_some_and(|state| state.condition == Condition::Up)
        };
        let facts =
            |name: &ExecutorName| state(name).and_then(|state| state.task(&order.task_type));
        let mut up: Vec<_> = all.iter().copied().filter(is_up).collect();
        let someone_is_away = up.len() < all.len();
        up.retain(|name| facts(name).is_some());
        if up.is_empty() && !someone_is_away {
            return Err(unknown_task(order, &all, self.snapshot.fleet));
        }
        // An executor that can do it, however busy, beats one whose tool is missing; where none
        // can, the outcome will say so.
        if up.iter().any(|name| facts(name).is_some_and(|facts| facts.able)) {
            up.retain(|name| facts(name).is_some_and(|facts| facts.able));
        }
        let away = if up.is_empty() { self.away_reason(&all) } else { None };
        Ok(Candidates { all, up, away })
    }

    /// Says why none of the executors is up: the one that is nearest to coming back.
    fn away_reason(&mut self, all: &[&'a ExecutorName]) -> Option<AwayReason> {
        let mut best: Option<(u8, AwayReason)> = None;
        for name in all {
            let Some(state) = self.snapshot.fleet.get(*name) else { continue };
            let index = self.names.executor(name);
            let (rank, wait) = match &state.condition {
                Condition::Up => continue,
                Condition::Unknown => (0, Wait::ExecutorUnknown { executor: index }),
                Condition::Draining => (1, Wait::ExecutorDraining { executor: index }),
                Condition::Away { .. } if state.is_registered_only() => {
                    (2, Wait::RunnerOffline { executor: index })
                }
                Condition::Away { .. } => (2, Wait::ExecutorAway { executor: index }),
                Condition::Misconfigured { .. } => {
                    (3, Wait::ExecutorMisconfigured { executor: index })
                }
            };
            if best.as_ref().is_none_or(|(known, _)| rank < *known) {
                best = Some((rank, AwayReason { wait, since: state.since }));
            }
        }
        best.map(|(_, reason)| reason)
    }
}

/// Returns the executors that an order may go to, by its own word or by the routes.
fn named<'a>(
    routing: &'a Routing,
    fleet: &'a BTreeMap<ExecutorName, ExecutorState>,
    order: &Order,
) -> Result<Vec<&'a ExecutorName>, Decision> {
    if let Some(asked) = &order.executor {
        let called = called(routing, fleet, asked);
        if called.is_empty() {
            return Err(Decision::Block {
                error: format!("unknown executor `{asked}`"),
                hint: Some(known_executors(routing, asked)),
            });
        }
        return Ok(called);
    }
    match routing.route(&order.task_type) {
        Some(destinations) => Ok(resolve(destinations, fleet)),
        None => Err(Decision::Block {
            error: format!("no route for task type `{}`", order.task_type),
            hint: Some(
                "Add a route for it, or a `default`, to routing.yaml and restart the coordinator."
                    .to_owned(),
            ),
        }),
    }
}

fn known_executors(routing: &Routing, asked: &str) -> String {
    let names = routing.executors.keys().map(ExecutorName::as_str);
    match nearest(asked, names.clone()) {
        Some(near) => format!("Did you mean `{near}`?"),
        None if routing.executors.is_empty() => "routing.yaml names no executor.".to_owned(),
        None => format!("Known executors: {}.", names.collect::<Vec<_>>().join(", ")),
    }
}

fn unknown_task(
    order: &Order,
    all: &[&ExecutorName],
    fleet: &BTreeMap<ExecutorName, ExecutorState>,
) -> Decision {
    let asked: Vec<_> = all.iter().map(|name| name.as_str()).collect();
    let known = all
        .iter()
        .filter_map(|name| fleet.get(*name))
        .flat_map(|state| state.tasks.keys().map(String::as_str));
    let hint = nearest(&order.task_type, known).map(|near| format!("Did you mean `{near}`?"));
    let whom = if asked.is_empty() { "no executor".to_owned() } else { asked.join(", ") };
    Decision::Block { error: format!("{whom} has no task type `{}`", order.task_type), hint }
}

/// Returns the most similar known name, when one is similar at all.
fn nearest<'n>(asked: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    known
        .map(|name| (strsim::jaro_winkler(asked, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
