//! Whether new work is taken: a circuit breaker for each runner, and one over all of them.
//!
//! A runner that fails several times in a row is left alone for a while; then one try decides.
//! The global breaker opens while work could not be kept or would be in vain: the ledger cannot be
//! written, the coordinator stops, or most runners are left alone. What counts as a failure is
//! said by those who see it: losses of runners arrive here by themselves, the gateway and the
//! dispatch tell of what they tried.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use protocol::admission as wire;
use protocol::admission::{BreakerScope, BreakerState, RunnerBreaker, Transition};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::runners::{Lost, Moment, Runners};

mod breaker;
mod global;
mod settings;
mod subject;

pub use breaker::{Breaker, Change, Rules};
pub use global::{Conditions, Global};
pub use settings::Settings;
pub use subject::Subject;

/// Between two looks at what the global breaker depends on.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How many transitions are remembered.
const EVENTS: usize = 100;

/// Nothing is let through now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Closed {
    /// When asking again makes sense.
    pub retry_after: Duration,
    /// Why, in words for a person.
    pub cause: String,
}

impl Closed {
    /// Returns the value of the header `Retry-After`: whole seconds, at least one.
    pub fn retry_after_seconds(&self) -> u64 {
        whole_seconds(self.retry_after)
    }
}

/// Returns a duration as `Retry-After` wants it.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[derive(Debug)]
struct Inner {
    breakers: HashMap<Subject, Breaker>,
    global: Global,
    events: VecDeque<Transition>,
    /// How often a breaker of a runner entered each state in this life.
    entered: BTreeMap<BreakerState, u64>,
}

/// Whether new work is taken, in all and by each runner.
#[derive(Debug)]
pub struct Admission {
    rules: Rules,
    started: Timestamp,
    draining: CancellationToken,
    inner: Mutex<Inner>,
}

impl Admission {
    /// Makes it with every breaker closed; once `draining`, nothing is let through.
    pub fn new(rules: Rules, draining: CancellationToken) -> Self {
        let started = Timestamp::now();
        let inner = Inner {
            breakers: HashMap::new(),
            global: Global::new(started),
            events: VecDeque::new(),
            entered: BTreeMap::new(),
        };
        Self { rules, started, draining, inner: Mutex::new(inner) }
    }

    /// Lets new work for a runner through, or says why not.
    ///
    /// Where the runner's breaker is half open, this is the try that decides: say with
    /// [`Admission::succeeded`] or [`Admission::failed`] how it ended.
    pub fn check(&self, runner: impl Into<Subject>) -> Result<(), Closed> {
        self.check_intake()?;
        self.admit(runner)
    }

    /// Like [`Admission::check`] for what needs no more than the runner itself.
    pub fn admit(&self, subject: impl Into<Subject>) -> Result<(), Closed> {
        let subject = subject.into();
        let now = Moment::now();
        let mut inner = self.lock();
        let Some(breaker) = inner.breakers.get_mut(&subject) else { return Ok(()) };
        match breaker.admit(now, self.rules) {
            Ok(change) => {
                note(&mut inner, Some(&subject), change, "its recovery time is over", now);
                Ok(())
            }
            Err(retry_after) => Err(Closed { retry_after, cause: why(&subject.runner, breaker) }),
        }
    }

    /// Says how long nothing would be let through to a runner, without asking for it: zero is now.
    pub fn wait(&self, subject: impl Into<Subject>) -> Duration {
        let inner = self.lock();
        inner
            .breakers
            .get(&subject.into())
            .map_or(Duration::ZERO, |breaker| breaker.wait(Moment::now()))
    }

    /// Lets new work through that is for no runner in particular, or says why not.
    pub fn check_intake(&self) -> Result<(), Closed> {
        self.check_global(&mut self.lock(), Moment::now())
    }

    /// Notes that a runner did what it was asked, or said itself why not.
    pub fn succeeded(&self, subject: impl Into<Subject>) {
        let subject = subject.into();
        let now = Moment::now();
        let mut inner = self.lock();
        let change = self.breaker(&mut inner, &subject).succeeded(now);
        note(&mut inner, Some(&subject), change, "its try went well", now);
    }

    /// Notes that what was let through never got as far as the runner.
    pub fn undone(&self, subject: impl Into<Subject>) {
        if let Some(breaker) = self.lock().breakers.get_mut(&subject.into()) {
            breaker.undone();
        }
    }

    /// Notes that a runner could not be reached, broke down, or was lost with work.
    pub fn failed(&self, subject: impl Into<Subject>, cause: &str) {
        self.note_failure(&subject.into(), cause, self.rules);
    }

    /// Notes a failure after which a runner is left alone at once, however rare it was.
    pub fn failed_for_good(&self, subject: impl Into<Subject>, cause: &str) {
        self.note_failure(&subject.into(), cause, Rules { threshold: 1, ..self.rules });
    }

