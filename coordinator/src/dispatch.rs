//! One bead from ready to close, top to bottom.
//!
//! A line is begun by the plan ([`begin`]), or taken up again after a restart ([`resume`]); both
//! run through the same steps. A line ends when the bead tells the truth, when the bead turns out
//! not to be ours, or when the coordinator stops: then the ledger says where to go on.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tracing::{Instrument as _, error, info_span};
use uuid::Uuid;

use crate::app::App;
use crate::beads::{BeadId, Beads, Claim};
use crate::board::Source;
use crate::ledger::{Attempt, LedgerError, NewAttempt, Stage, Step};
use crate::order::Order;
use crate::plan::{self, BrokenOrder};
use crate::routing::{Destination, ExecutorName};
use crate::settle::{Class, End, TaskFacts};

mod claim;
mod follow;
mod inputs;
mod lost;
mod offer;
mod write;

pub(crate) use write::reopen;

/// Between two tries to write the ledger.
const LEDGER_AGAIN: Duration = Duration::from_secs(2);

/// What the plan decided about a bead that must be claimed.
#[derive(Debug)]
pub struct Work {
    pub order: Result<Order, BrokenOrder>,
    pub todo: Todo,
}

/// What is to be done once the bead is ours.
#[derive(Debug)]
pub enum Todo {
    /// Offer it to this executor.
    Offer(ExecutorName),
    /// Block it until one of these executors is back.
    Park { error: String, candidates: Vec<ExecutorName> },
    /// Block it until somebody mends the order or the set-up.
    Block { error: String, hint: Option<String> },
}

/// Why a line stops before its bead tells the truth.
#[derive(Debug)]
enum Stop {
    /// The coordinator is stopping; the ledger knows where to go on.
    Draining,
    /// The bead is not ours, or a newer attempt has it; nothing more is to be done.
    NotOurs,
    /// The ledger does not work.
    Ledger(LedgerError),
}

impl From<LedgerError> for Stop {
    fn from(error: LedgerError) -> Self {
        match error {
            // A newer attempt of the same bead took over.
            LedgerError::Conflict { .. } => Self::NotOurs,
            error => Self::Ledger(error),
        }
    }
}

/// What became of a lost attempt.
enum Watched {
    /// Nothing more is to be done.
    Settled,
    /// There is a new verdict to write.
    Decided,
    /// Its end is known after all.
    Found(End),
}

/// How a bead was written.
enum Written {
    /// It tells the truth, and nothing more is to be done.
    Settled,
    /// It says that the executor was lost.
    Lost,
}

/// One attempt on its way.
struct Line {
    app: Arc<App>,
    attempt: Attempt,
    /// The proof that the bead is ours; taken when the bead is written.
    claim: Option<Claim>,
    /// The executors that could do it instead.
    candidates: Vec<ExecutorName>,
}

/// Takes one ready bead from claim to close.
pub async fn begin(app: Arc<App>, work: Work) {
    let bead = match &work.order {
        Ok(order) => order.bead.clone(),
        Err(broken) => broken.bead.clone(),
    };
    let id = Uuid::now_v7();
    let span = info_span!("bead", bead.id = %bead, attempt = %id);
    async {
        match Line::record(&app, id, &work).await {
            Ok(mut line) => {
                let stopped = line.run_from_claim(work).await;
                line.finish(stopped);
            }
            Err(error) => {
                app.board.unreserve(&bead);
                ledger_trouble(&app, &error);
            }
        }
    }
    .instrument(span)
    .await;
}

/// Goes on with an attempt of an earlier life of the coordinator.
pub async fn resume(app: Arc<App>, attempt: Attempt) {
    let span = info_span!("bead", bead.id = %attempt.bead, attempt = %attempt.id);
    async {
        let candidates = candidates(&app, &attempt);
        let mut line = Line { app, attempt, claim: None, candidates };
        let stopped = line.run_again().await;
        line.finish(stopped);
    }
    .instrument(span)
    .await;
}

impl Line {
    async fn record(app: &Arc<App>, id: Uuid, work: &Work) -> Result<Self, LedgerError> {
        let attempt = app.ledger.record(new_attempt(app, id, work)).await?;
        app.board.begin(attempt.clone());
        let candidates = match &work.todo {
            Todo::Park { candidates, .. } => candidates.clone(),
            Todo::Offer(_) | Todo::Block { .. } => candidates(app, &attempt),
        };
        Ok(Self { app: Arc::clone(app), attempt, claim: None, candidates })
    }

