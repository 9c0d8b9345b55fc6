//! The threads that look things up in SQLite. One that is awake takes what comes while it works: waking a thread takes longer than a look
//! into an index.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use tokio::{sync::oneshot, time};

use super::{
    Waiting,
    connection::{AnyConnection, Pool},
    error::StoreError,
    queue::{Jobs, Queue},
};

/// How many look-ups in a row use one connection, before the pool looks whether it still leads to the database.
const MOST_IN_A_ROW: usize = 64;

/// The threads, and where their look-ups are put.
#[derive(Clone)]
pub(super) struct Reader(Arc<Queue<LookUp>>);

/// Looks something up and tells who waits for it, on that connection or why there is none.
type LookUp = Box<dyn FnOnce(Result<&mut AnyConnection, StoreError>) + Send>;

impl Reader {
    /// Starts so many threads, which read on connections of `pool`.
    ///
    /// # Errors
    /// When there are no threads to be had.
    pub(super) fn start(pool: &Pool, threads: usize) -> std::io::Result<Self> {
        let (mut queue, jobs) = Queue::new();
        let jobs = Arc::new(jobs);
        for _ in 0..threads {
            let (jobs, pool) = (Arc::clone(&jobs), pool.clone());
            queue.start("reader", move || read_all(&jobs, &pool))?;
        }
        Ok(Self(Arc::new(queue)))
    }

    /// What `work` finds, if it does by `deadline`.
    pub(super) async fn read<T, E>(
        &self,
        deadline: Instant,
        waiting: Waiting,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let look_up = Box::new(move |conn: Result<&mut AnyConnection, StoreError>| {
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
        self.0.put(look_up)?;
        time::timeout_at(deadline.into(), answer)
            .await
            .map_err(|_| StoreError::Slow)?
            .map_err(|_| StoreError::Ending)?
    }
}

fn read_all(jobs: &Jobs<LookUp>, pool: &Pool) {
    while let Some(first) = jobs.wait() {
        // What panics takes its answer with it, and a connection that the pool throws away.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let mut pooled = match pool.get() {
                Ok(pooled) => pooled,
                Err(error) => return first(Err(error)),
            };
            first(Ok(&mut pooled.conn));
            for _ in 1..MOST_IN_A_ROW {
                let Some(next) = jobs.take() else { return };
                next(Ok(&mut pooled.conn));
            }
        }));
    }
}
