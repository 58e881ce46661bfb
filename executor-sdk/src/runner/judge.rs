//! Whether an order may start: its type, the node's policy, its params.

use std::time::Duration;

use protocol::execute::ExecuteRequest;
use protocol::refusal::{Refusal, RefusalCode};

use super::Runner;
use crate::policy::Forbidden;
use crate::registry::{Entry, Run};

/// The longest time limit; longer ones are shortened to it.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// An order whose task may start.
pub(super) struct Accepted {
    pub(super) run: Run,
    pub(super) limit: Duration,
    /// What the task needs and this node lacks.
    pub(super) missing: Vec<String>,
}

impl Runner {
    /// Judges an order, in this order: type, policy, params.
    pub(super) fn judge(&self, order: &ExecuteRequest) -> Result<Accepted, Refusal> {
        let Some(entry) = self.registry.get(&order.task_type) else {
            return Err(self.unknown(&order.task_type));
        };
        for ask in (entry.asks)(&order.params) {
            self.policy.judge(&ask, &self.node.environment).map_err(|forbidden| {
                Refusal::new(RefusalCode::Forbidden, forbidden.error).hinted(forbidden.hint)
            })?;
        }
        let run = (entry.prepare)(order.params.clone()).map_err(|params| {
            let error = format!("params of `{}`: {}", entry.task_type, params.error);
            let refusal = Refusal::new(RefusalCode::InvalidParams, error);
            match params.hint {
                Some(hint) => refusal.hinted(hint),
                None => refusal,
            }
        })?;
        Ok(Accepted { run, limit: self.limit_of(order, entry), missing: self.missing(entry) })
    }

    /// Returns the tools of a task that this node lacks, as `a`, or `a or b` where either would do.
    pub(crate) fn missing(&self, entry: &Entry) -> Vec<String> {
        let is_here = |tool: &str| self.node.environment.find(tool.as_ref()).is_some();
        let missing = entry.tools.iter().filter(|tools| !tools.split('|').any(is_here));
        missing.map(|tools| tools.replace('|', " or ")).collect()
    }

    /// Returns what the policy says when it allows nothing of the kind that a task asks for.
    pub(crate) fn forbidden(&self, entry: &Entry) -> Option<Forbidden> {
        let nothing = serde_json::Map::new();
        (entry.asks)(&nothing).iter().find_map(|ask| self.policy.closed(ask))
    }

    fn limit_of(&self, order: &ExecuteRequest, entry: &Entry) -> Duration {
        let ordered = order.timeout_seconds.map(|seconds| {
            // Refused before, unless it is only too large.
            Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST)
        });
        ordered.or(entry.timeout).unwrap_or(self.limits.task_timeout).min(LONGEST)
    }

    fn unknown(&self, task_type: &str) -> Refusal {
        let shown: String = task_type.chars().take(100).collect();
        let nearest = self.registry.nearest(&shown);
        let list = nearest.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        Refusal::new(RefusalCode::UnknownTask, format!("there is no task `{shown}` here"))
            .hinted(format!("known here, the nearest first: {list}"))
    }
}