    fn note_failure(&self, subject: &Subject, cause: &str, rules: Rules) {
        let now = Moment::now();
        let mut inner = self.lock();
        let change = self.breaker(&mut inner, subject).failed(cause, now, rules);
        note(&mut inner, Some(subject), change, cause, now);
    }

    /// Returns the state of a runner's breaker.
    pub fn state(&self, subject: impl Into<Subject>) -> BreakerState {
        self.lock().breakers.get(&subject.into()).map_or(BreakerState::Closed, Breaker::state)
    }

    /// Returns the state of every breaker that was ever used, but for the global one.
    pub fn states(&self) -> Vec<(Subject, BreakerState)> {
        let inner = self.lock();
        inner.breakers.iter().map(|(of, breaker)| (of.clone(), breaker.state())).collect()
    }

    /// Returns the state of the global breaker.
    pub fn global_state(&self) -> BreakerState {
        self.lock().global.state()
    }

    /// Returns how often breakers of runners entered a state in this life.
    pub fn entered(&self, state: BreakerState) -> u64 {
        self.lock().entered.get(&state).copied().unwrap_or_default()
    }

    /// Returns everything that `GET /admission` shows.
    pub fn view(&self, runners: &Runners) -> wire::Admission {
        let known: Vec<_> = {
            let registry = runners.read();
            let named = |runner: &crate::runners::Runner| {
                (runner.id.clone(), runner.name.clone(), runner.first_registered)
            };
            registry.all().map(named).collect()
        };
        let now = Moment::now();
        let mut inner = self.lock();
        drop(self.check_global_quietly(&mut inner, now));
        let mut counts = inner.global.counts();
        let mut runners = Vec::with_capacity(known.len());
        for (runner_id, name, registered) in known {
            let subject = Subject::from(runner_id.as_str());
            let agent = inner.breakers.get(&Subject::agent(&runner_id));
            let fresh = Breaker::new(registered.max(self.started));
            let breaker = inner.breakers.get(&subject).unwrap_or(&fresh);
            match breaker.state() {
                BreakerState::Closed => counts.closed += 1,
                BreakerState::HalfOpen => counts.half_open += 1,
                BreakerState::Open => counts.open += 1,
            }
            runners.push(shown(&runner_id, &name, BreakerScope::Runner, breaker));
            runners.extend(agent.map(|b| shown(&runner_id, &name, BreakerScope::Agent, b)));
        }
        wire::Admission {
            timestamp: now.at,
            failure_threshold: self.rules.threshold,
            recovery_seconds: self.rules.recovery.as_secs_f64(),
            global: wire::GlobalBreaker {
                state: inner.global.state(),
                since: inner.global.since(),
                until: None,
                cause: inner.global.cause().map(str::to_owned),
                counts,
            },
            count: runners.len(),
            runners,
            events: inner.events.iter().cloned().collect(),
        }
    }

