//! The thread that writes to SQLite, with group commit: writes that arrive during a commit are
//! committed together, because syncing the disk takes as long for many as for one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, time};

use super::{
    connection::AnyConnection,
    error::{Fault, StoreError},
    pool::Pool,
    worker::{Backlog, WaitingGuard, Worker},
};

/// Maximum number of writes in one commit.
const MAX_BATCH: usize = 64;

/// A handle of the thread and its queue.
#[derive(Clone)]
pub(super) struct Writer(Arc<Worker<Job>>);

/// The options of a write.
pub(super) struct WriteOptions {
    /// The instant at which the call times out if its work has not begun.
    pub(super) deadline: Instant,
    /// Time that the call waits beyond the deadline if its work has begun.
    pub(super) max_duration: Duration,
    /// `true` for long work, which is committed alone so that other calls do not wait for its
    /// commit.
    pub(super) exclusive: bool,
    /// Counts the call as waiting.
    pub(super) waiting: WaitingGuard,
}

struct Job {
    work: Box<dyn Work>,
    exclusive: bool,
    /// Set by the thread when it begins the work, or by the caller when it times out, whichever is
    /// first.
    claimed: Arc<AtomicBool>,
    waiting: Option<WaitingGuard>,
}

/// Work with a caller that waits for its result.
trait Work: Send {
    /// Runs the work. Returns `true` if it succeeded and must be committed.
    fn run(&mut self, conn: &mut AnyConnection) -> bool;

    /// Returns `true` if the caller still waits for the result.
    fn is_awaited(&self) -> bool;

    /// Returns the fault of the database file that made the work fail.
    fn fault(&self) -> Option<Fault>;

    /// Sends the result. `failure` replaces the result of work that succeeded but was not
    /// committed.
    fn answer(self: Box<Self>, failure: Option<StoreError>);
}

struct PendingWork<W, T, E> {
    work: Option<W>,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<W, T, E> Work for PendingWork<W, T, E>
where
    W: FnOnce(&mut AnyConnection) -> Result<T, E> + Send,
    T: Send,
    E: std::error::Error + From<StoreError> + Send + 'static,
{
    fn run(&mut self, conn: &mut AnyConnection) -> bool {
        self.outcome = self.work.take().map(|work| work(conn));
        matches!(self.outcome, Some(Ok(_)))
    }

    fn is_awaited(&self) -> bool {
        !self.reply.is_closed()
    }

    fn fault(&self) -> Option<Fault> {
        let error = self.outcome.as_ref()?.as_ref().err()?;
        Fault::from_error(error)
    }

    fn answer(self: Box<Self>, failure: Option<StoreError>) {
        let outcome = match (self.outcome, failure) {
            (Some(Ok(done)), None) => Ok(done),
            (Some(Err(error)), _) => Err(error),
            (_, failure) => Err(failure.unwrap_or(StoreError::BatchAborted).into()),
        };
        // The receiver was dropped: the caller timed out.
        let _ = self.reply.send(outcome);
    }
}

impl Writer {
    /// Starts the thread, which uses connections of `pool`.
    ///
    /// # Errors
    /// [`std::io::Error`] if the thread cannot be started.
    pub(super) fn start(pool: Pool) -> std::io::Result<Self> {
        let worker = Worker::start("store-writer", 1, None, move |first, backlog| {
            write(first, backlog, &pool);
        })?;
        Ok(Self(Arc::new(worker)))
    }

    /// Runs `work` in a transaction. When this returns, the change is on disk.
    ///
    /// # Errors
    /// Those of `work`; [`StoreError::Busy`] if it has not begun by the deadline;
    /// [`StoreError::Timeout`] if it takes too long then; [`StoreError::Panicked`] if it panics.
    pub(super) async fn write<T, E>(
        &self,
        options: WriteOptions,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: std::error::Error + From<StoreError> + Send + 'static,
    {
        let (reply, mut answer) = oneshot::channel();
        let claimed = Arc::new(AtomicBool::new(false));
        let job = Job {
            work: Box::new(PendingWork {
                work: Some(work),
                outcome: None,
                reply,
            }),
            exclusive: options.exclusive,
            claimed: Arc::clone(&claimed),
            waiting: Some(options.waiting),
        };
        self.0.push(job)?;
        if let Ok(answer) = time::timeout_at(options.deadline.into(), &mut answer).await {
            return answer.map_err(|_| StoreError::Panicked)?;
        }
        if !claimed.swap(true, Ordering::AcqRel) {
            return Err(StoreError::Busy.into());
        }
        // Work that takes longer still completes, but its caller no longer waits for it.
        time::timeout(options.max_duration, answer)
            .await
            .map_err(|_| StoreError::Timeout)?
            .map_err(|_| StoreError::Panicked)?
    }
}

fn write(first: Job, backlog: &Backlog<Job>, pool: &Pool) {
    let mut batch = vec![first];
    while batch.len() < MAX_BATCH && batch.iter().all(|job| !job.exclusive) {
        match backlog.try_recv() {
            Some(job) if job.exclusive => {
                backlog.put_back(job);
                break;
            }
            Some(job) => batch.push(job),
            None => break,
        }
    }
    batch.retain_mut(Job::claim);
    if !batch.is_empty() {
        write_batch(pool, batch);
    }
}

fn write_batch(pool: &Pool, mut batch: Vec<Job>) {
    let mut failure = match pool.get() {
        Ok(mut pooled) => {
            let committed = match batch.as_mut_slice() {
                [job] => commit(&mut pooled.conn, job),
                batch => commit_batch(&mut pooled.conn, batch),
            };
            // A commit to an unlinked file must not be acknowledged.
            committed.and_then(|()| pool.ensure_durable(&mut pooled)).err()
        }
        Err(error) => Some(error),
    };
    let fault = batch.iter().find_map(|job| job.work.fault());
    if let Some(fault) = fault.or_else(|| Fault::from_error(failure.as_ref()?)) {
        pool.health().set(Some(fault));
    }
    let failed = failure.is_some();
    for job in batch {
        let failure = failed.then(|| failure.take().unwrap_or(StoreError::BatchAborted));
        job.work.answer(failure);
    }
}

fn commit(conn: &mut AnyConnection, job: &mut Job) -> Result<(), StoreError> {
    conn.begin_write(None)?;
    if job.work.run(conn) {
        return Ok(conn.commit()?);
    }
    // A connection that cannot roll back is broken; the pool drops it.
    let _ = conn.rollback();
    Ok(())
}

fn commit_batch(conn: &mut AnyConnection, batch: &mut [Job]) -> Result<(), StoreError> {
    conn.begin_write(None)?;
    for job in batch {
        let done = conn.begin_savepoint().and_then(|()| {
            if job.work.run(conn) {
                conn.commit()
            } else {
                conn.rollback()
            }
        });
        // SQLite itself rolls back the whole transaction if the disk is full or fails. The earlier
        // work of the batch is lost then, and the later work would be committed statement by
        // statement.
        if let Err(error) = done {
            let _ = conn.rollback();
            return Err(error.into());
        }
    }
    Ok(conn.commit()?)
}

impl Job {
    /// Claims the work for this thread. Returns `false` if its caller no longer waits for it.
    fn claim(&mut self) -> bool {
        self.waiting = None;
        !self.claimed.swap(true, Ordering::AcqRel) && self.work.is_awaited()
    }
}

#[cfg(test)]
mod tests;
