//! One life of a daemon: its timers, and what comes of each request.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::handlers::{self, Task};
use super::update::{Request, Updater};
use super::{Exit, Told};

const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long it believes its own registration, and how often it looks.
const LEASE: Duration = Duration::from_secs(45);
const LEASE_LOOK: Duration = Duration::from_secs(5);
const ENDPOINT_LOOK: Duration = Duration::from_secs(10);
/// How often an update that waits looks whether tasks still run.
const UPDATE_LOOK: Duration = Duration::from_secs(5);
const UPDATE_LIMIT: Duration = Duration::from_mins(2);
/// Between the end of an update and the end of the daemon.
const LAST_BREATH: Duration = Duration::from_millis(500);

/// What a timer asks for.
#[derive(Debug, Clone, Copy)]
enum Tick {
    Beat,
    Poll,
    Lease,
    Endpoint,
}

/// What came of something that was under way.
#[derive(Debug)]
enum Done {
    Registered,
    Beat(Value),
    Listed(Vec<Value>),
    Relocated(bool),
    Task(String, Result<(), String>),
    /// The time has come to look whether the update can begin.
    Update,
}

/// A daemon that lives.
#[derive(Debug)]
pub(super) struct Living {
    client: Arc<Client>,
    stop: CancellationToken,
    under_way: JoinSet<Done>,
    executing: BTreeSet<String>,
    updater: Updater,
    /// When its registration was last taken, or its endpoint; heartbeats do not count.
    renewed: Instant,
    is_endpoint_known: bool,
}

impl Living {
    pub(super) fn new(client: Arc<Client>, stop: CancellationToken) -> Self {
        Self {
            client,
            stop,
            under_way: JoinSet::new(),
            executing: BTreeSet::new(),
            updater: Updater::default(),
            renewed: Instant::now(),
            is_endpoint_known: false,
        }
    }

