//! Everything that the coordinator's loops, lines and answers share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daemon::shutdown::Shutdown;
use jiff::Timestamp;
use protocol::coordinator::RunnerCounts;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::admission::Admission;
use crate::beads::{Bead, BeadId, Beads, BeadsError, BeadsSettings};
use crate::board::Board;
use crate::expected::Expected;
use crate::fleet::Fleet;
use crate::gateway::Gateway;
use crate::hook::Hook;
use crate::keeper::Keeper;
use crate::keys::Keys;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::plan::Intake;
use crate::routing::Routing;
use crate::runners::Runners;
use crate::sessions::Sessions;
use crate::update::SelfUpdate;

/// Asks the poll loop to look at one bead.
#[derive(Debug)]
pub struct Ask {
    pub bead: BeadId,
    pub answer: oneshot::Sender<Result<Option<Bead>, BeadsError>>,
}

/// Everything that is shared, behind one `Arc`.
#[derive(Debug)]
pub struct App {
    pub routing: Routing,
    pub ledger: Arc<dyn Ledger>,
    pub fleet: Fleet,
    /// Everything that registered at the runner API.
    pub runners: Arc<Runners>,
    /// Who may ask for what.
    pub keys: Arc<Keys>,
    /// The update of the coordinator itself.
    pub update: Arc<SelfUpdate>,
    /// The version that runners should have; settable while running.
    pub expected_version: Expected,
    pub sessions: Sessions,
    pub gateway: Arc<Gateway>,
    pub admission: Arc<Admission>,
    pub hook: Hook,
    pub metrics: Arc<Metrics>,
    /// Writes runners, sessions and keys into the ledger.
    pub keeper: Arc<Keeper>,
    pub board: Board,
    pub shutdown: Shutdown,
    pub beads_settings: BeadsSettings,
    /// The Beads door, once it could be opened.
    pub beads: watch::Sender<Option<Beads>>,
    /// Woken by `POST /poll`: list the beads now.
    pub nudge: Notify,
    pub asks: mpsc::Sender<Ask>,
    pub task_timeout: Duration,
    pub poll_interval: Duration,
    pub started: Timestamp,
    pub state_dir: PathBuf,
}

impl App {
    /// Whether new beads are taken, and else why not.
    pub fn intake(&self) -> Intake {
        if self.shutdown.draining.is_cancelled() { Intake::Draining } else { self.board.intake() }
    }

    /// Waits until the Beads door is open.
    pub async fn beads(&self) -> Beads {
        let mut beads = self.beads.subscribe();
        let open = beads.wait_for(Option::is_some).await;
        // The sender lives in `self`, so the channel cannot be closed here.
        let open = open.expect("the sender outlives the borrow of the app");
        open.clone().expect("waited for the door to be open")
    }

    /// Returns how many runners there are: those that registered, and the executors of
    /// routing.yaml that did not.
    pub fn runner_counts(&self) -> RunnerCounts {
        let (mut total, mut online) = {
            let registry = self.runners.read();
            let online = registry.all().filter(|runner| runner.is_online()).count();
            (registry.all().len(), online)
        };
        for state in self.fleet.states().values() {
            if state.configured && state.runner.is_none() {
                total += 1;
                online += usize::from(state.is_up());
            }
        }
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        RunnerCounts { total: count(total), online: count(online), offline: count(total - online) }
    }
}
