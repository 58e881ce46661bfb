//! Waiting for a condition.

use std::time::{Duration, Instant};

use crate::programs;

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(40);
/// How often one is looked at that costs something.
const SELDOM: Duration = Duration::from_millis(300);

/// Waits until `look` gives something.
///
/// The deadline is for a slow machine, not a measurement: it is stretched by `YGG_PATIENCE`.
///
/// # Panics
/// When the deadline passes; the text says what was waited for.
pub async fn until<T>(what: &str, deadline: Duration, look: impl AsyncFnMut() -> Option<T>) -> T {
    until_every(PAUSE, what, deadline, look).await
}

/// Like [`until`], for what costs something to look at: a question that makes the coordinator run
/// the Beads CLI, or a command of it.
pub async fn until_seldom<T>(
    what: &str,
    deadline: Duration,
    look: impl AsyncFnMut() -> Option<T>,
) -> T {
    until_every(SELDOM, what, deadline, look).await
}

async fn until_every<T>(
    pause: Duration,
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = deadline.mul_f64(programs::patience());
    let start = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(start.elapsed() < deadline, "waited {deadline:?} in vain until {what}");
        tokio::time::sleep(pause).await;
    }
}