    pub(super) async fn live(mut self) -> Exit {
        let stop = self.stop.clone();
        tokio::select! {
            // Nothing to say good-bye to.
            () = stop.cancelled() => return Exit::Stopped,
            () = Arc::clone(&self.client).register(false) => {}
        }
        self.renewed = Instant::now();
        let mut timers = Timers::new(&self.client);
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    self.client.offline().await;
                    return Exit::Stopped;
                }
                tick = timers.next() => self.tick(tick),
                Some(done) = self.under_way.join_next() => {
                    let done = done.expect("what a Ratatoskr does, does not panic");
                    if let Some(exit) = self.take(done).await {
                        return exit;
                    }
                }
            }
        }
    }

    fn tick(&mut self, tick: Tick) {
        let client = Arc::clone(&self.client);
        match tick {
            Tick::Beat => {
                let report = self.updater.report();
                self.start(async move { Done::Beat(client.heartbeat(report).await) });
            }
            Tick::Poll => self.start(async move { Done::Listed(client.list().await) }),
            Tick::Lease => {
                let is_old = self.renewed.elapsed() >= client.settings.scaled(LEASE);
                let is_endpoint_known = self.is_endpoint_known;
                if is_old {
                    self.start(async move {
                        client.register(is_endpoint_known).await;
                        Done::Registered
                    });
                }
            }
            Tick::Endpoint if self.is_endpoint_known => {}
            Tick::Endpoint => self.start(async move { Done::Relocated(client.relocate().await) }),
        }
    }

    fn start(&mut self, work: impl Future<Output = Done> + Send + 'static) {
        self.under_way.spawn(work);
        let mut book = self.client.journal.book();
        book.most_under_way = book.most_under_way.max(self.under_way.len());
    }

    async fn take(&mut self, done: Done) -> Option<Exit> {
        match done {
            Done::Registered => self.renewed = Instant::now(),
            Done::Relocated(true) => {
                self.renewed = Instant::now();
                self.is_endpoint_known = true;
            }
            Done::Relocated(false) => {}
            Done::Beat(answer) => return self.hear(&answer).await,
            Done::Listed(tasks) => {
                for task in tasks.iter().filter_map(Task::read) {
                    self.execute(task).await;
                }
            }
            Done::Task(task, told) => {
                self.executing.remove(&task);
                if let Err(error) = told {
                    let mut book = self.client.journal.book();
                    book.crashed.insert(self.client.id.clone(), error.clone());
                    return Some(Exit::Crashed(error));
                }
            }
            Done::Update => return self.update().await,
        }
        None
    }

    /// Starts a task, unless it is being done already.
    async fn execute(&mut self, task: Task) {
        if !self.executing.insert(task.id.clone()) {
            return;
        }
        let client = Arc::clone(&self.client);
        client.journal.starts(&task.id, &client.id);
        if task.is_blocking() {
            let ((status, metadata), blocked) =
                handlers::blocking(&client.event_loop, task.run()).await;
            // Sent while nothing was heard of the connections meanwhile.
            let told = client.report(&task.id, status, &metadata);
            drop(blocked);
            self.start(async move { Done::Task(task.id, told.await) });
        } else {
            self.start(async move {
                let (status, metadata) = task.run().await;
                client.event_loop.free().await;
                let told = client.report(&task.id, status, &metadata).await;
                Done::Task(task.id, told)
            });
        }
    }

    /// Takes the answer to a heartbeat.
    async fn hear(&mut self, answer: &Value) -> Option<Exit> {
        let request = Request::read(answer)?;
        let client = &self.client;
        client.journal.book().told.push(Told {
            runner: client.id.clone(),
            name: client.settings.name.clone(),
            version: request.version.clone(),
        });
        if let Some(key) = &request.api_key {
            client.use_key(key.clone());
        }
        // One that waits already only does something else when its time has come.
        if self.updater.ask(request) { self.update().await } else { None }
    }

    /// Begins the update that waits, or looks again later.
    async fn update(&mut self) -> Option<Exit> {
        let begun = self.updater.begin(!self.executing.is_empty());
        if self.updater.is_waiting() {
            let pause = self.client.settings.scaled(UPDATE_LOOK);
            self.start(async move {
                sleep(pause).await;
                Done::Update
            });
        }
        let request = begun?;
        let command = request.command?;
        let line = handlers::shell(&command, UPDATE_LIMIT);
        let (ran, blocked) = handlers::blocking(&self.client.event_loop, line).await;
        drop(blocked);
        let output = format!("{}{}", ran.stdout, ran.stderr);
        let is_good = ran.code == 0;
        self.updater.end(if is_good { Ok(output) } else { Err(output) });
        if !is_good {
            return None;
        }
        sleep(self.client.settings.scaled(LAST_BREATH)).await;
        Some(Exit::Updated(request.version))
    }
}

/// The daemon's timers. One that is late is not made up for.
#[derive(Debug)]
struct Timers {
    beat: Interval,
    poll: Option<Interval>,
    lease: Interval,
    endpoint: Interval,
}

impl Timers {
    fn new(client: &Client) -> Self {
        let now = Instant::now();
        let every = |real: Duration, first: Instant| {
            let mut interval = interval_at(first, client.settings.scaled(real));
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let later = |real: Duration| every(real, now + client.settings.scaled(real));
        let poll = client.settings.poll_interval;
        Self {
            beat: every(HEARTBEAT, now),
            poll: (!poll.is_zero()).then(|| every(poll, now)),
            lease: later(LEASE_LOOK),
            endpoint: later(ENDPOINT_LOOK),
        }
    }

    async fn next(&mut self) -> Tick {
        let poll = async {
            match &mut self.poll {
                Some(poll) => poll.tick().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.beat.tick() => Tick::Beat,
            _ = poll => Tick::Poll,
            _ = self.lease.tick() => Tick::Lease,
            _ = self.endpoint.tick() => Tick::Endpoint,
        }
    }
}
