//! A daemon that is started again when it ends, as containers are.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Exit, Journal, Ratatoskr, Settings, Target};

/// How long a new life takes to begin.
const RESTART: Duration = Duration::from_secs(1);

/// A daemon over all its lives. Dropping it ends it as a power cut would.
#[derive(Debug)]
pub struct Supervised {
    stop: CancellationToken,
    cuts: mpsc::Sender<Duration>,
    ids: watch::Receiver<Vec<String>>,
    settings: Arc<Mutex<Settings>>,
    watching: JoinHandle<()>,
}

impl Supervised {
    /// Starts the first life.
    pub fn start(settings: Settings, target: &Target, journal: &Arc<Journal>) -> Self {
        let stop = CancellationToken::new();
        let (cuts, mut cut) = mpsc::channel(1);
        let (lives, ids) = watch::channel(Vec::new());
        let settings = Arc::new(Mutex::new(settings));
        let (mine, told) = (Arc::clone(&settings), stop.clone());
        let (target, journal) = (target.clone(), Arc::clone(journal));
        let watching = TaskTracker::new().spawn(async move {
            loop {
                let now = read(&mine);
                let pause = now.scaled(RESTART);
                let mut life = Ratatoskr::start(now, &target, &journal);
                lives.send_modify(|ids| ids.push(life.id().to_owned()));
                let exit = tokio::select! {
                    exit = life.ended() => Some(exit),
                    Some(away) = cut.recv() => {
                        drop(life);
                        sleep(away).await;
                        None
                    }
                    () = told.cancelled() => {
                        life.terminate();
                        life.ended().await;
                        return;
                    }
                };
                if let Some(Exit::Updated(version)) = exit {
                    mine.lock().unwrap_or_else(PoisonError::into_inner).version = version;
                }
                sleep(pause).await;
            }
        });
        Self { stop, cuts, ids, settings, watching }
    }

    /// Returns the id of the life that is, or the last that was.
    pub fn id(&self) -> String {
        self.ids.borrow().last().cloned().unwrap_or_default()
    }

    /// Returns the ids of all its lives.
    pub fn ids(&self) -> Vec<String> {
        self.ids.borrow().clone()
    }

    /// Returns how the next life will be set up.
    pub fn settings(&self) -> Settings {
        read(&self.settings)
    }

    /// Cuts its power, and gives it back after a while.
    pub async fn cut(&self, away: Duration) {
        self.cuts.send(away).await.expect("a Ratatoskr that was not stopped is watched");
    }

    /// Stops it for good, with a good-bye.
    pub async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.watching).await.expect("watching a Ratatoskr does not panic");
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn read(settings: &Mutex<Settings>) -> Settings {
    settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
