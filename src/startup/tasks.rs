//! Background tasks, which run at an interval until shutdown.

use std::{panic::AssertUnwindSafe, time::Duration};

use actix_web::rt::task::JoinHandle;
use futures_util::FutureExt;
use tokio::{sync::watch, time::MissedTickBehavior};

use crate::{domain::errors::error_chain, service::Error};

/// The running background tasks of a server. Dropping them lets runs in progress finish, and starts
/// no further ones.
pub struct BackgroundTasks {
    /// Dropped at shutdown, which ends the tasks.
    shutdown: watch::Sender<()>,
    tasks: Vec<(OnShutdown, JoinHandle<()>)>,
}

/// The treatment of a run in progress at shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnShutdown {
    /// Waits for its end: data would be lost otherwise.
    Finish,
    /// Aborts it: the next start continues its work.
    Abort,
}

impl BackgroundTasks {
    /// Creates an empty set of tasks.
    pub fn new() -> Self {
        Self {
            shutdown: watch::Sender::new(()),
            tasks: Vec::new(),
        }
    }

    /// Runs `task` immediately, and then every `interval`. Logs failed runs under the name, panics
    /// included; the next run is the retry.
    pub fn spawn(
        &mut self,
        name: &'static str,
        interval: Duration,
        on_shutdown: OnShutdown,
        mut task: impl AsyncFnMut() -> Result<(), Error> + 'static,
    ) {
        let mut shutdown = self.shutdown.subscribe();
        let handle = actix_web::rt::spawn(async move {
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    // Shutdown takes precedence over a late tick.
                    biased;
                    // Nothing is sent; an error means that the sender was dropped.
                    _ = shutdown.changed() => break,
                    _ = ticks.tick() => {}
                }
                match AssertUnwindSafe(task()).catch_unwind().await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        log::error!("{name} failed, retrying in {interval:?}: {}", error_chain(&error));
                    }
                    // The panic hook has logged the message.
                    Err(_) => log::error!("{name} panicked, retrying in {interval:?}"),
                }
            }
        });
        self.tasks.push((on_shutdown, handle));
    }

    /// Stops all tasks: starts no further runs, and finishes or aborts the runs in progress.
    pub async fn stop(self) {
        let Self { shutdown, tasks } = self;
        drop(shutdown);
        for (on_shutdown, task) in tasks {
            match on_shutdown {
                // A task catches the panics of its runs.
                OnShutdown::Finish => task.await.unwrap_or_default(),
                OnShutdown::Abort => task.abort(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use tokio::{task::LocalSet, time::sleep};

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(2);

    /// Runs a task for `duration`, each run of which takes 3 s, and stops it. Returns the number of
    /// started and finished runs.
    async fn run_for(duration: Duration, on_shutdown: OnShutdown) -> (u32, u32) {
        let counts = Rc::new((Cell::new(0), Cell::new(0)));
        let of_task = Rc::clone(&counts);
        let mut tasks = BackgroundTasks::new();
        tasks.spawn("test", INTERVAL, on_shutdown, async move || {
            let (started, finished) = &*of_task;
            started.update(|count| count + 1);
            sleep(Duration::from_secs(3)).await;
            finished.update(|count| count + 1);
            match finished.get() % 2 {
                0 => panic!("the task panics in every second run"),
                _ => Err(Error::NotFound("token")),
            }
        });
        sleep(duration).await;
        tasks.stop().await;
        sleep(Duration::from_mins(1)).await;
        (counts.0.get(), counts.1.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_run_is_retried_and_shutdown_finishes_or_aborts_a_run() {
        let tasks = async {
            assert_eq!(run_for(Duration::from_secs(1), OnShutdown::Finish).await, (1, 1));
            assert_eq!(run_for(Duration::from_secs(1), OnShutdown::Abort).await, (1, 0));
            // Runs start at 0 s and, because the first one was late, at 3 s and 6 s.
            assert_eq!(run_for(Duration::from_secs(7), OnShutdown::Finish).await, (3, 3));
            assert_eq!(run_for(Duration::from_secs(7), OnShutdown::Abort).await, (3, 2));
        };
        LocalSet::new().run_until(tasks).await;
    }
}
