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
    WaitingGuard,
    connection::{AnyConnection, Pool},
    error::StoreError,
    health::Fault,
    worker::{Backlog, Worker},
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
            (_, failure) => Err(failure.unwrap_or(StoreError::ShuttingDown).into()),
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
        let worker = Worker::start("store-writer", 1, move |first, backlog| write(first, backlog, &pool))?;
        Ok(Self(Arc::new(worker)))
    }

    /// Runs `work` in a transaction. When this returns, the change is on disk.
    ///
    /// # Errors
    /// Those of `work`; [`StoreError::Busy`] if it has not begun by the deadline;
    /// [`StoreError::Timeout`] if it takes too long then.
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
            return answer.map_err(|_| StoreError::ShuttingDown)?;
        }
        if !claimed.swap(true, Ordering::AcqRel) {
            return Err(StoreError::Busy.into());
        }
        // Work that takes longer still completes, but its caller no longer waits for it.
        time::timeout(options.max_duration, answer)
            .await
            .map_err(|_| StoreError::Timeout)?
            .map_err(|_| StoreError::ShuttingDown)?
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
mod tests {
    use super::*;
    use crate::store::{connection::ConnectionOptions, url::DatabaseUrl};
    use diesel::{RunQueryDsl, connection::SimpleConnection, sql_query, sql_types::BigInt};
    use std::{future::Future, sync::mpsc};

    #[derive(diesel::QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }

    struct Fixture {
        writer: Writer,
        pool: Pool,
        directory: tempfile::TempDir,
    }

    fn pool_of(directory: &tempfile::TempDir) -> Pool {
        let options = ConnectionOptions {
            timeout: Duration::from_secs(5),
            keeps_sessions: true,
        };
        Pool::new(DatabaseUrl::Sqlite(directory.path().join("w.db")), options, 2)
    }

