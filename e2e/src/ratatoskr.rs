//! A simulated Ratatoskr: the daemon that talks to Yggdrasil controllers out there, as its traffic
//! and its habits were measured on version 0.3.8.
//!
//! It is here so that the coordinator is tested against what it will meet, bad habits included:
//! the first registration without an endpoint, a new one every 45 seconds, chains of retries that
//! pile up, commands that block everything else, and a death when a result cannot be told twice.
//! Member names and headers are written out here and not taken from the `protocol` crate: a
//! renamed member of ours must be noticed.
//!
//! - [`Settings`], [`Ratatoskr`]: one life of one daemon; many run in one process.
//! - [`Supervised`]: starts it again, as the container's restart policy does.
//! - [`Journal`]: what all of them did, for proofs.
//! - [`Target`], [`Doorway`]: over real HTTP, or into a router of this process; [`Still`]: for a
//!   paused clock.

mod client;
mod event_loop;
mod handlers;
mod journal;
mod life;
mod supervised;
mod transport;
mod update;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use journal::{Book, Journal, Life, Told};
pub use supervised::Supervised;
pub use transport::{Doorway, Still, Target};

use client::Client;
use event_loop::EventLoop;
use life::Living;

/// The version that it has unless told otherwise.
pub const VERSION: &str = "0.3.8";
/// The capabilities that it has unless told otherwise.
pub const CAPABILITIES: &str = "http,health";

/// How a Ratatoskr is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Sent with each request; none: no header.
    pub api_key: Option<String>,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it says that it can do.
    pub capabilities: Vec<String>,
    /// Between two looks at its task list; zero: never.
    pub poll_interval: Duration,
    /// How many times faster than a real one its clocks go. Limits of single requests and commands
    /// are left as they are.
    pub speed: f64,
}

impl Settings {
    /// Returns those of a daemon whose owner set only its name.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            api_key: None,
            name: name.into(),
            version: VERSION.to_owned(),
            capabilities: CAPABILITIES.split(',').map(str::to_owned).collect(),
            poll_interval: Duration::from_secs(10),
            speed: 1.0,
        }
    }

    /// The same, faster.
    #[must_use]
    pub fn at_speed(mut self, speed: f64) -> Self {
        self.speed = speed;
        self
    }

    fn scaled(&self, real: Duration) -> Duration {
        real.div_f64(self.speed)
    }
}

/// How a life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It was told to stop, and said good-bye.
    Stopped,
    /// An update of it was applied: whoever supervises it starts it with this version.
    Updated(String),
    /// A result could not be told twice in a row, and the text of the last error.
    Crashed(String),
}

/// One life of a daemon. Dropping it ends it as a power cut would.
#[derive(Debug)]
pub struct Ratatoskr {
    id: String,
    stop: CancellationToken,
    life: JoinHandle<Exit>,
}

impl Ratatoskr {
    /// Starts a daemon under an id that nobody had before.
    pub fn start(settings: Settings, target: &Target, journal: &Arc<Journal>) -> Self {
        let id = format!("runner-{}", letters(8));
        journal.lives(Life {
            runner: id.clone(),
            name: settings.name.clone(),
            version: settings.version.clone(),
        });
        let event_loop = EventLoop::default();
        let transport = target.transport(&event_loop, settings.scaled(transport::IDLE));
        let journal = Arc::clone(journal);
        let client = Client::new(id.clone(), settings, transport, event_loop, journal);
        let stop = CancellationToken::new();
        let life = TaskTracker::new().spawn(Living::new(client, stop.clone()).live());
        Self { id, stop, life }
    }

    /// Returns its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Tells it to stop, as SIGTERM does.
    pub fn terminate(&self) {
        self.stop.cancel();
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When its code panicked.
    pub async fn ended(&mut self) -> Exit {
        (&mut self.life).await.expect("a life of a Ratatoskr does not panic")
    }
}

impl Drop for Ratatoskr {
    fn drop(&mut self) {
        self.life.abort();
    }
}

/// Returns random text as the daemon's ids have it.
fn letters(count: usize) -> String {
    const LETTERS: &[u8; 64] = b"useandom-26T198340PX75pxJACKVERYMINDBUSHWOLF_GQZbfghjklqvwyzrict";
    let bytes = Uuid::new_v4().into_bytes();
    // Bytes 6 and 8 are not random throughout.
    let random = bytes.iter().enumerate().filter(|(at, _)| *at != 6 && *at != 8);
    let text = random.take(count).map(|(_, byte)| char::from(LETTERS[usize::from(byte & 63)]));
    text.collect()
}

/// Returns a random number from 0 to 1.
fn chance() -> f64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    // The upper 32 bits are random throughout.
    f64::from(u32::try_from(high >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
