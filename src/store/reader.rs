//! The threads for short reads from SQLite. A thread that is awake keeps taking jobs as they
//! arrive: waking a thread takes longer than an index lookup.

use std::{sync::Arc, time::Instant};

use tokio::sync::oneshot;

use super::{
    connection::AnyConnection,
    error::StoreError,
    pool::Pool,
    worker::{Backlog, WaitingGuard, Worker, wait_for_reply},
};

/// Maximum number of consecutive jobs on one connection before the pool checks it again.
const MAX_CONSECUTIVE: usize = 64;

/// A handle of the threads and their queue.
#[derive(Clone)]
pub(super) struct Reader(Arc<Worker<ReadJob>>);

/// A job: reads on the connection and sends the result to its caller, or sends the error if there
/// is no connection.
type ReadJob = Box<dyn FnOnce(Result<&mut AnyConnection, StoreError>) + Send>;

impl Reader {
    /// Starts `threads` threads, which use connections of `pool`.
    ///
    /// # Errors
    /// [`std::io::Error`] if a thread cannot be started.
    pub(super) fn start(pool: &Pool, threads: usize) -> std::io::Result<Self> {
        let pool = pool.clone();
        let worker = Worker::start("store-reader", threads, None, move |job, backlog| {
            read(job, backlog, &pool);
        })?;
        Ok(Self(Arc::new(worker)))
    }

    /// Runs `work` on one of the threads.
    ///
    /// # Errors
    /// Those of `work`; [`StoreError::Timeout`] if it has not ended by `deadline`.
    pub(super) async fn read<T, E>(
        &self,
        deadline: Instant,
        waiting: WaitingGuard,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(move |conn: Result<&mut AnyConnection, StoreError>| {
            drop(waiting);
            if reply.is_closed() {
                return;
            }
            let found = match conn {
                Ok(conn) => work(conn),
                Err(error) => Err(error.into()),
            };
            // The receiver was dropped: the caller timed out.
            let _ = reply.send(found);
        });
        self.0.push(job)?;
        wait_for_reply(deadline, answer).await
    }
}

fn read(first: ReadJob, backlog: &Backlog<ReadJob>, pool: &Pool) {
    let mut pooled = match pool.get() {
        Ok(pooled) => pooled,
        Err(error) => return first(Err(error)),
    };
    first(Ok(&mut pooled.conn));
    for _ in 1..MAX_CONSECUTIVE {
        let Some(next) = backlog.try_recv() else { return };
        next(Ok(&mut pooled.conn));
    }
}