    fn fixture() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        std::fs::File::create(directory.path().join("w.db")).unwrap();
        let pool = pool_of(&directory);
        pool.get()
            .unwrap()
            .conn
            .batch_execute("CREATE TABLE numbers (n BIGINT PRIMARY KEY)")
            .unwrap();
        Fixture {
            writer: Writer::start(pool.clone()).unwrap(),
            pool,
            directory,
        }
    }

    fn insert(conn: &mut AnyConnection, number: i64) -> Result<(), StoreError> {
        let row = sql_query("INSERT INTO numbers VALUES (?)").bind::<BigInt, _>(number);
        match conn {
            AnyConnection::Sqlite(conn) => row.execute(conn)?,
            AnyConnection::Postgres(conn) => row.execute(conn)?,
        };
        Ok(())
    }

    impl Fixture {
        fn count(&self) -> i64 {
            let mut pooled = self.pool.get().unwrap();
            let AnyConnection::Sqlite(conn) = &mut pooled.conn else {
                panic!("it is SQLite")
            };
            let counts: Vec<Count> = sql_query("SELECT count(*) AS count FROM numbers").load(conn).unwrap();
            counts[0].count
        }

        fn write<T: Send + 'static>(
            &self,
            timeout: Duration,
            work: impl FnOnce(&mut AnyConnection) -> Result<T, StoreError> + Send + 'static,
        ) -> impl Future<Output = Result<T, StoreError>> + 'static {
            let options = WriteOptions {
                deadline: Instant::now() + timeout,
                max_duration: Duration::from_secs(10),
                exclusive: false,
                waiting: WaitingGuard::new(&Arc::default()),
            };
            let writer = self.writer.clone();
            async move { writer.write(options, work).await }
        }

        /// Runs `others` while the thread is blocked, so that they form one batch, and returns
        /// their results. The thread is released after `timeouts` of them have timed out.
        async fn run_together<T: Send + 'static>(
            &self,
            timeouts: usize,
            others: Vec<impl Future<Output = Result<T, StoreError>> + 'static>,
        ) -> Vec<Result<T, StoreError>> {
            let (release, held) = mpsc::channel::<()>();
            let (begun, has_begun) = mpsc::channel();
            let first = self.write(LONG, move |_| {
                begun.send(()).unwrap();
                held.recv().unwrap();
                Ok(())
            });
            let set = tokio::task::LocalSet::new();
            set.run_until(async {
                let first = tokio::task::spawn_local(first);
                while has_begun.try_recv().is_err() {
                    tokio::task::yield_now().await;
                }
                let others: Vec<_> = others.into_iter().map(tokio::task::spawn_local).collect();
                // After one poll each has added its work to the queue.
                tokio::task::yield_now().await;
                while others.iter().filter(|other| other.is_finished()).count() < timeouts {
                    tokio::task::yield_now().await;
                }
                release.send(()).unwrap();
                first.await.unwrap().unwrap();
                let mut outcomes = Vec::new();
                for other in others {
                    outcomes.push(other.await.unwrap());
                }
                outcomes
            })
            .await
        }
    }

    const LONG: Duration = Duration::from_secs(30);

    fn run<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(work)
    }

    #[test]
    fn a_failed_write_is_rolled_back_without_affecting_the_batch() {
        let fixture = fixture();
        let numbers = [1, 2, 2, 3, 4];
        let writes = numbers.into_iter().enumerate().map(|(index, number)| {
            fixture.write(LONG, move |conn| {
                insert(conn, 100 + i64::try_from(index).unwrap())?;
                insert(conn, number)
            })
        });
        let outcomes = run(fixture.run_together(0, writes.collect()));
        let done: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
        assert_eq!(done, [true, true, false, true, true]);
        assert!(matches!(outcomes[2], Err(StoreError::AlreadyExists)));
        assert_eq!(fixture.count(), 8);
    }

    /// Simulates SQLite, which rolls back the whole transaction when the disk is full.
    #[test]
    fn a_lost_transaction_fails_every_write_of_the_batch() {
        let fixture = fixture();
        let writes = (1..=4).map(|number| {
            fixture.write(LONG, move |conn| {
                insert(conn, number)?;
                if number == 3 {
                    conn.batch_execute("ROLLBACK")?;
                    return Err(StoreError::Timeout);
                }
                Ok(())
            })
        });
        let outcomes = run(fixture.run_together(0, writes.collect()));
        assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
        assert_eq!(fixture.count(), 0);
        run(fixture.write(LONG, |conn| insert(conn, 7))).unwrap();
        assert_eq!(fixture.count(), 1);
    }

    #[test]
    fn a_panicking_write_fails_and_the_thread_continues() {
        let fixture = fixture();
        let writes = (1..=3).map(|number| {
            fixture.write(LONG, move |conn| {
                assert!(number != 2, "as the test wants it");
                insert(conn, number)
            })
        });
        let outcomes = run(fixture.run_together(0, writes.collect()));
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, Err(StoreError::ShuttingDown)))
        );
        assert_eq!(fixture.count(), 0);
        run(fixture.write(LONG, |conn| insert(conn, 7))).unwrap();
        assert_eq!(fixture.count(), 1);
    }

    #[test]
    fn a_write_that_timed_out_in_the_queue_never_runs() {
        let fixture = fixture();
        let writes = vec![fixture.write(Duration::ZERO, |conn| insert(conn, 1))];
        let outcomes = run(fixture.run_together(1, writes));
        assert!(matches!(outcomes[0], Err(StoreError::Busy)), "{outcomes:?}");
        run(fixture.write(LONG, |conn| insert(conn, 2))).unwrap();
        assert_eq!(fixture.count(), 1);
    }

    #[test]
    fn a_write_that_started_in_time_may_outlast_its_deadline() {
        let fixture = fixture();
        // Long enough for the thread to wake on a busy machine.
        let deadline = Duration::from_secs(1);
        let write = fixture.write(deadline, move |conn| {
            std::thread::sleep(deadline + Duration::from_millis(100));
            insert(conn, 1)
        });
        run(write).unwrap();
        assert_eq!(fixture.count(), 1);
    }

    #[test]
    fn a_cancelled_write_is_not_started() {
        let fixture = fixture();
        let write = fixture.write(LONG, |conn| insert(conn, 1));
        let timed_out = async move {
            let timed_out = time::timeout(Duration::ZERO, write).await;
            timed_out.map_err(|_| StoreError::Timeout)?
        };
        let outcomes = run(fixture.run_together(1, vec![timed_out]));
        assert!(matches!(outcomes[0], Err(StoreError::Timeout)), "{outcomes:?}");
        run(fixture.write(LONG, |conn| insert(conn, 2))).unwrap();
        assert_eq!(fixture.count(), 1);
    }

    #[test]
    fn dropping_the_writer_joins_the_thread_and_leaves_one_file() {
        let fixture = fixture();
        let (begun, has_begun) = mpsc::channel();
        let write = fixture.write(LONG, move |conn| {
            begun.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(100));
            insert(conn, 1)
        });
        run(async {
            let mut write = Box::pin(write);
            let _ = futures_util::poll!(write.as_mut());
            has_begun.recv().unwrap();
        });
        let Fixture {
            writer,
            pool,
            directory,
        } = fixture;
        drop(writer);
        drop(pool);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        let fixture = Fixture {
            pool: pool_of(&directory),
            writer: Writer::start(pool_of(&directory)).unwrap(),
            directory,
        };
        assert_eq!(fixture.count(), 1);
    }
}
