//! What systemd is told. Without systemd (no `NOTIFY_SOCKET`) nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

use crate::shutdown::Shutdown;

/// Tells that the process serves now (`Type=notify`).
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Tells that the process is on its way out.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells in one line what the process is doing, for `systemctl status`.
pub fn status(text: &str) {
    tell(&[NotifyState::Status(&text.replace('\n', " "))]);
}

/// Pings the watchdog at half its interval, where the unit has `WatchdogSec=`, until the process ends.
///
/// The pings come from the runtime: a runtime that no longer turns is one that systemd should restart.
pub fn watchdog(shutdown: &Shutdown) {
    let Some(interval) = sd_notify::watchdog_enabled() else { return };
    let now = shutdown.now.clone();
    let ping = async move {
        let mut tick = tokio::time::interval((interval / 2).max(Duration::from_millis(1)));
        while now.run_until_cancelled(tick.tick()).await.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
    };
    #[expect(clippy::disallowed_methods, reason = "pings go on while the tracker is waited for")]
    drop(tokio::spawn(ping));
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!("systemd did not take a message: {error}");
    }
}
