//! Twenty-four hours in this process, on a paused clock: both sides are restarted again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _};
use daemon::shutdown::Shutdown;
use e2e::ratatoskr::{Doorway, Journal, Settings, Still, Supervised, Target};
use protocol::runner::{NewRunnerTask, RequestUpdate, RunnerStatus};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use yggdrasil_coordinator::app::App;
use yggdrasil_coordinator::runners::Lost;
use yggdrasil_coordinator::settings::{DEFAULT_PORT, Settings as CoordinatorSettings};
use yggdrasil_coordinator::{api, run};

const DAY: Duration = Duration::from_hours(24);
const RATATOSKRS: usize = 8;
/// How often something happens to somebody, and how often somebody gets a task.
const EVENT: Duration = Duration::from_mins(6);
const TASK: Duration = Duration::from_mins(1);
/// How long an update may take to arrive: an outage, a power cut, a lease and a registration.
const ARRIVAL: Duration = Duration::from_mins(8);
/// How long a runner that is gone is remembered; by the clock on the wall, on which the day takes
/// about a minute.
const REMEMBERED: &str = "2s";

/// A coordinator in this process, without its poll loop.
struct Coordinator {
    app: Arc<App>,
    losses: Receiver<Lost>,
    shutdown: Shutdown,
    keeping: CancellationToken,
    loops: JoinSet<()>,
}

impl Coordinator {
    async fn start(folder: &TempDir, doorway: &Doorway) -> Self {
        let still = Still::hold();
        let routing: PathBuf = folder.path().join("routing.yaml");
        fs::write(&routing, "executors: {}\nroutes: {}\n").unwrap();
        let command = CoordinatorSettings::command();
        let command = daemon::settings::Settings::with_port(command, DEFAULT_PORT);
        let args = [
            "coordinator",
            "--routing",
            routing.to_str().unwrap(),
            "--runner-retention",
            REMEMBERED,
        ];
        let matches = command.try_get_matches_from(args).unwrap();
        let settings = CoordinatorSettings::from_arg_matches(&matches).unwrap();
        let shutdown = Shutdown::new();
        let app = run::assemble(settings, shutdown.clone(), folder.path()).await.unwrap();
        drop(still);
        let (mut loops, keeping) = (JoinSet::new(), CancellationToken::new());
        let (watched, stop) = (Arc::clone(&app), shutdown.draining.clone());
        loops.spawn(async move { watched.runners.watch(&stop).await });
        let (kept, stop) = (Arc::clone(&app), keeping.clone());
        loops.spawn(async move {
            let report = |written: Result<(), &_>| assert!(written.is_ok(), "{written:?}");
            kept.keeper.run(&*kept.ledger, &stop, report).await;
        });
        let losses = app.runners.losses();
        doorway.lead_to(Some(api::router(Arc::clone(&app))));
        Self { app, losses, shutdown, keeping, loops }
    }

    /// Ends it at once, with whatever was not written.
    async fn crash(mut self) {
        self.loops.shutdown().await;
        self.shutdown.draining.cancel();
    }

    /// Ends it as SIGTERM does.
    async fn stop(mut self) {
        let still = Still::hold();
        self.shutdown.draining.cancel();
        self.keeping.cancel();
        while let Some(ended) = self.loops.join_next().await {
            ended.unwrap();
        }
        self.app.keeper.flush(&*self.app.ledger).await;
        self.app.ledger.close().await;
        drop(still);
    }
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        // Knuth's MMIX generator; the upper bits are the good ones.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn one<'a, T>(&mut self, all: &'a [T]) -> (usize, &'a T) {
        let at = usize::try_from(self.below(all.len() as u64)).unwrap();
        (at, &all[at])
    }
}

struct Day {
    folder: TempDir,
    doorway: Doorway,
    coordinator: Option<Coordinator>,
    journal: Arc<Journal>,
    all: Vec<Supervised>,
    /// The lives that the test ended.
    cut: BTreeSet<String>,
    /// The version that each was asked to have, and since when, until it has it.
    asked: BTreeMap<usize, (String, Instant)>,
    arrived: Vec<Duration>,
    given: BTreeSet<(String, String)>,
    dice: Dice,
    versions: u32,
    restarts: u32,
    /// What this process took up after some hours, in bytes.
    memory: u64,
}

