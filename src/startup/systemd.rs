//! Notifications to the service manager (`sd_notify(3)`), for `Type=notify-reload` and `WatchdogSec=`.
//! Without `NOTIFY_SOCKET`, they do nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// Reports that the server is ready, after a start or a reload.
pub fn notify_ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports that a reload begins. [`notify_ready`] reports its end.
pub fn notify_reloading() {
    match NotifyState::monotonic_usec_now() {
        // systemd ignores a reload that began before it asked for one.
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => log::warn!("cannot read the monotonic clock: {error}"),
    }
}

/// Reports that the server stops.
pub fn notify_stopping(status: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Reports that the server works. Without this report, the watchdog kills it.
pub fn notify_alive() {
    notify(&[NotifyState::Watchdog]);
}

/// Returns the interval of the reports to the watchdog, half of its timeout; `None` without a
/// watchdog for this process (`WATCHDOG_USEC`, `WATCHDOG_PID`).
pub fn watchdog_interval() -> Option<Duration> {
    let timeout = sd_notify::watchdog_enabled()?;
    Some(timeout / 2).filter(|interval| !interval.is_zero())
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("cannot notify the service manager at NOTIFY_SOCKET: {error}");
    }
}
