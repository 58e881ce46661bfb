//! What is known of each bead while the demo runs.

use std::time::{Duration, Instant};

use e2e::http::Asked;
use jiff::Timestamp;
use protocol::coordinator::{AttemptSummary, BeadView, PlanView, Stage as Where};
use protocol::execute::Ending;

use crate::story::Step;

/// Where a bead stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum State {
    /// Nothing is known yet.
    Unknown,
    /// It waits, and why.
    Waits(String),
    /// It runs on this executor.
    Runs(String),
    /// Its last attempt is settled.
    Ended(Box<AttemptSummary>, String),
}

/// One bead of the demo.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) step: Step,
    pub(crate) id: String,
    /// When `create` had ended.
    pub(crate) created: Timestamp,
    pub(crate) state: State,
    /// When it first started.
    pub(crate) started: Option<Timestamp>,
    /// When the coordinator was last asked about this bead alone.
    asked: Option<Instant>,
    /// With how many attempts it was last seen as failed.
    failed_after: Option<usize>,
}

/// How long to leave the coordinator alone about one bead that waits: the answer costs it a
/// command of the Beads CLI.
const PATIENCE: Duration = Duration::from_millis(1500);

impl Row {
    /// A bead that has just been written.
    pub(crate) fn new(step: Step, id: String) -> Self {
        let created = Timestamp::now();
        Self {
            step,
            id,
            created,
            state: State::Unknown,
            started: None,
            asked: Some(Instant::now()),
            failed_after: None,
        }
    }

    /// Returns whether nothing more is going to happen to it, as far as it goes by itself.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(..))
    }

    /// Believes in a blocked bead only when it is seen blocked twice: on mb one that fails is
    /// blocked for a moment before it is known that it is tried again.
    fn confirmed(&mut self, state: State, attempts: usize) -> State {
        let is_failed =
            matches!(&state, State::Ended(attempt, _) if attempt.ending != Some(Ending::Completed));
        if is_failed && self.failed_after != Some(attempts) {
            self.failed_after = Some(attempts);
            return State::Waits("has failed".to_owned());
        }
        state
    }

    /// Whether to ask about this bead alone; `is_free` when all that it waits for has ended.
    fn may_ask(&self, is_free: bool) -> bool {
        let was_active = matches!(self.state, State::Runs(_));
        let patience = if is_free { PATIENCE } else { 10 * PATIENCE };
        was_active || self.asked.is_none_or(|asked| asked.elapsed() > patience)
    }

    /// Returns the text for people of where it stands.
    pub(crate) fn shown(&self) -> (String, String) {
        match &self.state {
            State::Unknown => ("written".to_owned(), String::new()),
            State::Waits(why) => ("waits".to_owned(), why.clone()),
            State::Runs(executor) => ("runs".to_owned(), format!("on {executor}")),
            State::Ended(attempt, why) => {
                let ending = attempt.ending.map_or("never started", Ending::as_str);
                (ending.to_owned(), why.clone())
            }
        }
    }

    /// Returns the time from when it could start (written, and what it waits for done) to its start.
    pub(crate) fn delay(&self, rows: &[Self]) -> Option<f64> {
        let settled =
            rows.iter().filter(|row| self.step.after.contains(&row.step.key)).map(|row| match &row
                .state
            {
                State::Ended(attempt, _) => attempt.settled,
                _ => None,
            });
        let free = settled.flatten().chain([self.created]).max()?;
        let started = self.started?;
        Some(started.duration_since(free).as_secs_f64().max(0.0))
    }
}

/// Brings the rows up to date. Returns whether something changed.
pub(crate) async fn refresh(rows: &mut [Row], ygg: &Asked) -> anyhow::Result<bool> {
    let plan = ygg.plan().await?;
    let mut changed = false;
    let ended: Vec<_> = rows.iter().filter(|row| row.has_ended()).map(|row| row.step.key).collect();
    for row in rows.iter_mut().filter(|row| !row.step.task.is_empty() && !row.has_ended()) {
        let is_free = row.step.after.iter().all(|key| ended.contains(key));
        let state = match seen(&plan, &row.id) {
            Some(state) => state,
            // Neither planned nor running: it has ended, or waits for another bead.
            None if row.may_ask(is_free) => {
                row.asked = Some(Instant::now());
                let view = ygg.why(&row.id).await?;
                let first = view.attempts.iter().find_map(|attempt| attempt.started);
                row.started = first.or(row.started);
                row.confirmed(last(&view), view.attempts.len())
            }
            None => continue,
        };
        if let Some(attempt) = plan.attempts.iter().find(|attempt| attempt.bead == row.id) {
            row.started = row.started.or(attempt.started);
        }
        changed |= state != row.state;
        row.state = state;
    }
    Ok(changed)
}

fn seen(plan: &PlanView, id: &str) -> Option<State> {
    if let Some(attempt) = plan.attempts.iter().find(|attempt| attempt.bead == id) {
        let executor = attempt.executor.clone().unwrap_or_default();
        return match attempt.stage {
            Where::Running => Some(State::Runs(executor)),
            Where::Settled | Where::Dropped => None,
            Where::Lost => Some(State::Waits(format!("{executor} is lost"))),
            Where::Recorded | Where::Claimed | Where::Offered => {
                Some(State::Waits("starts".to_owned()))
            }
            Where::Ended => Some(State::Waits("is being written down".to_owned())),
        };
    }
    let bead = plan.beads.iter().find(|bead| bead.bead == id)?;
    let why = bead.reason.as_ref().map_or("starts", |reason| reason.text.as_str());
    Some(State::Waits(why.to_owned()))
}

fn last(view: &BeadView) -> State {
    match view.attempts.last() {
        // The status is there when the bead itself was looked at: not while a retry is due.
        Some(attempt) if matches!(view.status.as_deref(), Some("closed" | "blocked")) => {
            let why = attempt.error.clone().unwrap_or_else(|| view.reason.text.clone());
            State::Ended(Box::new(attempt.clone()), why)
        }
        _ => State::Waits(view.reason.text.clone()),
    }
}
