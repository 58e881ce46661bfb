//! What several test files need.

use executor_sdk::harness::{Ending, Harness, Outcome};
use executor_sdk::prelude::*;
use surtr_executor::Surtr;

use crate::stand_in::StandIn;

/// Starts a stand-in, and Surtr beside it.
pub(crate) async fn start() -> (StandIn, Harness) {
    let ollama = StandIn::start();
    let surtr = Harness::start(surtr_at(ollama.url.clone())).await;
    (ollama, surtr)
}

/// Makes a Surtr of a machine without cards of its own.
pub(crate) fn surtr_at(ollama_url: Url) -> Surtr {
    Surtr { ollama_url, compose_file: None, docker_host: None, root: PathBuf::from("/nonexistent") }
}

/// A `nvidia-smi` without a driver, so that tests do the same where there are cards.
pub(crate) const NO_CARDS: &str = "echo 'NVIDIA-SMI has failed: no driver' && exit 9";

/// A `nvidia-smi` with one card of 24 GB.
pub(crate) const ONE_CARD: &str =
    "echo 'GPU-1c, 00000000:01:00.0, 560.35.03, 24564, 312, 3, 41, NVIDIA GeForce RTX 4090'";

#[track_caller]
pub(crate) fn completed(outcome: &Outcome) -> &Value {
    assert_eq!(outcome.status, Ending::Completed, "{outcome:?}");
    &outcome.data
}

#[track_caller]
pub(crate) fn failed(outcome: &Outcome) -> &str {
    assert_eq!(outcome.status, Ending::Failed, "{outcome:?}");
    outcome.error.as_deref().unwrap()
}

/// Returns an address where nothing listens.
pub(crate) fn closed() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
