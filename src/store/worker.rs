//! Threads that handle the jobs of one queue.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, time};

use super::error::StoreError;

/// The sending end of a queue, and the threads that handle its jobs. Dropping it lets the threads
/// finish the queued jobs, and waits for them. A SQLite database whose connections are closed
/// before exit consists of one file.
pub(super) struct Worker<J> {
    jobs: Option<mpsc::Sender<J>>,
    threads: Vec<JoinHandle<()>>,
    max_end: Option<Duration>,
}

/// Interval between checks for the end of a thread.
const END_INTERVAL: Duration = Duration::from_millis(5);

/// The receiving end of a queue, from which a handler takes jobs to handle together with its own.
pub(super) struct Backlog<J>(Mutex<Receiver<J>>);

struct Receiver<J> {
    jobs: mpsc::Receiver<J>,
    put_back: Option<J>,
}

impl<J: Send + 'static> Worker<J> {
    /// Starts threads that call `handle` with each job. If it panics, the thread continues: the
    /// replies of the job are dropped, and the pool closes the connection. A thread that has not ended `max_end` after
    /// the drop is left behind; `None` waits for it.
    ///
    /// # Errors
    /// [`std::io::Error`] if a thread cannot be started.
    pub(super) fn start(
        name: &str,
        threads: usize,
        max_end: Option<Duration>,
        handle: impl Fn(J, &Backlog<J>) + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, jobs) = mpsc::channel();
        let backlog = Arc::new(Backlog(Mutex::new(Receiver { jobs, put_back: None })));
        let mut worker = Self {
            jobs: Some(sender),
            threads: Vec::new(),
            max_end,
        };
        for _ in 0..threads {
            let (backlog, handle) = (Arc::clone(&backlog), handle.clone());
            let work = move || {
                while let Some(job) = backlog.recv() {
                    let _ = catch_unwind(AssertUnwindSafe(|| handle(job, &backlog)));
                }
            };
            worker.threads.push(Builder::new().name(name.to_owned()).spawn(work)?);
        }
        Ok(worker)
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

impl<J> Backlog<J> {
    /// Waits for the next job. Returns `None` if the queue is empty and closed.
    fn recv(&self) -> Option<J> {
        let mut receiver = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        receiver.put_back.take().or_else(|| receiver.jobs.recv().ok())
    }

    /// Returns the next job without waiting. Returns `None` if there is none, or if another thread
    /// is receiving.
    pub(super) fn try_recv(&self) -> Option<J> {
        let mut receiver = self.0.try_lock().ok()?;
        receiver.put_back.take().or_else(|| receiver.jobs.try_recv().ok())
    }

    /// Makes a received job the next one again. Only for a worker of one thread: another thread
    /// may already be waiting for a new job.
    pub(super) fn put_back(&self, job: J) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put_back = Some(job);
    }
}

impl<J> Drop for Worker<J> {
    fn drop(&mut self) {
        self.jobs = None;
        join(self.threads.drain(..), self.max_end);
    }
}

/// Waits for the end of threads, at most for `max_end` if there is one.
pub(super) fn join(threads: impl IntoIterator<Item = JoinHandle<()>>, max_end: Option<Duration>) {
    let began = Instant::now();
    for thread in threads {
        while max_end.is_some_and(|max_end| !thread.is_finished() && began.elapsed() < max_end) {
            std::thread::sleep(END_INTERVAL);
        }
        if max_end.is_none() || thread.is_finished() {
            // A thread that panicked has ended as well.
            let _ = thread.join();
        }
    }
}

/// Counts a call as waiting until it is dropped.
pub(super) struct WaitingGuard(Arc<AtomicUsize>);

impl WaitingGuard {
    pub(super) fn new(waiting: &Arc<AtomicUsize>) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(waiting))
    }
}

impl Drop for WaitingGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits for the reply to a job.
///
/// # Errors
/// The error in the reply; [`StoreError::Timeout`] if it does not arrive by `deadline`;
/// [`StoreError::Panicked`] if it was dropped.
pub(super) async fn wait_for_reply<T, E: From<StoreError>>(
    deadline: Instant,
    reply: oneshot::Receiver<Result<T, E>>,
) -> Result<T, E> {
    time::timeout_at(deadline.into(), reply)
        .await
        .map_err(|_| StoreError::Timeout)?
        .map_err(|_| StoreError::Panicked)?
}