impl Day {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (doorway, journal) = (Doorway::default(), Arc::<Journal>::default());
        let coordinator = Some(Coordinator::start(&folder, &doorway).await);
        let target = Target::Doorway(doorway.clone());
        let start =
            |number| Supervised::start(Settings::named(format!("r{number}")), &target, &journal);
        let all = (0..RATATOSKRS).map(start).collect();
        Self {
            folder,
            doorway,
            coordinator,
            journal,
            all,
            cut: BTreeSet::new(),
            asked: BTreeMap::new(),
            arrived: Vec::new(),
            given: BTreeSet::new(),
            dice: Dice(20_261_121),
            versions: 0,
            restarts: 0,
            memory: 0,
        }
    }

    fn app(&self) -> Arc<App> {
        Arc::clone(&self.coordinator.as_ref().unwrap().app)
    }

    async fn restart(&mut self, outage: Duration) {
        self.check();
        self.doorway.lead_to(None);
        let coordinator = self.coordinator.take().unwrap();
        if self.dice.below(2) == 0 {
            coordinator.crash().await;
        } else {
            coordinator.stop().await;
        }
        sleep(outage).await;
        self.coordinator = Some(Coordinator::start(&self.folder, &self.doorway).await);
        self.restarts += 1;
    }

    async fn cut(&mut self, away: Duration) {
        let (_, one) = self.dice.one(&self.all);
        self.cut.insert(one.id());
        one.cut(away).await;
    }

    /// Asks for an update, also right before and after a registration of the runner.
    async fn update(&mut self) {
        let (number, one) = self.dice.one(&self.all);
        if self.asked.contains_key(&number) {
            return;
        }
        self.versions += 1;
        let version = format!("1.0.{}", self.versions);
        let body = RequestUpdate {
            version: Some(version.clone()),
            command: Some("true".to_owned()),
            ..RequestUpdate::default()
        };
        let still = Still::hold();
        // A life that has not registered yet cannot be asked.
        let asked = self.app().runners.request_update(&one.id(), body).await;
        drop(still);
        if asked.is_ok() {
            self.asked.insert(number, (version, Instant::now()));
        }
    }

    async fn give(&mut self) {
        let (_, one) = self.dice.one(&self.all);
        let runner = one.id();
        let ms = 1000 * self.dice.below(100);
        let body = NewRunnerTask {
            kind: Some("sleep".to_owned()),
            metadata: json!({"ms": ms}).as_object().cloned(),
            ..NewRunnerTask::default()
        };
        let still = Still::hold();
        if let Ok(task) = self.app().runners.create_task(&runner, body).await {
            self.given.insert((runner, task.task_id));
        }
        drop(still);
    }

    /// Looks at what must hold at each moment.
    fn check(&mut self) {
        let coordinator = self.coordinator.as_mut().unwrap();
        loop {
            match coordinator.losses.try_recv() {
                Ok(lost) => {
                    let lives = self.all.iter().any(|one| one.id() == lost.runner);
                    let was_ended = self.cut.contains(&lost.runner)
                        || self.journal.book().crashed.contains_key(&lost.runner);
                    assert!(!lives || was_ended, "offline, and it lives: {lost:?}");
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                Err(error) => panic!("{error}"),
            }
        }
        for (number, one) in self.all.iter().enumerate() {
            let Some((version, since)) = self.asked.get(&number) else { continue };
            let took = since.elapsed();
            if one.settings().version == *version {
                self.arrived.push(took);
                self.asked.remove(&number);
            } else {
                assert!(took < ARRIVAL, "{version} has not reached r{number} in {took:?}");
            }
        }
        let runners = coordinator.app.runners.list();
        let online = runners.iter().filter(|runner| runner.status == RunnerStatus::Online);
        // A life that has just ended is believed for a minute, beside the one after it.
        assert!(online.count() <= 3 * RATATOSKRS);
        assert!(runners.len() < 200, "{} runners are remembered", runners.len());
        let most = runners.iter().map(|runner| runner.tasks.len()).max().unwrap_or_default();
        assert!(most <= 250, "{most} tasks are remembered of one runner");
    }

    async fn minutes(&mut self) {
        let start = Instant::now();
        let end = start + DAY;
        let mut next_event = start + EVENT;
        while Instant::now() < end {
            // Not in step with heartbeats and registrations.
            let ms = 500 + self.dice.below(1000);
            sleep(TASK.mul_f64(f64::from(u32::try_from(ms).unwrap()) / 1000.0)).await;
            self.give().await;
            self.check();
            if self.memory == 0 && start.elapsed() > DAY / 8 {
                self.memory = crate::memory("self");
            }
            if Instant::now() < next_event {
                continue;
            }
            next_event += EVENT;
            match self.dice.below(5) {
                0 => {
                    let outage = 1 + self.dice.below(90);
                    self.restart(Duration::from_secs(outage)).await;
                }
                1 => {
                    let away = 1 + self.dice.below(150);
                    self.cut(Duration::from_secs(away)).await;
                }
                _ => self.update().await,
            }
        }
        // What is under way comes to its end.
        let end = Instant::now() + ARRIVAL;
        while !self.asked.is_empty() && Instant::now() < end {
            sleep(Duration::from_secs(5)).await;
            self.check();
        }
        // Tasks too, and leases of lives that ended.
        sleep(ARRIVAL).await;
        self.check();
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_with_restarts_of_both_sides_loses_nobody_and_no_update() {
    // A library of the coordinator wants it, and another test may have done it already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let wall = std::time::Instant::now();
    let began = Instant::now();
    let mut day = Day::new().await;

    day.minutes().await;

    let passed = began.elapsed();
    let ledger = fs::metadata(day.folder.path().join("ledger.sqlite")).unwrap().len();
    let book = day.journal.read();
    let registrations_due = passed.as_secs() / 50 * RATATOSKRS as u64;
    let longest = day.arrived.iter().max().copied().unwrap_or_default();
    let grown = crate::memory("self").saturating_sub(day.memory);
    crate::note(&format!(
        "{passed:?} in {:?}: {} restarts of the coordinator, {} lives, {} updates (the slowest took {longest:?}), {} tasks, {} registrations, {} heartbeats, {} failures, {} deaths, at most {} requests under way in one, {grown} bytes more memory than after three hours, a ledger of {ledger} bytes",
        wall.elapsed(),
        day.restarts,
        book.lives.len(),
        day.arrived.len(),
        book.started.len(),
        book.registrations,
        book.heartbeats,
        book.failures,
        book.crashed.len(),
        book.most_under_way,
    ));
    assert!(passed >= DAY);
    assert!(grown < 30_000_000, "{grown} bytes more than after three hours");
    assert!(ledger < 20_000_000, "the ledger has {ledger} bytes");
    assert!(book.most_under_way < 100, "{} requests under way in one", book.most_under_way);
    assert!(day.asked.is_empty(), "never arrived: {:?}", day.asked);
    assert!(day.arrived.len() >= 50 && day.restarts >= 20, "the test is pointless");
    assert!(book.doubled().is_empty(), "done twice: {:?}", book.doubled());
    assert!(book.heartbeats >= passed.as_secs() / 15 * RATATOSKRS as u64 * 8 / 10);
    assert!(book.registrations >= registrations_due * 8 / 10, "{}", book.registrations);
    // Each is there in the end.
    let runners = day.app().runners.list();
    for one in &day.all {
        let runner = runners.iter().find(|runner| runner.runner_id == one.id()).unwrap();
        assert_eq!(runner.status, RunnerStatus::Online, "{}", runner.name);
    }
    // No task runs for ever, and what was told is what is shown.
    for (runner, task) in &day.given {
        let Some(runner) = runners.iter().find(|known| known.runner_id == *runner) else {
            continue;
        };
        let Some(shown) = runner.tasks.iter().find(|shown| shown.task_id == *task) else {
            continue;
        };
        let told = book.reported.get(task).map(String::as_str);
        match told {
            Some(told) => assert_eq!(shown.status, told, "{task}"),
            None => assert_eq!(shown.status, "failed", "{task} was never told"),
        }
    }
}
