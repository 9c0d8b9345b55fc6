//! A queue of jobs for dedicated threads.

use std::{
    sync::{Mutex, PoisonError, mpsc},
    thread::{Builder, JoinHandle},
};

use super::error::StoreError;

/// The sending end of a job queue, and its threads. Dropping it lets the threads finish the queued
/// jobs, and waits for them. A SQLite database whose connections are closed before exit consists of
/// one file.
pub(super) struct WorkQueue<J> {
    jobs: Option<mpsc::Sender<J>>,
    threads: Vec<JoinHandle<()>>,
}

/// The receiving end of a job queue. Several threads can share it.
pub(super) struct JobReceiver<J>(Mutex<mpsc::Receiver<J>>);

impl<J: Send + 'static> WorkQueue<J> {
    /// Creates a queue without threads, and its receiving end.
    pub(super) fn new() -> (Self, JobReceiver<J>) {
        let (sender, receiver) = mpsc::channel();
        let queue = Self {
            jobs: Some(sender),
            threads: Vec::new(),
        };
        (queue, JobReceiver(Mutex::new(receiver)))
    }

    /// Starts a thread that runs `work`. It must return when the queue is closed.
    ///
    /// # Errors
    /// [`std::io::Error`] if the thread cannot be started.
    pub(super) fn start(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        self.threads.push(Builder::new().name(name.to_owned()).spawn(work)?);
        Ok(())
    }

    /// Adds a job.
    ///
    /// # Errors
    /// [`StoreError::ShuttingDown`] if all threads have ended.
    pub(super) fn push(&self, job: J) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or(StoreError::ShuttingDown)?;
        jobs.send(job).map_err(|_| StoreError::ShuttingDown)
    }
}

impl<J> JobReceiver<J> {
    /// Waits for the next job. Returns `None` if the queue is empty and closed.
    pub(super) fn recv(&self) -> Option<J> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    /// Returns the next job without waiting. Returns `None` if there is none, or if another thread
    /// is receiving.
    pub(super) fn try_recv(&self) -> Option<J> {
        let jobs = self.0.try_lock().ok()?;
        jobs.try_recv().ok()
    }
}

impl<J> Drop for WorkQueue<J> {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has ended as well.
            let _ = thread.join();
        }
    }
}