    async fn run_from_claim(&mut self, work: Work) -> Result<(), Stop> {
        let bead = self.claim_bead(&work).await?;
        let end = match (work.todo, work.order) {
            (Todo::Offer(_), Ok(order)) => match self.request(&order, &bead).await {
                Ok(request) => return self.run_from_offer(request).await,
                Err(end) => end?,
            },
            (Todo::Offer(_), Err(broken)) => End::Permanent { error: broken.problem, hint: None },
            (Todo::Park { error, .. }, _) => End::NotStarted { class: Class::Waiting, error },
            (Todo::Block { error, hint }, _) => End::Permanent { error, hint },
        };
        self.run_from_end(end).await
    }

    async fn run_from_offer(
        &mut self,
        request: protocol::execute::ExecuteRequest,
    ) -> Result<(), Stop> {
        let end = match self.offer(request).await? {
            Some(end) => end,
            None => self.follow().await?,
        };
        self.run_from_end(end).await
    }

    async fn run_from_end(&mut self, mut end: End) -> Result<(), Stop> {
        loop {
            self.decide(end).await?;
            match self.write_and_watch().await? {
                None => return Ok(()),
                // A lost attempt was found again.
                Some(found) => end = found,
            }
        }
    }

    /// Writes the bead; one that is written as lost is watched until its end is known after all.
    async fn write_and_watch(&mut self) -> Result<Option<End>, Stop> {
        loop {
            match self.write_verdict().await? {
                Written::Settled => return Ok(None),
                Written::Lost => {}
            }
            match self.watch_lost().await? {
                Watched::Settled => return Ok(None),
                Watched::Decided => {}
                Watched::Found(end) => return Ok(Some(end)),
            }
        }
    }

    /// A lost attempt of an earlier life is watched on.
    async fn watch_and_write(&mut self) -> Result<Option<End>, Stop> {
        match self.watch_lost().await? {
            Watched::Settled => Ok(None),
            Watched::Decided => self.write_and_watch().await,
            Watched::Found(end) => Ok(Some(end)),
        }
    }

    /// Enters the line where the ledger says that it was left.
    async fn run_again(&mut self) -> Result<(), Stop> {
        match self.attempt.stage {
            Stage::Recorded | Stage::Claimed => self.give_back_unoffered().await,
            Stage::Offered => self.offer_again().await,
            Stage::Running => {
                let end = self.follow().await?;
                self.run_from_end(end).await
            }
            Stage::Lost => match self.watch_and_write().await? {
                None => Ok(()),
                Some(end) => self.run_from_end(end).await,
            },
            Stage::Ended => match self.write_and_watch().await? {
                None => Ok(()),
                Some(end) => self.run_from_end(end).await,
            },
            Stage::Settled | Stage::Dropped => Ok(()),
        }
    }

    /// Takes one step in the ledger, for as long as that takes: nothing goes on without it.
    async fn advance(&mut self, step: Step) -> Result<(), Stop> {
        let mut failed_before = false;
        loop {
            match self.app.ledger.advance(&self.attempt, step.clone()).await {
                Ok(attempt) => self.attempt = attempt,
                Err(LedgerError::Store(error)) => {
                    ledger_trouble(&self.app, &LedgerError::Store(error));
                    failed_before = true;
                    self.pause(LEDGER_AGAIN).await?;
                    continue;
                }
                // The step that seemed to fail may have been taken.
                Err(LedgerError::Conflict { .. }) if failed_before => {
                    let now = self.app.ledger.attempt(self.attempt.id).await?;
                    let taken = now.filter(|now| {
                        now.revision == self.attempt.revision + 1 && step.stage() == Some(now.stage)
                    });
                    self.attempt = taken.ok_or(Stop::NotOurs)?;
                }
                Err(error) => return Err(error.into()),
            }
            self.app.board.update(&self.attempt);
            self.app.board.mended(&Source::Ledger);
            return Ok(());
        }
    }

    /// Takes the line off the board, and says what stopped it.
    fn finish(&self, stopped: Result<(), Stop>) {
        self.app.metrics.work().line_over(&self.attempt.bead);
        match stopped {
            Ok(()) | Err(Stop::NotOurs) => self.app.board.end(&self.attempt),
            // The next life goes on; until then the board shows it as it is.
            Err(Stop::Draining) => {}
            Err(Stop::Ledger(error)) => ledger_trouble(&self.app, &error),
        }
    }

