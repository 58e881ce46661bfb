//! Requests to a router of this process, which may run on a paused clock.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tower::ServiceExt as _;

use super::{Answer, Call, Transport};

/// How long the ledger may take for a request, by the clock on the wall.
const QUICK: Duration = Duration::from_millis(250);

/// The way to a router, which can be taken away and replaced. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Doorway {
    router: Arc<Mutex<Option<Router>>>,
}

impl Doorway {
    /// From now on requests reach this router; without one they are refused.
    pub fn lead_to(&self, router: Option<Router>) {
        *self.router.lock().unwrap_or_else(PoisonError::into_inner) = router;
    }
}

impl Transport for Doorway {
    fn exchange(&self, call: Call) -> BoxFuture<'static, Result<Answer, String>> {
        let router = self.router.lock().unwrap_or_else(PoisonError::into_inner).clone();
        async move {
            let router = router.ok_or("connect ECONNREFUSED")?;
            let mut request = call.request("", "coordinator");
            let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
            request.extensions_mut().insert(ConnectInfo(peer));
            let still = Still::for_at_most(QUICK);
            let Ok(answer) = router.oneshot(request).await;
            let answer = Answer::read(answer).await;
            drop(still);
            answer
        }
        .boxed()
    }
}

/// While this lives a paused clock stands still. The ledger writes on a thread that the clock does
/// not know; without this it would run on meanwhile, and requests would time out.
#[derive(Debug)]
pub struct Still {
    _over: mpsc::Sender<()>,
}

impl Still {
    /// Holds the clock, however long that lasts.
    pub fn hold() -> Self {
        Self::for_at_most(Duration::MAX)
    }

    /// Holds the clock until so much time has passed on the wall: what is waited for may be the
    /// clock itself.
    pub fn for_at_most(limit: Duration) -> Self {
        let (over, wait) = mpsc::channel::<()>();
        // The clock waits for blocking work; this ends when the sender is dropped.
        drop(tokio::task::spawn_blocking(move || wait.recv_timeout(limit).is_err()));
        Self { _over: over }
    }
}
