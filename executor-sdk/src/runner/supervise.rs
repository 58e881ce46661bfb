//! From the start of a task to its outcome on disk.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use protocol::execute::{Ending, Outcome};
use serde_json::{Map, Value};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use super::judge::Accepted;
use super::{Live, Phase, Runner};
use crate::log::Kept;
use crate::stop::Stopped;
use crate::tail::one_line;
use crate::{Context, Failure, Report, TaskResult};

/// How long a task that watches `cancelled` may tidy up.
const TIDY: Duration = Duration::from_secs(10);

/// How long a task may take to return once its last command was ended.
const RETURN: Duration = Duration::from_millis(500);

/// How long the commands of a task that is to stop may take to end: their grace, and some more
/// for the kernel. Dropping the task then kills them.
const COMMANDS: Duration = Duration::from_secs(15);

/// How long a dropped task may take to be gone.
const DROP: Duration = Duration::from_secs(2);

/// The longest `error` of an outcome.
const ERROR: usize = 2000;

type Joined = Result<TaskResult, JoinError>;

/// A task that runs no more.
struct Over {
    joined: Joined,
    /// Whether it had ended before it was told to stop.
    by_itself: bool,
}

impl Runner {
    /// Runs a task to its outcome, and answers when it is on disk if `is_named`.
    pub(super) async fn run(self: Arc<Self>, live: Arc<Live>, accepted: Accepted, is_named: bool) {
        let order = &live.order;
        let (task_type, task_id) = (order.task_type.as_str(), one_line(&order.task_id, 200));
        let span = tracing::info_span!("attempt", attempt.id = %order.attempt);
        tracing::info!(parent: &span, task.id = %task_id, task.kind = task_type,
            "{task_type} of {task_id} starts");
        self.metrics.started(task_type);

        let limit = accepted.limit;
        let over = self.supervise(&live, accepted).instrument(span.clone()).await;
        self.leave_running(live.order.attempt);
        let outcome = conclude(&live, limit, over);

        let (status, seconds) = (outcome.0.status, outcome.0.duration_seconds);
        self.metrics.ended(task_type, status, seconds);
        tracing::info!(parent: &span, task.id = %task_id, task.kind = task_type,
            status = status.as_str(), duration_seconds = seconds,
            "{task_type} of {task_id} ended: {}", status.as_str());
        let (outcome, kept) = (Arc::new(outcome.0), outcome.1);
        if !is_named {
            live.set(Phase::Ended(Arc::clone(&outcome)));
        }
        self.record(&live, &outcome, kept).await;
        live.set(Phase::Ended(outcome));
        self.leave(&live);
    }

    async fn supervise(&self, live: &Live, accepted: Accepted) -> Over {
        if !accepted.missing.is_empty() {
            let tools = accepted.missing.join("`, `").replace(" or ", "` or `");
            let error =
                format!("this node lacks `{tools}`, which `{}` needs", live.order.task_type);
            return Over { joined: Ok(Err(Failure::new(error))), by_itself: true };
        }
        let deadline = live.clock + accepted.limit;
        let context = Context::new(
            live.order.attempt,
            live.order.task_id.clone(),
            deadline,
            Arc::clone(&self.node),
            Arc::clone(&live.log),
            Arc::clone(&live.stop),
        );
        // A task of its own: a panic ends there, and one that blocks its thread cannot hold up
        // the time limit.
        let run = accepted.run;
        let mut task = self.shutdown.spawn(async move { run(context).await }.in_current_span());
        tokio::select! {
            biased;
            joined = &mut task => {
                return Over { joined, by_itself: !live.stop.is_watched() };
            }
            () = live.stop.token().cancelled() => {}
            () = tokio::time::sleep_until(deadline) => {
                live.stop.order(Stopped::TimedOut);
            }
        }
        Over { joined: self.wind_down(live, task).await, by_itself: false }
    }

    /// Waits for a task that is to stop, as long as it has a reason to go on; then drops it.
    async fn wind_down(&self, live: &Live, mut task: JoinHandle<TaskResult>) -> Joined {
        let stop = &live.stop;
        let patience = async {
            if stop.is_watched() {
                tokio::time::sleep(TIDY).await;
            }
            if stop.has_commands() {
                drop(timeout(COMMANDS, stop.without_commands()).await);
                tokio::time::sleep(RETURN).await;
            }
        };
        tokio::select! {
            biased;
            joined = &mut task => return joined,
            () = patience => {}
            () = self.shutdown.now.cancelled() => {}
        }
        task.abort();
        let joined = timeout(DROP, &mut task).await;
        // Its commands were killed with the task; what left their groups is found by its mark.
        let mark = format!("{}{}", self.node.mark_of_this_life(), live.order.attempt);
        daemon::leftovers::end(&mark, Duration::from_secs(1)).await;
        joined.unwrap_or_else(|_| {
            let kind = &live.order.task_type;
            tracing::error!("{kind} blocks its thread and cannot be ended");
            Ok(Err(Failure::new(format!("`{kind}` blocks its thread and could not be ended"))))
        })
    }