    /// Hears of losses, lets breakers become half open, and keeps the global one, until `stop`.
    ///
    /// `ledger_fails` says whether the ledger cannot be written.
    pub async fn watch(
        &self,
        runners: &Runners,
        ledger_fails: impl Fn() -> bool,
        stop: &CancellationToken,
    ) {
        let mut losses = runners.losses();
        let mut presence = runners.presence();
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    self.look(runners, ledger_fails());
                    return;
                }
                lost = losses.recv() => match lost {
                    Ok(lost) => self.lost(&lost),
                    Err(RecvError::Lagged(missed)) => {
                        warn!("{missed} losses of runners came too fast to be counted");
                    }
                    // The registry outlives this loop.
                    Err(RecvError::Closed) => return,
                },
                _ = tick.tick() => {
                    if presence.has_changed().unwrap_or(false) {
                        presence.mark_unchanged();
                        self.forget(runners);
                    }
                    self.look(runners, ledger_fails());
                }
            }
        }
    }

    /// A runner was lost; with work it is a failure.
    fn lost(&self, lost: &Lost) {
        let tasks = lost.tasks.len();
        if tasks > 0 {
            self.failed(
                lost.runner.as_str(),
                &format!("lost with {tasks} running tasks ({})", lost.cause),
            );
        }
    }

    /// Takes up what time and others have changed.
    fn look(&self, runners: &Runners, ledger_fails: bool) {
        let online: Vec<String> = {
            let registry = runners.read();
            registry.all().filter(|runner| runner.is_online()).map(|r| r.id.clone()).collect()
        };
        let now = Moment::now();
        let mut inner = self.lock();
        let due: Vec<(Subject, Change)> = inner
            .breakers
            .iter_mut()
            .filter_map(|(of, breaker)| Some((of.clone(), breaker.tick(now)?)))
            .collect();
        for (of, change) in due {
            note(&mut inner, Some(&of), Some(change), "its recovery time is over", now);
        }
        // Only who is left alone with work counts here, and not its endpoint.
        let left_alone: HashSet<&str> = inner
            .breakers
            .iter()
            .filter(|(of, breaker)| {
                of.scope == BreakerScope::Runner && breaker.state() == BreakerState::Open
            })
            .map(|(of, _)| of.runner.as_str())
            .collect();
        let is_open = |id: &String| left_alone.contains(id.as_str());
        let open = left_alone.len();
        let taking = online.iter().filter(|id| !is_open(id)).count();
        let conditions =
            Conditions { draining: self.draining.is_cancelled(), ledger_fails, open, taking };
        set_global(&mut inner, &conditions, now);
    }

    /// Drops the breakers of runners that are forgotten.
    fn forget(&self, runners: &Runners) {
        let used: Vec<Subject> = self.lock().breakers.keys().cloned().collect();
        let gone: Vec<Subject> = {
            let registry = runners.read();
            used.into_iter().filter(|of| registry.get(&of.runner).is_err()).collect()
        };
        let mut inner = self.lock();
        for of in gone {
            inner.breakers.remove(&of);
        }
    }

    /// The global breaker, with what can be seen without waiting for the next look.
    fn check_global_quietly(&self, inner: &mut Inner, now: Moment) -> Result<(), Closed> {
        if self.draining.is_cancelled() && !inner.global.is_draining() {
            let conditions = Conditions { draining: true, ..inner.global.conditions() };
            set_global(inner, &conditions, now);
        }
        match inner.global.cause() {
            None => Ok(()),
            Some(cause) => {
                let retry_after = inner.global.retry_after(self.rules);
                Err(Closed { retry_after, cause: cause.to_owned() })
            }
        }
    }

    fn check_global(&self, inner: &mut Inner, now: Moment) -> Result<(), Closed> {
        self.check_global_quietly(inner, now).inspect_err(|_| inner.global.refused())
    }

    fn breaker<'a>(&self, inner: &'a mut Inner, of: &Subject) -> &'a mut Breaker {
        inner.breakers.entry(of.clone()).or_insert_with(|| Breaker::new(self.started))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Never across an await.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown(runner_id: &str, name: &str, scope: BreakerScope, breaker: &Breaker) -> RunnerBreaker {
    RunnerBreaker {
        runner_id: runner_id.to_owned(),
        name: name.to_owned(),
        scope,
        state: breaker.state(),
        since: breaker.since(),
        until: breaker.until(),
        cause: breaker.cause().map(str::to_owned),
        counts: breaker.counts(),
    }
}

fn why(runner: &str, breaker: &Breaker) -> String {
    let cause = breaker.cause().unwrap_or("it failed");
    match breaker.state() {
        BreakerState::HalfOpen => format!("runner `{runner}` is being tried again ({cause})"),
        BreakerState::Closed | BreakerState::Open => {
            let count = breaker.counts().in_a_row;
            format!("runner `{runner}` failed {count} times in a row and is left alone ({cause})")
        }
    }
}

fn set_global(inner: &mut Inner, conditions: &Conditions, now: Moment) {
    let cause_before = inner.global.cause().map(str::to_owned);
    let change = inner.global.set(conditions, now);
    let cause = inner.global.cause().map(str::to_owned).or(cause_before);
    note(inner, None, change, cause.as_deref().unwrap_or_default(), now);
}

fn note(inner: &mut Inner, of: Option<&Subject>, change: Option<Change>, cause: &str, now: Moment) {
    let Some(Change { from, to }) = change else { return };
    if let Some(Subject { scope, runner: id }) = of {
        let scope = scope.as_str();
        *inner.entered.entry(to).or_default() += 1;
        match to {
            BreakerState::Open => {
                let state = to.as_str();
                warn!(runner = %id, breaker.state = state, scope, "{id} is left alone: {cause}");
            }
            BreakerState::HalfOpen | BreakerState::Closed => {
                let state = to.as_str();
                info!(runner = %id, scope, "the breaker of {id} is {state}: {cause}");
            }
        }
    } else if to == BreakerState::Open {
        warn!(breaker.state = to.as_str(), "no new work is taken: {cause}");
    } else {
        info!(breaker.state = to.as_str(), "new work is taken again");
    }
    if inner.events.len() == EVENTS {
        inner.events.pop_front();
    }
    inner.events.push_back(Transition {
        timestamp: now.at,
        runner_id: of.map(|of| of.runner.clone()),
        scope: of.map(|of| of.scope),
        from,
        to,
        cause: cause.to_owned(),
    });
}

#[cfg(test)]
mod tests;
