//! What is sent to the executor: the order's params with the results of other beads put in.

use std::collections::BTreeMap;

use protocol::execute::{Ending, ExecuteRequest};
use serde_json::Value;

use super::{Line, Stop};
use crate::beads::{Bead, BeadId, RESULT_KEY, Status};
use crate::order::{self, Order};
use crate::settle::End;

impl Line {
    /// Makes the request; a reference that leads nowhere is a permanent failure.
    pub(super) async fn request(
        &mut self,
        order: &Order,
        bead: &Bead,
    ) -> Result<ExecuteRequest, Result<End, Stop>> {
        let references = order::references(&order.params);
        let mut outcomes = BTreeMap::new();
        if !references.is_empty() {
            let dependencies = self.dependencies(bead).await.map_err(Err)?;
            for reference in &references {
                if outcomes.contains_key(&reference.bead) {
                    continue;
                }
                let found = self.outcome_of(&reference.bead, &dependencies).await.map_err(Err)?;
                outcomes.insert(reference.bead.clone(), found);
            }
        }
        let lookup = |bead: &str| {
            outcomes
                .get(bead)
                .cloned()
                .unwrap_or_else(|| Err(format!("`{bead}` was not looked up")))
        };
        let params = order::substitute(&order.params, lookup).map_err(|error| {
            Ok(End::Permanent {
                error,
                hint: Some("A `$from` names a closed bead that this one depends on.".to_owned()),
            })
        })?;
        let identity = self.app.ledger.identity();
        Ok(ExecuteRequest {
            task_id: self.attempt.bead.to_string(),
            task_type: order.task_type.clone(),
            params,
            attempt: Some(self.attempt.id),
            timeout_seconds: self.asked_limit(order),
            ledger: Some(identity.ledger),
            epoch: Some(identity.epoch),
        })
    }

    /// The limit is sent when the bead names it, or when the task has none of its own.
    fn asked_limit(&self, order: &Order) -> Option<f64> {
        if let Some(limit) = order.timeout {
            return Some(limit.as_secs_f64());
        }
        let states = self.app.fleet.states();
        let own = self
            .attempt
            .executor
            .as_ref()
            .and_then(|name| states.get(name))
            .and_then(|state| state.tasks.get(&order.task_type))
            .and_then(|task| task.limit);
        own.is_none().then(|| self.app.task_timeout.as_secs_f64())
    }

    /// Returns what the bead depends on; the answer to a claim does not say it.
    async fn dependencies(&self, bead: &Bead) -> Result<Vec<(BeadId, Option<Status>)>, Stop> {
        let shown = self.show(&bead.id).await?;
        let known = shown.map_or_else(|| bead.dependencies.clone(), |bead| bead.dependencies);
        let waited_for = known.into_iter().filter(|edge| is_waited_for(&edge.kind));
        Ok(waited_for.map(|edge| (edge.id, edge.status)).collect())
    }

    /// Finds the recorded outcome of a bead: in the ledger, else in the bead's metadata.
    async fn outcome_of(
        &self,
        name: &str,
        dependencies: &[(BeadId, Option<Status>)],
    ) -> Result<Result<Value, String>, Stop> {
        let Some((id, status)) = dependencies.iter().find(|(id, _)| id.to_string() == name) else {
            return Ok(Err(format!("this bead does not depend on `{name}`")));
        };
        if *status != Some(Status::Closed) {
            return Ok(Err(format!("`{name}` is not closed")));
        }
        let history = self.history(id).await?;
        let recorded = history
            .into_iter()
            .rev()
            .filter_map(|attempt| attempt.outcome)
            .find(|outcome| outcome.status == Ending::Completed);
        if let Some(outcome) = recorded {
            return Ok(serde_json::to_value(outcome)
                .map_err(|_| format!("the outcome of `{name}` cannot be read")));
        }
        Ok(match self.show(id).await? {
            Some(bead) => bead.metadata.get(RESULT_KEY).cloned().ok_or_else(|| {
                format!(
                    "`{name}` has no recorded result: neither in the ledger nor in its metadata"
                )
            }),
            None => Err(format!("`{name}` does not exist any more")),
        })
    }
}

/// Whether a bead waits along this kind of edge, so that the other's result is there before it.
fn is_waited_for(kind: &str) -> bool {
    matches!(kind, "blocks" | "conditional-blocks" | "waits-for")
}