    /// Writes the outcome, again and again if need be: it exists nowhere else.
    async fn record(&self, live: &Live, outcome: &Arc<Outcome>, kept: Kept) {
        let mut pause = Duration::from_millis(100);
        let mut tries = 0;
        while let Err(error) = self.spool.end(&live.order, outcome, kept).await {
            self.note_trouble(Some(&error));
            tries += 1;
            if tries == 5 {
                // Told before it is on disk, rather than never.
                live.set(Phase::Ended(Arc::clone(outcome)));
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shutdown.now.cancelled() => return,
            }
            pause = (pause * 3).min(Duration::from_secs(10));
        }
        self.note_trouble(None);
    }
}

/// Makes the outcome of what a task returned.
fn conclude(live: &Live, limit: Duration, over: Over) -> (Outcome, Kept) {
    let Over { joined, by_itself } = over;
    let duration = Instant::now().duration_since(live.clock);
    let mut told = tell(joined);
    // A task that was told to stop and then fails has not failed by itself; one that had come to
    // its good end before it could hear of it has completed.
    if let Some(why) = live.stop.why()
        && !(by_itself && told.status == Ending::Completed)
    {
        told.status = why.ending();
        told.exit_code = None;
        told.error = Some(match why {
            Stopped::TimedOut => {
                format!("the time limit of {} was reached", daemon::duration::show(limit))
            }
            Stopped::Cancelled => "cancelled on request".to_owned(),
            Stopped::Interrupted => "the executor stopped while the task ran".to_owned(),
        });
    }
    if let Some(text) = &told.text {
        live.log.append(format!("{text}\n").as_bytes());
    }
    let kept = live.log.end();
    let data = told.data.unwrap_or_else(|| Value::Object(Map::new()));
    let outcome = Outcome {
        task_id: live.order.task_id.clone(),
        task_type: live.order.task_type.clone(),
        attempt: live.order.attempt,
        status: told.status,
        output: live.log.tail(),
        duration_seconds: (duration.as_secs_f64() * 1e6).round() / 1e6,
        exit_code: told.exit_code,
        data: live.log.masked(|mask| mask.value(data)),
        error: told.error.map(|error| one_line(&live.log.masked(|mask| mask.text(&error)), ERROR)),
        log_bytes: kept.size,
        truncated: kept.dropped().is_some(),
        timestamp: Timestamp::now(),
    };
    (outcome, kept)
}

struct Told {
    status: Ending,
    error: Option<String>,
    exit_code: Option<i32>,
    data: Option<Value>,
    text: Option<String>,
}

impl Told {
    fn failed(error: String) -> Self {
        Self { status: Ending::Failed, error: Some(error), exit_code: None, data: None, text: None }
    }
}

fn tell(joined: Joined) -> Told {
    match joined {
        Ok(Ok(report)) => tell_report(report),
        Ok(Err(failure)) => {
            let status = if failure.timed_out { Ending::TimedOut } else { Ending::Failed };
            // What is known although it failed must not hide why it failed.
            let data = failure.data.and_then(Result::ok);
            Told { status, exit_code: failure.exit_code, data, ..Told::failed(failure.error) }
        }
        Err(gone) if gone.is_panic() => {
            let panic = gone.into_panic();
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "without a message".to_owned());
            Told::failed(format!("the task panicked: {text}"))
        }
        Err(_) => Told {
            status: Ending::Interrupted,
            ..Told::failed("the executor stopped while the task ran".to_owned())
        },
    }
}

fn tell_report(report: Report) -> Told {
    let data = match report.data.transpose() {
        Ok(data) => data,
        Err(error) => {
            let error = format!("the task's result cannot be written as JSON: {error}");
            return Told { text: report.text, ..Told::failed(error) };
        }
    };
    let completed = Told {
        status: Ending::Completed,
        error: None,
        exit_code: report.exit_code,
        data,
        text: report.text,
    };
    match report.exit_code {
        None | Some(0) => completed,
        // A command that exited non-zero is never completed, whatever else the author meant.
        Some(code) => {
            let program = report.program.as_deref().unwrap_or("the command");
            let error = Some(format!("`{program}` exited with {code}"));
            Told { status: Ending::Failed, error, ..completed }
        }
    }
}
