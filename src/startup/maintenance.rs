//! The background tasks of a server.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::LocalBoxFuture};

use super::{
    RunningServer, systemd,
    tasks::{BackgroundTasks, OnShutdown},
};
use crate::{
    domain::audit::Action,
    service::{self, Service},
};

/// Interval between write-behind flushes.
const FLUSH_INTERVAL: Duration = Duration::from_secs(2);
/// Interval between checks for a renewed certificate. inotify would not see changes on network file
/// systems, and would have to follow every link on the path.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(2);
/// Interval between retention sweeps.
const RETENTION_INTERVAL: Duration = Duration::from_secs(5);
/// A background task that removes records past their retention.
type RetentionSweep = for<'s> fn(&'s Service) -> LocalBoxFuture<'s, Result<(), service::Error>>;
/// The sweeps of records with a fixed retention, with the names that failures are logged under.
const RETENTION_SWEEPS: [(&str, RetentionSweep); 3] = [
    ("the retention of legacy calls", |service| {
        service.delete_old_calls().boxed_local()
    }),
    ("the retention of token uses", |service| {
        service.delete_old_uses().boxed_local()
    }),
    ("the retention of idempotency keys", |service| {
        service.delete_old_keys().boxed_local()
    }),
];
/// Interval between checks for idle password-hashing memory.
const MEMORY_INTERVAL: Duration = Duration::from_secs(2);

impl RunningServer {
    /// Starts the background tasks.
    pub fn spawn_tasks(&self) -> BackgroundTasks {
        let mut tasks = BackgroundTasks::new();
        self.spawn_watches(&mut tasks);
        let service = Arc::clone(&self.service);
        // An aborted flush would lose the records that it took.
        tasks.spawn(
            "the write-behind flush",
            FLUSH_INTERVAL,
            OnShutdown::Finish,
            async move || service.flush_due().await,
        );
        for (name, sweep) in RETENTION_SWEEPS {
            let service = Arc::clone(&self.service);
            tasks.spawn(name, RETENTION_INTERVAL, OnShutdown::Abort, async move || {
                sweep(&service).await
            });
        }
        let service = Arc::clone(&self.service);
        let refused_logins = (Some(Action::LoginRefused), self.refused_login_retention);
        let retentions: Vec<_> = std::iter::once(refused_logins)
            .chain(self.audit_retention.map(|retention| (None, retention)))
            .collect();
        tasks.spawn(
            "the retention of audit events",
            RETENTION_INTERVAL,
            OnShutdown::Abort,
            async move || delete_old_events(&service, &retentions).await,
        );
        let service = Arc::clone(&self.service);
        tasks.spawn(
            "freeing idle memory",
            MEMORY_INTERVAL,
            OnShutdown::Abort,
            async move || {
                service.free_idle_memory();
                Ok(())
            },
        );
        tasks
    }

    /// Starts the reports to the watchdog of the service manager, and the check for a renewed
    /// certificate.
    fn spawn_watches(&self, tasks: &mut BackgroundTasks) {
        if let Some(interval) = systemd::watchdog_interval() {
            let workers = self.workers.clone();
            tasks.spawn("the watchdog", interval, OnShutdown::Abort, async move || {
                if workers.ping().await {
                    systemd::notify_alive();
                }
                Ok(())
            });
        }
        if let Some(tls) = self.tls.clone() {
            let name = "the check for a renewed certificate";
            tasks.spawn(name, CERTIFICATE_INTERVAL, OnShutdown::Abort, async move || {
                tls.reload_if_changed().await;
                Ok(())
            });
        }
    }
}

/// Removes the audit events that are past their retention: those with an action, or all.
async fn delete_old_events(service: &Service, retentions: &[(Option<Action>, Duration)]) -> Result<(), service::Error> {
    for &(action, retention) in retentions {
        let removed = service.delete_events_older_than(retention, action).await?;
        if removed > 0 {
            log::info!("removed {removed} audit events that were past their retention");
        }
    }
    Ok(())
}
