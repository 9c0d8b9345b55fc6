//! Work for threads of our own.

use std::{
    sync::{Mutex, PoisonError, mpsc},
    thread::{Builder, JoinHandle},
};

use super::error::StoreError;

/// Where work for some threads is put. When nobody can put any there, they end what is there, and are waited for: a database that is closed
/// in time is one file.
pub(super) struct WorkQueue<J> {
    jobs: Option<mpsc::Sender<J>>,
    threads: Vec<JoinHandle<()>>,
}

/// Where a thread gets its work; several can share it.
pub(super) struct JobReceiver<J>(Mutex<mpsc::Receiver<J>>);

impl<J: Send + 'static> WorkQueue<J> {
    /// A queue, and its other end.
    pub(super) fn new() -> (Self, JobReceiver<J>) {
        let (sender, receiver) = mpsc::channel();
        let queue = Self {
            jobs: Some(sender),
            threads: Vec::new(),
        };
        (queue, JobReceiver(Mutex::new(receiver)))
    }

    /// Starts a thread that does `work` until there is none.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        self.threads.push(Builder::new().name(name.to_owned()).spawn(work)?);
        Ok(())
    }

    /// Adds work.
    ///
    /// # Errors
    /// [`StoreError::ShuttingDown`] when no thread is left.
    pub(super) fn push(&self, job: J) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or(StoreError::ShuttingDown)?;
        jobs.send(job).map_err(|_| StoreError::ShuttingDown)
    }
}

impl<J> JobReceiver<J> {
    /// The next work, if there will be any.
    pub(super) fn recv(&self) -> Option<J> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    /// The next work, if there is any.
    pub(super) fn try_recv(&self) -> Option<J> {
        let jobs = self.0.try_lock().ok()?;
        jobs.try_recv().ok()
    }
}

impl<J> Drop for WorkQueue<J> {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // One that panicked has ended, too.
            let _ = thread.join();
        }
    }
}