    /// Reads every attempt of a bead, for as long as that takes.
    async fn history(&self, bead: &BeadId) -> Result<Vec<Attempt>, Stop> {
        loop {
            match self.app.ledger.history(bead).await {
                Ok(history) => return Ok(history),
                Err(LedgerError::Store(error)) => {
                    ledger_trouble(&self.app, &LedgerError::Store(error));
                    self.pause(LEDGER_AGAIN).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns the Beads door, once it is open.
    async fn beads(&self) -> Result<Beads, Stop> {
        // An open door counts first: what is claimed can still be given back while stopping.
        tokio::select! {
            biased;
            beads = self.app.beads() => Ok(beads),
            () = self.app.shutdown.draining.cancelled() => Err(Stop::Draining),
        }
    }

    /// Waits; cut short when the coordinator stops.
    async fn pause(&self, wait: Duration) -> Result<(), Stop> {
        tokio::select! {
            () = self.app.shutdown.draining.cancelled() => Err(Stop::Draining),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }
}

fn new_attempt(app: &App, id: Uuid, work: &Work) -> NewAttempt {
    let executor = match &work.todo {
        Todo::Offer(name) => Some(name.clone()),
        Todo::Park { .. } | Todo::Block { .. } => None,
    };
    match &work.order {
        Ok(order) => NewAttempt {
            id,
            bead: order.bead.clone(),
            title: order.title.clone(),
            task_type: order.task_type.clone(),
            facts: facts(app, order, executor.as_ref()),
            executor,
            has_dependents: order.has_dependents,
            labels: order.labels.clone(),
        },
        Err(broken) => NewAttempt {
            id,
            bead: broken.bead.clone(),
            title: broken.title.clone(),
            task_type: String::new(),
            facts: TaskFacts { idempotent: false, retryable: false, limit_seconds: 0.0 },
            executor: None,
            has_dependents: false,
            labels: Vec::new(),
        },
    }
}

fn facts(app: &App, order: &Order, executor: Option<&ExecutorName>) -> TaskFacts {
    let states = app.fleet.states();
    let said =
        executor.and_then(|name| states.get(name)).and_then(|state| state.task(&order.task_type));
    let limit = order.timeout.or(said.and_then(|task| task.limit)).unwrap_or(app.task_timeout);
    TaskFacts {
        idempotent: said.is_some_and(|task| task.idempotent)
            || app.routing.idempotent.contains(&order.task_type),
        retryable: said.is_some_and(|task| task.retryable),
        limit_seconds: limit.as_secs_f64(),
    }
}

/// Returns the executors and runners that could do it now or later.
fn candidates(app: &App, attempt: &Attempt) -> Vec<ExecutorName> {
    let states = app.fleet.states();
    let on_route = plan::on_route(&app.routing, &states, &attempt.task_type);
    let names: Vec<ExecutorName> = on_route.into_iter().cloned().collect();
    match &attempt.executor {
        // The order named it, against the routes; or it has been forgotten.
        Some(own) if !names.contains(own) && !leads_to_runners(app, attempt) => vec![own.clone()],
        _ => names,
    }
}

/// Whether the route says what a runner must be: then others may come in the place of one.
fn leads_to_runners(app: &App, attempt: &Attempt) -> bool {
    app.routing
        .route(&attempt.task_type)
        .unwrap_or_default()
        .iter()
        .any(|destination| matches!(destination, Destination::Runner(_)))
}

fn missing(what: &str) -> Stop {
    Stop::Ledger(LedgerError::Unreadable { what: what.to_owned() })
}

/// Shows what is wrong with the ledger, and where to look.
pub(crate) fn ledger_trouble(app: &App, problem: &LedgerError) {
    if let LedgerError::AlreadyOpen { bead } = problem {
        error!("{bead} has an open attempt already: not started again");
        return;
    }
    let mut text = problem.to_string();
    let mut source = std::error::Error::source(problem);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    app.board.trouble(
        Source::Ledger,
        format!("{text} (check the disk below {})", app.state_dir.display()),
    );
}

/// How long an attempt may be silent, or be refused, before its bead is blocked.
fn grace_is_over(app: &App, since: Timestamp) -> bool {
    Timestamp::now() >= since + app.routing.retry.grace
}
