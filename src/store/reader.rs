//! The threads that look things up in SQLite. One that is awake takes what comes while it works: waking a thread takes longer than a look
//! into an index.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use tokio::{sync::oneshot, time};

use super::{
    WaitingGuard,
    connection::{AnyConnection, Pool},
    error::StoreError,
    queue::{JobReceiver, WorkQueue},
};

/// How many look-ups in a row use one connection, before the pool looks whether it still leads to the database.
const MAX_CONSECUTIVE: usize = 64;

/// The threads, and where their look-ups are put.
#[derive(Clone)]
pub(super) struct Reader(Arc<WorkQueue<ReadJob>>);

/// Looks something up and tells who waits for it, on that connection or why there is none.
type ReadJob = Box<dyn FnOnce(Result<&mut AnyConnection, StoreError>) + Send>;

impl Reader {
    /// Starts so many threads, which read on connections of `pool`.
    ///
    /// # Errors
    /// When there are no threads to be had.
    pub(super) fn start(pool: &Pool, threads: usize) -> std::io::Result<Self> {
        let (mut queue, jobs) = WorkQueue::new();
        let jobs = Arc::new(jobs);
        for _ in 0..threads {
            let (jobs, pool) = (Arc::clone(&jobs), pool.clone());
            queue.start("store-reader", move || run_reader(&jobs, &pool))?;
        }
        Ok(Self(Arc::new(queue)))
    }

    /// What `work` finds, if it does by `deadline`.
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
            // Whoever has given up waiting does not hear of it.
            let _ = reply.send(found);
        });
        self.0.push(job)?;
        time::timeout_at(deadline.into(), answer)
            .await
            .map_err(|_| StoreError::Timeout)?
            .map_err(|_| StoreError::ShuttingDown)?
    }
}

fn run_reader(jobs: &JobReceiver<ReadJob>, pool: &Pool) {
    while let Some(first) = jobs.recv() {
        // What panics takes its answer with it, and a connection that the pool throws away.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let mut pooled = match pool.get() {
                Ok(pooled) => pooled,
                Err(error) => return first(Err(error)),
            };
            first(Ok(&mut pooled.conn));
            for _ in 1..MAX_CONSECUTIVE {
                let Some(next) = jobs.try_recv() else { return };
                next(Ok(&mut pooled.conn));
            }
        }));
    }
}
