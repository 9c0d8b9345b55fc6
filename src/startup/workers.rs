//! The workers of a server, as seen from its main thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{
    mpsc::{UnboundedSender, unbounded_channel},
    oneshot,
};

/// The event loops of the workers. Each answers pings while it runs; one that is blocked does not.
#[derive(Clone, Default)]
pub struct Workers(Arc<Mutex<Vec<UnboundedSender<oneshot::Sender<()>>>>>);

impl Workers {
    /// Adds the event loop that calls this.
    pub fn join(&self) {
        let (pings, mut received) = unbounded_channel::<oneshot::Sender<()>>();
        self.lock().push(pings);
        actix_web::rt::spawn(async move {
            while let Some(answer) = received.recv().await {
                // The receiver was dropped: shutdown has begun.
                let _ = answer.send(());
            }
        });
    }

    /// Waits until all running event loops have answered. Returns `false` if there is none.
    pub async fn ping(&self) -> bool {
        let answers: Vec<_> = {
            let mut workers = self.lock();
            // A worker that has panicked is replaced by another one.
            workers.retain(|pings| !pings.is_closed());
            let ping = |pings: &UnboundedSender<_>| {
                let (answer, answered) = oneshot::channel();
                pings.send(answer).ok().map(|()| answered)
            };
            workers.iter().filter_map(ping).collect()
        };
        let mut is_alive = false;
        for answer in answers {
            is_alive |= answer.await.is_ok();
        }
        is_alive
    }

    fn lock(&self) -> MutexGuard<'_, Vec<UnboundedSender<oneshot::Sender<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        thread::{self, JoinHandle},
        time::Duration,
    };

    use actix_web::rt::System;
    use tokio::time::timeout;

    use super::*;

    /// Starts an event loop, which is blocked while a received channel is open.
    fn start(workers: &Workers) -> (UnboundedSender<mpsc::Receiver<()>>, JoinHandle<()>) {
        let (blocks, mut received) = unbounded_channel::<mpsc::Receiver<()>>();
        let (workers, (started, is_started)) = (workers.clone(), mpsc::channel());
        let thread = thread::spawn(move || {
            System::new().block_on(async move {
                workers.join();
                started.send(()).unwrap();
                while let Some(block) = received.recv().await {
                    block.recv().unwrap_err();
                }
            });
        });
        is_started.recv().unwrap();
        (blocks, thread)
    }

    #[test]
    fn a_blocked_event_loop_does_not_answer() {
        System::new().block_on(async {
            let workers = Workers::default();
            assert!(!workers.ping().await);
            let (blocks, thread) = start(&workers);
            let (other_blocks, other_thread) = start(&workers);
            assert!(workers.ping().await);
            let (release, block) = mpsc::channel();
            blocks.send(block).unwrap();
            assert!(timeout(Duration::from_millis(200), workers.ping()).await.is_err());
            drop(release);
            assert!(workers.ping().await);
            drop((blocks, other_blocks));
            thread.join().unwrap();
            other_thread.join().unwrap();
            assert!(!workers.ping().await);
        });
    }
}
