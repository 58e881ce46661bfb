//! Waiting for a condition.

use std::time::{Duration, Instant};

use crate::programs;

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(40);

/// Waits until `look` gives something.
///
/// The deadline is for a slow machine, not a measurement: it is stretched by `YGG_PATIENCE`.
///
/// # Panics
/// When the deadline passes; the text says what was waited for.
pub async fn until<T>(
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
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks again and again for as long as `during`, and panics as soon as `look` finds something.
///
/// For what must not happen: nothing can be waited for then, only time can pass.
pub async fn never<T: std::fmt::Debug>(
    what: &str,
    during: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) {
    let start = Instant::now();
    while start.elapsed() < during {
        if let Some(seen) = look().await {
            panic!("{what}, which must not happen: {seen:?}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
